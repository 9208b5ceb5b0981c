"""quota: calls and bandwidth of a subscription per period, with own quotas for APIs and operations."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from shared.context import Context, Subscription
from shared.message import GatewayResponse
from shared.policies.bandwidth import Meter
from shared.policies.call_limits import out_of_quota
from shared.policies.compiler import Compiler
from shared.policies.counting import Room, take
from shared.policies.limited_parts import Part, parts_of, read_parts, scope_name
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Scope, Section
from shared.stores.limits import Limit, OnStorageError, Refusal
from shared.stores.limits import Quota as StoredQuota
from shared.stores.periods import Fixed

Amount = Annotated[int, Field(ge=0)]


class Volume(Markup):
    """Calls, kilobytes, or both, in a period of seconds; 0 never ends."""

    calls: Amount | None = None
    bandwidth: Amount | None = None
    renewal_period: Amount

    @model_validator(mode="after")
    def _something(self) -> "Volume":
        if self.calls is None and self.bandwidth is None:
            raise ValueError("calls, bandwidth or both must be there")
        return self


def limits_of(volume: Volume, first_start: int, on_storage_error: OnStorageError) -> Iterator[Limit]:
    """What is counted: calls and bytes, each by a counter of its own."""
    period = Fixed(volume.renewal_period, first_start)
    if volume.calls is not None:
        quotas = (StoredQuota(volume.calls, period),)
        yield Limit(quotas=quotas, unit="calls", on_storage_error=on_storage_error)
    if volume.bandwidth is not None:
        quotas = (StoredQuota(volume.bandwidth * 1024, period),)
        yield Limit(quotas=quotas, unit="bytes", on_storage_error=on_storage_error)


class QuotaPart(Part, Volume):
    """The quota of an API or an operation. Their period is the policy's own unless they name one: APIM's reference
    requires it, its statement leaves it out."""

    renewal_period: Amount | None = None  # type: ignore[assignment]


class Quota(Policy, Volume):
    """Refuses with 403 and Retry-After what exceeds the calls or the bandwidth of a period. Periods are counted from
    the start of the subscription; a call without a subscription is not counted.

    Bandwidth is request and response bodies together; the answer that crosses the limit is still delivered. A call
    that one of several quotas refuses is counted under none. `on-storage-error` (bounded, open, closed) is this
    gateway's own, as for llm-token-limit.
    https://learn.microsoft.com/azure/api-management/quota-policy
    """

    element: ClassVar[str] = "quota"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    scopes: ClassVar[frozenset[Scope]] = frozenset({"product"})
    once: ClassVar[bool] = True

    on_storage_error: OnStorageError = "bounded"
    parts: tuple[QuotaPart, ...] = Field((), alias="(parts)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `api` children."""
        return {"parts": read_parts(element, compiler, QuotaPart)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count the call and its bytes, or refuse it."""
        if ctx.subscription is None:
            return None
        meter = Meter(ctx)
        taken: list[tuple[Room, Limit]] = []
        for key, limit in self._limits(ctx, ctx.subscription):
            room = await take(ctx, key, limit, 1 if limit.unit == "calls" else meter.so_far)
            if isinstance(room, Refusal):
                for one, _ in taken:
                    one.settle(0)
                raise out_of_quota(ctx, self, key, limit, room)
            taken.append((room, limit))
        for room, limit in taken:
            if limit.unit == "bytes":
                meter.settle_at_end(room)
            else:
                room.settle(1)
        return None

    def _limits(self, ctx: Context, subscription: Subscription) -> Iterator[tuple[str, Limit]]:
        begun = subscription.start_date or subscription.created_date
        start = int(begun.timestamp()) if begun is not None else 0
        whole = f"quota {scope_name(ctx, self.place.scope)} subscription {subscription.id}"
        for limit in limits_of(self, start, self.on_storage_error):
            yield whole, limit
        for name, part in parts_of(ctx, self.parts):
            period = part.renewal_period if part.renewal_period is not None else self.renewal_period
            volume = part.model_copy(update={"renewal_period": period})
            for limit in limits_of(volume, start, self.on_storage_error):
                yield f"{whole} {name}", limit
