"""set-header: adds, replaces or removes a header of the request or the response."""

from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse, Headers
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy

ExistsAction = Literal["override", "skip", "append", "delete"]


def change(headers: Headers, name: str, action: ExistsAction, values: list[str]) -> None:
    """Apply an exists-action: `override` replaces, `skip` leaves what is there, `append` adds, `delete` removes."""
    match action:
        case "delete":
            headers.remove(name)
        case "append":
            headers.add(name, *values)
        case "skip":
            if name not in headers:
                headers.add(name, *values)
        case "override":
            headers.set(name, *values)


class SetHeader(Policy):
    """In inbound and backend the request's header, in outbound and on-error the response's.

    https://learn.microsoft.com/azure/api-management/set-header-policy
    """

    element: ClassVar[str] = "set-header"
    runs_ahead: ClassVar[bool] = True

    name: Expression[str]
    exists_action: Expression[ExistsAction] = Field(default_factory=lambda: Expression("override"))
    values: tuple[Expression[str], ...] = Field((), alias="(values)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `value` children."""
        return {"values": tuple(compiler.value(child) for child in compiler.children(element, "value"))}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Change the header."""
        await self.apply(ctx, ctx.message.headers)
        return None

    async def apply(self, ctx: Context, headers: Headers) -> None:
        """Change the header in `headers`."""
        values = [await value(ctx) for value in self.values]
        name, action = self._fixed or (await self.name(ctx), await self.exists_action(ctx))
        change(headers, name, action, values)

    @cached_property
    def _fixed(self) -> tuple[str, ExistsAction] | None:
        """Name and action where both are literals, which is nearly always."""
        if self.name.compiled is not None or self.exists_action.compiled is not None:
            return None
        return self.name.constant, self.exists_action.constant
