"""The log as rows of a table: one transaction for an answer, one range query for what is new."""

import struct
from collections.abc import AsyncIterator, Callable, Sequence

from shared.stores.protocols import Conflict, Entities, Entity, Operation, Stored
from shared.stores.semantic_cache.entry import Entry
from shared.stores.semantic_cache.log import Told
from shared.stores.semantic_cache.namespace import Namespace

TABLE = "semcache"
# A binary property holds 64 KiB; the emulator measures the 1 MiB of an entity on base64 text.
PIECE = 61_440
PIECES = 12
# A transaction may have 4 MiB (2 MiB on Cosmos DB), base64 included; up to 1 MiB the client sends it without a pause of
# the event loop.
AT_ONCE = 700_000
_LAST = 10**15 - 1
# created, expires, scope, rows, size, the namespace's check, length of the prompt's digest; digest and vector follow
_HEAD = struct.Struct("<qdqHI16sB")


class TableLog:
    """Partition: the namespace. Rows: `L|<time, counted down>-<id>` has the entry with its vector, packed in `e`,
    expiry `x` and the API's label `a`; `P|<id>|<nnn>` has the payload in c00..c11, `x`, `a` and the namespace's check
    `n`. Packed because reading costs by the property. Counting down puts the newest first, so that reading can stop
    when enough has come; on Cosmos DB, which does not sort, any entries are read where there are too many.
    """

    def __init__(self, entities: Entities, patient: Entities | None = None) -> None:
        """`patient` is the same table with a longer deadline, for what no request waits for."""
        self._entities = entities
        self._patient = patient or entities

    async def append(self, namespace: Namespace, entry: Entry, vector: bytes, payload: bytes) -> None:
        """One transaction; a payload too large for it is written before the row that tells of it."""
        common = {**_common(namespace, entry), "n": namespace.check}
        rows: list[Entity] = [
            {**common, "RowKey": f"P|{entry.id}|{number:03d}", **_pieces(payload[at : at + PIECE * PIECES])}
            for number, at in enumerate(range(0, max(len(payload), 1), PIECE * PIECES))
        ]
        entry.rows = len(rows)
        told = self.row(namespace, entry, vector)
        if len(payload) > AT_ONCE:
            for row in rows:
                await self._patient.insert(row)
            rows = []
        await self._patient.transact([Operation("insert", row) for row in (*rows, told)])

    def row(self, namespace: Namespace, entry: Entry, vector: bytes) -> Entity:
        """The row that tells of an entry."""
        prompt = entry.prompt.encode()
        check = bytes.fromhex(namespace.check)
        numbers = (entry.created, entry.expires, entry.scope, entry.rows, entry.size)
        packed = _HEAD.pack(*numbers, check, len(prompt)) + prompt + vector
        return {**_common(namespace, entry), "RowKey": f"L|{_LAST - entry.created:015d}-{entry.id}", "e": packed}

    async def newest(self, namespace: Namespace, since: int, *, patient: bool = False) -> AsyncIterator[list[Told]]:
        """One query for each page of up to 1,000 entries."""
        entities = self._patient if patient else self._entities
        before = f"L|{_LAST - since:015d}~"  # behind the ids of that millisecond
        check = bytes.fromhex(namespace.check)
        continuation = None
        while True:
            page = await entities.query(
                namespace.partition, row_from="L|", row_before=before, select=("e",), continuation=continuation
            )
            yield [told for stored in page.rows if (told := _told(stored.entity, check)) is not None]
            continuation = page.continuation
            if continuation is None:
                return

    async def payload(self, namespace: Namespace, entry: Entry) -> bytes | None:
        """One read, or one query where it has several rows."""
        if entry.rows == 1:
            found = await self._entities.read(namespace.partition, f"P|{entry.id}|000")
            rows = [found] if found is not None else []
        else:
            rows = await self._rows(namespace.partition, f"P|{entry.id}|", f"P|{entry.id}}}")
        if len(rows) != entry.rows or any(row.entity.get("n") != namespace.check for row in rows):
            return None
        return _joined(rows)

    async def packed(self, partition: str, id: str) -> bytes | None:
        """The payload of an entry by its id, for people to look at."""
        rows = await self._rows(partition, f"P|{id}|", f"P|{id}}}")
        return _joined(rows) if rows else None

    async def purge(self, unwanted: Callable[[str, float], bool]) -> int:
        """Read keys and expiries of the whole table; delete up to 100 rows at once."""
        doomed: dict[str, list[str]] = {}
        continuation = None
        while True:
            page = await self._patient.query(select=("x", "a"), continuation=continuation)
            for stored in page.rows:
                if unwanted(str(stored.entity.get("a", "")), _float(stored.entity.get("x"))):
                    doomed.setdefault(str(stored.entity["PartitionKey"]), []).append(_row_key(stored))
            continuation = page.continuation
            if continuation is None:
                break
        for partition, keys in doomed.items():
            for at in range(0, len(keys), 100):
                await self._delete(partition, keys[at : at + 100])
        return sum(key.startswith("L|") for keys in doomed.values() for key in keys)

    async def entries(self, partition: str | None = None) -> AsyncIterator[tuple[str, str, Entry]]:
        """(partition, API, entry) of everything there is, for people to look at."""
        continuation = None
        while True:
            page = await self._patient.query(
                partition, row_from="L|", row_before="L}", select=("e", "a"), continuation=continuation
            )
            for stored in page.rows:
                if (told := _told(stored.entity)) is not None:
                    yield str(stored.entity["PartitionKey"]), str(stored.entity.get("a", "")), told[0]
            continuation = page.continuation
            if continuation is None:
                return

    async def _rows(self, partition: str, first: str, before: str) -> list[Stored]:
        rows: list[Stored] = []
        continuation = None
        while True:
            page = await self._entities.query(partition, row_from=first, row_before=before, continuation=continuation)
            rows += page.rows
            continuation = page.continuation
            if continuation is None:
                return rows

    async def _delete(self, partition: str, keys: Sequence[str]) -> None:
        try:
            await self._patient.transact(
                [Operation("delete", {"PartitionKey": partition, "RowKey": key}) for key in keys]
            )
        except Conflict:  # another instance purges as well
            for key in keys:
                await self._patient.delete(partition, key)


