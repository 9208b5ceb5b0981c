"""What a limit is and what asking for room in one can answer: the values that policies and the limiter exchange."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from shared.stores.periods import Calendar, Fixed

OnStorageError = Literal["bounded", "open", "closed"]
"""Without storage: admit what this instance used in the window before; admit everything; admit only what is leased."""

Unit = Literal["tokens", "calls", "bytes"]


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` in any trailing ``seconds``."""

    limit: int
    seconds: int

    def __post_init__(self) -> None:
        if self.limit < 0 or self.seconds < 1:
            raise ValueError("a window needs a limit of 0 or more and at least one second")


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``limit`` in each period."""

    limit: int
    period: Calendar | Fixed

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError("a quota needs a limit of 0 or more")


@dataclass(frozen=True)
class Limit:
    """The numbers of one policy; together with a counter key it names a counter.

    ``unit``: what is counted; equal keys of different units are different counters.
    ``shards``: the counter is split evenly over so many entities. One entity carries about 25 busy instances; a single
    request must fit into one shard's part. Another number of shards starts another counter.
    """

    window: Window | None = None
    quotas: tuple[Quota, ...] = ()
    unit: Unit = "tokens"
    shards: int = 1
    on_storage_error: OnStorageError = "bounded"
    largest: int = field(default=0, init=False, repr=False, compare=False)
    """The most one request can ever be admitted with: what the smallest shard has."""
    name: str = field(default="", init=False, repr=False, compare=False)
    """All of it as a text: the limiter looks limits up for every request, and a text remembers its hash."""

    def __post_init__(self) -> None:
        if self.window is None and not self.quotas:
            raise ValueError("a limit needs a window or a quota")
        if not 1 <= self.shards <= 100:
            raise ValueError("shards is 1 to 100")
        totals = [quota.limit for quota in self.quotas] + ([self.window.limit] if self.window is not None else [])
        object.__setattr__(self, "largest", min(totals) // self.shards)
        object.__setattr__(self, "name", repr(self))


def part(total: int, shards: int, index: int) -> int:
    """The part of ``total`` that belongs to shard ``index``; the parts of all shards add up to ``total``."""
    return total * (index + 1) // shards - total * index // shards


class Ledger(Protocol):
    """Whoever takes back an admission's correction."""

    def settle(self, admission: "Admission", actual: int) -> None: ...

    def leave(self, admission: "Admission", *, window: bool, quotas: bool) -> None: ...


class Admission:
    """Room that was taken: settle it with what was really used, once, whatever way the request ends.

    Never settled, it stays charged with the estimate.
    """

    __slots__ = ("_ledger", "age", "amount", "bucket", "periods", "shard")

    def __init__(
        self, ledger: Ledger, amount: int, bucket: int, shard: int, age: int, periods: tuple[int, ...]
    ) -> None:
        self._ledger: Ledger | None = ledger
        self.amount = amount
        self.bucket = bucket
        self.shard = shard
        self.age = age
        self.periods = periods

    def settle(self, actual: int) -> bool:
        """Replace the estimate by what was used (0 or more). Only the first call counts and returns True."""
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return False
        ledger.settle(self, actual)
        return True

    def leave(self, *, window: bool, quotas: bool) -> None:
        """Give back what was taken of the window, or of the quotas, and be settled in the other one only: another
        counter of the key counts it there."""
        if self._ledger is not None:
            self._ledger.leave(self, window=window, quotas=quotas)

    def release(self) -> bool:
        """Give everything back: the request did not happen. As ``settle(0)``."""
        return self.settle(0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No room. ``which`` says why; for a quota, ``quota`` is the one that is used up.

    ``retry_after``: seconds until the amount would fit if nobody used more, of a window never more than its length: its
    last bucket may be left then, of a minute a second and a tenth. ``fits``: False when it never can, because the
    amount is larger than the whole limit. ``remaining``: what is left of the limit that refused.
    """

    which: Literal["window", "quota", "contention", "storage"]
    retry_after: float
    remaining: int = 0
    fits: bool = True
    quota: Quota | None = None


class Remaining(NamedTuple):
    """What is left, as far as this instance knows: exact up to other instances' unspent leases."""

    window: int | None
    quotas: tuple[int, ...]
