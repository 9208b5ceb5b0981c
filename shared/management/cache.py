"""An administrator's work with the semantic cache: what is in it, what must go, which threshold suits one's texts."""

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.llm.cached_answer import CachedAnswer
from shared.llm.prompt_signature import signature
from shared.stores.clock import Clock
from shared.stores.semantic_cache.entry import Entry
from shared.stores.semantic_cache.table_log import TableLog

THRESHOLDS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}


@dataclass(slots=True)
class Stock:
    """Entries of an API or a namespace; `size` in compressed bytes, times in seconds since 1970."""

    entries: int = 0
    over: int = 0
    size: int = 0
    oldest: float = float("inf")
    newest: float = 0.0
    namespaces: set[str] = field(default_factory=set)

    def add(self, partition: str, entry: Entry, now: float) -> None:
        """Count an entry."""
        self.namespaces.add(partition)
        self.over += entry.expires <= now
        self.entries += 1
        self.size += entry.size
        self.oldest = min(self.oldest, entry.created / 1000)
        self.newest = max(self.newest, entry.created / 1000)


class CacheAdmin:
    """Reads and changes the table. Instances notice a purge when they read a namespace anew, within 15 minutes; what
    they still have in memory until then is served."""

    def __init__(self, log: TableLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def stats(self) -> tuple[dict[str, Stock], dict[str, Stock]]:
        """By API, and by partition. Reads the log rows of the whole table."""
        apis: dict[str, Stock] = defaultdict(Stock)
        partitions: dict[str, Stock] = defaultdict(Stock)
        now = self._clock()
        async for partition, api, entry in self._log.entries():
            apis[api].add(partition, entry, now)
            partitions[partition].add(partition, entry, now)
        return dict(apis), dict(partitions)

    async def entries(self, partition: str) -> list[Entry]:
        """What a partition has, the newest first."""
        found = [entry async for _, _, entry in self._log.entries(partition)]
        return sorted(found, key=lambda entry: -entry.created)

    async def answer(self, partition: str, id: str) -> CachedAnswer | None:
        """One answer; None when it is not there."""
        packed = await self._log.packed(partition, id)
        return CachedAnswer.unpack(gzip.decompress(packed)) if packed else None

    async def purge(self, *, api: str | None = None, everything: bool = False) -> int:
        """Delete what is over; all of an API; or everything. Returns how many entries that were."""
        now = self._clock()
        return await self._log.purge(lambda label, expires: everything or label == api or expires <= now)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether one answer does for both."""

    one: str
    other: str
    same: bool


def read_pairs(text: str) -> list[Pair]:
    """Pairs of CSV: two questions and 1 or 0 in the first three columns; a first line of names is left out. ValueError
    tells the line that cannot be read."""
    pairs: list[Pair] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not row:
            continue
        label = row[2].strip().lower() if len(row) > 2 else ""
        if label not in _YES | _NO:
            if number == 1 and len(row) > 2:
                continue
            raise ValueError(f"line {number}: two questions and 1 (same answer) or 0 are expected")
        pairs.append(Pair(row[0].strip(), row[1].strip(), label in _YES))
    if not pairs:
        raise ValueError("there are no pairs")
    return pairs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have happened: shares of the pairs with the same answer that hit (`recall`), of those with another
    that hit (`false_hits`), and of the hits that were right (`precision`, None without hits)."""

    recall: float | None
    false_hits: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """What a threshold (distance) would do, with and without guards."""

    threshold: float
    guarded: Outcome
    unguarded: Outcome


def calibration(pairs: Sequence[Pair], cosines: Sequence[float]) -> list[Line]:
    """What each threshold would do with these pairs, whose cosines are in the same order."""
    agree = [signature(pair.one) == signature(pair.other) for pair in pairs]
    lines = []
    for threshold in THRESHOLDS:
        hits = [cosine >= 1 - threshold for cosine in cosines]
        guarded = [hit and fits for hit, fits in zip(hits, agree, strict=True)]
        lines.append(Line(threshold, _outcome(pairs, guarded), _outcome(pairs, hits)))
    return lines


def loosest(lines: Sequence[Line], precision: float) -> float | None:
    """The largest threshold whose hits, with guards, are right at least so often; None when none is."""
    fine = [line.threshold for line in lines if (line.guarded.precision or 0) >= precision]
    return max(fine, default=None)


def _outcome(pairs: Sequence[Pair], hits: Sequence[bool]) -> Outcome:
    same = [hit for pair, hit in zip(pairs, hits, strict=True) if pair.same]
    different = [hit for pair, hit in zip(pairs, hits, strict=True) if not pair.same]
    total = sum(hits)
    return Outcome(
        sum(same) / len(same) if same else None,
        sum(different) / len(different) if different else None,
        sum(same) / total if total else None,
    )


def stock_document(stock: Stock) -> dict[str, Any]:
    """As JSON."""
    return {
        "entries": stock.entries,
        "expired": stock.over,
        "bytes": stock.size,
        "namespaces": len(stock.namespaces),
        "oldest": stock.oldest,
        "newest": stock.newest,
    }
