"""quota-by-key: calls and bandwidth by any key per period, counted by what the response turns out to be."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.bandwidth import Meter
from shared.policies.call_limits import out_of_quota
from shared.policies.counting import Room, take
from shared.policies.expression import Expression
from shared.policies.increments import Increment
from shared.policies.policy import Section
from shared.policies.quota import Volume, limits_of
from shared.stores.limits import OnStorageError, Refusal

# "Minimum period: 300 seconds", or 0 for one that never ends.
Period = Annotated[int, Field(ge=0)]


class QuotaByKey(Increment, Volume):
    """Refuses with 403 and Retry-After what exceeds the calls or the bandwidth of a key in a period.

    Periods are counted from `first-period-start`. All instances and all policies with the same key count together, and
    "if multiple policies would increment the same key value, it is incremented only once per request".
    `increment-condition` and `increment-count` are evaluated when the response is there; bandwidth (request and
    response bodies) counts when the condition holds. `on-storage-error` (bounded, open, closed) is this gateway's own,
    as for llm-token-limit.
    https://learn.microsoft.com/azure/api-management/quota-by-key-policy
    """

    element: ClassVar[str] = "quota-by-key"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    renewal_period: Period
    counter_key: Expression[str]
    first_period_start: datetime = datetime(1, 1, 1, tzinfo=UTC)
    on_storage_error: OnStorageError = "bounded"

    @field_validator("renewal_period")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if 0 < value < 300:
            raise ValueError("at least 300 seconds, or 0 for a period that never ends")
        return value

    @field_validator("first_period_start")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count the call and its bytes, or refuse it."""
        key = await self.counter_key(ctx) or ""
        start = int(self.first_period_start.timestamp())
        meter = Meter(ctx)
        calls: list[Room] = []
        volumes: list[Room] = []
        for limit in limits_of(self, start, self.on_storage_error):
            in_calls = limit.unit == "calls"
            room = await take(ctx, key, limit, (self.known_increment or 1) if in_calls else meter.so_far)
            if isinstance(room, Refusal):
                for one in (*calls, *volumes):
                    one.settle(0)
                raise out_of_quota(ctx, self, key, limit, room)
            (calls if in_calls else volumes).append(room)
        self.settle_with_response(ctx, calls, volumes)
        for room in volumes:
            meter.settle_at_end(room)
        return None
