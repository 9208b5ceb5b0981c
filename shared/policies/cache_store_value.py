"""cache-store-value: keeps a value under a key for a time."""

from typing import Any, ClassVar, Literal

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse
from shared.policies.cached_value import NotCacheable, encode
from shared.policies.expression import Expression
from shared.policies.policy import Policy
from shared.stores.cache import Caches

CachingType = Literal["prefer-external", "external", "internal"]


def value_key(key: str) -> str:
    """The key of a value among all that is cached; keys are one namespace for the whole gateway, as in APIM."""
    return f"value:{key}"


class CacheStoreValue(Policy):
    """Keeps a copy of what `value` gives for `duration` seconds.

    `internal` is a cache of this process: up to 10,000 values, 64 MB, gone when the process ends. `external` is a
    table of the storage account, seen by all instances; one that has read a value may use it for a second more, and
    a value over 840 KB is not kept; what is secret belongs in the internal one. `prefer-external` is external where
    a storage account is configured, else internal; `external` without one keeps nothing. A fault of the storage
    does not fail the request.
    https://learn.microsoft.com/azure/api-management/cache-store-value-policy
    """

    element: ClassVar[str] = "cache-store-value"

    key: Expression[str]
    value: Expression[Any]
    duration: Expression[int]
    caching_type: CachingType = "prefer-external"

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Keep the value. PolicyFailed for one that cannot be written down, such as a response."""
        key = await self.key(ctx)
        try:
            data = encode(await self.value(ctx))
        except NotCacheable as error:
            raise PolicyFailed(reason="ValueNotCacheable", detail=str(error)) from error
        seconds = await self.duration(ctx)
        await ctx.services.get(Caches).of(self.caching_type).put(value_key(key), data, seconds)
        if ctx.tracing:
            ctx.trace({"key": key, "seconds": seconds, "bytes": len(data)}, self.element)
        return None
