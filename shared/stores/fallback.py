"""What an instance may admit on its own while storage does not answer."""

from collections.abc import Sequence

from shared.stores.counter_ring import Buckets


class OwnUse:
    """What this instance itself admitted, and the share of the limit it may go on using without storage.

    Window: as much as it admitted in the window before the outage, and one instance's part of what was left when
    storage was last seen. All instances together admitted no more than the limit then, so together they stay within
    it. Quotas: the same proportion of what was left as it had of what was used.
    """

    __slots__ = ("_amounts", "_bucket", "_buckets", "_quota_room", "_share", "_total", "present")

    def __init__(self, buckets: Buckets) -> None:
        self.present = 0
        """What was admitted in the bucket entered last, for whoever admits to add to."""
        self._bucket = 0
        self._buckets = buckets
        self._amounts: dict[int, int] = {}
        self._total = 0
        self._share = 0.0
        self._quota_room: list[float] = []

    def enter(self, bucket: int) -> None:
        """From now on `present` is this bucket's."""
        if self.present:
            self.note(self._bucket, self.present)
        self._bucket, self.present = bucket, 0

    def note(self, bucket: int, amount: int) -> None:
        """Count an admission in any bucket, or the correction of one."""
        amounts = self._amounts
        amounts[bucket] = amounts.get(bucket, 0) + amount
        self._total += amount

    def new_period(self) -> None:
        """Forget what was used in the period that ended."""
        self.enter(self._bucket)
        self._total = 0

    @property
    def remembered(self) -> int:
        """How many buckets are remembered."""
        return len(self._amounts)

    def forget_before(self, oldest: int) -> None:
        """Drop buckets that count no longer; needed now and then, or a busy counter would remember every second."""
        for bucket in [bucket for bucket in self._amounts if bucket < oldest]:
            del self._amounts[bucket]

    def in_window(self, now: float) -> int:
        """Return what was admitted in the window that ends now."""
        self.enter(self._bucket)
        self.forget_before(self._buckets.oldest(now))
        return sum(self._amounts.values())

    def begin_outage(
        self, now: float, floor: float, window: tuple[int, int], quotas: Sequence[tuple[int, int]]
    ) -> None:
        """Fix the share. ``floor``: 1 / instances; ``window`` and each of ``quotas``: limit and use as last seen."""
        own = self.in_window(now)
        limit, used = window
        # Above the limit after other instances' outages: everyone takes less, so that it comes down again.
        self._share = own + (limit - used) * floor if used <= limit else own * limit / used
        self._quota_room = []
        for limit, used in quotas:
            proportion = max(floor, self._total / used if used else 0.0)
            self._quota_room.append(min(1.0, proportion) * max(0, limit - used))

    def room(self, now: float, *, windowed: bool) -> float:
        """What is left of the share: what is admitted of it is to be noted and taken from the quotas."""
        window = [self._share - self.in_window(now)] if windowed else []
        return min([*window, *self._quota_room])

    def take_quota(self, amount: int) -> None:
        self._quota_room = [room - amount for room in self._quota_room]
