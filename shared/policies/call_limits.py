"""What the limits on calls and bandwidth share: their refusals, and what they tell of what is left."""

from shared.config.declared import HeaderName
from shared.context import Context
from shared.errors import GatewayError
from shared.errors import Refusal as Refused
from shared.policies.counting import left, trace_refusal
from shared.policies.durations import as_clock, whole_seconds
from shared.policies.policy import Policy
from shared.stores.limits import Limit, Refusal

FOREVER = float("inf")


class RateReport(Policy):
    """The attributes by which rate limits tell what is left and when to come back."""

    retry_after_header_name: HeaderName = "Retry-After"
    retry_after_variable_name: str | None = None
    remaining_calls_header_name: HeaderName | None = None
    remaining_calls_variable_name: str | None = None
    total_calls_header_name: HeaderName | None = None

    def tell(self, ctx: Context, key: str, limit: Limit) -> None:
        """Put what is left into variables now and into headers when the response leaves."""
        if self.remaining_calls_variable_name or self.remaining_calls_header_name or self.total_calls_header_name:
            self._tell(ctx, left(ctx, key, limit).window or 0, limit)

    def refused(self, ctx: Context, key: str, limit: Limit, refusal: Refusal) -> GatewayError:
        """The refusal a caller sees."""
        trace_refusal(ctx, self, key, refusal)
        wait = whole_seconds(refusal.retry_after)
        if self.retry_after_variable_name:
            ctx.variables[self.retry_after_variable_name] = wait
        self._tell(ctx, max(0, refusal.remaining), limit)
        return Refused(
            f"Rate limit is exceeded. Try again in {wait} seconds.",
            status=429,
            source=self.element,
            reason="RateLimitExceeded",
            headers=[(self.retry_after_header_name, str(wait))],
        )

    def _tell(self, ctx: Context, remaining: int, limit: Limit) -> None:
        if self.remaining_calls_variable_name:
            ctx.variables[self.remaining_calls_variable_name] = remaining
        headers: list[tuple[str, int]] = []
        if self.remaining_calls_header_name:
            headers.append((self.remaining_calls_header_name, remaining))
        if self.total_calls_header_name and limit.window is not None:
            headers.append((self.total_calls_header_name, limit.window.limit))

        async def tell(ctx: Context) -> None:
            if ctx.response is not None:
                for name, value in headers:
                    ctx.response.headers.set(name, str(value))

        if headers:
            ctx.on_reply(tell)


def out_of_quota(ctx: Context, policy: Policy, key: str, limit: Limit, refusal: Refusal) -> GatewayError:
    """The refusal of a used-up quota of calls or of bandwidth."""
    trace_refusal(ctx, policy, key, refusal)
    message = "Out of bandwidth quota." if limit.unit == "bytes" else "Out of call volume quota."
    headers: list[tuple[str, str]] = []
    if refusal.retry_after != FOREVER:
        message += f" Quota will be replenished in {as_clock(refusal.retry_after)}."
        headers.append(("Retry-After", str(whole_seconds(refusal.retry_after))))
    return Refused(
        message, status=403, source=policy.element, reason="QuotaExceeded", code="insufficient_quota", headers=headers
    )
