"""set-body: replaces the body of the request or the response by text, an expression's result or a Liquid template."""

import re
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.message import GatewayRequest, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy

CHARSET = re.compile(r'\bcharset\s*=\s*("[^"]*"|[^\s;]+)', re.IGNORECASE)


class SetBody(Policy):
    """In inbound and backend the request's body, in outbound and on-error the response's.

    The element's content is the body: text, markup as it stands (a SOAP envelope), or one expression, whose byte[] is
    sent as it is and whose null leaves no body. Text is sent as UTF-8, and the charset of a Content-Type that has one
    says so from here on (https://azure.microsoft.com/blog/deep-dive-on-set-body-policy/). APIM throws when there was no
    body before; here there is one after.
    With `template="liquid"` the content is a template over the body that was there; `xsi-nil` says what an XML element
    marked `xsi:nil` reads as in it, and with `parse-date` texts of a JSON body that are dates read as MM/dd/yyyy
    HH:mm:ss, as in APIM; "false" leaves them as they are. on-error takes the policy too: APIM's pages disagree about
    that.
    https://learn.microsoft.com/azure/api-management/set-body-policy
    """

    element: ClassVar[str] = "set-body"

    template: Literal["none", "liquid"] = "none"
    xsi_nil: Literal["blank", "null"] = "blank"
    parse_date: bool = True
    value: Expression[Any] = Field(alias="(value)")
    liquid: Any = Field(None, alias="(liquid)")  # a LiquidTemplate, whose library is loaded only where it is used

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The body: an expression or text, or a template, in which {{...}} is first a named value, else Liquid."""
        if element.get("template") != "liquid":
            return {"value": compiler.value(element, Any, raw=True)}
        from shared.policies.liquid_template import LiquidTemplate, TemplateError

        source = compiler.named_values.substitute(element.inner_text(), lambda name: None)
        try:
            return {"value": Expression(""), "liquid": LiquidTemplate(source)}
        except TemplateError as error:
            compiler.problem(element, f"Liquid: {error}")
            return {"value": Expression("")}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Replace the body."""
        await self.apply(ctx, ctx.message)
        return None

    async def apply(self, ctx: Context, message: GatewayRequest | GatewayResponse) -> None:
        """Give `message` the body."""
        if self.liquid is not None:
            text = await self.liquid.render(ctx, message, nil=self.xsi_nil, dates=self.parse_date)
            body = str(text).encode("utf-8", "replace")
        else:
            from shared.expressions import to_bytes

            text = await self.value(ctx)
            body = to_bytes(text)
        if isinstance(message, GatewayResponse):
            await message.aclose()
        message.set_body(body)
        kind = message.headers.get("content-type") or ""
        if CHARSET.search(kind) and not isinstance(text, bytes | bytearray):
            message.headers.set("content-type", CHARSET.sub("charset=utf-8", kind))
