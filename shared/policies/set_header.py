"""set-header: adds, replaces or removes a header of the request or the response."""

from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import TOKEN, Headers, field_name
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.fused import Fusing
from shared.policies.nodes import Element
from shared.policies.policy import Policy
from shared.policies.run import Waiting

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
        """The `value` children; a literal name that is none is a problem at load."""
        name = compiler.known(element, "name")
        if name is not None and not TOKEN.fullmatch(name):
            compiler.problem(element, f"not a header name: {name or 'no text'}", attribute="name")
        compiler.expect_no_text(element)
        return {"values": compiler.values(element, "value")}

    def __call__(self, ctx: Context) -> Waiting | None:
        """Change the header."""
        if self._plain is None:
            return self._change(ctx)
        name, value = self._plain
        ctx.message.headers.set(name, value.now(ctx))
        return None

    def fuse(self, fusing: Fusing) -> list[str] | None:
        """The same, of a header that gets one value."""
        if self._plain is None:
            return None
        name, value = self._plain
        message = "request" if self.place.section in ("inbound", "backend") else "message"
        return [f"ctx.{message}.headers.replace({fusing.name(field_name(name))}, {fusing.value(value)})"]

    async def _change(self, ctx: Context) -> None:
        await self.apply(ctx, ctx.message.headers)

    async def apply(self, ctx: Context, headers: Headers) -> None:
        """Change the header in `headers`. PolicyFailed when an expression gives a name that is none."""
        values = [await value(ctx) for value in self.values]
        name, action = self._fixed or (await self.name(ctx), await self.exists_action(ctx))
        if self._fixed is None and not TOKEN.fullmatch(name or ""):
            raise PolicyFailed(detail=f"not a header name: {name!r:.40}")
        change(headers, name, action, values)

    @cached_property
    def _plain(self) -> tuple[str, Expression[str]] | None:
        """The header that gets one value, whatever it had: what nearly all documents ask for."""
        one = self._fixed is not None and self._fixed[1] == "override" and len(self.values) == 1
        return (self._fixed[0], self.values[0]) if one and self._fixed is not None else None

    @cached_property
    def _fixed(self) -> tuple[str, ExistsAction] | None:
        """Name and action where both are literals, which is nearly always."""
        if self.name.compiled is not None or self.exists_action.compiled is not None:
            return None
        return self.name.constant, self.exists_action.constant
