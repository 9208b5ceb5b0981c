"""llm-semantic-cache-lookup and azure-openai-semantic-cache-lookup: answer from prompts of the same meaning."""

from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section


class LlmSemanticCacheLookup(Policy):
    """Checked at load only; the engine follows. Until then a document with it loads with a warning, and every lookup is
    a miss. `cache-id` chooses among APIM's external caches; there is one cache here, so it makes no difference.

    https://learn.microsoft.com/azure/api-management/llm-semantic-cache-lookup-policy
    """

    element: ClassVar[str] = "llm-semantic-cache-lookup"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    once: ClassVar[bool] = True
    runs_ahead: ClassVar[bool] = True

    score_threshold: float = Field(ge=0, le=1)
    embeddings_backend_id: str
    embeddings_backend_auth: Literal["system-assigned"]
    ignore_system_messages: bool = False
    max_message_count: NonNegativeInt | None = None
    cache_id: str | None = None
    vary_by: tuple[Expression[str], ...] = Field((), alias="(vary-by)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """What partitions the cache, and whether the backend for embeddings is there."""
        compiler.problem(element, f"{element.name} is checked but not yet executed", severity="warning")
        compiler.expect_no_text(element)
        id = compiler.known(element, "embeddings-backend-id")
        if id is not None and id not in compiler.gateway.backends:
            compiler.problem(element, f"no backend {id}", attribute="embeddings-backend-id")
        children = compiler.children(element, "vary-by")
        for child in children:
            compiler.attributes(child)
        return {"vary_by": tuple(compiler.value(child) for child in children)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """A miss."""
        return None


class AzureOpenaiSemanticCacheLookup(LlmSemanticCacheLookup):
    """The older name.

    https://learn.microsoft.com/azure/api-management/azure-openai-semantic-cache-lookup-policy
    """

    element: ClassVar[str] = "azure-openai-semantic-cache-lookup"
