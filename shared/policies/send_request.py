"""send-request: calls a service and keeps its answer in a variable."""

from typing import ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import GatewayError
from shared.message import GatewayResponse
from shared.policies.expression import Expression
from shared.policies.outgoing_request import OutgoingRequest, send


class SendRequest(OutgoingRequest):
    """Waits for the answer, `timeout` seconds for all of it, and keeps it as a response with its body in memory.

    Without `response-variable-name` the answer is read and dropped. A call that brings no answer is an error, or with
    `ignore-error` a null in the variable; an answer of any status is an answer.
    https://learn.microsoft.com/azure/api-management/send-request-policy
    """

    element: ClassVar[str] = "send-request"

    response_variable_name: Expression[str] | None = None
    ignore_error: Expression[bool] = Field(default_factory=lambda: Expression(False))

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Send the request and wait."""
        variable = await self.response_variable_name(ctx) if self.response_variable_name is not None else None
        request = await self.build(ctx)
        answer: GatewayResponse | None = None
        try:
            answer = await send(self, ctx, request)
        except GatewayError as error:
            if not await self.ignore_error(ctx):
                raise
            ctx.trace({"message": "no answer; ignored", "detail": error.detail}, self.element, "error")
        if ctx.tracing and answer is not None:
            ctx.trace({"method": request.method, "status": answer.status_code}, self.element)
        if variable:
            ctx.variables[variable] = answer
        return None
