"""Looking at counters from outside: who used what, how much is left, when it resets; and starting one over."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import get_args

from shared.stores.clock import Clock
from shared.stores.counter_entity import ROW, countable, digest
from shared.stores.counter_ring import Buckets, Ring
from shared.stores.limits import Unit
from shared.stores.protocols import Conflict, Entities, Stored

Wanted = Callable[[str], bool]
"""Whether a PartitionKey is meant."""


@dataclass(slots=True)
class WindowReport:
    """``used`` in the trailing ``seconds``, unspent leases included; all of it has left the window at ``resets_at``."""

    seconds: int
    limit: int
    used: int
    resets_at: float

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(slots=True)
class QuotaReport:
    """``used`` in the current ``period``, unspent leases included; ``resets_at`` is None when it never ends."""

    period: str
    limit: int
    used: int
    resets_at: float | None

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(slots=True)
class CounterReport:
    """Everything counted under one key, over all shards. Limits are those that were last enforced; times are UTC."""

    key: str
    unit: str
    shards: int
    updated: float
    windows: dict[int, WindowReport] = field(default_factory=dict)
    quotas: dict[str, QuotaReport] = field(default_factory=dict)


class CounterAdmin:
    """Reads the table, not a gateway's memory: what it tells is behind by what instances have not yet written."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock

    async def list_all(self) -> list[CounterReport]:
        """Return all counters, by unit and key. Reads the whole table."""
        return await self._reports(lambda partition: True)

    async def show(self, key: str) -> list[CounterReport]:
        """Return the counters of a key: one for each unit that is counted under it, none when it is unknown."""
        return await self._reports(_belongs_to(key))

    async def reset(self, key: str) -> int:
        """Start the counters of a key over and return how many entities that were.

        Instances notice with their next write or refusal check (about a second while they are refusing); leases
        they spend until then are not counted.
        """
        matches = _belongs_to(key)
        found = [stored async for stored in self._scan() if matches(_partition(stored))]
        for stored in found:
            await self._entities.delete(_partition(stored), ROW)
        return len(found)

    async def sweep(self) -> int:
        """Delete entities that count nothing any more and return how many: windows empty, periods over."""
        now = self._clock()
        swept = 0
        stale = [stored async for stored in self._scan() if _counts_nothing(stored, now)]
        for stored in stale:
            try:
                await self._entities.delete(_partition(stored), ROW, if_match=stored.etag)
            except Conflict:
                continue  # in use again
            swept += 1
        return swept

    async def _reports(self, wanted: Wanted) -> list[CounterReport]:
        now = self._clock()
        reports: dict[str, CounterReport] = {}
        async for stored in self._scan():
            partition = _partition(stored)
            if wanted(partition):
                counter = f"{partition.partition('-')[0]} in {_text(stored, 'shards')}"
                _add(reports.setdefault(counter, _empty(stored)), stored, now)
        return sorted(reports.values(), key=lambda report: (report.unit, report.key))

    async def _scan(self) -> AsyncIterator[Stored]:
        continuation: str | None = None
        while True:
            page = await self._entities.query(row_from=ROW, row_before=ROW + "!", continuation=continuation)
            for stored in page.rows:
                yield stored
            continuation = page.continuation
            if continuation is None:
                return


def _belongs_to(key: str) -> Wanted:
    digests = {digest(unit, countable(key)) for unit in get_args(Unit)}
    return lambda partition: partition.partition("-")[0] in digests


def _partition(stored: Stored) -> str:
    return str(stored.entity["PartitionKey"])


def _text(stored: Stored, name: str) -> str:
    return str(stored.entity.get(name, ""))


def _number(stored: Stored, name: str) -> int:
    value = stored.entity.get(name, 0)
    return value if isinstance(value, int) else 0


def _empty(stored: Stored) -> CounterReport:
    return CounterReport(_text(stored, "key"), _text(stored, "unit"), _number(stored, "shards"), 0.0)


def _add(report: CounterReport, stored: Stored, now: float) -> None:
    """Add one shard to the report of its counter."""
    report.updated = max(report.updated, stored.modified.timestamp())
    for seconds in _windows(stored):
        window = report.windows.setdefault(seconds, WindowReport(seconds, _number(stored, f"w_{seconds}_l"), 0, now))
        used, resets_at = _window_use(stored, seconds, now)
        window.used += used
        window.resets_at = max(window.resets_at, resets_at)
    for name in _quotas(stored):
        ends = _number(stored, f"{name}_e")
        current = ends == 0 or ends > now
        limit = _number(stored, f"{name}_l")
        quota = report.quotas.setdefault(name, QuotaReport(name.removeprefix("q_"), limit, 0, None))
        quota.used += _number(stored, f"{name}_u") if current else 0
        quota.resets_at = float(ends) if ends and current else quota.resets_at


def _window_use(stored: Stored, seconds: int, now: float) -> tuple[int, float]:
    buckets, ring = Buckets(seconds), Ring.parse(_text(stored, f"w_{seconds}"))
    ring.trim(buckets.oldest(now))
    return ring.total(), max((buckets.leaves(bucket) for bucket in ring.amounts), default=now)


def _windows(stored: Stored) -> list[int]:
    names = (name.removeprefix("w_") for name in stored.entity if name.startswith("w_"))
    return [int(name) for name in names if name.isdecimal()]


def _quotas(stored: Stored) -> list[str]:
    return [name.removesuffix("_u") for name in stored.entity if name.startswith("q_") and name.endswith("_u")]


def _counts_nothing(stored: Stored, now: float) -> bool:
    windows_empty = all(_window_use(stored, seconds, now)[0] == 0 for seconds in _windows(stored))
    periods_over = all(
        0 < _number(stored, f"{name}_e") <= now or _number(stored, f"{name}_u") == 0 for name in _quotas(stored)
    )
    # An hour of grace: an instance may still be about to write what it owes.
    return windows_empty and periods_over and now - stored.modified.timestamp() > 3600
