"""retry: runs its policies, and runs them again as long as a condition says so."""

import asyncio
import logging
from typing import Annotated, Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import GatewayError, PolicyFailed
from shared.message import BodyNotBuffered, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Nested, Policy
from shared.policies.run import locate, start

log = logging.getLogger("gateway")

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def wait_before(
    retry: int, interval: float, delta: float | None, max_interval: float | None, spread: float = 1.0
) -> float:
    """Seconds to wait before the `retry`-th retry (from 1). `spread` is a random factor between 0.8 and 1.2.

    interval alone: fixed; with delta: linear; with delta and max-interval: exponential. APIM's page writes the count of
    the exponential formula as if it began at 1, but its example (10, 20, 40, 80, 100 seconds) counts from 0.
    """
    if delta is None:
        wait = interval
    elif max_interval is None:
        wait = interval + (retry - 1) * delta
    else:
        wait = interval + (2 ** (retry - 1) - 1) * delta * spread
    return wait if max_interval is None else min(wait, max_interval)


class Retry(Policy):
    """Runs its policies once, then up to `count` times more while `condition` holds, which is asked after each run.

    With `first-fast-retry` the first retry does not wait. An error inside is retried too where the condition holds for
    it: `context.Response` is null when forward-request got no answer, and has the status that
    `fail-on-error-status-code` made an error; a condition that throws over it does not hold. The last error goes on.
    Before the next run the response of the former one lets go of its connection: status and headers can still be read,
    a body only if it was read before.

    A request body that was sent as a stream cannot be sent again (forward-request's `buffer-request-body` keeps it):
    then the last response stays and the trace and the log say why.
    https://learn.microsoft.com/azure/api-management/retry-policy
    """

    element: ClassVar[str] = "retry"
    locates: ClassVar[bool] = True

    condition: Expression[bool]
    count: Expression[Annotated[int, Field(ge=1, le=50)]]
    interval: Expression[Seconds]
    max_interval: Expression[Seconds] | None = None
    delta: Expression[Seconds] | None = None
    first_fast_retry: Expression[bool] = Field(default_factory=lambda: Expression(False))
    statements: Nested = Field((), alias="(statements)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The policies to run and to run again."""
        return {"statements": compiler.statements(element)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Run, ask, wait, run again."""
        retries = 0
        try:
            while True:
                error: GatewayError | None = None
                holds: bool | None = None
                try:
                    answer = start(self.statements, ctx)
                    if answer is not None and not isinstance(answer, GatewayResponse):
                        answer = await answer
                    if answer is not None:
                        return answer
                except GatewayError as failure:
                    error = failure
                if error is None:
                    try:
                        holds = self.condition.now(ctx)
                    except BodyNotBuffered:
                        holds = await self.condition(ctx)
                    if not holds:
                        return None
                if not await self._again(ctx, retries, error, holds):
                    if error is not None:
                        raise error
                    return None
                retries += 1
                wait = await self._wait(ctx, retries)
                ctx.trace({"retry": retries, "wait": wait}, self.element)
                await let_go(ctx)
                if wait:
                    await asyncio.sleep(wait)
        except GatewayError as error:
            locate(error, self.place)
            raise

    async def _again(self, ctx: Context, retries: int, error: GatewayError | None, holds: bool | None) -> bool:
        """Whether to run once more after `retries` retries, the last of which may have ended in an error. `holds` is
        what the condition says, None: it has not been asked."""
        before, ctx.last_error = ctx.last_error, error if error is not None else ctx.last_error
        try:
            wanted = (await self.condition(ctx) if holds is None else holds) and retries < await self.count(ctx)
        except PolicyFailed:
            if error is None:
                raise
            wanted = False
        finally:
            ctx.last_error = before  # in on-error, what led there
        if wanted and ctx.request.sent and not ctx.request.replayable:
            ctx.trace("not retried: the request body was a stream and has been sent", self.element, "error")
            log.warning("request %s: not retried, its body was a stream and has been sent", ctx.request_id)
            return False
        return wanted

    async def _wait(self, ctx: Context, retry: int) -> float:
        if retry == 1 and await self.first_fast_retry(ctx):
            return 0.0
        delta = await self.delta(ctx) if self.delta is not None else None
        longest = await self.max_interval(ctx) if self.max_interval is not None else None
        return wait_before(retry, await self.interval(ctx), delta, longest, ctx.services.random.uniform(0.8, 1.2))


async def let_go(ctx: Context) -> None:
    """Free the connection behind the response there is; it keeps its status and headers."""
    response = ctx.response
    if response is not None and response.stream is not None:
        await response.aclose()
        response.stream, response.body = None, b""
