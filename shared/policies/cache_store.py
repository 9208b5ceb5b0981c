"""cache-store: keeps the response to a GET for cache-lookup."""

from typing import ClassVar

from pydantic import Field

from shared.body import PACKED, unpacked
from shared.context import Context
from shared.errors import BackendError
from shared.message import GatewayResponse
from shared.policies.cache_lookup import CacheMiss, cache_control, write_response
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section
from shared.policies.remembered import remembered
from shared.stores.cache import Caches

# Larger responses pass by: a cache that they fill serves nobody.
LARGEST = 1_048_576
NOT_KEPT = ("content-length", "content-encoding", "set-cookie", "x-request-id", "age", "date")


class CacheStore(Policy):
    """Keeps the response as it is at this place for `duration` seconds, when cache-lookup has missed it.

    Only status 200, or any with `cache-response="true"`. A body that is still a stream is kept as it passes on its
    way to the caller, once it has come to its end. Never kept: server-sent events, bodies over 1 MiB or in a coding
    other than gzip and deflate, responses that set a cookie. APIM's page allows one per section; documents in use
    have one in each branch of a choose, and so it is here.
    https://learn.microsoft.com/azure/api-management/cache-store-policy
    """

    element: ClassVar[str] = "cache-store"
    sections: ClassVar[frozenset[Section]] = frozenset({"outbound"})

    duration: Expression[int]
    cache_response: Expression[bool] = Field(default_factory=lambda: Expression(False))

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Keep the response, now or when its last byte has come."""
        miss, response = ctx.notes.get(CacheMiss), ctx.response
        if miss is None or response is None or "set-cookie" in response.headers:
            return None
        if (response.headers.get("content-type") or "").startswith("text/event-stream"):
            return None
        if response.status_code != 200 and not await self.cache_response(ctx):
            return None
        seconds = await self.duration(ctx)
        kept = _Kept(ctx, miss, response, seconds)
        if response.body is not None:
            await kept.keep(response.body)
        elif response.stream is not None:
            response.stream = remembered(response.stream, LARGEST, kept.keep_stream)
        response.headers.set("cache-control", cache_control(miss, seconds))
        return None


class _Kept:
    """One response on its way into the cache."""

    def __init__(self, ctx: Context, miss: CacheMiss, response: GatewayResponse, seconds: int) -> None:
        self._cache = ctx.services.get(Caches).of(miss.caching_type)
        self._key = miss.key
        self._seconds = seconds
        self._expires = ctx.services.clock().timestamp() + seconds
        self._coding = (response.headers.get("content-encoding") or "").lower()
        self._head = GatewayResponse(
            response.status_code, response.headers.copy(), b"", status_reason=response.status_reason
        )
        for name in NOT_KEPT:
            self._head.headers.remove(name)

    async def keep(self, body: bytes) -> None:
        if len(body) <= LARGEST:
            await self._cache.put(self._key, write_response(self._head, body, self._expires), self._seconds)

    async def keep_stream(self, body: bytes) -> None:
        """Keep what came through as a stream."""
        if self._coding not in ("", *PACKED):
            return
        try:
            # Another caller may not take this coding.
            await self.keep(unpacked(body, self._coding, LARGEST) if self._coding else body)
        except BackendError:
            return  # broken, or larger than it looked: the caller gets it as it is, the cache does not
