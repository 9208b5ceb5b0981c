"""How much of a counter this instance is asked for: an estimate that forgets within seconds."""

import math

_MEMORY = 2.0
"""Seconds after which an amount weighs 1/e."""

_AT_ONCE = 0.01
"""Seconds within which requests count as simultaneous: forgetting is too small to be worth an exponential."""


class Demand:
    """``rate`` is the amount per second lately; ``typical`` a running mean of one request."""

    __slots__ = ("last", "rate", "typical")

    def __init__(self) -> None:
        self.rate = 0.0
        self.last = 0.0
        self.typical = 0.0

    def note(self, now: float, amount: int) -> None:
        """Count a request, admitted or not."""
        elapsed = now - self.last
        if elapsed > _AT_ONCE:
            self.rate *= math.exp(-elapsed / _MEMORY)
            self.last = now
        self.rate += amount / _MEMORY
        self.typical += 0.1 * (amount - self.typical)

    def correct(self, more: int) -> None:
        """Count what a request needed beyond its estimate."""
        self.rate += more / _MEMORY
