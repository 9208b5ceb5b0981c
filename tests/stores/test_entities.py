"""What every store promises, tried on the one in memory and on the table service."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import pytest

from shared.stores.clock import StorageClock
from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Conflict, Entities, Operation, StorageRefused, StorageUnavailable
from shared.stores.tables import SharedToken, Tables
from tests.support.azurite import Azurite


class Opens(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[Entities]: ...


@pytest.fixture(params=["memory", "tables"])
def opened(request: pytest.FixtureRequest) -> Opens:
    @asynccontextmanager
    async def memory() -> AsyncIterator[Entities]:
        yield MemoryEntities(time.time)

    @asynccontextmanager
    async def tables() -> AsyncIterator[Entities]:
        service: Azurite = request.getfixturevalue("table_service")
        account = Tables(service.connection_string)
        try:
            yield account.table(service.table_name())
        finally:
            await account.close()

    return memory if request.param == "memory" else tables


async def test_entity_reads_back_as_written(opened: Opens) -> None:
    moment = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)
    entity = {
        "PartitionKey": "it's",
        "RowKey": "r",
        "text": "ü — 漢",
        "small": 7,
        "large": 2**40,
        "negative": -(2**40),
        "ratio": 0.25,
        "yes": True,
        "raw": b"\x00\xff",
        "moment": moment,
    }
    async with opened() as rows:
        etag = await rows.insert(entity)
        found = await rows.read("it's", "r")
        assert found is not None
        assert {name: found.entity[name] for name in entity} == entity
        assert type(found.entity["small"]) is int
        assert type(found.entity["yes"]) is bool
        assert found.etag == etag
        assert abs(found.modified.timestamp() - time.time()) < 5


async def test_missing_entity_is_none(opened: Opens) -> None:
    async with opened() as rows:
        assert await rows.read("p", "nothing") is None


async def test_insert_refuses_an_existing_entity(opened: Opens) -> None:
    async with opened() as rows:
        await rows.insert({"PartitionKey": "p", "RowKey": "r", "n": 1})
        with pytest.raises(Conflict):
            await rows.insert({"PartitionKey": "p", "RowKey": "r", "n": 2})


async def test_replace_needs_the_current_etag_and_drops_old_properties(opened: Opens) -> None:
    async with opened() as rows:
        first = await rows.insert({"PartitionKey": "p", "RowKey": "r", "a": 1})
        second = await rows.replace({"PartitionKey": "p", "RowKey": "r", "b": 2}, first)
        assert second != first
        with pytest.raises(Conflict):
            await rows.replace({"PartitionKey": "p", "RowKey": "r", "c": 3}, first)
        found = await rows.read("p", "r")
        assert found is not None
        assert "a" not in found.entity
        assert found.entity["b"] == 2


async def test_replace_of_a_deleted_entity_is_a_conflict(opened: Opens) -> None:
    async with opened() as rows:
        etag = await rows.insert({"PartitionKey": "p", "RowKey": "r"})
        await rows.delete("p", "r")
        with pytest.raises(Conflict):
            await rows.replace({"PartitionKey": "p", "RowKey": "r"}, etag)


async def test_only_one_of_many_swaps_wins(opened: Opens) -> None:
    async with opened() as rows:
        etag = await rows.insert({"PartitionKey": "p", "RowKey": "r", "n": 0})

        async def swap(n: int) -> bool:
            try:
                await rows.replace({"PartitionKey": "p", "RowKey": "r", "n": n}, etag)
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(*(swap(n) for n in range(8)))) == 1


async def test_upsert_creates_and_replaces(opened: Opens) -> None:
    async with opened() as rows:
        await rows.upsert({"PartitionKey": "p", "RowKey": "r", "n": 1})
        await rows.upsert({"PartitionKey": "p", "RowKey": "r", "m": 2})
        found = await rows.read("p", "r")
        assert found is not None
        assert "n" not in found.entity


async def test_delete_with_an_old_etag_is_a_conflict(opened: Opens) -> None:
    async with opened() as rows:
        old = await rows.insert({"PartitionKey": "p", "RowKey": "r", "n": 1})
        new = await rows.replace({"PartitionKey": "p", "RowKey": "r", "n": 2}, old)
        with pytest.raises(Conflict):
            await rows.delete("p", "r", if_match=old)
        await rows.delete("p", "r", if_match=new)
        await rows.delete("p", "r")
        assert await rows.read("p", "r") is None


async def test_query_takes_a_range_of_one_partition_page_by_page(opened: Opens) -> None:
    async with opened() as rows:
        for row in ("a", "b1", "b2", "b3", "c"):
            await rows.insert({"PartitionKey": "p", "RowKey": row, "n": 1, "m": 2})
        await rows.insert({"PartitionKey": "q", "RowKey": "b1", "n": 1})
        found: list[str] = []
        continuation: str | None = None
        pages = 0
        while pages == 0 or continuation is not None:
            page = await rows.query(
                "p", row_from="b", row_before="c", select=["n"], page_size=2, continuation=continuation
            )
            assert all("m" not in stored.entity and stored.etag for stored in page.rows)
            found += [str(stored.entity["RowKey"]) for stored in page.rows]
            continuation, pages = page.continuation, pages + 1
        assert sorted(found) == ["b1", "b2", "b3"]
        assert pages == 2


async def test_query_without_partition_reads_all(opened: Opens) -> None:
    async with opened() as rows:
        await rows.insert({"PartitionKey": "p", "RowKey": "r"})
        await rows.insert({"PartitionKey": "q", "RowKey": "r"})
        page = await rows.query()
        assert {str(stored.entity["PartitionKey"]) for stored in page.rows} == {"p", "q"}


async def test_transaction_applies_all_or_nothing(opened: Opens) -> None:
    async with opened() as rows:
        etag = await rows.insert({"PartitionKey": "p", "RowKey": "old", "n": 1})
        await rows.transact(
            [
                Operation("insert", {"PartitionKey": "p", "RowKey": "new", "n": 2**40}),
                Operation("replace", {"PartitionKey": "p", "RowKey": "old", "n": 2}, if_match=etag),
            ]
        )
        with pytest.raises(Conflict):
            await rows.transact(
                [
                    Operation("upsert", {"PartitionKey": "p", "RowKey": "other"}),
                    Operation("delete", {"PartitionKey": "p", "RowKey": "old"}, if_match=etag),
                ]
            )
        assert await rows.read("p", "other") is None
        new, old = await rows.read("p", "new"), await rows.read("p", "old")
        assert new is not None and new.entity["n"] == 2**40
        assert old is not None and old.entity["n"] == 2


async def test_forbidden_key_is_refused(opened: Opens) -> None:
    async with opened() as rows:
        with pytest.raises((StorageRefused, StorageUnavailable)):
            await rows.upsert({"PartitionKey": "a/b", "RowKey": "r"})


async def test_storage_that_does_not_answer_is_unavailable_in_time(table_service: Azurite) -> None:
    account = Tables(table_service.connection_string)
    rows = account.table(table_service.table_name(), deadline=0.25)
    try:
        await rows.upsert({"PartitionKey": "p", "RowKey": "r"})
        table_service.pause()
        begun = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await rows.read("p", "r")
        assert 0.2 < time.monotonic() - begun < 5
    finally:
        table_service.resume()
        await account.close()


async def test_clock_learns_the_service_time(table_service: Azurite) -> None:
    clock = StorageClock(lambda: time.time() - 3600)
    account = Tables(table_service.connection_string, clock=clock)
    try:
        rows = account.table(table_service.table_name())
        for n in range(20):
            await rows.upsert({"PartitionKey": "p", "RowKey": f"{n}"})
            await asyncio.sleep(0.06)
        assert abs(clock() - time.time()) < 0.25
    finally:
        await account.close()


async def test_token_fetch_outlives_the_caller_that_started_it() -> None:
    class SlowCredential:
        fetches = 0

        async def get_token(self, *scopes: str, **options: object) -> str:
            self.fetches += 1
            await asyncio.sleep(0.1)
            return "token"

    slow = SlowCredential()
    shared = SharedToken(slow)  # type: ignore[arg-type]
    impatient: Awaitable[str] = asyncio.wait_for(shared.get_token("scope"), 0.02)
    with pytest.raises(TimeoutError):
        await impatient
    assert await shared.get_token("scope") == "token"
    assert slow.fetches == 1
