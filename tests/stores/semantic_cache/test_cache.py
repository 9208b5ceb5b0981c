"""The cache over each log: what is kept is found, by the same words and by meaning, for its time, by its own alone."""

import asyncio

import numpy as np
import pytest

from shared.stores.memory import MemoryEntities
from shared.stores.semantic_cache.cache import DEADLINE, NAMESPACE_BYTES, RESYNC, SemanticCache
from shared.stores.semantic_cache.log import MemoryLog
from shared.stores.semantic_cache.namespace import Namespace
from shared.stores.semantic_cache.table_log import TableLog
from shared.stores.tables import Tables
from tests.stores.semantic_cache.sharing import Clock, CountedEntities, instance, logs, tenant, vector
from tests.support.azurite import Azurite

A = tenant("a")


each_log = pytest.mark.parametrize("kind", ["process", "memory", "azurite"])


@each_log
async def test_found_by_words_and_by_meaning_on_every_instance(kind: str, azurite: Azurite) -> None:
    async with logs(kind, azurite) as another:
        clock = Clock()
        one, other = instance(another(), clock), instance(another(), clock)
        question = vector(1)
        assert await one.keep(A, "p", 5, question, b"answer", 60)
        await one.keep(A, "q", 6, None, b"by words only", 60)
        for cache in (one, other):
            found = await cache.exact(A, "p")
            assert found is not None and (found.payload, found.how, found.similarity) == (b"answer", "exact", 1.0)
            assert found.age >= 0
            near = await cache.nearest(A, vector(2, question, 0.03), 5, 0.95)
            assert near is not None and near.payload == b"answer" and near.how == "semantic"
            assert near.similarity == pytest.approx(0.97, abs=0.005)
            assert await cache.nearest(A, vector(2, question, 0.07), 5, 0.95) is None
            assert await cache.nearest(A, question, 6, 0.5) is None, "another scope"
            assert await cache.nearest(tenant("b"), question, 5, 0.5) is None
            assert await cache.exact(tenant("b"), "p") is None
            words = await cache.exact(A, "q")
            assert words is not None and words.payload == b"by words only"


@each_log
async def test_what_is_new_shows_within_the_poll_and_old_goes(kind: str, azurite: Azurite) -> None:
    async with logs(kind, azurite) as another:
        clock = Clock()
        one, other = instance(another(), clock), instance(another(), clock)
        assert await other.exact(A, "p") is None
        await one.keep(A, "p", 0, vector(1), b"answer", 30)
        assert await other.exact(A, "p") is None, "polled just now"
        clock.now += 1
        assert await other.exact(A, "p") is not None
        clock.now += 30
        for cache in (one, other):
            assert await cache.exact(A, "p") is None
            assert await cache.nearest(A, vector(1), 0, 0.5) is None


@each_log
async def test_large_answers_come_back_whole(kind: str, azurite: Azurite) -> None:
    async with logs(kind, azurite) as another:
        clock = Clock()
        chance = np.random.default_rng(0)
        one, other = instance(another(), clock), instance(another(), clock)
        for size in (0, 1, 61_440, 900_000, 2_500_000):
            payload = chance.bytes(size)
            assert await one.keep(A, f"p{size}", 0, None, payload, 60)
            clock.now += 1
            found = await other.exact(A, f"p{size}")
            assert found is not None and found.payload == payload
        assert not await one.keep(A, "too large", 0, None, chance.bytes(4_300_000), 60)
        assert await one.exact(A, "too large") is None


