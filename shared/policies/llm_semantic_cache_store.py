"""llm-semantic-cache-store and azure-openai-semantic-cache-store: keep an answer for prompts of the same meaning."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section


class LlmSemanticCacheStore(Policy):
    """Checked at load only; the engine follows. Until then a document with it loads with a warning and keeps nothing.

    https://learn.microsoft.com/azure/api-management/llm-semantic-cache-store-policy
    """

    element: ClassVar[str] = "llm-semantic-cache-store"
    sections: ClassVar[frozenset[Section]] = frozenset({"outbound"})
    once: ClassVar[bool] = True

    duration: Expression[int]
    cache_response: Expression[bool] = Field(default_factory=lambda: Expression(False))

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """No content; a warning that nothing is kept yet."""
        compiler.problem(element, f"{element.name} is checked but not yet executed", severity="warning")
        compiler.expect_no_content(element)
        return {}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Keep nothing."""
        return None


class AzureOpenaiSemanticCacheStore(LlmSemanticCacheStore):
    """The older name.

    https://learn.microsoft.com/azure/api-management/azure-openai-semantic-cache-store-policy
    """

    element: ClassVar[str] = "azure-openai-semantic-cache-store"
