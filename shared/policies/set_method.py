"""set-method: changes the method of the request."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import TOKEN, GatewayRequest, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section


class SetMethod(Policy):
    """The element's text is the method, case kept (RFC 9110 section 9.1: methods are case-sensitive).

    https://learn.microsoft.com/azure/api-management/set-method-policy
    """

    element: ClassVar[str] = "set-method"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "on-error"})

    method: Expression[str] = Field(alias="(method)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The method; a literal that is none is a problem at load."""
        compiler.children(element)
        method = compiler.value(element)
        known = method.compiled is None and method.constant is not None
        if known and not TOKEN.fullmatch(method.constant) and not compiler.named_values.is_open(element.text()):
            compiler.problem(element, f"not a method: {method.constant or 'no text'}")
        return {"method": method}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Change the method."""
        await self.apply(ctx, ctx.request)
        return None

    async def apply(self, ctx: Context, request: GatewayRequest) -> None:
        """Give `request` the method. PolicyFailed when an expression gives something else than a method."""
        method = await self.method(ctx)
        if not TOKEN.fullmatch(method or ""):
            raise PolicyFailed(detail=f"not a method: {method!r:.40}")
        request.method = method
        if ctx.tracing:
            ctx.trace({"method": method}, self.element)
