"""Which requests are recorded: Azure Monitor's samplers, known by the names OTEL_TRACES_SAMPLER has for them (pure).

https://learn.microsoft.com/azure/azure-monitor/app/opentelemetry-sampling
"""

from collections.abc import Callable

# What comes at once is whole: ordinary traffic never meets the limit.
BURST = 2_000

_HASH = 5381
_INT32_MAX = 2**31 - 1

Sampler = Callable[[int], float | None]
"""From a trace id to the percentage of requests this one stands for; None: it is not recorded."""


def sampler_named(name: str, argument: float, monotonic: Callable[[], float]) -> Sampler:
    """The sampler of that name; `argument` is requests per second or a share from 0 to 1. ValueError for others."""
    match name:
        case "microsoft.rate_limited":
            return RateLimited(argument, monotonic)
        case "microsoft.fixed_percentage":
            return FixedPercentage(argument)
        case "always_on":
            return lambda trace_id: 100.0
        case "always_off":
            return lambda trace_id: None
    raise ValueError(f"there is no sampler {name}")


class RateLimited:
    """Records so many requests a second. Each recorded one stands for itself and for those passed over since the last
    one, so that item counts add up to all requests."""

    def __init__(self, per_second: float, monotonic: Callable[[], float], burst: float = BURST) -> None:
        """`monotonic` tells the time in seconds; `burst` requests are recorded at once before the limit is felt."""
        self._per_second = per_second
        self._burst = max(burst, 1.0) if per_second > 0 else 0.0
        self._tokens = self._burst
        self._monotonic = monotonic
        self._filled = monotonic()
        self._passed_over = 0

    def __call__(self, trace_id: int) -> float | None:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1.0:
            self._passed_over += 1
            return None
        self._tokens -= 1.0
        stands_for, self._passed_over = self._passed_over + 1, 0
        return 100.0 / stands_for


class FixedPercentage:
    """Records a share of all traces, chosen by their ids as every Application Insights SDK does: a trace that several
    services sample at the same rate is kept or left out by all of them."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._percentage = share * 100.0

    def __call__(self, trace_id: int) -> float | None:
        recorded = self._share >= 1.0 or score(trace_id) < self._share
        return self._percentage if recorded else None


def score(trace_id: int) -> float:
    """A trace's place between 0 and 1: djb2 over the hexadecimal digits, in 32 bits with overflow.
    https://github.com/microsoft/Telemetry-Collection-Spec/blob/main/OpenTelemetry/trace/ApplicationInsightsSampler.md
    """
    hashed = _HASH
    for digit in b"%032x" % trace_id:
        hashed = hashed * 33 + digit
    # Overflow at the end is overflow at each step: both are the remainder.
    return abs((hashed + 2**31) % 2**32 - 2**31) / _INT32_MAX
