"""Entra tokens for tests: the gateway's own token cache over a source that a test can make fail."""

import time

from shared.app import App
from shared.backends.auth.managed_identity import IdentityTokens


class Identity:
    """Gives `token-for-<resource>-by-<client id>` as token, or raises while `down`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.down = False

    async def fetch(self, resource: str, client_id: str | None) -> tuple[str, float]:
        """One token, good for an hour."""
        self.asked.append((resource, client_id))
        if self.down:
            raise ConnectionError("the identity service is down")
        return f"token-for-{resource}-by-{client_id or 'app'}", time.time() + 3600

    def serve(self, app: App) -> "Identity":
        """Let the app take its tokens from here."""
        tokens = IdentityTokens(self.fetch)
        app.services.tokens = app.outside.event_hubs.tokens = app.outside.content_safety.tokens = tokens
        return self


class NoTokens:
    """Where nobody asks for a token."""

    def at_hand(self, resource: str, client_id: str | None = None) -> str | None:
        """There is none."""
        return None

    async def token(self, resource: str, client_id: str | None = None) -> str:
        """Fails the test that asks."""
        raise AssertionError(resource)
