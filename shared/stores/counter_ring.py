"""The sliding window of a counter: a ring of small time buckets, pure arithmetic on absolute bucket numbers."""

import math


class Buckets:
    """How a window of W seconds is divided.

    W/60, but a bucket is at least a quarter of a second: finer ones would be shorter than a round trip to storage.
    A bucket counts until it is *entirely* older than the window, so the sum is never below the true usage of any
    trailing W seconds; the price is at most one bucket (1.7 % of a minute) of unused room. It counts ``slack`` longer
    (0.1 s of a minute), so that instances whose clocks differ by less do not exceed a limit together.
    """

    __slots__ = ("count", "seconds", "slack", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self.seconds = max(window / 60, 0.25)
        self.count = math.ceil(window / self.seconds)
        self.slack = min(0.1, window / 600)

    def at(self, time: float) -> int:
        """The number of the bucket that contains ``time``."""
        return int(time // self.seconds)

    def oldest(self, now: float) -> int:
        """The oldest bucket that still counts at ``now``."""
        return int((now - self.slack) // self.seconds) - self.count

    def end(self, bucket: int) -> float:
        """The time at which ``bucket`` is over."""
        return (bucket + 1) * self.seconds

    def leaves(self, bucket: int) -> float:
        """The time from which ``bucket`` no longer counts."""
        return (bucket + self.count + 1) * self.seconds + self.slack


class Ring:
    """Amounts per bucket. Buckets of the future hold leases, charged where they expire."""

    __slots__ = ("amounts",)

    def __init__(self, amounts: dict[int, int] | None = None) -> None:
        self.amounts = amounts if amounts is not None else {}

    @classmethod
    def parse(cls, text: str) -> "Ring":
        """Read ``base:a,b,,c`` (an empty field is 0); raises ValueError on anything else."""
        if not text:
            return cls()
        base, _, fields = text.partition(":")
        first = int(base)
        return cls({first + i: int(field) for i, field in enumerate(fields.split(",")) if field})

    def text(self) -> str:
        """Write as ``parse`` reads it: about half a KiB for a busy minute."""
        buckets = [bucket for bucket, amount in self.amounts.items() if amount]
        if not buckets:
            return ""
        first, last = min(buckets), max(buckets)
        return f"{first}:" + ",".join(str(self.amounts.get(i) or "") for i in range(first, last + 1))

    def copy(self) -> "Ring":
        return Ring(dict(self.amounts))

    def total(self) -> int:
        return sum(self.amounts.values())

    def total_since(self, oldest: int) -> int:
        return sum(amount for bucket, amount in self.amounts.items() if bucket >= oldest)

    def trim(self, oldest: int) -> None:
        """Forget what lies before bucket ``oldest``."""
        for bucket in [bucket for bucket in self.amounts if bucket < oldest]:
            del self.amounts[bucket]

    def add(self, bucket: int, amount: int) -> None:
        """Charge or give back; a bucket never falls below zero, so a mistaken credit cannot become room elsewhere."""
        self.amounts[bucket] = max(0, self.amounts.get(bucket, 0) + amount)

    def frees(self, needed: int) -> int | None:
        """The bucket whose leaving frees ``needed`` in all, oldest first; None when even an empty ring would not do."""
        freed = 0
        for bucket in sorted(self.amounts):
            freed += self.amounts[bucket]
            if freed >= needed:
                return bucket
        return None
