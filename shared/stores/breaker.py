"""When storage does not answer: stop asking for a while, then let one request try."""

import random

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0


class Breaker:
    """Tripped by a failure for 0.5 s, doubling to 5 s with each further one; reset by a success."""

    __slots__ = ("_failures", "_probing", "_pause", "_random", "_until", "outages", "settled_at", "tripped")

    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._failures = 0
        self._until = 0.0
        self._pause = 0.0
        self._probing = False
        self.tripped = False
        self.outages = 0
        """How often it was tripped after a success."""
        self.settled_at = float("-inf")
        """By then every instance that met the same failure has had its probe, and a tick to act on it."""

    def trip(self, now: float) -> None:
        if self.tripped and not self._probing:
            return  # one event seen by many: only a failed probe makes the pause longer
        self.outages += not self.tripped
        self._failures = min(self._failures + 1, 10)
        self._pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        self._until = now + self._pause * self._random.uniform(0.7, 1.3)
        self._probing = False
        self.tripped = True

    def reset(self, now: float) -> None:
        if self.tripped:
            self.settled_at = now + 2 * self._pause + 2.0
        self._failures = 0
        self._probing = False
        self.tripped = False

    def take_probe(self, now: float) -> bool:
        """Return True to the one caller who may try now; the next outcome frees the right again."""
        if not self.tripped or self._probing or now < self._until:
            return False
        self._probing = True
        return True
