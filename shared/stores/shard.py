"""One shard of a counter as one instance knows it: last state and ETag, what it still owes, and compare-and-swap."""

import random
from dataclasses import dataclass

from shared.stores.counter_entity import ROW, CounterSchema, CounterState, QuotaUse, partition
from shared.stores.counter_ring import Ring
from shared.stores.limits import Limit, part
from shared.stores.protocols import Entities


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease to be written: charged in ``bucket``, the one in which it expires."""

    amount: int
    bucket: int
    until: float


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to write: what it says, and which debts of the shard it pays."""

    sequence: int
    state: CounterState
    based_on: str | None
    pending: dict[int, int]
    owed: list[int]
    periods: tuple[int, ...]
    grant: Grant | None


class Shard:
    """Knows nothing of time or policy: the counter says which buckets and periods are meant.

    ``pending`` are corrections per bucket and ``owed`` per quota that storage does not have yet.
    """

    __slots__ = (
        "_chance",
        "_entities",
        "_generation",
        "_partition",
        "_schema",
        "_sequence",
        "_unconfirmed",
        "_writer",
        "age",
        "etag",
        "index",
        "known",
        "limit",
        "owed",
        "pending",
        "quota_limits",
        "state",
    )

    def __init__(
        self, entities: Entities, key: str, limit: Limit, index: int, writer: str, chance: random.Random
    ) -> None:
        self._entities = entities
        self._schema = CounterSchema(key, limit)
        self._partition = partition(limit.unit, key, index, limit.shards)
        self._writer = writer
        self._chance = chance
        self._sequence = 0
        self._unconfirmed: list[Write] = []
        self._generation: str | None = None
        self.index = index
        self.limit = None if limit.window is None else part(limit.window.limit, limit.shards, index)
        self.quota_limits = [part(quota.limit, limit.shards, index) for quota in limit.quotas]
        self.state: CounterState | None = None
        self.etag: str | None = None
        self.known = False
        """Whether ``state`` and ``etag`` (None: no entity yet) are what storage was last seen to have."""
        self.pending: dict[int, int] = {}
        self.owed = [0] * len(limit.quotas)
        self.age = 0
        """Counts the resets seen; what was charged at another age is forgotten."""

    def charge(self, bucket: int, amount: int) -> None:
        """Owe ``amount`` (or be owed, when negative) in ``bucket``."""
        pending = self.pending
        pending[bucket] = pending.get(bucket, 0) + amount

    def move(self, bucket: int, to: int, amount: int) -> None:
        """Owe in another bucket what is charged in ``bucket``."""
        pending = self.pending
        pending[bucket] = pending.get(bucket, 0) - amount
        pending[to] = pending.get(to, 0) + amount

    def owe(self, amount: int, periods: tuple[int, ...], now_in: tuple[int, ...]) -> None:
        """Owe ``amount`` to every quota that is still in the period (given by its start) the amount belongs to."""
        for i, start in enumerate(periods):
            if start == now_in[i]:
                self.owed[i] += amount

    def forget_before(self, oldest: int) -> None:
        """Drop corrections of buckets that count no longer."""
        for bucket in [bucket for bucket, amount in self.pending.items() if bucket < oldest or not amount]:
            del self.pending[bucket]

    def pending_since(self, oldest: int) -> int:
        """What is owed to the window on balance, in buckets that count."""
        return sum([amount for bucket, amount in self.pending.items() if bucket >= oldest])

    def draft(self, periods: tuple[int, ...], oldest: int) -> CounterState:
        """Return the last state seen as it is now, with everything pending and owed, to be granted from and written."""
        assert self.state is not None
        draft = self.state.copy()
        for use, start, owed in zip(draft.quotas, periods, self.owed, strict=True):
            if use.start < start:
                use.start, use.used = start, 0
            use.used = max(0, use.used + owed)
        if self.limit is not None:
            draft.ring.trim(oldest)
            for bucket, amount in self.pending.items():
                draft.ring.add(bucket, amount)
        return draft

    def uses(self, state: CounterState) -> list[tuple[int, int]]:
        """Limit and use, by ``state``, of each quota and of the window if there is one."""
        uses = [(limit, use.used) for limit, use in zip(self.quota_limits, state.quotas, strict=True)]
        return uses if self.limit is None else [(self.limit, state.ring.total()), *uses]

    @property
    def uncertain(self) -> bool:
        """Whether a write is out of which nobody knows if it was applied."""
        return bool(self._unconfirmed)

    @property
    def debt(self) -> int:
        """What is owed on balance, to the window or to the quota that is owed most."""
        return max(sum(self.pending.values()), 0, *self.owed)

    def clean(self) -> bool:
        """Whether storage has all there is to know."""
        return not self._unconfirmed and not any(self.owed) and not any(self.pending.values())

    async def read(self, periods: tuple[int, ...]) -> list[Write]:
        """Read the entity; return earlier writes of unknown outcome that turn out to have been applied.

        A reset in between (another generation) makes this shard start over: nothing owed, nothing leased.
        """
        found = await self._entities.read(self._partition, ROW)
        self.known = True
        if found is None:
            self.etag = None
            self.state = CounterState(Ring(), [QuotaUse() for _ in self.owed], f"{self._chance.getrandbits(64):016x}")
            if self._generation is not None:
                self._start_over(None)
            return []
        self.etag = found.etag
        self.state = self._schema.read(found.entity)
        if self._generation not in (None, self.state.generation):
            self._start_over(self.state.generation)
            return []
        self._generation = self.state.generation
        return self._resolve(self.state, periods)

    async def write(self, state: CounterState, periods: tuple[int, ...], grant: Grant | None = None) -> Write:
        """Swap the entity for ``state``, which contains everything pending and owed.

        ``Conflict`` and ``StorageUnavailable`` leave the outcome to the next read: even a conflict may be with oneself,
        because an HTTP client repeats a PUT whose connection went away (aiohttp does).
        """
        self._sequence += 1
        state.sign(self._writer, self._sequence)
        write = Write(self._sequence, state, self.etag, dict(self.pending), list(self.owed), periods, grant)
        entity = self._schema.write(self.index, state)
        based_on = self.etag
        self.known = False
        self._unconfirmed.append(write)
        if based_on is None:
            etag = await self._entities.insert(entity)
        else:
            etag = await self._entities.replace(entity, based_on)
        self.etag = etag
        self.state = state
        self.known = True
        self._generation = state.generation
        self._unconfirmed.clear()
        self._paid(write, periods)
        return write

    def _resolve(self, state: CounterState, periods: tuple[int, ...]) -> list[Write]:
        """Sort the writes of unknown outcome into applied, not applied, still possible, and impossible to tell."""
        applied: list[Write] = []
        possible: list[Write] = []
        for write in self._unconfirmed:
            match state.wrote(self._writer, write.sequence):
                case True:
                    self._paid(write, periods)
                    applied.append(write)
                case False if write.based_on == self.etag:
                    possible.append(write)
                case None if write.based_on != self.etag:
                    self._assume_the_worst(write, periods)
        self._unconfirmed = possible
        return applied

    def _paid(self, write: Write, periods: tuple[int, ...]) -> None:
        for bucket, amount in write.pending.items():
            self.charge(bucket, -amount)
            if not self.pending[bucket]:
                del self.pending[bucket]
        for i, amount in enumerate(write.owed):
            if write.periods[i] == periods[i]:
                self.owed[i] -= amount

    def _assume_the_worst(self, write: Write, periods: tuple[int, ...]) -> None:
        """Credits count as used up, debts as still owed, the lease as lost: never more room than there is."""
        for bucket, amount in write.pending.items():
            if amount < 0:
                self.charge(bucket, -amount)
        for i, amount in enumerate(write.owed):
            if write.periods[i] == periods[i]:
                self.owed[i] -= min(0, amount)

    def _start_over(self, generation: str | None) -> None:
        self._generation = generation
        self._unconfirmed.clear()
        self.pending.clear()
        self.owed = [0] * len(self.owed)
        self.age += 1
