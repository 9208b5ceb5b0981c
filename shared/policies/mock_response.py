"""mock-response: ends the pipeline with an answer that no backend gave."""

from typing import ClassVar

from pydantic import NonNegativeInt

from shared.context import Context
from shared.message import GatewayResponse, Headers
from shared.policies.policy import Policy, Section
from shared.policies.set_status import StatusCode


class MockResponse(Policy):
    """The response has the status and the Content-Type of the attributes.

    APIM fills the body from an example (by its `index`) or a schema of the operation's response; operations here
    declare neither, and then APIM's answer has no content either.
    https://learn.microsoft.com/azure/api-management/mock-response-policy
    """

    element: ClassVar[str] = "mock-response"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound", "on-error"})

    status_code: StatusCode = 200
    content_type: str | None = None
    index: NonNegativeInt | None = None

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The response to send."""
        headers = Headers()
        if self.content_type:
            headers.set("content-type", self.content_type)
        return GatewayResponse(self.status_code, headers)
