"""An event loop whose time passes only when everyone waits, and a table service living in it."""

import asyncio
import math
import random
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from shared.stores.clock import StorageClock
from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Conflict, Entity, Operation, Page, StorageBusy, StorageUnavailable, Stored

T = TypeVar("T")

EPOCH = 1_700_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of sleeping, so that hours pass in seconds and runs repeat exactly."""

    def __init__(self) -> None:
        self.now = EPOCH
        super().__init__(_Jump(self))
        # Times near 1.7e9 are floats 0.2 microseconds apart: a finer resolution would wait for the next one forever.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` to its end, end what it left behind, and close."""
        asyncio.set_event_loop(self)
        try:
            result = self.run_until_complete(main)
            for task in asyncio.all_tasks(self):
                task.cancel()
            self.run_until_complete(asyncio.sleep(0))
            return result
        finally:
            asyncio.set_event_loop(None)
            self.close()


class _Jump(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everyone waits and nothing will ever happen")
        self._loop.now += max(0.0, timeout)
        return []


class SimulatedService:
    """Table storage: lognormal round trips with 1 % eight times as long, 2,000 operations/s per partition, outages."""

    def __init__(
        self, loop: VirtualLoop, chance: random.Random, *, round_trip: float = 0.008, partition_rate: float = 2000.0
    ) -> None:
        self.loop = loop
        self.rows = MemoryEntities(loop.time)
        self.operations = 0
        self.conflicts = 0
        self.throttled = 0
        self.outages: list[tuple[float, float]] = []
        self._chance = chance
        self._round_trip = round_trip
        self._rate = partition_rate
        self._backlog: dict[str, tuple[float, float]] = {}

    def delay(self) -> float:
        delay = self._chance.lognormvariate(math.log(self._round_trip), 0.35)
        return delay * 8 if self._chance.random() < 0.01 else delay

    def queue(self, partition: str) -> float:
        """How long an operation waits its turn; ``StorageBusy`` when a tenth of a second would not do."""
        now = self.loop.time()
        since, backlog = self._backlog.get(partition, (now, 0.0))
        backlog = max(0.0, backlog - (now - since) * self._rate)
        if backlog + 1 > self._rate / 10:
            self.throttled += 1
            raise StorageBusy("503 ServerBusy")
        self._backlog[partition] = (now, backlog + 1)
        return backlog / self._rate

    def away(self) -> bool:
        return any(begin <= self.loop.time() < end for begin, end in self.outages)


class SimulatedEntities:
    """One instance's way to the service: its own clock, its own deadline."""

    def __init__(self, service: SimulatedService, clock: StorageClock, deadline: float = 0.25) -> None:
        self._service = service
        self._clock = clock
        self._deadline = deadline

    async def read(self, partition: str, row: str) -> Stored | None:
        return await self._exchange(partition, lambda: self._service.rows.read(partition, row))

    async def insert(self, entity: Entity) -> str:
        return await self._exchange(str(entity["PartitionKey"]), lambda: self._service.rows.insert(entity))

    async def replace(self, entity: Entity, if_match: str) -> str:
        return await self._exchange(str(entity["PartitionKey"]), lambda: self._service.rows.replace(entity, if_match))

    async def upsert(self, entity: Entity) -> str:
        return await self._exchange(str(entity["PartitionKey"]), lambda: self._service.rows.upsert(entity))

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        await self._exchange(partition, lambda: self._service.rows.delete(partition, row, if_match))

    async def query(
        self,
        partition: str | None = None,
        *,
        row_from: str | None = None,
        row_before: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        return await self._service.rows.query(
            partition,
            row_from=row_from,
            row_before=row_before,
            select=select,
            page_size=page_size,
            continuation=continuation,
        )

    async def transact(self, operations: Sequence[Operation]) -> None:
        await self._service.rows.transact(operations)

    async def close(self) -> None:
        pass

    async def _exchange(self, partition: str, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        service = self._service
        service.operations += 1
        sent = self._clock.local()
        try:
            async with asyncio.timeout(self._deadline):
                way = service.delay() / 2
                await asyncio.sleep(way)
                if service.away():
                    await asyncio.sleep(3600)
                await asyncio.sleep(service.queue(partition))
                try:
                    return await operation()
                finally:
                    second = math.floor(service.loop.time())
                    await asyncio.sleep(way)
                    self._clock.observe_second(second, sent, self._clock.local())
        except Conflict:
            service.conflicts += 1
            raise
        except TimeoutError as error:
            raise StorageUnavailable("timeout") from error
