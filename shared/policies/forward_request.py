"""forward-request: sends the request to its backend."""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from shared.backends.not_asked import NotAsked
from shared.context import Context
from shared.errors import BackendError, GatewayError
from shared.message import GatewayResponse
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section
from shared.policies.run import locate

Wait = Annotated[int, Field(ge=0)]

# When to come back is for the caller to know, also where an error takes the place of the backend's response.
RETRY_AFTER = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms")


class ForwardRequest(Policy):
    """Sends the request to the chosen backend and puts the answer, unread, into `context.Response`.

    `timeout` (seconds) or `timeout-ms` bound the wait for response headers; 0, and more than the backend's own limit,
    leave that limit. With `continue-timeout` (seconds) a request with a body asks for "100 Continue" and waits so long;
    a backend that says nothing then gets the body (RFC 9110 section 10.1.1), where APIM raises an error.
    `http-version`: backends are spoken to in HTTP/1.1 whatever it says; the 2 of APIM has no meaning for them.
    `follow-redirects` follows up to ten, and never shows credentials to another origin.
    `buffer-request-body` keeps a large body in memory, so that retry can send it again; a small one always is.
    `buffer-response` makes no difference: a response stays a stream unless a policy reads it.
    At a backend pool this is one attempt, or with the pool's `failover` one at each member until one answers well;
    `timeout` is then for all of them. Where no backend is asked (no member is available, a circuit breaker is open) the
    response is a 503 for the policies after it, and an error at the end of the section.
    `fail-on-error-status-code` makes 400 to 599 an error; the response is then the default one with that status.
    https://learn.microsoft.com/azure/api-management/forward-request-policy
    """

    element: ClassVar[str] = "forward-request"
    sections: ClassVar[frozenset[Section]] = frozenset({"backend"})
    locates: ClassVar[bool] = True

    timeout: Expression[Wait] | None = None
    timeout_ms: Expression[Wait] | None = None
    continue_timeout: Expression[Wait] | None = None
    http_version: Literal["1", "2or1", "2"] = "1"
    follow_redirects: Expression[bool] = Field(default_factory=lambda: Expression(False))
    buffer_request_body: Expression[bool] = Field(default_factory=lambda: Expression(False))
    buffer_response: Expression[bool] = Field(default_factory=lambda: Expression(True))
    fail_on_error_status_code: Expression[bool] = Field(default_factory=lambda: Expression(False))

    @model_validator(mode="after")
    def _one_timeout(self) -> "ForwardRequest":
        if self.timeout is not None and self.timeout_ms is not None:
            raise ValueError("timeout and timeout-ms exclude each other")
        return self

    async def __call__(self, ctx: Context) -> None:
        """Forward once."""
        try:
            if ctx.request.body is None and await self.buffer_request_body(ctx):
                await ctx.request.read()
            if ctx.response is not None:
                await ctx.response.aclose()
                ctx.response = None
            assert ctx.backends is not None
            options = {} if self._plain else await self._options(ctx)
            try:
                response = ctx.response = await ctx.backends.forward(ctx, **options)
            except GatewayError:
                if ctx.observer is not None:
                    ctx.observer.failed()
                raise
            if ctx.observer is not None:
                telling = ctx.observer.answered(response)
                if telling is not None:
                    await telling
            if isinstance(response, NotAsked):
                locate(response.error, self.place)
            if 400 <= response.status_code <= 599 and await self.fail_on_error_status_code(ctx):
                raise response.error if isinstance(response, NotAsked) else _failed(response)
        except GatewayError as error:
            locate(error, self.place)
            raise

    @cached_property
    def _plain(self) -> bool:
        """Whether nothing is said of how to wait or of redirects, which is nearly always."""
        said = (self.timeout, self.timeout_ms, self.continue_timeout, self.follow_redirects.compiled)
        return all(one is None for one in said) and not self.follow_redirects.constant

    async def _options(self, ctx: Context) -> dict[str, Any]:
        return {
            "header_timeout": await self._wait(ctx),
            "continue_timeout": await self.continue_timeout(ctx) if self.continue_timeout is not None else None,
            "follow_redirects": await self.follow_redirects(ctx),
        }

    async def _wait(self, ctx: Context) -> float | None:
        if self.timeout_ms is not None:
            return await self.timeout_ms(ctx) / 1000 or None
        return float(await self.timeout(ctx)) or None if self.timeout is not None else None


def _failed(response: GatewayResponse) -> BackendError:
    status = response.status_code
    kept = [(name, value) for name, value in response.headers.items() if name in RETRY_AFTER]
    message = f"The backend answered with status {status}."
    return BackendError(message, status=status, reason="BackendErrorStatusCode", headers=kept)
