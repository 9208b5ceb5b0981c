"""The `api` and `operation` children of rate-limit and quota: limits of their own for parts of what a policy covers."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import Field, model_validator

from shared.context import Context
from shared.policies.compiler import Compiler
from shared.policies.nodes import Element
from shared.policies.policy import Markup

P = TypeVar("P", bound="Part")


class Part(Markup):
    """An API or an operation by `id`, or by `name` when there is no id; `inside` are the operations of an API."""

    name: str | None = None
    id: str | None = None
    inside: tuple[Any, ...] = Field((), alias="(inside)")

    @model_validator(mode="after")
    def _named(self) -> "Part":
        if self.id is None and self.name is None:
            raise ValueError("id or name is required")
        return self

    def means(self, thing: Any) -> bool:
        """Whether this is the API or the operation."""
        return bool(thing is not None and (thing.id == self.id if self.id is not None else thing.name == self.name))


def read_parts(element: Element, compiler: Compiler, part: type[P]) -> tuple[P, ...]:
    """The `api` children with their `operation` children."""
    compiler.expect_no_text(element)
    parts = []
    for api in compiler.children(element, "api"):
        compiler.expect_no_text(api)
        inside = []
        for operation in compiler.children(api, "operation"):
            compiler.expect_no_content(operation)
            inside.append(compiler.model(operation, part))
        parts.append(compiler.model(api, part, **{"(inside)": tuple(one for one in inside if one is not None)}))
    return tuple(one for one in parts if one is not None)


def parts_of(ctx: Context, parts: tuple[P, ...]) -> Iterator[tuple[str, P]]:
    """The parts a request belongs to, each with what its counter is called."""
    for api in parts:
        if ctx.api is None or not api.means(ctx.api):
            continue
        name = f"api {ctx.api.id}"
        yield name, api
        for operation in api.inside:
            if ctx.operation is not None and operation.means(ctx.operation):
                yield f"{name} operation {ctx.operation.id}", operation


def scope_name(ctx: Context, scope: str) -> str:
    """What the policy at this scope covers, for the name of its counter."""
    api = ctx.api.id if ctx.api is not None else ""
    match scope:
        case "product":
            return f"product {ctx.product.id if ctx.product is not None else ''}"
        case "api":
            return f"api {api}"
        case "operation":
            return f"api {api} operation {ctx.operation.id if ctx.operation is not None else ''}"
    return scope
