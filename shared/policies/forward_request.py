"""forward-request: sends the request to its backend."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.errors import BackendError
from shared.message import GatewayResponse
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section


class ForwardRequest(Policy):
    """Sends the request to the chosen backend and puts the answer, unread, into `context.Response`.

    `timeout` (seconds) or `timeout-ms` bound the wait for response headers; more than the platform's own limit has no
    effect. `buffer-response` makes no difference here: a response stays a stream unless a policy reads it.
    https://learn.microsoft.com/azure/api-management/forward-request-policy
    """

    element: ClassVar[str] = "forward-request"
    sections: ClassVar[frozenset[Section]] = frozenset({"backend"})

    timeout: Expression[int] | None = None
    timeout_ms: Expression[int] | None = None
    continue_timeout: Expression[int] | None = None
    http_version: Literal["1", "2or1", "2"] = "1"
    follow_redirects: Expression[bool] = Field(default_factory=lambda: Expression(False))
    buffer_request_body: Expression[bool] = Field(default_factory=lambda: Expression(False))
    buffer_response: Expression[bool] = Field(default_factory=lambda: Expression(True))
    fail_on_error_status_code: Expression[bool] = Field(default_factory=lambda: Expression(False))

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Forward once."""
        if await self.buffer_request_body(ctx):
            await ctx.request.read()
        if ctx.response is not None:
            await ctx.response.aclose()
            ctx.response = None
        assert ctx.backends is not None
        ctx.response = await ctx.backends.forward(ctx, header_timeout=await self._wait(ctx))
        if ctx.response.status_code >= 400 and await self.fail_on_error_status_code(ctx):
            status = ctx.response.status_code
            raise BackendError(f"The backend answered with status {status}.", status=status, reason="BackendError")
        return None

    async def _wait(self, ctx: Context) -> float | None:
        if self.timeout_ms is not None:
            return await self.timeout_ms(ctx) / 1000
        return float(await self.timeout(ctx)) if self.timeout is not None else None
