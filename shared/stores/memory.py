"""A table of entities in this process's memory: for one process, and for tests where several gateways share it."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from shared.stores.clock import Clock
from shared.stores.protocols import Conflict, Entity, Operation, Page, StorageRefused, Stored, Value

Key = tuple[str, str]

_FORBIDDEN = frozenset("/\\#?") | {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))}


class MemoryEntities:
    """One table. Every operation yields to the loop once, so that interleavings a network allows happen here too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[Key, Stored] = {}
        self._version = 0

    async def read(self, partition: str, row: str) -> Stored | None:
        await asyncio.sleep(0)
        return self._rows.get((partition, row))

    async def insert(self, entity: Entity) -> str:
        await asyncio.sleep(0)
        return self._insert(self._rows, entity)

    async def replace(self, entity: Entity, if_match: str) -> str:
        await asyncio.sleep(0)
        return self._replace(self._rows, entity, if_match)

    async def upsert(self, entity: Entity) -> str:
        await asyncio.sleep(0)
        return self._put(self._rows, entity)

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        await asyncio.sleep(0)
        self._delete(self._rows, (partition, row), if_match)

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
        await asyncio.sleep(0)
        start = continuation.partition("\n")[::2] if continuation else ("", "")
        rows: list[Stored] = []
        for key in self._keys_from((start[0], start[1])):
            if not _selects(key, partition, row_from, row_before):
                continue
            if len(rows) == min(page_size, 1000):
                return Page(rows, "\n".join(key))
            rows.append(_projected(self._rows[key], select))
        return Page(rows, None)

    async def transact(self, operations: Sequence[Operation]) -> None:
        await asyncio.sleep(0)
        keys = [_key(operation.entity) for operation in operations]
        if len(operations) > 100 or len({key[0] for key in keys}) > 1 or len(set(keys)) < len(keys):
            raise StorageRefused("a transaction has up to 100 different entities of one partition")
        rows = dict(self._rows)
        for operation in operations:
            self._apply(rows, operation)
        self._rows = rows

    async def close(self) -> None:
        """Nothing to release; the rows stay for others who share this object."""

    def keys(self) -> list[Key]:
        """PartitionKey and RowKey of every entity, in order."""
        return sorted(self._rows)

    def _keys_from(self, start: Key) -> Iterator[Key]:
        keys = self.keys()
        yield from keys[bisect_left(keys, start) :]

    def _apply(self, rows: dict[Key, Stored], operation: Operation) -> None:
        entity, if_match = operation.entity, operation.if_match
        match operation.kind:
            case "insert":
                self._insert(rows, entity)
            case "replace":
                self._replace(rows, entity, if_match)
            case "upsert":
                self._put(rows, entity)
            case "delete":
                if _key(entity) not in rows:
                    raise Conflict("the entity does not exist")
                self._delete(rows, _key(entity), if_match)

    def _insert(self, rows: dict[Key, Stored], entity: Entity) -> str:
        if _key(entity) in rows:
            raise Conflict("the entity exists already")
        return self._put(rows, entity)

    def _replace(self, rows: dict[Key, Stored], entity: Entity, if_match: str | None) -> str:
        found = rows.get(_key(entity))
        if found is None or (if_match is not None and found.etag != if_match):
            raise Conflict("the entity has changed")
        return self._put(rows, entity)

    def _delete(self, rows: dict[Key, Stored], key: Key, if_match: str | None) -> None:
        found = rows.get(key)
        if found is not None and if_match is not None and found.etag != if_match:
            raise Conflict("the entity has changed")
        rows.pop(key, None)

    def _put(self, rows: dict[Key, Stored], entity: Entity) -> str:
        key = _key(entity)
        if _FORBIDDEN & {*key[0], *key[1]}:
            raise StorageRefused("a key has a character the table service does not allow")
        self._version += 1
        etag = f'W/"{self._version}"'
        rows[key] = Stored(dict(entity), etag, datetime.fromtimestamp(self._clock(), UTC))
        return etag


def _key(entity: Entity) -> Key:
    partition, row = entity["PartitionKey"], entity["RowKey"]
    if not isinstance(partition, str) or not isinstance(row, str):
        raise StorageRefused("PartitionKey and RowKey are strings")
    return partition, row


def _selects(key: Key, partition: str | None, row_from: str | None, row_before: str | None) -> bool:
    return (
        (partition is None or key[0] == partition)
        and (row_from is None or key[1] >= row_from)
        and (row_before is None or key[1] < row_before)
    )


def _projected(stored: Stored, select: Sequence[str] | None) -> Stored:
    if select is None:
        return stored
    wanted: dict[str, Value] = {
        name: value for name, value in stored.entity.items() if name in select or name in ("PartitionKey", "RowKey")
    }
    return Stored(wanted, stored.etag, stored.modified)
