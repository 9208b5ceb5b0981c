"""Signing keys and issuers of OpenID providers: discovered, cached for an hour, kept when the provider is down."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from shared.backends.sender import Outgoing, Sender
from shared.errors import BackendError, Unavailable

log = logging.getLogger("gateway")

FRESH_SECONDS = 3600.0
# "If the token references a key that is missing in the cached configuration, or if retrieval fails, API Management
# pulls from the endpoint at most once per 5 min" (validate-jwt page). Without any keys nothing works: try sooner.
AGAIN_SECONDS = 300.0
AGAIN_WITHOUT_KEYS = 10.0
# A provider that has been out of reach for a day no longer vouches for its keys.
STALE_SECONDS = 86400.0
FETCH_SECONDS = 10.0
MAX_BYTES = 1_048_576
PROVIDERS_KEPT = 256


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself: its issuer, and its public keys for signatures as (key id, key)."""

    issuer: str
    keys: tuple[tuple[str | None, Any], ...]

    def has(self, kid: str) -> bool:
        """Whether there is a key of that id."""
        return any(id == kid for id, _ in self.keys)


@dataclass(slots=True)
class _Entry:
    provider: Provider | None = None
    fetched: float = 0.0
    tried: float = float("-inf")
    failure: str = ""
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class OpenIdProviders:
    """Providers by the URL of their discovery document. Each is asked by one request at a time; the rest wait."""

    def __init__(self, sender: Sender, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._sender = sender
        self._now = monotonic
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def provider(self, url: str, kid: str | None = None) -> Provider:
        """The provider at `url`, asked anew when its keys are old or none of them is `kid`. Keys up to a day old serve
        while it does not answer; Unavailable when there are none."""
        entry = self._entries.get(url)
        if entry is None:
            entry = self._entries[url] = _Entry()
            if len(self._entries) > PROVIDERS_KEPT:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(url)
        if entry.task is not None or self._due(entry, kid):
            await self._fetch(url, entry)
        provider = entry.provider
        if provider is None or self._now() - entry.fetched > STALE_SECONDS:
            raise Unavailable(
                "The token cannot be validated at the moment.",
                reason="OpenIdConfigurationUnavailable",
                headers=[("retry-after", "10")],
                detail=f"{url}: {entry.failure}",
            )
        return provider

    def _due(self, entry: _Entry, kid: str | None) -> bool:
        now = self._now()
        provider = entry.provider
        if provider is None or now - entry.fetched > STALE_SECONDS:
            return now - entry.tried >= AGAIN_WITHOUT_KEYS
        wanted = now - entry.fetched >= FRESH_SECONDS or (kid is not None and not provider.has(kid))
        return wanted and now - entry.tried >= AGAIN_SECONDS

    async def _fetch(self, url: str, entry: _Entry) -> None:
        if entry.task is None:
            entry.tried = self._now()
            entry.task = asyncio.create_task(self._renew(url, entry))
        # A caller who hangs up must not end the fetch that others wait for.
        await asyncio.shield(entry.task)

    async def _renew(self, url: str, entry: _Entry) -> None:
        try:
            entry.provider = await self._read(url)
            entry.fetched = self._now()
        except (BackendError, ValueError) as error:
            entry.failure = getattr(error, "detail", "") or str(error)
            log.warning("no OpenID configuration from %s: %s", url, entry.failure)
        finally:
            entry.task = None

    async def _read(self, url: str) -> Provider:
        document = await self._get(url)
        issuer, jwks_uri = document.get("issuer"), document.get("jwks_uri")
        if not isinstance(issuer, str) or not isinstance(jwks_uri, str):
            raise ValueError("the document has no issuer or no jwks_uri")
        if urlsplit(url).scheme == "https" and urlsplit(jwks_uri).scheme != "https":
            raise ValueError("jwks_uri is not an https URL")
        keys = (await self._get(jwks_uri)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("the key set has no keys")
        read = [(key.get("kid"), public_key(key)) for key in keys if isinstance(key, dict)]
        return Provider(issuer, tuple((kid, key) for kid, key in read if key is not None))

    async def _get(self, url: str) -> dict[str, Any]:
        headers = [(b"accept", b"application/json")]
        answer = await self._sender.send(
            Outgoing("GET", url, headers, timeout=FETCH_SECONDS, max_bytes=MAX_BYTES),
        )
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        found = json.loads(answer.body or b"")
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        return found


def public_key(jwk: dict[str, Any]) -> Any:
    """The public key of a JWK (RFC 7517) for signatures, or None for one of another kind."""
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    if jwk.get("use", "sig") != "sig":
        return None
    public = {name: value for name, value in jwk.items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        match jwk.get("kty"):
            case "RSA":
                return RSAAlgorithm.from_jwk(public)
            case "EC":
                return ECAlgorithm.from_jwk(public)
    except (InvalidKeyError, ValueError, KeyError, TypeError):
        pass
    return None
