"""cache-lookup-value: puts a cached value into a variable."""

from typing import Any, ClassVar

from shared.backends.call_span import tell_lookup
from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.cache_store_value import CachingType, value_key
from shared.policies.cached_value import decode
from shared.policies.expression import Expression
from shared.policies.policy import Policy
from shared.stores.cache import Caches, TableCache


class CacheLookupValue(Policy):
    """On a miss the variable becomes `default-value`; without one it is not set, so that ContainsKey tells a hit.

    What `caching-type` means: see cache-store-value. A fault of the storage is a miss.
    https://learn.microsoft.com/azure/api-management/cache-lookup-value-policy
    """

    element: ClassVar[str] = "cache-lookup-value"
    runs_ahead: ClassVar[bool] = True

    key: Expression[str]
    variable_name: str
    default_value: Expression[Any] | None = None
    caching_type: CachingType = "prefer-external"

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Look the value up."""
        key = await self.key(ctx)
        cache, began = ctx.services.get(Caches).of(self.caching_type), ctx.services.monotonic()
        found = await cache.get(value_key(key))
        hit = found is not None
        if isinstance(cache, TableCache):
            tell_lookup(ctx, "cache", began, "value" if hit else "miss")
        if found is not None:
            try:
                ctx.variables[self.variable_name] = decode(found)
            except ValueError:
                hit = False  # written by another version
        if not hit and self.default_value is not None:
            ctx.variables[self.variable_name] = await self.default_value(ctx)
        if ctx.tracing:
            ctx.trace({"key": key, "hit": hit}, self.element)
        return None
