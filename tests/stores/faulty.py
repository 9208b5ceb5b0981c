"""A table on which single operations fail in every way a network allows, or take until they are let through."""

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum

from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Conflict, Entity, Operation, Page, StorageUnavailable, Stored


class Fault(Enum):
    """What happens to one operation."""

    LOST = "the request never arrives"
    UNANSWERED = "the write is applied, its answer is lost"
    LATE = "the write is applied after the caller gave up, if its ETag still holds"
    REPEATED = "the connection breaks after the write and the HTTP client sends it again"


class FaultyEntities:
    """Passes everything on to a shared table, except for the faults that were queued and while ``down``."""

    def __init__(self, rows: MemoryEntities) -> None:
        self._rows = rows
        self.faults: deque[Fault] = deque()
        self.down = False
        self.held: asyncio.Event | None = None
        """While there is one, writes are on their way and arrive when it is set."""
        self.late: list[tuple[Entity, str | None]] = []
        self.operations = 0

    async def read(self, partition: str, row: str) -> Stored | None:
        self._count()
        if self.down or (self.faults and self.faults[0] is Fault.LOST and self.faults.popleft()):
            raise StorageUnavailable("timeout")
        return await self._rows.read(partition, row)

    async def insert(self, entity: Entity) -> str:
        return await self._write(entity, None)

    async def replace(self, entity: Entity, if_match: str) -> str:
        return await self._write(entity, if_match)

    async def upsert(self, entity: Entity) -> str:
        return await self._rows.upsert(entity)

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        await self._rows.delete(partition, row, if_match)

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
        return await self._rows.query(partition, row_from=row_from, row_before=row_before, continuation=continuation)

    async def transact(self, operations: Sequence[Operation]) -> None:
        await self._rows.transact(operations)

    async def close(self) -> None:
        await self._rows.close()

    async def apply_late(self) -> None:
        """Let the writes arrive that were on their way when their callers gave up."""
        late, self.late = self.late, []
        for entity, if_match in late:
            try:
                await self._apply(entity, if_match)
            except Conflict:
                continue

    def _count(self) -> None:
        self.operations += 1

    async def _write(self, entity: Entity, if_match: str | None) -> str:
        self._count()
        if self.held is not None:
            await self.held.wait()
        if self.down:
            raise StorageUnavailable("timeout")
        match self.faults.popleft() if self.faults else None:
            case None:
                return await self._apply(entity, if_match)
            case Fault.LOST:
                raise StorageUnavailable("timeout")
            case Fault.UNANSWERED:
                await self._apply(entity, if_match)
                raise StorageUnavailable("timeout")
            case Fault.LATE:
                self.late.append((dict(entity), if_match))
                raise StorageUnavailable("timeout")
            case Fault.REPEATED:
                await self._apply(entity, if_match)
                return await self._apply(entity, if_match)

    async def _apply(self, entity: Entity, if_match: str | None) -> str:
        if if_match is None:
            return await self._rows.insert(entity)
        return await self._rows.replace(entity, if_match)
