"""A cache of bytes: in this process, in a table shared by all instances, or both."""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from shared.stores.protocols import Entities, Entity, StoreError

log = logging.getLogger("gateway")

TABLE = "cache"
# A binary property holds 64 KiB, an entity 1 MiB (Understanding the Table service data model).
PIECE = 60_000
PIECES = 14
# How long a value read from the table is taken for the truth without asking again.
NEAR_SECONDS = 1.0


class Cache(Protocol):
    """Values by key, each for a time. A cache forgets at will and never raises: what cannot be read is a miss."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long; zero or less removes it."""
        ...

    async def remove(self, key: str) -> None:
        """Forget a value."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    value: bytes
    expires: float
    size: int


class MemoryCache:
    """Values of this process, gone with it. What has not been used longest makes room."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, entries: int = 10_000, size: int = 67_108_864
    ) -> None:
        """`size` is in bytes, keys included; a value over an eighth of it is not kept."""
        self._now = monotonic
        self._entries = entries
        self._size = size
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        return self.look_up(key)

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value."""
        self.keep(key, value, seconds)

    async def remove(self, key: str) -> None:
        """Forget a value."""
        self.forget(key)

    def look_up(self, key: str) -> bytes | None:
        """`get` without waiting."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.expires <= self._now():
            self.forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.value

    def keep(self, key: str, value: bytes, seconds: float) -> None:
        """`put` without waiting."""
        self.forget(key)
        size = len(value) + len(key) + 100
        if seconds <= 0 or size > self._size // 8:
            return
        self._kept[key] = _Kept(value, self._now() + seconds, size)
        self.size += size
        while self.size > self._size or len(self._kept) > self._entries:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size

    def forget(self, key: str) -> None:
        """`remove` without waiting."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= kept.size


class TableCache:
    """Values in a table, so that every instance sees them. A fault of the storage is a miss, or a value not kept; both
    are logged. Values over 840,000 bytes are not kept."""

    def __init__(self, table: Entities, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._table = table
        self._clock = clock
        self._near = MemoryCache(size=16_777_216)
        self._sweeping: asyncio.Task[None] | None = None
        self._sweep_at = 0.0

    async def get(self, key: str) -> bytes | None:
        """The value, or None. One read within the last second is not read again."""
        near = self._near.look_up(key)
        if near is not None:
            return near
        partition, row = _place(key)
        try:
            stored = await self._table.read(partition, row)
        except StoreError as error:
            log.warning("the cache table cannot be read: %s", error)
            return None
        if stored is None:
            return None
        left = _expiry(stored.entity) - self._clock().timestamp()
        if left <= 0:
            return None
        value = _value(stored.entity)
        self._near.keep(key, value, min(NEAR_SECONDS, left))
        return value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value."""
        if seconds <= 0 or len(value) > PIECE * PIECES:
            await self.remove(key)
            return
        partition, row = _place(key)
        expires = self._clock() + timedelta(seconds=min(seconds, 10 * 365 * 86400))
        pieces = {f"v{i}": value[at : at + PIECE] for i, at in enumerate(range(0, max(len(value), 1), PIECE))}
        try:
            await self._table.upsert({"PartitionKey": partition, "RowKey": row, "expires": expires, **pieces})
        except StoreError as error:
            self._near.forget(key)
            log.warning("the cache table cannot be written: %s", error)
            return
        self._near.keep(key, value, min(NEAR_SECONDS, seconds))
        self._sweep()

    async def remove(self, key: str) -> None:
        """Forget a value."""
        self._near.forget(key)
        try:
            await self._table.delete(*_place(key))
        except StoreError as error:
            log.warning("the cache table cannot be written: %s", error)

    async def aclose(self) -> None:
        """Stop tidying up."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        """Every ten minutes that see writes, delete what has expired in one of the partitions."""
        now = self._clock().timestamp()
        if now >= self._sweep_at and (self._sweeping is None or self._sweeping.done()):
            self._sweep_at = now + 600
            self._sweeping = asyncio.create_task(self._delete_expired(f"{int(now // 600) % 16:x}", now))

    async def _delete_expired(self, partition: str, now: float) -> None:
        try:
            page = await self._table.query(partition, select=["expires"], page_size=500)
            for stored in page.rows:
                if _expiry(stored.entity) <= now:
                    await self._table.delete(partition, str(stored.entity["RowKey"]), stored.etag)
        except StoreError as error:
            log.info("the cache table was not tidied up: %s", error)


class NoCache:
    """Keeps nothing: what `external` means where there is no storage account."""

    async def get(self, key: str) -> bytes | None:
        """A miss."""
        return None

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep nothing."""

    async def remove(self, key: str) -> None:
        """There is nothing to forget."""


@dataclass(frozen=True, slots=True)
class Caches:
    """The caches by APIM's `caching-type`: `internal` is this process's, `external` the table's."""

    internal: Cache
    external: Cache | None = None

    def of(self, caching_type: str) -> Cache:
        """The cache for a caching-type; prefer-external is external where there is one."""
        match caching_type:
            case "internal":
                return self.internal
            case "external":
                return self.external if self.external is not None else NoCache()
            case _:
                return self.external if self.external is not None else self.internal


def _place(key: str) -> tuple[str, str]:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[0], digest


def _expiry(entity: Entity) -> float:
    expires = entity.get("expires")
    return expires.timestamp() if isinstance(expires, datetime) else 0.0


def _value(entity: Entity) -> bytes:
    pieces: list[bytes] = []
    while isinstance(piece := entity.get(f"v{len(pieces)}"), bytes):
        pieces.append(piece)
    return b"".join(pieces)
