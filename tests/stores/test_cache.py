"""The cache: what it keeps and for how long, in this process and in a table that instances share."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.stores.cache import Caches, MemoryCache, NoCache, TableCache
from shared.stores.protocols import StorageUnavailable
from shared.stores.tables import Tables
from tests.support.azurite import Azurite


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def test_memory_keeps_values_for_their_time() -> None:
    clock = Clock()
    cache = MemoryCache(clock.monotonic)
    await cache.put("a", b"1", 10)
    await cache.put("b", b"2", 20)
    clock.pass_(10)
    assert (await cache.get("a"), await cache.get("b")) == (None, b"2")
    await cache.remove("b")
    assert await cache.get("b") is None
    assert (len(cache), cache.size) == (0, 0)


async def test_memory_is_bounded_and_lets_go_of_what_is_not_used() -> None:
    cache = MemoryCache(entries=3)
    for name in "abc":
        await cache.put(name, b"", 60)
    await cache.get("a")
    await cache.put("d", b"", 60)
    assert [name for name in "abcd" if await cache.get(name) is not None] == ["a", "c", "d"]
    small = MemoryCache(size=8000)
    await small.put("too large for it", b"x" * 1001, 60)
    assert await small.get("too large for it") is None
    for number in range(20):
        await small.put(str(number), b"x" * 800, 60)
    assert small.size <= 8000 and len(small) == 8


async def test_instances_share_a_table(azurite: Azurite) -> None:
    clock = Clock()
    tables = Tables(azurite.connection_string)
    name = azurite.table_name()
    one, other = (TableCache(tables.table(name), clock) for _ in range(2))
    large = bytes(range(256)) * 3000
    try:
        await one.put("key/with#every?kind\\of", large, 60)
        await one.put("empty", b"", 60)
        assert await other.get("key/with#every?kind\\of") == large
        assert await other.get("empty") == b""
        await one.remove("empty")
        await one.put("key/with#every?kind\\of", b"new", 60)
        fresh = TableCache(tables.table(name), clock)
        assert await fresh.get("key/with#every?kind\\of") == b"new"
        assert await fresh.get("empty") is None
        clock.pass_(61)
        assert await TableCache(tables.table(name), clock).get("key/with#every?kind\\of") is None
        await one.put("too large", b"x" * 900_000, 60)
        assert await other.get("too large") is None
    finally:
        await one.aclose()
        await tables.close()


async def test_what_has_expired_is_deleted_by_and_by(azurite: Azurite) -> None:
    clock = Clock()
    tables = Tables(azurite.connection_string)
    table = tables.table(azurite.table_name())
    try:
        cache = TableCache(table, clock)
        for number in range(64):
            await cache.put(str(number), b"x", 5)
        for _ in range(16):
            clock.pass_(601)
            await cache.put("kept", b"x", 100_000)
            assert cache._sweeping is not None
            await cache._sweeping
        assert [row.entity["v0"] for row in (await table.query()).rows] == [b"x"]
    finally:
        await tables.close()


class Broken:
    """A table whose storage is down."""

    async def _fail(self, *_: object, **__: object) -> None:
        raise StorageUnavailable("down")

    read = upsert = delete = query = _fail


async def test_a_fault_of_the_storage_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    cache = TableCache(Broken())  # type: ignore[arg-type]
    await cache.put("a", b"1", 60)
    assert await cache.get("a") is None
    await cache.remove("a")
    assert caplog.text.count("the cache table cannot be") == 3


async def test_caching_types() -> None:
    memory, table = MemoryCache(), MemoryCache()
    assert Caches(memory, table).of("prefer-external") is Caches(memory, table).of("external") is table
    assert Caches(memory, table).of("internal") is Caches(memory).of("prefer-external") is memory
    assert isinstance(Caches(memory).of("external"), NoCache)
