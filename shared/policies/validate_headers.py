"""validate-headers: checks the headers of a response against the definition of the operation."""

from typing import Any, ClassVar

from pydantic import Field, SkipValidation

from shared.config.status_codes import by_status
from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.specified import RESPONSE_HEADERS, UNCOUNTED, Actions, Override, Specified, by_name, overrides
from shared.policies.violations import NO_DEFINITION, Action, Violations, strictest


class ValidateHeaders(Policy):
    """The first error to prevent makes the answer a 502. The headers are those specified for the response's status
    code, for its range (2XX) or by default; with a status code that is not specified, all are unspecified. Headers that
    frame every message count as unspecified only where a `header` names them. Without an OpenAPI document every
    response has an error ApiSchema, and the strictest action holds.
    https://learn.microsoft.com/azure/api-management/validate-headers-policy
    """

    element: ClassVar[str] = "validate-headers"
    sections: ClassVar[frozenset[Section]] = frozenset({"outbound", "on-error"})
    once: ClassVar[bool] = True

    specified_header_action: Expression[Action]
    unspecified_header_action: Expression[Action]
    errors_variable_name: str | None = None
    headers: tuple[Override, ...] = Field((), alias="(headers)")
    responses: SkipValidation[dict[str, Specified] | None] = Field(None, alias="(responses)", repr=False)

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The overrides, and the headers of the operation's responses by status code, their schemas compiled."""
        compiler.expect_no_text(element)
        listed = [compiler.model(child, Override) for child in compiler.children(element, "header")]
        responses: dict[str, Specified] | None = None
        for definition, operation in compiler.specified(element):  # several when the document is only checked
            responses = {
                status: Specified(
                    RESPONSE_HEADERS, [definition.value(header, "response") for header in response.headers]
                )
                for status, response in operation.responses.items()
            }
        return {"headers": tuple(one for one in listed if one is not None), "responses": responses}

    async def __call__(self, ctx: Context) -> None:
        """Check the response's headers."""
        response = ctx.message
        if not isinstance(response, GatewayResponse):
            return
        violations = Violations(ctx, self.element, self.errors_variable_name)
        actions = Actions(
            await self.specified_header_action(ctx),
            await self.unspecified_header_action(ctx),
            await overrides(ctx, self.headers),
        )
        if self.responses is None:
            violations.add(NO_DEFINITION, strictest(actions.specified, actions.unspecified))
            return
        headers = by_status(self.responses, response.status_code) or Specified(RESPONSE_HEADERS, ())
        headers.check(by_name(response.headers), actions, violations, UNCOUNTED)
