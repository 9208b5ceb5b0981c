"""A network between an instance and its table: the round trip that a loopback does not have."""

import asyncio
import math
import random
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from shared.stores.protocols import Conflict, Entities, Entity, Operation, Page, Stored

T = TypeVar("T")


class DelayedEntities:
    """Delays every operation by a lognormal round trip, and counts operations as they are billed."""

    def __init__(self, entities: Entities, chance: random.Random, round_trip: float) -> None:
        self._entities = entities
        self._chance = chance
        self._way = round_trip / 2
        self.operations = 0
        self.conflicts = 0

    async def read(self, partition: str, row: str) -> Stored | None:
        return await self._travel(self._entities.read(partition, row))

    async def insert(self, entity: Entity) -> str:
        return await self._travel(self._entities.insert(entity))

    async def replace(self, entity: Entity, if_match: str) -> str:
        return await self._travel(self._entities.replace(entity, if_match))

    async def upsert(self, entity: Entity) -> str:
        return await self._travel(self._entities.upsert(entity))

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        await self._travel(self._entities.delete(partition, row, if_match))

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
        return await self._travel(
            self._entities.query(
                partition,
                row_from=row_from,
                row_before=row_before,
                select=select,
                page_size=page_size,
                continuation=continuation,
            )
        )

    async def transact(self, operations: Sequence[Operation]) -> None:
        await self._travel(self._entities.transact(operations))

    async def close(self) -> None:
        await self._entities.close()

    async def _travel(self, operation: Awaitable[T]) -> T:
        self.operations += 1
        await asyncio.sleep(self._chance.lognormvariate(math.log(self._way), 0.35))
        try:
            return await operation
        except Conflict:
            self.conflicts += 1
            raise
        finally:
            await asyncio.sleep(self._chance.lognormvariate(math.log(self._way), 0.35))
