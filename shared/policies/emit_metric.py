"""emit-metric: counts something."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.metric_dimensions import Dimensions, Evaluated, read_dimensions, resolved
from shared.policies.nodes import Element
from shared.policies.policy import Policy
from shared.policies.run import Waiting
from shared.telemetry.metrics import Metrics


class EmitMetric(Policy):
    """Adds `value` to the metric `name` in `namespace`, by its dimensions, all as they are when the policy runs. An
    expression that throws leads to on-error, as in any policy. A value that is no finite number, or more than the sum
    can hold, is dropped and logged, and the request goes on.

    https://learn.microsoft.com/azure/api-management/emit-metric-policy
    """

    element: ClassVar[str] = "emit-metric"

    name: str
    namespace: str = "API Management"
    value: Expression[float] = Field(default_factory=lambda: Expression(1.0))
    dimensions: Dimensions = Field(alias="(dimensions)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The dimensions."""
        return read_dimensions(element, compiler)

    def __call__(self, ctx: Context) -> Waiting | None:
        """Count."""
        if self.dimensions.written is None:
            return self._evaluate(ctx)
        self._emit(ctx, self.value.now(ctx), self.dimensions.written)
        return None

    async def _evaluate(self, ctx: Context) -> None:
        self._emit(ctx, await self.value(ctx), await self.dimensions.evaluate(ctx))

    def _emit(self, ctx: Context, value: float, dimensions: Evaluated) -> None:
        pairs = resolved(dimensions, ctx)
        ctx.services.get(Metrics).add(self.namespace, ((self.name, value),), pairs)  # type: ignore[type-abstract]
        if ctx.tracing:
            ctx.trace({"name": self.name, "value": value, "dimensions": dict(pairs)}, self.element)
