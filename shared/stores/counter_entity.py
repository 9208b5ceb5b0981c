"""The entity that holds a counter's shard: how window, quotas and the last writers are written and read."""

import hashlib
from dataclasses import dataclass, field

from shared.stores.counter_ring import Ring
from shared.stores.limits import Limit
from shared.stores.protocols import Entity, Unreadable, Value

ROW = "w"
SCHEMA = 1
WRITERS = 32
"""So many last writers are remembered, each with the number of its last write, to recognise one's own afterwards."""

_KEY_SHOWN = 1000
LONGEST_KEY = 1_024
"""Characters of a counter key that is kept in memory as it is."""


def countable(key: str) -> str:
    """The key as counters are kept and found by: a very long one, as a caller's header may be, by its digest."""
    return key if len(key) <= LONGEST_KEY else f"{key[:_KEY_SHOWN]} {hashlib.sha256(key.encode()).hexdigest()}"


def digest(unit: str, key: str) -> str:
    """The part of the PartitionKey that names the counter: hashed, because a counter key may hold anything."""
    return hashlib.sha256(f"{unit}\n{key}".encode()).hexdigest()[:40]


def partition(unit: str, key: str, shard: int, shards: int) -> str:
    """The PartitionKey of a shard; each is a partition of its own, with the throughput of one."""
    name = digest(unit, key)
    return f"{name}-{shard}" if shards == 1 else f"{name}-{shard}of{shards}"


@dataclass(slots=True)
class QuotaUse:
    """When the period began that a quota was last used in, and what was charged in it."""

    start: int = 0
    used: int = 0


@dataclass(slots=True)
class CounterState:
    """One shard as its entity tells it.

    ``generation`` is drawn when the entity is made: another one means that it was reset in between. ``others`` are
    properties of limits with other windows or periods under the same key; they are written back as they came.
    """

    ring: Ring
    quotas: list[QuotaUse]
    generation: str
    writers: list[str] = field(default_factory=list)
    others: dict[str, Value] = field(default_factory=dict)

    def copy(self) -> "CounterState":
        quotas = [QuotaUse(use.start, use.used) for use in self.quotas]
        return CounterState(self.ring.copy(), quotas, self.generation, self.writers, self.others)

    def sign(self, writer: str, sequence: int) -> None:
        """Put a write's mark last in the list of writers, where ``wrote`` finds it."""
        others = [mark for mark in self.writers if not mark.startswith(f"{writer}.")]
        self.writers = [*others[1 - WRITERS :], f"{writer}.{sequence}"]

    def wrote(self, writer: str, sequence: int) -> bool | None:
        """Whether this state contains the given write; None when too many others have written since to tell."""
        if f"{writer}.{sequence}" in self.writers:
            return True
        known = any(mark.startswith(f"{writer}.") for mark in self.writers)
        return False if known or len(self.writers) < WRITERS else None


class CounterSchema:
    """Reads and writes the entities of one counter."""

    def __init__(self, key: str, limit: Limit) -> None:
        self._key = key
        self._limit = limit
        self._ring = None if limit.window is None else f"w_{limit.window.seconds}"
        self._quotas = [f"q_{quota.period.name}" for quota in limit.quotas]

    def read(self, entity: Entity) -> CounterState:
        """Read an entity; a property that is missing means that nothing was counted yet. Raises ``Unreadable``."""
        if _number(entity, "v") > SCHEMA:
            raise Unreadable("a counter was written by a newer version")
        try:
            ring = Ring.parse(str(entity.get(self._ring, ""))) if self._ring else Ring()
        except ValueError as error:
            raise Unreadable("a counter is damaged; resetting its key repairs it") from error
        quotas = [QuotaUse(_number(entity, f"{name}_s"), _number(entity, f"{name}_u")) for name in self._quotas]
        writers = str(entity.get("op", "")).split()
        mine = tuple(name for name in (self._ring, *self._quotas) if name)
        own = {"PartitionKey", "RowKey", "key", "unit", "shards", "op", "g", "v"}
        others = {
            name: value
            for name, value in entity.items()
            if name not in own and not any(name == prefix or name.startswith(f"{prefix}_") for prefix in mine)
        }
        return CounterState(ring, quotas, str(entity.get("g", "")), writers, others)

    def write(self, shard: int, state: CounterState) -> dict[str, Value]:
        """Return the entity; limits and readable key are in it for those who look at counters, not for counting."""
        limit = self._limit
        entity: dict[str, Value] = {
            **state.others,
            "PartitionKey": partition(limit.unit, self._key, shard, limit.shards),
            "RowKey": ROW,
            "key": self._key[:_KEY_SHOWN],
            "unit": limit.unit,
            "shards": limit.shards,
            "op": " ".join(state.writers),
            "g": state.generation,
            "v": SCHEMA,
        }
        if limit.window is not None and self._ring is not None:
            entity[self._ring] = state.ring.text()
            entity[f"{self._ring}_l"] = limit.window.limit
        for name, quota, use in zip(self._quotas, limit.quotas, state.quotas, strict=True):
            end = quota.period.end(use.start)
            entity |= {f"{name}_s": use.start, f"{name}_u": use.used, f"{name}_l": quota.limit}
            entity[f"{name}_e"] = int(end) if end != float("inf") else 0
        return entity


def _number(entity: Entity, name: str) -> int:
    value = entity.get(name, 0)
    return value if isinstance(value, int) else 0
