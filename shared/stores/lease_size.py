"""How much to lease and for how long, and whether the last state seen is worth a try: learned from what happens."""

from collections.abc import Sequence

from shared.stores.counter_ring import Buckets
from shared.stores.demand import Demand

_FEW_REQUESTS = 12
"""A lease for fewer requests than this is nearly a transaction per request."""

_CRASH_LOSS = 0.006
"""What the crash of one instance may lose of a nearly used-up window, unless that is only a few requests."""


class LeaseSize:
    """Leases last from one bucket to a sixth of the window: long while there is plenty, and when many compete."""

    __slots__ = ("_longest", "_shortest", "_trust", "hold")

    def __init__(self, buckets: Buckets) -> None:
        self._shortest = buckets.seconds
        self._longest = max(buckets.seconds, buckets.window / 6)
        self._trust = 1.0
        self.hold = self._shortest

    def wanted(
        self, demand: Demand, balance: int, *, left: int | None, limit: int | None, room: int, writers: int
    ) -> tuple[float, float]:
        """Return the amount and the seconds to lease beyond what is needed at once.

        ``left`` and ``limit`` are the window's, None without one; ``room`` is what window and quotas all have left;
        ``writers`` are the instances that wrote lately.
        """
        headroom = 1.0 if left is None else min(1.0, max(0.0, (left / max(1, limit or 0) - 0.25) / 0.75))
        hold = self.hold + (self._longest - self.hold) * headroom
        hold = min(self._longest, max(hold, _FEW_REQUESTS * demand.typical / max(1.0, demand.rate)))
        wanted = demand.rate * hold - balance
        if left is not None and limit is not None:
            wanted = max(wanted, left / 64 * headroom)
            wanted = min(wanted, max(max(_CRASH_LOSS, headroom) * limit, _FEW_REQUESTS * demand.typical))
        # Whoever takes much of what little is left makes the others wait: less each, the more there are.
        share = min(0.5, 6 / max(1, writers))
        return min(wanted, share * room), hold

    def low_water(self, demand: Demand, amount: int, uses: Sequence[tuple[int, int]]) -> float:
        """Return the balance below which to refill ahead of need; ``uses`` are limits and what is used of them.

        Only while more than a tenth is left and a lease is for several requests of ``amount``; else it would only cost.
        """
        plenty = all(limit - used > 0.1 * limit for limit, used in uses)
        stock = demand.rate * self.hold
        return 0.3 * stock if plenty and stock > 4 * amount else 0.0

    @property
    def trusts_cache(self) -> bool:
        """Whether writing on top of the last state seen, without reading first, mostly succeeds."""
        return self._trust > 0.5

    def lost_race(self, *, cached: bool) -> None:
        """Somebody else wrote first."""
        if cached:
            self.stale()
        else:
            self.hold = min(self._longest, 1.5 * self.hold)

    def stale(self) -> None:
        """The last state seen was of no use."""
        self._trust *= 0.5

    def won(self, *, cached: bool) -> None:
        """A write succeeded."""
        self._trust = min(1.0, 0.9 * self._trust + 0.1 if cached else self._trust + 0.004)
        self.hold = max(self._shortest, 0.985 * self.hold)
