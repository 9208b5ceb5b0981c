"""llm-content-safety: lets nothing through that Azure AI Content Safety finds harmful."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.errors import Unavailable
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Scope, Section

Name = Literal["Hate", "SelfHarm", "Sexual", "Violence"]
Threshold = Annotated[int, Field(ge=0, le=7)]
OutputType = Literal["FourSeverityLevels", "EightSeverityLevels"]


@dataclass(frozen=True, slots=True)
class ContentSafety:
    """How content is checked. `unenforced` lets calls through unchecked while there is no engine: the app setting
    GATEWAY_ALLOW_UNENFORCED_SAFETY, for trying documents out where nothing can be harmed."""

    unenforced: bool = False


class Category(Markup):
    """A category, and the severity from which on it blocks."""

    name: Expression[Name]
    threshold: Expression[Threshold]


class LlmContentSafety(Policy):
    """Checked completely at load; the engine that asks Content Safety follows. Until then a document with it loads with
    a warning, and every call it stands in the way of is answered with 503: a check that is declared and does not
    happen must not look as if it had. The app setting GATEWAY_ALLOW_UNENFORCED_SAFETY=true lets calls through instead.

    https://learn.microsoft.com/azure/api-management/llm-content-safety-policy
    """

    element: ClassVar[str] = "llm-content-safety"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound"})
    scopes: ClassVar[frozenset[Scope]] = frozenset({"global", "product", "api"})

    backend_id: Expression[str]
    shield_prompt: Expression[bool] = Field(default_factory=lambda: Expression(False))
    enforce_on_completions: Expression[bool] = Field(default_factory=lambda: Expression(False))
    window_size: Expression[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: Expression(10_000))
    window_overlap_size: Expression[Annotated[int, Field(ge=0)]] | None = None
    output_type: Expression[OutputType] = Field(
        default_factory=lambda: Expression("FourSeverityLevels"), alias="(output-type)"
    )
    categories: tuple[Category, ...] = Field((), alias="(categories)")
    blocklists: tuple[Expression[str], ...] = Field((), alias="(blocklists)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """Categories and blocklists."""
        compiler.problem(element, f"{element.name} is checked but not yet executed: it answers 503", severity="warning")
        compiler.expect_no_text(element)
        found: dict[str, Any] = {}
        for child in compiler.children(element, "categories", "blocklists"):
            compiler.expect_no_text(child)
            if child.name == "blocklists":
                compiler.attributes(child)
                found["blocklists"] = tuple(compiler.value(id) for id in compiler.children(child, "id"))
                continue
            output = compiler.model(child, Categories)
            if output is not None:
                found["output_type"] = output.output_type
            items = [compiler.model(item, Category) for item in compiler.children(child, "category")]
            found["categories"] = tuple(item for item in items if item is not None)
        id = compiler.known(element, "backend-id")
        if id is not None and id not in compiler.gateway.backends:
            compiler.problem(element, f"no backend {id}", attribute="backend-id")
        return found

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Refuse the call, for its content cannot be checked."""
        if ctx.services.get(ContentSafety).unenforced:
            ctx.trace({"message": "content is not checked"}, self.element, "error")
            return None
        raise Unavailable(
            "Content safety is required for this API and cannot be checked by this version of the gateway.",
            source=self.element,
            reason="ContentSafetyUnavailable",
        )


class Categories(Markup):
    """How severities are given."""

    output_type: Expression[OutputType] = Field(default_factory=lambda: Expression("FourSeverityLevels"))