@each_log
async def test_purge_deletes_what_is_over_and_a_resync_sees_it(kind: str, azurite: Azurite) -> None:
    async with logs(kind, azurite) as another:
        clock = Clock()
        one, other = instance(another(), clock), instance(another(), clock)
        for number in range(120):
            await one.keep(A, f"short {number}", 0, None, b"x", 10)
        await one.keep(A, "long", 0, None, b"x", 10_000)
        await one.keep(tenant("b"), "b", 0, None, b"x", 10_000)
        await other.exact(A, "long")
        await other.settled()
        assert await other.exact(A, "long") is not None
        clock.now += 11
        assert (await one.purge(), await one.purge()) == (120, 0)
        assert await one.log.purge(lambda api, _: api == "api") == 2
        clock.now += RESYNC + 1
        await other.exact(A, "long")
        await other.settled()
        assert await other.exact(A, "long") is None


async def test_a_payload_that_is_gone_is_a_miss_once_and_for_all() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    counted = CountedEntities(rows)
    one, other = instance(TableLog(rows), clock), instance(TableLog(counted), clock)
    await one.keep(A, "p", 0, vector(1), b"x", 60)
    (row,) = [key for key in rows.keys() if key[1].startswith("P|")]
    await rows.delete(*row)
    assert await other.exact(A, "p") is None
    assert await other.nearest(A, vector(1), 0, 0.5) is None
    assert counted.operations.count("read") == 1


async def test_a_row_in_the_wrong_partition_is_never_served() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    one = instance(TableLog(rows), clock)
    await one.keep(A, "p", 0, vector(1), b"secret of a", 60)
    b = tenant("b")
    for key in rows.keys():
        stored = await rows.read(*key)
        assert stored is not None
        await rows.insert({**stored.entity, "PartitionKey": b.partition})
    other = instance(TableLog(rows), clock)
    assert await other.exact(b, "p") is None
    assert await other.nearest(b, vector(1), 0, 0.1) is None
    assert len(other._held[b.partition].shelf) == 0, "it is not even taken for an entry"
    assert await other.exact(A, "p") is not None


async def test_one_transaction_to_store_and_few_to_look_up() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    counted = CountedEntities(rows)
    one = instance(TableLog(counted), clock)
    await one.exact(A, "p")
    counted.operations.clear()
    await one.keep(A, "p", 0, vector(1), b"x", 60)
    assert counted.operations == ["transact"]
    counted.operations.clear()
    for _ in range(100):
        await one.exact(A, "p")
        await one.exact(A, "unknown")
    assert counted.operations == [], "all within one poll"
    clock.now += 1
    for _ in range(100):
        await one.exact(A, "unknown")
    assert counted.operations == ["query"]


async def test_entries_and_memory_are_bounded() -> None:
    clock = Clock()
    cache = instance(MemoryLog(), clock, most_entries=50, most_bytes=200_000)
    for number in range(200):
        await cache.keep(A, f"p{number}", 0, vector(number), b"x" * 10, 600)
    held = cache._held[A.partition]
    assert len(held.shelf) <= 50
    for number in (199, 180):
        found = await cache.nearest(A, vector(number), 0, 0.99)
        assert found is not None and await cache.exact(A, f"p{number}") is not None
    assert await cache.nearest(A, vector(3), 0, 0.99) is None
    for number in range(60):
        await cache.keep(tenant(str(number)), "p", 0, vector(1), b"x" * 10_000, 600)
        assert cache.nbytes <= 200_000
    assert A.partition not in cache._held and 1 < len(cache._held) < 60
    for number in range(100):
        await cache.exact(tenant(f"empty {number}"), "p")
    assert cache.nbytes <= 200_000 and len(cache._held) < 60
    assert cache._size == sum(held.shelf.nbytes + NAMESPACE_BYTES for held in cache._held.values())
    log = MemoryLog(most_bytes=1_000)
    small = instance(log, clock)
    for number in range(50):
        await small.keep(A, f"p{number}", 0, None, bytes(range(100)), 600)
    assert log._size <= 1_000


async def test_the_newest_are_read_first_when_there_are_too_many() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    one = instance(TableLog(rows), clock)
    for number in range(30):
        await one.keep(A, f"p{number}", 0, None, b"x", 600)
        clock.now += 1
    other = instance(TableLog(rows), clock, most_entries=10)
    assert await other.exact(A, "p29") is not None


