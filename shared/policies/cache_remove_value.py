"""cache-remove-value: forgets a cached value."""

from typing import ClassVar

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.cache_store_value import CachingType, value_key
from shared.policies.expression import Expression
from shared.policies.policy import Policy
from shared.stores.cache import Caches


class CacheRemoveValue(Policy):
    """What `caching-type` means: see cache-store-value. Another instance may use an external value for a second more.

    https://learn.microsoft.com/azure/api-management/cache-remove-value-policy
    """

    element: ClassVar[str] = "cache-remove-value"

    key: Expression[str]
    caching_type: CachingType = "prefer-external"

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Forget the value."""
        await ctx.services.get(Caches).of(self.caching_type).remove(value_key(await self.key(ctx)))
        return None
