"""Entra tokens of the gateway's own identity: cached, renewed ahead of expiry, never fetched twice at once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import PolicyFailed

log = logging.getLogger("gateway")

# azure-identity is asked again this long before a token ends; until then calls go on with the one at hand.
RENEW_BEFORE = 300.0
USABLE_UNTIL = 30.0
RETRY_AFTER = 10.0

Fetch = Callable[[str, str | None], Awaitable[tuple[str, float]]]


@dataclass(slots=True)
class _Token:
    text: str
    expires: float
    renew_at: float


class IdentityTokens:
    """Bearer tokens by (resource, client id). `fetch` gets one: (resource, client id) to (token, expiry as epoch
    seconds).
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._tokens: dict[tuple[str, str | None], _Token] = {}
        self._fetching: dict[tuple[str, str | None], asyncio.Task[_Token]] = {}

    def at_hand(self, resource: str, client_id: str | None = None) -> str | None:
        """A token that is here already and need not be renewed yet."""
        held = self._tokens.get((resource, client_id))
        return held.text if held is not None and held.renew_at > self._clock() else None

    async def token(self, resource: str, client_id: str | None = None) -> str:
        """A token for `resource`, good for at least half a minute. PolicyFailed when none can be had."""
        key = (resource, client_id)
        now = self._clock()
        held = self._tokens.get(key)
        if held is not None and held.renew_at > now:
            return held.text
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._renew(key))
            task.add_done_callback(lambda done: self._finished(key, done))
        if held is not None and held.expires - USABLE_UNTIL > now:
            held.renew_at = now + RETRY_AFTER  # nobody waits, and a failing identity service is not asked on each call
            return held.text
        try:
            # A caller who hangs up must not end the fetch that others wait for.
            return (await asyncio.shield(task)).text
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]  # what each way to a login said is told once for all who wait
            raise PolicyFailed(
                source="authentication-managed-identity",
                reason="ManagedIdentityTokenFailure",
                detail=f"no token for {resource}: {type(error).__name__}: {reason}",
            ) from error

    async def _renew(self, key: tuple[str, str | None]) -> _Token:
        text, expires = await self._fetch(*key)
        life = expires - self._clock()
        self._tokens[key] = token = _Token(text, expires, expires - min(RENEW_BEFORE, life / 2))
        return token

    def _finished(self, key: tuple[str, str | None], task: "asyncio.Task[_Token]") -> None:
        self._fetching.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("no token for %s: %s: %s", key[0], type(error).__name__, error)


class AzureIdentity:
    """Fetches tokens with azure-identity: the managed identity on Azure, the developer's login elsewhere."""

    def __init__(self, client_id: str | None, *, local: bool) -> None:
        self._client_id = client_id
        self._local = local
        self._credentials: dict[str | None, Any] = {}

    async def fetch(self, resource: str, client_id: str | None) -> tuple[str, float]:
        """One token for `resource`; azure-identity's own errors come through."""
        scope = resource if resource.endswith("/.default") else f"{resource.rstrip('/')}/.default"
        credential = self.credential(client_id or self._client_id)
        token = await credential.get_token(scope)
        return token.token, float(token.expires_on)

    def credential(self, client_id: str | None = None) -> Any:
        """The azure-identity credential (async) for a client id, made once."""
        client_id = client_id or self._client_id
        if client_id not in self._credentials:
            from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

            if self._local:
                made: Any = DefaultAzureCredential(managed_identity_client_id=client_id)
            else:
                made = ManagedIdentityCredential(client_id=client_id)
            self._credentials[client_id] = made
        return self._credentials[client_id]

    async def aclose(self) -> None:
        """Close what the credentials hold open."""
        for credential in self._credentials.values():
            await credential.close()
        self._credentials.clear()
