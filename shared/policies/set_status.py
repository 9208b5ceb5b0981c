"""set-status: changes the status code of the response."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.expression import Expression
from shared.policies.policy import Policy

# 1xx are interim answers that HTTP servers send themselves (RFC 9110 section 15.2).
StatusCode = Annotated[int, Field(ge=200, le=599)]


class SetStatus(Policy):
    """Changes status code and reason; before any backend has answered it begins an empty response.

    The reason is what `context.Response.StatusReason` tells from here on; on the wire the server sends the standard
    phrase of the code, and HTTP/2 has none at all.
    https://learn.microsoft.com/azure/api-management/set-status-policy
    """

    element: ClassVar[str] = "set-status"

    code: Expression[StatusCode]
    reason: Expression[str] = Field(default_factory=lambda: Expression(""))

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Change the status of the response there is, or begin one."""
        response = ctx.response or GatewayResponse(200)
        await self.apply(ctx, response)
        ctx.response = response
        return None

    async def apply(self, ctx: Context, response: GatewayResponse) -> None:
        """Give `response` the status."""
        response.status_code = await self.code(ctx)
        response.status_reason = await self.reason(ctx) or ""
        if ctx.tracing:
            ctx.trace({"code": response.status_code, "reason": response.status_reason}, self.element)
