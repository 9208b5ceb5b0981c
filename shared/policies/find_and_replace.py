"""find-and-replace: replaces a text wherever it is in the body."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse
from shared.policies.charset import charset_of
from shared.policies.expression import Expression
from shared.policies.policy import Policy


class FindAndReplace(Policy):
    """In inbound and backend in the request's body, in outbound and on-error in the response's, which is read whole.

    Case counts and nothing is a pattern. The texts are looked for in the body's charset, UTF-8 unless its Content-Type
    names another; bytes that are no text stay as they are.
    https://learn.microsoft.com/azure/api-management/find-and-replace-policy
    """

    element: ClassVar[str] = "find-and-replace"

    from_: Expression[Annotated[str, Field(min_length=1)]]
    to: Expression[str]

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Replace. PolicyFailed when there is nothing to look for, the body's charset does not have the texts, or the
        body would grow beyond the limit of request bodies."""
        message = ctx.message
        old, new = await self.from_(ctx), await self.to(ctx) or ""
        charset = charset_of(message.headers)
        try:
            wanted, replacement = old.encode(charset), new.encode(charset)
        except UnicodeEncodeError as error:
            raise PolicyFailed(detail=f"{charset} does not have the text") from error
        body = await message.read()
        found = body.count(wanted)
        if len(body) + found * (len(replacement) - len(wanted)) > ctx.request.limit:
            raise PolicyFailed(detail=f"the body would become larger than {ctx.request.limit} bytes")
        if found:
            message.set_body(body.replace(wanted, replacement))
        if ctx.tracing:
            ctx.trace({"replaced": found}, self.element)
        return None
