"""The dimensions of emit-metric and of the token metrics: names, values, and the defaults APIM fills in itself."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from shared.context import Context
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup

# Names that need no value (emit-metric page); compared without regard to case.
DEFAULTS: dict[str, Callable[[Context], str | None]] = {
    "api id": lambda ctx: ctx.api.id if ctx.api is not None else None,
    "operation id": lambda ctx: ctx.operation.id if ctx.operation is not None else None,
    "product id": lambda ctx: ctx.product.id if ctx.product is not None else None,
    "user id": lambda ctx: ctx.user.id if ctx.user is not None else None,
    "subscription id": lambda ctx: ctx.subscription.id if ctx.subscription is not None else None,
    "location": lambda ctx: ctx.deployment.region,
    "gateway id": lambda ctx: ctx.deployment.gateway_id,
    "backend id": lambda ctx: ctx.backend.id if ctx.backend is not None else None,
}


class Dimension(Markup):
    """A dimension; without a value its name is one of the defaults."""

    name: Expression[str]
    value: Expression[str] | None = None


class Dimensions(Markup):
    """All dimensions of a metric."""

    items: tuple[Dimension, ...] = Field((), alias="(items)")

    async def values(self, ctx: Context) -> dict[str, str]:
        """Name to value for this request. What is not known now, such as the product of a call without one, reads
        `N/A`; so does a dimension whose computed name is no default and that has no value."""
        found: dict[str, str] = {}
        for item in self.items:
            name = await item.name(ctx)
            if item.value is not None:
                value: str | None = await item.value(ctx)
            else:
                default = DEFAULTS.get(name.lower())
                value = default(ctx) if default is not None else None
            found[name] = value or "N/A"
        return found


def read_dimensions(element: Element, compiler: Compiler) -> dict[str, Any]:
    """The `dimension` children.

    APIM's pages ask for one to five (earlier: ten) of one's own, a limit of Azure Monitor's; documents in use have none
    or more, and nothing here depends on it.
    """
    compiler.expect_no_text(element)
    items: list[Dimension] = []
    for child in compiler.children(element, "dimension"):
        compiler.expect_no_content(child)
        item = compiler.model(child, Dimension)
        if item is None:
            continue
        name = item.name.constant
        is_default = isinstance(name, str) and name.lower() in DEFAULTS
        if item.value is None and isinstance(name, str) and not is_default:
            compiler.problem(child, f"dimension {name} needs a value: only default dimensions have one of their own")
        items.append(item)
    return {"dimensions": Dimensions.model_validate({"(items)": tuple(items)})}