def _common(namespace: Namespace, entry: Entry) -> Entity:
    return {"PartitionKey": namespace.partition, "x": entry.expires, "a": namespace.api}


def _told(entity: Entity, check: bytes | None = None) -> Told | None:
    """What a row tells; None when it is not of the namespace with this check, or nothing this version wrote."""
    packed = entity.get("e")
    if not isinstance(packed, bytes) or len(packed) < _HEAD.size:
        return None
    created, expires, scope, rows, size, found, length = _HEAD.unpack_from(packed)
    if check is not None and found != check:
        return None
    end = _HEAD.size + length
    id = str(entity["RowKey"]).rpartition("-")[2]
    prompt = packed[_HEAD.size : end].decode("ascii", "replace")
    return Entry(id, created, expires, prompt, scope, rows, size), packed[end:]


def _pieces(payload: bytes) -> dict[str, bytes]:
    return {f"c{number:02d}": payload[at : at + PIECE] for number, at in enumerate(range(0, len(payload), PIECE))}


def _joined(rows: Sequence[Stored]) -> bytes:
    return b"".join(piece for row in sorted(rows, key=_row_key) for piece in _pieces_of(row.entity))


def _pieces_of(entity: Entity) -> list[bytes]:
    found = (entity.get(f"c{number:02d}") for number in range(PIECES))
    return [piece for piece in found if isinstance(piece, bytes)]


def _row_key(stored: Stored) -> str:
    return str(stored.entity["RowKey"])


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
