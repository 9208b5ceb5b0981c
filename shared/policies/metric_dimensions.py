"""The dimensions of emit-metric and of the token metrics: names, values, and the defaults APIM fills in itself."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup
from shared.telemetry.metrics import Pairs

UNKNOWN = "N/A"
# Values can be a caller's own text, and wait in memory until they are sent.
LONGEST = 1_024

Default = Callable[[Context], str | None]
Defaults = Mapping[str, Default]

# Names that need no value (emit-metric page); compared without regard to case.
DEFAULTS: Defaults = {
    "api id": lambda ctx: ctx.api.id if ctx.api is not None else None,
    "operation id": lambda ctx: ctx.operation.id if ctx.operation is not None else None,
    "product id": lambda ctx: ctx.product.id if ctx.product is not None else None,
    "user id": lambda ctx: ctx.user.id if ctx.user is not None else None,
    "subscription id": lambda ctx: ctx.subscription.id if ctx.subscription is not None else None,
    "location": lambda ctx: ctx.deployment.region,
    "gateway id": lambda ctx: ctx.deployment.gateway_id,
    "backend id": lambda ctx: ctx.backend.id if ctx.backend is not None else None,
}

Failed = Callable[[str, PolicyFailed], None]
Evaluated = tuple[tuple[str, str | Default], ...]
"""Dimensions in the order of their names; a default one, whose value may not be known yet, with what tells it."""
Plan = tuple[tuple[str | Expression[str], str | Default | Expression[str] | None], ...]
"""Names and values as they are written; the value is None where only the computed name tells which it is."""


class Dimension(Markup):
    """A dimension; without a value its name is one of the defaults."""

    name: Expression[str]
    value: Expression[str] | None = None


class Dimensions(Markup):
    """All dimensions of a metric. Names are compared without regard to case, as in APIM since May 2025; of two equal
    ones the last counts."""

    items: tuple[Dimension, ...] = Field((), alias="(items)")
    defaults: Defaults = Field(DEFAULTS, alias="(defaults)", repr=False)

    async def evaluate(self, ctx: Context, failed: Failed | None = None) -> Evaluated:
        """The names, and the values that are computed or written down, for this request as it stands now.

        PolicyFailed when an expression throws; with `failed`, that is told of it (with the dimension's name, as far as
        it is known) and the dimension reads `N/A`, or is left out when it is its name that has failed.
        """
        if self.written is not None:
            return self.written
        found: dict[str, tuple[str, str | Default]] = {}
        for name, value in self._plan:
            known = name if isinstance(name, str) else ""
            try:
                known = name if isinstance(name, str) else await name(ctx)
                if isinstance(value, Expression):
                    value = await value(ctx) or UNKNOWN
                elif value is None:
                    value = self.defaults.get(known.lower(), UNKNOWN)
            except PolicyFailed as failure:
                if failed is None:
                    raise
                failed(known, failure)
                value = UNKNOWN
            if known:
                found[known.lower()] = known, value
        if self._in_order:
            return tuple(found.values())
        return tuple([found[key] for key in sorted(found)])

    @cached_property
    def written(self) -> Evaluated | None:
        """What `evaluate` gives for every request; None when an expression gives some of it."""
        plan = [
            (name, value)
            for name, value in self._plan
            if isinstance(name, str) and value is not None and not isinstance(value, Expression)
        ]
        return tuple(plan) if len(plan) == len(self._plan) else None

    @cached_property
    def _plan(self) -> Plan:
        """What has to be done for a request: in the order of the names when all of them are known."""
        plan: dict[str, tuple[str | Expression[str], str | Default | Expression[str] | None]] = {}
        for index, item in enumerate(self.items):
            name = item.name if item.name.compiled is not None else item.name.constant
            value: str | Default | Expression[str] | None
            if item.value is not None:
                value = item.value if item.value.compiled is not None else item.value.constant or UNKNOWN
            else:
                value = self.defaults[name.lower()] if isinstance(name, str) else None
            plan[name.lower() if isinstance(name, str) else f"\0{index}"] = name, value
        return tuple([plan[key] for key in (sorted(plan) if self._in_order else plan)])

    @cached_property
    def _in_order(self) -> bool:
        return all(item.name.compiled is None for item in self.items)


def resolved(dimensions: Evaluated, ctx: Context) -> Pairs:
    """All values. What is not known, such as the product of a call without one, reads `N/A`; so does a dimension whose
    computed name is no default and that has no value. Of a long value the beginning counts."""
    return tuple(
        [(name, (value if isinstance(value, str) else value(ctx) or UNKNOWN)[:LONGEST]) for name, value in dimensions]
    )


def read_dimensions(element: Element, compiler: Compiler, defaults: Defaults = DEFAULTS) -> dict[str, Any]:
    """The `dimension` children.

    APIM's pages ask for one to five (earlier: ten) of one's own, a limit of Azure Monitor's; documents in use have none
    or more, and nothing here depends on it.
    """
    compiler.expect_no_text(element)
    items: list[Dimension] = []
    names: set[str] = set()
    for child in compiler.children(element, "dimension"):
        compiler.expect_no_content(child)
        item = compiler.model(child, Dimension)
        if item is None:
            continue
        items.append(item)
        name = item.name.constant
        if not isinstance(name, str):
            continue
        if item.value is None and name.lower() not in defaults:
            compiler.problem(child, f"dimension {name} needs a value: only default dimensions have one of their own")
            items.pop()
        elif name.lower() in names:
            compiler.problem(child, f"dimension {name} is there twice: the last one counts", severity="warning")
        names.add(name.lower())
    return {"dimensions": Dimensions.model_validate({"(items)": tuple(items), "(defaults)": defaults})}
