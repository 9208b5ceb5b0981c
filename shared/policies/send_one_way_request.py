"""send-one-way-request: calls a service without waiting for its answer."""

from typing import ClassVar

from shared.backends.background import Background
from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.outgoing_request import OutgoingRequest, send


class SendOneWayRequest(OutgoingRequest):
    """Everything the call needs is read before the pipeline goes on; the call itself outlives the request. A bounded
    number of such calls is under way at once; a further one waits for its turn. Failures are logged.

    https://learn.microsoft.com/azure/api-management/send-one-way-request-policy
    """

    element: ClassVar[str] = "send-one-way-request"

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Start the call."""
        call = send(self, ctx, await self.build(ctx))
        await ctx.services.get(Background).start(call, f"request {ctx.request_id}: {self.element}")
        return None
