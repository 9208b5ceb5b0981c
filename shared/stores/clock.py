"""The storage service's time, from the ``Date`` header of its answers: all instances count in the same buckets."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime

Clock = Callable[[], float]
"""Seconds since 1970 (UTC), fractions included."""

_DRIFT = 2e-4
"""How fast (seconds per second) a machine's clock may wander before an old observation proves less."""


class StorageClock:
    """The local clock, corrected as far as the service's answers prove it wrong, and never running backwards.

    A ``Date`` header is whole seconds, so one answer places the service's clock within a second plus the round trip.
    Answers at different fractions of a second narrow that down; the local clock is believed while it lies inside
    (a machine with working NTP is better than any single header) and moved to the nearest end when it does not.
    """

    __slots__ = ("_clock", "_high", "_last", "_low", "_observed", "_offset")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._low = float("-inf")
        self._high = float("inf")
        self._observed = 0.0
        self._offset = 0.0
        self._last = float("-inf")

    def __call__(self) -> float:
        now = self._clock() + self._offset
        if now < self._last:
            return self._last
        self._last = now
        return now

    @property
    def local(self) -> Clock:
        """The uncorrected clock, in whose terms ``observe`` is told when a request left and returned."""
        return self._clock

    @property
    def offset(self) -> float:
        """Seconds added to the local clock."""
        return self._offset

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """Learn from an answer: its ``Date`` header and the local clock when the request left and the answer came."""
        if date is None:
            return
        try:
            second = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self.observe_second(second, sent, received)

    def observe_second(self, second: float, sent: float, received: float) -> None:
        """As ``observe``, with the header already read: the service's clock was in ``[second, second + 1)``."""
        wander = abs(received - self._observed) * _DRIFT
        low = max(self._low - wander, second - received)
        high = min(self._high + wander, second + 1.0 - sent)
        if low > high:
            low, high = second - received, second + 1.0 - sent
        self._low, self._high, self._observed = low, high, received
        self._offset = min(max(0.0, low), high)
