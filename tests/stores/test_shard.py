"""A write whose answer was lost: applied, not applied, applied late, or impossible to tell."""

import asyncio
import random

import pytest

from shared.stores.counter_entity import WRITERS
from shared.stores.debts import due
from shared.stores.demand import Demand
from shared.stores.limits import Limit, Quota, Window
from shared.stores.memory import MemoryEntities
from shared.stores.periods import Fixed
from shared.stores.protocols import Conflict, StorageUnavailable
from shared.stores.shard import Grant, Shard
from tests.stores.faulty import Fault, FaultyEntities

LIMIT = Limit(Window(1000, 60), (Quota(5000, Fixed(0)),))
PERIODS = (0,)


class Bench:
    """Two instances' views of one shard."""

    def __init__(self) -> None:
        self.rows = MemoryEntities(lambda: 1000.0)
        self.mine_table, self.other_table = FaultyEntities(self.rows), FaultyEntities(self.rows)
        self.mine = Shard(self.mine_table, "k", LIMIT, 0, "mine", random.Random(1))
        self.other = Shard(self.other_table, "k", LIMIT, 0, "other", random.Random(2))


async def charge(shard: Shard, bucket: int, amount: int, grant: Grant | None = None) -> None:
    """Owe an amount and write it on top of what was read last."""
    shard.charge(bucket, amount)
    shard.owe(amount, PERIODS, PERIODS)
    await write(shard, grant)


async def write(shard: Shard, grant: Grant | None = None) -> None:
    await shard.write(shard.draft(PERIODS, 0), PERIODS, grant)


def stored(shard: Shard) -> tuple[int, int]:
    assert shard.state is not None
    return shard.state.ring.total(), shard.state.quotas[0].used


async def test_unanswered_write_is_found_with_its_lease() -> None:
    bench = Bench()
    await bench.mine.read(PERIODS)
    bench.mine_table.faults.append(Fault.UNANSWERED)
    grant = Grant(50, 20, 1010.0)
    with pytest.raises(StorageUnavailable):
        await charge(bench.mine, 10, 7, grant)
    assert not bench.mine.clean()
    applied = await bench.mine.read(PERIODS)
    assert [write.grant for write in applied] == [grant]
    assert bench.mine.clean()
    assert stored(bench.mine) == (7, 7)


async def test_lost_write_stays_owed() -> None:
    bench = Bench()
    await charge_first(bench)
    bench.mine_table.faults.append(Fault.LOST)
    with pytest.raises(StorageUnavailable):
        await charge(bench.mine, 10, 7)
    assert await bench.mine.read(PERIODS) == []
    await write(bench.mine)
    assert stored(bench.mine) == (8, 8)


async def test_late_write_is_recognised_when_it_beats_the_next() -> None:
    bench = Bench()
    await charge_first(bench)
    bench.mine_table.faults.append(Fault.LATE)
    with pytest.raises(StorageUnavailable):
        await charge(bench.mine, 10, 7, Grant(50, 20, 1010.0))
    assert await bench.mine.read(PERIODS) == []
    await bench.mine_table.apply_late()
    with pytest.raises(Conflict):
        await write(bench.mine)
    applied = await bench.mine.read(PERIODS)
    assert [write.grant and write.grant.amount for write in applied] == [50]
    assert bench.mine.clean()
    assert stored(bench.mine) == (8, 8)


async def test_write_repeated_by_the_http_client_is_no_conflict_with_others() -> None:
    bench = Bench()
    await charge_first(bench)
    bench.mine_table.faults.append(Fault.REPEATED)
    with pytest.raises(Conflict):
        await charge(bench.mine, 10, 7)
    assert len(await bench.mine.read(PERIODS)) == 1
    assert stored(bench.mine) == (8, 8)


async def test_write_followed_by_others_is_still_recognised() -> None:
    bench = Bench()
    await charge_first(bench)
    bench.mine_table.faults.append(Fault.UNANSWERED)
    with pytest.raises(StorageUnavailable):
        await charge(bench.mine, 10, 7)
    await bench.other.read(PERIODS)
    for _ in range(5):
        await charge(bench.other, 11, 1)
    assert len(await bench.mine.read(PERIODS)) == 1
    assert stored(bench.mine) == (13, 13)


async def test_write_that_nobody_can_tell_counts_against_the_writer() -> None:
    bench = Bench()
    await charge_first(bench)
    await charge(bench.mine, 20, 30)
    bench.mine_table.faults.append(Fault.UNANSWERED)
    bench.mine.charge(20, -30)
    with pytest.raises(StorageUnavailable):
        await charge(bench.mine, 10, 7)
    for number in range(WRITERS):
        crowd = Shard(bench.other_table, "k", LIMIT, 0, f"crowd{number}", random.Random(number))
        await crowd.read(PERIODS)
        await charge(crowd, 11, 1)
    assert await bench.mine.read(PERIODS) == []
    bench.mine.forget_before(0)
    assert bench.mine.pending == {10: 7}, "the debt is kept, the credit is not repeated"


async def test_writer_list_stays_short() -> None:
    bench = Bench()
    for number in range(WRITERS + 10):
        shard = Shard(bench.other_table, "k", LIMIT, 0, f"w{number}", random.Random(number))
        await shard.read(PERIODS)
        await charge(shard, 11, 1)
    await bench.mine.read(PERIODS)
    assert bench.mine.state is not None
    assert len(bench.mine.state.writers) == WRITERS


async def test_reset_forgets_what_was_owed_to_the_old_count() -> None:
    bench = Bench()
    await charge_first(bench)
    bench.mine.charge(10, -5)
    await bench.rows.delete(*_keys(bench))
    await bench.other.read(PERIODS)
    await charge(bench.other, 11, 100)
    await bench.mine.read(PERIODS)
    assert bench.mine.age == 1
    assert bench.mine.pending == {}
    assert stored(bench.mine) == (100, 100)


async def test_properties_of_other_limits_survive() -> None:
    bench = Bench()
    await charge_first(bench)
    hourly = Limit(Window(10, 300), (Quota(9, Fixed(3600)),))
    stranger = Shard(bench.other_table, "k", hourly, 0, "stranger", random.Random(3))
    await stranger.read(PERIODS)
    await charge(stranger, 5, 3)
    await bench.mine.read(PERIODS)
    await charge(bench.mine, 10, 1)
    await stranger.read(PERIODS)
    assert stored(stranger) == (3, 3)
    assert stored(bench.mine) == (2, 2)


async def test_what_only_moves_between_buckets_is_worth_no_transaction() -> None:
    bench = Bench()
    await bench.mine.read(PERIODS)
    await charge(bench.mine, 20, 900)
    demand = Demand()
    demand.note(1000.0, 400)  # 40 typically
    bench.mine.charge(20, -300)
    bench.mine.charge(10, 300)
    assert not due(bench.mine, demand, 1000.0, 60, after_outage=False)
    bench.mine.charge(20, -100)
    assert due(bench.mine, demand, 1000.0, 60, after_outage=False), "100 that others could use"


async def charge_first(bench: Bench) -> None:
    await bench.mine.read(PERIODS)
    await charge(bench.mine, 10, 1)
    await asyncio.sleep(0)


def _keys(bench: Bench) -> tuple[str, str]:
    ((partition, row),) = bench.rows.keys()
    return partition, row
