"""return-response: ends the pipeline and sends a response of its own."""

from typing import Any, ClassVar

from pydantic import Field, SkipValidation

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.nodes import Element
from shared.policies.policy import Policy
from shared.policies.set_body import SetBody
from shared.policies.set_header import SetHeader
from shared.policies.set_status import SetStatus


class ReturnResponse(Policy):
    """Starts from an empty 200, or from the response a variable holds, and applies its children in their order.

    Expressions in it still see `context.Response` as it was before. A Liquid template sees an empty body, as in APIM.
    https://learn.microsoft.com/azure/api-management/return-response-policy
    """

    element: ClassVar[str] = "return-response"

    response_variable_name: str | None = None
    changes: SkipValidation[tuple[SetStatus | SetHeader | SetBody, ...]] = Field((), alias="(changes)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """What changes the response: set-status, set-header, set-body."""
        known = compiler.children(element, SetStatus.element, SetHeader.element, SetBody.element)
        others = {child.name for child in element.elements()} - {child.name for child in known}
        return {"changes": compiler.statements(element, skip=tuple(others))}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The response to send."""
        response = self._kept(ctx)
        for change in self.changes:
            if isinstance(change, SetHeader):
                await change.apply(ctx, response.headers)
            else:
                await change.apply(ctx, response)
        return response

    def _kept(self, ctx: Context) -> GatewayResponse:
        """A response of our own with what the variable's response has. PolicyFailed when it holds none."""
        if self.response_variable_name is None:
            return GatewayResponse(200)
        kept = ctx.variables.get(self.response_variable_name)
        if not isinstance(kept, GatewayResponse):
            raise PolicyFailed(detail=f"variable {self.response_variable_name} holds no response")
        return GatewayResponse(
            kept.status_code,
            kept.headers.copy(),
            kept.body,
            status_reason=kept.status_reason,
            stream=kept.stream,
            close=kept.close,
        )
