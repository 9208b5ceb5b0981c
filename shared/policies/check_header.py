"""check-header: refuses requests that lack a header, or one of the values it must have."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import Refusal
from shared.message import CREDENTIALS, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section

SECRET = CREDENTIALS | {b"cookie"}


class CheckHeader(Policy):
    """One of the `value` children must be the header's value; without any, the header must be there and not empty.

    APIM's page asks for `ignore-case`; documents in use leave it out, and then case counts.

    A header sent several times passes when each of its values does. Who is refused gets the status and the message of
    the attributes; `context.LastError` has APIM's own words, but not the value of a header that holds a credential.
    https://learn.microsoft.com/azure/api-management/check-header-policy
    """

    element: ClassVar[str] = "check-header"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    name: Expression[str]
    failed_check_httpcode: Expression[Annotated[int, Field(ge=400, le=599)]]
    failed_check_error_message: Expression[str]
    ignore_case: Expression[bool] = Field(default_factory=lambda: Expression(False))
    values: tuple[Expression[str], ...] = Field((), alias="(values)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `value` children."""
        compiler.expect_no_text(element)
        return {"values": compiler.values(element, "value")}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Let the request pass or refuse it."""
        name = await self.name(ctx)
        given = [value.strip() for value in ctx.request.headers.get_all(name)]
        if not any(given):
            raise await self._refusal(
                ctx, "HeaderNotFound", f"Header {name} was not found in the request. Access denied."
            )
        if not self.values:
            return None
        ignore_case = await self.ignore_case(ctx)
        allowed = {_comparable(await value(ctx), ignore_case) for value in self.values}
        for value in given:
            if _comparable(value, ignore_case) not in allowed:
                shown = "***" if name.lower().encode("latin-1", "replace") in SECRET else value
                message = f"Header {name} value of {shown} is not allowed. Access denied."
                raise await self._refusal(ctx, "HeaderValueNotAllowed", message)
        return None

    async def _refusal(self, ctx: Context, reason: str, message: str) -> Refusal:
        return Refusal(
            message,
            status=await self.failed_check_httpcode(ctx),
            source=self.element,
            reason=reason,
            answer=await self.failed_check_error_message(ctx),
        )


def _comparable(value: str | None, ignore_case: bool) -> str:
    text = value or ""
    return text.casefold() if ignore_case else text
