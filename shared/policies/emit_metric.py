"""emit-metric: counts something."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.metric_dimensions import Dimensions, read_dimensions, resolved
from shared.policies.nodes import Element
from shared.policies.policy import Policy
from shared.telemetry.metrics import Metrics


class EmitMetric(Policy):
    """Adds `value` to the metric `name` in `namespace`, by its dimensions.

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

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count."""
        value, dimensions = await self.value(ctx), resolved(await self.dimensions.evaluate(ctx), ctx)
        ctx.services.get(Metrics).add(self.namespace, ((self.name, value),), dimensions)  # type: ignore[type-abstract]
        if ctx.tracing:
            ctx.trace({"name": self.name, "value": value, "dimensions": dict(dimensions)}, self.element)
        return None
