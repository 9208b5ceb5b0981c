"""llm-emit-token-metric and azure-openai-emit-token-metric: count the tokens of a call."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.metric_dimensions import Dimensions, read_dimensions
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section


class LlmEmitTokenMetric(Policy):
    """Checked at load only; the engine that counts follows, and until then a document with it loads with a warning.

    https://learn.microsoft.com/azure/api-management/llm-emit-token-metric-policy
    """

    element: ClassVar[str] = "llm-emit-token-metric"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    runs_ahead: ClassVar[bool] = True

    namespace: str = "API Management"
    dimensions: Dimensions = Field(alias="(dimensions)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The dimensions."""
        compiler.problem(element, f"{element.name} is checked but not yet executed", severity="warning")
        return read_dimensions(element, compiler)

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Count nothing yet."""
        return None


class AzureOpenaiEmitTokenMetric(LlmEmitTokenMetric):
    """The older name; it also takes `value`.

    https://learn.microsoft.com/azure/api-management/azure-openai-emit-token-metric-policy
    """

    element: ClassVar[str] = "azure-openai-emit-token-metric"

    value: float = 1.0
