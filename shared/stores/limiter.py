"""The limiter: all counters of one gateway instance, found by key and limit, kept small, written back in time."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable

from shared.stores.breaker import Breaker
from shared.stores.clock import Clock
from shared.stores.counter import Counter
from shared.stores.counter_entity import LONGEST_KEY, countable
from shared.stores.instance import Instance
from shared.stores.limits import Admission, Limit, Refusal, Remaining
from shared.stores.protocols import Entities

OPERATION_DEADLINE = 0.25
"""Seconds one storage operation of a limiter should be given (``Tables.table(..., deadline=...)``)."""

_TICK = 1.0
"""Seconds between looks at what is owed; a counter itself is looked at every twentieth of its window."""


class Limiter:
    """Admits amounts under limits that hold across all instances which share a table.

    Any number of instances may run at once and stop at any time. In any trailing window the amounts admitted never
    exceed the limit while the instances' clocks differ by less than a tenth of a second (a 600th of a shorter window),
    else by no more than limit x difference / window; the tokens really used by no more, on top, than what requests in
    flight use beyond their estimates. What an instance that dies had leased is lost for at most the window and a sixth
    of it. While storage is away for all, ``bounded`` keeps to the limit as well, plus limit /
    ``max_instances`` for each instance that starts meanwhile; while it is away for some only, plus what those admitted
    in the window before.
    """

    def __init__(
        self,
        entities: Entities,
        *,
        clock: Clock,
        chance: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        writer: str | None = None,
        max_instances: int = 40,
        max_counters: int = 10_000,
    ) -> None:
        """``clock``: a ``StorageClock`` fed by the table. ``writer``: a name no other instance ever has; else drawn.

        ``max_instances``: what a scaled-out gateway grows to; bounds what a fresh one admits in a storage outage.
        ``max_counters``: how many counters stay in memory (about 5 KiB each); idle ones go back to storage, and as many
        again may wait for that. What is beyond is forgotten as if the process had died.
        """
        random_source = chance or random.Random(secrets.randbits(64))
        self._instance: Instance[Counter] = Instance(
            entities=entities,
            clock=clock,
            sleep=sleep,
            chance=random_source,
            writer=writer or secrets.token_hex(4),
            max_instances=max_instances,
            outage=Breaker(random_source),
        )
        self._max_counters = max_counters
        self._counters: dict[tuple[str, str], Counter] = {}
        self._leaving: dict[tuple[str, str], Counter] = {}
        self._flusher: asyncio.Task[None] | None = None

    def try_admit(self, key: str, limit: Limit, amount: int) -> Admission | Refusal | None:
        """Decide at once when memory suffices (microseconds, no await); None: call ``admit_after_miss``."""
        # What `counter` does, without the call: every request that has a limit comes here.
        if len(key) > LONGEST_KEY:
            key = countable(key)
        counter = self._counters.get((key, limit.name))
        if counter is None:
            return self._make(key, limit).try_admit(amount)
        counter.recent = True
        return counter.try_admit(amount)

    async def admit(self, key: str, limit: Limit, amount: int) -> Admission | Refusal:
        """Take ``amount`` from the counter named by ``key``; an estimate of 0 still needs 1 to be left.

        Never raises for storage: what happens without it is the limit's ``on_storage_error``.
        """
        decision = self.try_admit(key, limit, amount)
        return decision if decision is not None else await self.admit_after_miss(key, limit, amount)

    async def admit_after_miss(self, key: str, limit: Limit, amount: int) -> Admission | Refusal:
        """What ``admit`` does when ``try_admit`` has left it open."""
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._keep_flushing())
        return await self.counter(key, limit).admit_after_miss(amount)

    def remaining(self, key: str, limit: Limit) -> Remaining:
        """Return what is left as this instance knows: stale by seconds, exact up to others' unspent leases."""
        return self.counter(key, limit).remaining()

    def counter(self, key: str, limit: Limit) -> Counter:
        """Return the counter, made on first use; holding on to it saves the lookup."""
        key = countable(key)
        counter = self._counters.get((key, limit.name))
        if counter is None:
            return self._make(key, limit)
        counter.recent = True
        return counter

    def _make(self, key: str, limit: Limit) -> Counter:
        name = (key, limit.name)
        counter = self._leaving.pop(name, None) or Counter(key, limit, self._instance)
        if len(self._counters) >= self._max_counters:
            self._push_one_out()
        self._counters[name] = counter
        return counter

    def _push_one_out(self) -> None:
        """Second chance: the oldest that was not asked for since it was the oldest last."""
        counters = self._counters
        while True:
            oldest = next(iter(counters))
            counter = counters.pop(oldest)
            if not counter.recent:
                break
            counter.recent = False
            counters[oldest] = counter
        if len(self._leaving) >= self._max_counters:
            self._instance.dirty.discard(self._leaving.pop(next(iter(self._leaving))))
        self._leaving[oldest] = counter
        self._instance.dirty.add(counter)

    async def close(self) -> None:
        """Give everything back. Call it when the process is asked to end; nothing breaks when it is not."""
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()
            await asyncio.wait([flusher])
        await self._give_back(self._instance.dirty)

    def abandon(self) -> None:
        """Stop at once and write nothing more, as a killed process would: for simulations of one."""
        if self._flusher is not None:
            self._flusher.cancel()
        for counter in (*self._counters.values(), *self._leaving.values()):
            counter.abandon()

    async def flush(self) -> None:
        """Write what is due now and return counters that were pushed out of memory."""
        now = self._instance.clock()
        await self._give_back(self._leaving.values())
        self._leaving = {name: counter for name, counter in self._leaving.items() if not counter.settled()}
        for counter in list(self._instance.dirty):
            counter.flush(now)
            if counter.settled():
                self._instance.dirty.discard(counter)

    async def _give_back(self, counters: Iterable[Counter]) -> None:
        owing = [counter for counter in counters if not counter.settled()]
        for start in range(0, len(owing), 16):
            await asyncio.gather(*(counter.give_back() for counter in owing[start : start + 16]))
            if self._instance.outage.tripped:
                return  # one of them has had the probe: nothing can be written for now

    async def _keep_flushing(self) -> None:
        chance = self._instance.chance
        while True:
            await self._instance.sleep(_TICK * chance.uniform(0.8, 1.2))
            await self.flush()