async def test_an_outage_is_a_miss_and_costs_the_deadline_once() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    faulty = CountedEntities(rows)
    one = instance(TableLog(faulty), clock)
    await one.keep(A, "before", 0, vector(1), b"known", 600)
    faulty.down = True
    clock.now += 2
    assert await one.exact(A, "other") is None
    operations = len(faulty.operations)
    for _ in range(20):
        clock.now += 1
        assert await one.exact(A, "other") is None
        found = await one.nearest(A, vector(1), 0, 0.9)
        assert found is not None and found.payload == b"known", "what is in memory is served"
    assert len(faulty.operations) <= operations + 8, "the breaker lets a probe through from time to time"
    assert one.counts.unavailable > 0
    faulty.down = False
    clock.now += 30
    await one.exact(A, "other")  # its poll is the probe
    await one.settled()
    clock.now += 2
    assert await one.keep(A, "after", 0, None, b"x", 60)
    assert await instance(TableLog(rows), clock).exact(A, "after") is not None


async def test_frozen_storage_holds_requests_up_for_the_deadline_once() -> None:
    with Azurite() as storage:
        tables = Tables(storage.connection_string)
        table = tables.table("semcache", deadline=DEADLINE)
        loop = asyncio.get_running_loop()
        clock = Clock()
        log = TableLog(table, tables.table("semcache", deadline=2.0))
        cache: SemanticCache = instance(log, clock)
        assert await cache.keep(A, "p", 0, vector(1), b"x", 600)
        await cache.settled()
        clock.now += 2
        storage.pause()
        times = []
        for _ in range(20):
            began = loop.time()
            assert await cache.exact(A, "unknown") is None
            times.append(loop.time() - began)
            clock.now += 1.1
        storage.resume()
        assert max(times) < DEADLINE + 2
        assert 1 <= sum(seconds >= DEADLINE for seconds in times) <= 4, times
        await cache.settled()
        await tables.close()


async def test_reading_many_entries_holds_up_no_request() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    release = asyncio.Event()

    class Slow(MemoryLog):
        async def newest(self, *arguments, **options):  # type: ignore[no-untyped-def]
            await release.wait()
            async for page in TableLog(rows).newest(*arguments, **options):
                yield page

        async def payload(self, *arguments):  # type: ignore[no-untyped-def]
            return await TableLog(rows).payload(*arguments)

    await instance(TableLog(rows), clock).keep(A, "p", 0, None, b"x", 60)
    cache = instance(Slow(), clock)
    began = asyncio.get_running_loop().time()
    for _ in range(10):
        assert await cache.exact(A, "p") is None
    assert asyncio.get_running_loop().time() - began < 0.2
    release.set()
    await cache.settled()
    assert await cache.exact(A, "p") is not None


async def test_fifty_tenants_ask_the_same() -> None:
    clock, rows = Clock(), MemoryEntities(Clock())
    writer = instance(TableLog(rows), clock)
    question = vector(1)
    names = [Namespace(parts) for parts in _look_alikes()]
    for number, namespace in enumerate(names):
        await writer.keep(namespace, "p", 0, question, f"answer of {number}".encode(), 600)
    for cache in (writer, instance(TableLog(rows), clock)):
        for number, namespace in enumerate(names):
            for found in (await cache.exact(namespace, "p"), await cache.nearest(namespace, question, 0, 0.5)):
                assert found is not None and found.payload == f"answer of {number}".encode()


def _look_alikes() -> list[tuple[str, ...]]:
    """Tuples that joining without lengths would mix up."""
    text = "aabbab"
    cut = [(text[:i], text[i:j], text[j:]) for i in range(len(text) + 1) for j in range(i, len(text) + 1)]
    return [*cut, *(("tenant", str(number)) for number in range(50)), ("a", "b\0"), ("a\0", "b"), ("a", "b", "")]
