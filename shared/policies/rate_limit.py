"""rate-limit: calls of a subscription in a sliding window, with own limits for APIs and operations."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.call_limits import RateReport
from shared.policies.compiler import Compiler
from shared.policies.counting import Room, take
from shared.policies.limited_parts import Part, parts_of, read_parts, scope_name
from shared.policies.nodes import Element
from shared.policies.policy import Scope, Section
from shared.stores.limits import Limit, OnStorageError, Refusal, Window

Calls = Annotated[int, Field(ge=0)]
RenewalPeriod = Annotated[int, Field(ge=1, le=300)]


class RatePart(Part):
    """The rate of an API or an operation."""

    calls: Calls
    renewal_period: RenewalPeriod


class RateLimit(RateReport):
    """Refuses with 429 the call that would be one too many in any `renewal-period` seconds. All instances count
    together. A call without a subscription is not counted (APIM: "only applied when an API is accessed using a
    subscription key").

    The limits of the policy, of an `api` and of an `operation` hold independently; a call that one of them refuses is
    counted under none. `on-storage-error` (bounded, open, closed) is this gateway's own, as for llm-token-limit.
    https://learn.microsoft.com/azure/api-management/rate-limit-policy
    """

    element: ClassVar[str] = "rate-limit"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    scopes: ClassVar[frozenset[Scope]] = frozenset({"product", "api", "operation"})
    once: ClassVar[bool] = True

    calls: Calls
    renewal_period: RenewalPeriod
    on_storage_error: OnStorageError = "bounded"
    parts: tuple[RatePart, ...] = Field((), alias="(parts)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `api` children."""
        return {"parts": read_parts(element, compiler, RatePart)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count the call, or refuse it."""
        if ctx.subscription is None:
            return None
        taken: list[Room] = []
        for key, limit in self._limits(ctx, ctx.subscription.id):
            room = await take(ctx, key, limit, 1)
            if isinstance(room, Refusal):
                for one in taken:
                    one.settle(0)
                raise self.refused(ctx, key, limit, room)
            taken.append(room)
            if len(taken) == 1:
                self.tell(ctx, key, limit)
        for one in taken:
            one.settle(1)
        return None

    def _limits(self, ctx: Context, subscription: str) -> Iterator[tuple[str, Limit]]:
        whole = f"rate-limit {scope_name(ctx, self.place.scope)} subscription {subscription}"
        yield whole, self._limit(self.calls, self.renewal_period)
        for name, part in parts_of(ctx, self.parts):
            yield f"{whole} {name}", self._limit(part.calls, part.renewal_period)

    def _limit(self, calls: int, seconds: int) -> Limit:
        return Limit(Window(calls, seconds), unit="calls", on_storage_error=self.on_storage_error)
