"""rate-limit-by-key: calls by any key in a sliding window, counted by what the response turns out to be."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.call_limits import RateReport
from shared.policies.counting import take
from shared.policies.expression import Expression
from shared.policies.increments import Increment
from shared.policies.policy import Section
from shared.stores.limits import Limit, OnStorageError, Refusal, Window


class RateLimitByKey(Increment, RateReport):
    """Refuses with 429 the call that would be one too many in any `renewal-period` seconds. All instances and all
    policies with the same key count together.

    `increment-condition` and `increment-count` are evaluated when the response is there, so a call whose weight is only
    known then may be let in that is one too many, as in APIM. Until then it counts with 1, whatever
    `increment-after-response` says. `on-storage-error` (bounded, open, closed) is this gateway's own, as for
    llm-token-limit.
    https://learn.microsoft.com/azure/api-management/rate-limit-by-key-policy
    """

    element: ClassVar[str] = "rate-limit-by-key"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    calls: Expression[Annotated[int, Field(ge=0)]]
    renewal_period: Expression[Annotated[int, Field(ge=1, le=300)]]
    counter_key: Expression[str]
    increment_after_response: bool = False
    on_storage_error: OnStorageError = "bounded"

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count the call, or refuse it."""
        key = await self.counter_key(ctx) or ""
        window = Window(await self.calls(ctx), await self.renewal_period(ctx))
        limit = Limit(window, unit="calls", on_storage_error=self.on_storage_error)
        room = await take(ctx, key, limit, self.known_increment or 1)
        if isinstance(room, Refusal):
            raise self.refused(ctx, key, limit, room)
        self.tell(ctx, key, limit)
        self.settle_with_response(ctx, [room])
        return None
