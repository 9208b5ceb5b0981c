"""limit-concurrency: lets so many requests at a time into the policies it holds, and refuses the rest at once."""

from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from shared.context import Context
from shared.errors import Refusal
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Nested, Policy
from shared.policies.run import run


class Entered:
    """How many requests of this process are inside, by key. One per app, so that policies share a key's count."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def enter(self, key: str, limit: int) -> bool:
        """Go in, unless `limit` are inside already."""
        inside = self.counts.get(key, 0)
        if inside >= limit:
            return False
        self.counts[key] = inside + 1
        return True

    def leave(self, key: str) -> None:
        """Come out; once for each time one went in."""
        left = self.counts[key] - 1
        if left:
            self.counts[key] = left
        else:
            del self.counts[key]


class LimitConcurrency(Policy):
    """Counts per process, as APIM does per gateway instance, and nobody waits: who is one too many gets a 429.

    A request is inside until the policies it holds have run, however they end. Around forward-request that is until
    the response's headers are there; the body comes afterwards, as in APIM.
    https://learn.microsoft.com/azure/api-management/limit-concurrency-policy
    """

    element: ClassVar[str] = "limit-concurrency"

    key: Expression[str]
    max_count: PositiveInt
    statements: Nested = Field((), alias="(statements)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The policies inside."""
        return {"statements": compiler.statements(element)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Run the policies inside, or refuse."""
        entered: Entered = ctx.services.extras.setdefault(Entered, Entered())
        key = await self.key(ctx) or ""
        if not entered.enter(key, self.max_count):
            raise Refusal(
                "Too many concurrent requests. Try again later.",
                status=429,
                source=self.element,
                reason="ConcurrencyLimitExceeded",
            )
        if ctx.tracing:
            ctx.trace({"key": key, "inside": entered.counts[key]}, self.element)
        try:
            return await run(self.statements, ctx)
        finally:
            entered.leave(key)
