"""validate-status-code: checks the status code of a response against the definition of the operation."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from shared.config.status_codes import by_status
from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section
from shared.policies.violations import NO_DEFINITION, Action, Violation, Violations


class StatusCodeAction(Markup):
    """The action for a status code that is not specified."""

    code: Annotated[int, Field(ge=100, le=599)]
    action: Expression[Action]


class ValidateStatusCode(Policy):
    """`prevent` makes the answer a 502. A status code is specified by itself, by its range (2XX) or by default; a
    `status-code` changes the action for one that is not. Without an OpenAPI document every response has an error
    ApiSchema.
    https://learn.microsoft.com/azure/api-management/validate-status-code-policy
    """

    element: ClassVar[str] = "validate-status-code"
    sections: ClassVar[frozenset[Section]] = frozenset({"outbound", "on-error"})

    unspecified_status_code_action: Expression[Action]
    errors_variable_name: str | None = None
    status_codes: tuple[StatusCodeAction, ...] = Field((), alias="(status-codes)")
    specified: dict[str, bool] | None = Field(None, alias="(specified)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The overrides, and the status codes of the operation."""
        compiler.expect_no_text(element)
        listed = [compiler.model(child, StatusCodeAction) for child in compiler.children(element, "status-code")]
        specified: dict[str, bool] | None = None
        for _, operation in compiler.specified(element):  # several when the document is only checked
            specified = dict.fromkeys(operation.responses, True)
        return {"status_codes": tuple(one for one in listed if one is not None), "specified": specified}

    async def __call__(self, ctx: Context) -> None:
        """Check the response's status code."""
        response = ctx.message
        if not isinstance(response, GatewayResponse):
            return
        status = response.status_code
        if self.specified is not None and by_status(self.specified, status):
            return
        override = next((one.action for one in self.status_codes if one.code == status), None)
        action = await (override or self.unspecified_status_code_action)(ctx)
        violations = Violations(ctx, self.element, self.errors_variable_name)
        if self.specified is None:
            violations.add(NO_DEFINITION, action)
            return
        text = f"Response status code {status} is not allowed."
        violations.add(Violation(str(status), "StatusCode", "Unspecified", text), action)
