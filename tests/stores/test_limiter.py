"""What a limiter decides, what it costs in transactions, and what several of them decide together."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.stores.limiter import Limiter
from shared.stores.limits import Admission, Limit, Quota, Refusal, Window
from shared.stores.limits_admin import CounterAdmin
from shared.stores.memory import MemoryEntities
from shared.stores.periods import Calendar, Fixed
from tests.bench.virtual_time import VirtualLoop
from tests.stores.faulty import FaultyEntities

PER_MINUTE = Limit(Window(1000, 60))


@dataclass
class Fleet:
    """Instances that share a table, in virtual time."""

    loop: VirtualLoop
    rows: MemoryEntities = field(init=False)
    tables: list[FaultyEntities] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = MemoryEntities(self.loop.time)

    def instance(self, *, ahead: float = 0.0, **options: Any) -> Limiter:
        table = FaultyEntities(self.rows)
        self.tables.append(table)
        number = len(self.tables)
        return Limiter(
            table,
            clock=lambda: self.loop.now + ahead,
            chance=random.Random(number),
            writer=f"i{number}",
            **options,
        )

    @property
    def operations(self) -> int:
        return sum(table.operations for table in self.tables)

    def outage(self, down: bool) -> None:
        for table in self.tables:
            table.down = down

    @property
    def admin(self) -> CounterAdmin:
        return CounterAdmin(self.rows, self.loop.time)


Scenario = Callable[[Fleet], Coroutine[Any, Any, None]]


def in_virtual_time(scenario: Scenario) -> Callable[[], None]:
    def test() -> None:
        loop = VirtualLoop()
        loop.run(scenario(Fleet(loop)))

    test.__name__ = scenario.__name__
    return test


async def admitted(limiter: Limiter, limit: Limit, amount: int, times: int = 1) -> int:
    """Ask ``times`` times and return how much was admitted."""
    decisions = [await limiter.admit("k", limit, amount) for _ in range(times)]
    return sum(decision.amount for decision in decisions if isinstance(decision, Admission))


async def refused(limiter: Limiter, limit: Limit, amount: int) -> Refusal:
    decision = await limiter.admit("k", limit, amount)
    assert isinstance(decision, Refusal)
    return decision


@in_virtual_time
async def test_limit_holds_over_instances(fleet: Fleet) -> None:
    one, other = fleet.instance(), fleet.instance()
    total = 0
    for _ in range(15):
        total += await admitted(one, PER_MINUTE, 50) + await admitted(other, PER_MINUTE, 50)
        await asyncio.sleep(0.5)
    assert 900 <= total <= 1000


@in_virtual_time
async def test_limit_holds_although_clocks_differ_a_little(fleet: Fleet) -> None:
    behind, right = fleet.instance(ahead=-0.09), fleet.instance()
    await asyncio.sleep(1.05 - fleet.loop.now % 1)  # behind, it is still the second before
    assert await admitted(behind, PER_MINUTE, 1000) == 1000
    await behind.close()
    await asyncio.sleep(59.96)
    await refused(right, PER_MINUTE, 1000)
    await asyncio.sleep(1.5)
    assert await admitted(right, PER_MINUTE, 1000) == 1000


@in_virtual_time
async def test_refusal_says_when_it_would_fit(fleet: Fleet) -> None:
    limiter = fleet.instance()
    assert await admitted(limiter, PER_MINUTE, 100) == 100
    await asyncio.sleep(30)
    assert await admitted(limiter, PER_MINUTE, 900) == 900
    refusal = await refused(limiter, PER_MINUTE, 100)
    assert refusal.which == "window"
    assert refusal.fits
    assert 28 < refusal.retry_after < 45  # the first 100 leave within the time their lease could have lasted
    await asyncio.sleep(refusal.retry_after)
    assert await admitted(limiter, PER_MINUTE, 100) == 100


@in_virtual_time
async def test_nobody_is_told_to_wait_longer_than_the_window(fleet: Fleet) -> None:
    limiter = fleet.instance()
    await asyncio.sleep(1.01 - fleet.loop.now % 1)  # a bucket has just begun: it leaves 61 seconds from now
    assert await admitted(limiter, PER_MINUTE, 1000) == 1000
    refusal = await refused(limiter, PER_MINUTE, 1)
    assert refusal.retry_after == 60
    await asyncio.sleep(refusal.retry_after)
    rest = await refused(limiter, PER_MINUTE, 1)
    assert 1 < rest.retry_after <= 1.1
    await asyncio.sleep(rest.retry_after)
    assert await admitted(limiter, PER_MINUTE, 1000) == 1000


@in_virtual_time
async def test_amount_beyond_the_limit_never_fits(fleet: Fleet) -> None:
    assert not (await refused(fleet.instance(), PER_MINUTE, 1001)).fits


@in_virtual_time
async def test_repeated_refusals_cost_no_transactions(fleet: Fleet) -> None:
    limiter = fleet.instance()
    await admitted(limiter, PER_MINUTE, 1000)
    await refused(limiter, PER_MINUTE, 10)
    before = fleet.operations
    for _ in range(1000):
        assert isinstance(limiter.try_admit("k", PER_MINUTE, 10), Refusal)
    assert fleet.operations == before


@in_virtual_time
async def test_spending_a_lease_costs_no_transactions(fleet: Fleet) -> None:
    limiter = fleet.instance()
    limit = Limit(Window(1_000_000, 60))
    await admitted(limiter, limit, 10, times=2)
    before = fleet.operations
    assert await admitted(limiter, limit, 10, times=500) == 5000
    assert fleet.operations == before


@in_virtual_time
async def test_unused_estimate_can_be_used_by_others(fleet: Fleet) -> None:
    one, other = fleet.instance(), fleet.instance()
    admission = await one.admit("k", PER_MINUTE, 1000)
    assert isinstance(admission, Admission)
    await refused(other, PER_MINUTE, 500)
    assert admission.settle(100)
    await one.close()
    await asyncio.sleep(1.5)
    assert await admitted(other, PER_MINUTE, 500) == 500


@in_virtual_time
async def test_more_than_the_estimate_is_charged(fleet: Fleet) -> None:
    limiter = fleet.instance()
    admission = await limiter.admit("k", PER_MINUTE, 100)
    assert isinstance(admission, Admission)
    admission.settle(950)
    await refused(limiter, PER_MINUTE, 100)


@pytest.mark.parametrize("limit", [PER_MINUTE, Limit(quotas=(Quota(1000, Calendar("Hourly")),))])
def test_lease_on_its_way_pays_first_what_was_used_beyond_its_estimate(limit: Limit) -> None:
    async def scenario(fleet: Fleet) -> None:
        limiter = fleet.instance()
        first = await limiter.admit("k", limit, 100)
        assert isinstance(first, Admission)
        (table,) = fleet.tables
        table.held = asyncio.Event()
        asking = asyncio.create_task(limiter.admit("k", limit, 800))
        await asyncio.sleep(0.1)
        assert not asking.done(), "its lease is being written"
        assert first.settle(900)
        table.held.set()
        assert isinstance(await asking, Refusal)
        await refused(limiter, limit, 150)
        assert await admitted(limiter, limit, 100) == 100, "1000 in all, not more and not less"
        await limiter.close()
        report = (await fleet.admin.show("k"))[0]
        assert [use.used for use in (*report.windows.values(), *report.quotas.values())] == [1000]

    loop = VirtualLoop()
    loop.run(scenario(Fleet(loop)))


@in_virtual_time
async def test_only_the_first_settlement_counts(fleet: Fleet) -> None:
    limiter = fleet.instance()
    admission = await limiter.admit("k", PER_MINUTE, 100)
    assert isinstance(admission, Admission)
    assert admission.settle(300)
    assert not admission.release()
    assert not admission.settle(0)
    await limiter.close()
    assert (await fleet.admin.show("k"))[0].windows[60].used == 300


@in_virtual_time
async def test_released_admission_leaves_no_trace(fleet: Fleet) -> None:
    limiter = fleet.instance()
    admission = await limiter.admit("k", PER_MINUTE, 100)
    assert isinstance(admission, Admission)
    assert admission.release()
    await limiter.close()
    assert (await fleet.admin.show("k"))[0].windows[60].used == 0


@in_virtual_time
async def test_estimate_of_nothing_needs_something_left(fleet: Fleet) -> None:
    limiter = fleet.instance()
    free = await limiter.admit("k", PER_MINUTE, 0)
    assert isinstance(free, Admission)
    free.settle(1400)
    refusal = await refused(limiter, PER_MINUTE, 0)
    assert refusal.which == "window"


@in_virtual_time
async def test_quota_refuses_to_the_end_of_its_period(fleet: Fleet) -> None:
    limiter = fleet.instance()
    limit = Limit(quotas=(Quota(500, Calendar("Hourly")),))
    hour = Calendar("Hourly")
    assert await admitted(limiter, limit, 100, times=8) == 500
    refusal = await refused(limiter, limit, 100)
    assert refusal.which == "quota"
    assert refusal.quota == limit.quotas[0]
    assert refusal.retry_after == pytest.approx(hour.end(hour.start(fleet.loop.now)) - fleet.loop.now, abs=2)
    await asyncio.sleep(refusal.retry_after)
    assert await admitted(limiter, limit, 100, times=8) == 500


@in_virtual_time
async def test_clock_that_is_behind_does_not_reopen_the_last_period(fleet: Fleet) -> None:
    ahead, behind = fleet.instance(ahead=5.0), fleet.instance()
    hourly, both = Quota(500, Calendar("Hourly")), (Quota(500, Calendar("Hourly")), Quota(900, Calendar("Daily")))
    hour = Calendar("Hourly")
    await asyncio.sleep(hour.end(hour.start(fleet.loop.now)) - fleet.loop.now - 2)
    assert await admitted(ahead, Limit(quotas=(hourly,)), 400) == 400
    assert await admitted(behind, Limit(quotas=both), 100, times=2) == 100
    await asyncio.sleep(10)
    await ahead.close()
    await behind.close()
    report = (await fleet.admin.show("k"))[0]
    assert (report.quotas["q_hourly"].used, report.quotas["q_daily"].used) == (500, 100)


@in_virtual_time
async def test_damaged_entity_does_not_fail_requests(fleet: Fleet) -> None:
    limiter = fleet.instance(max_instances=10)
    await admitted(limiter, PER_MINUTE, 10)
    await limiter.close()
    ((partition, row),) = fleet.rows.keys()
    await fleet.rows.upsert({"PartitionKey": partition, "RowKey": row, "w_60": "nonsense"})
    fresh = fleet.instance(max_instances=10)
    assert await admitted(fresh, PER_MINUTE, 20, times=50) == 100
    await fleet.admin.reset("k")
    await asyncio.sleep(12)
    assert await admitted(fresh, PER_MINUTE, 500) == 500


@in_virtual_time
async def test_window_and_quota_are_charged_together(fleet: Fleet) -> None:
    limiter = fleet.instance()
    limit = Limit(Window(1000, 60), (Quota(10_000, Calendar("Daily")), Quota(1200, Fixed(0))))
    assert await admitted(limiter, limit, 500, times=3) == 1000
    await asyncio.sleep(75)
    assert await admitted(limiter, limit, 200, times=3) == 200
    await limiter.close()
    report = (await fleet.admin.show("k"))[0]
    assert report.quotas["q_daily"].used == 1200
    assert report.quotas["q_from0"].left == 0
    assert report.quotas["q_from0"].resets_at is None


@in_virtual_time
async def test_limits_of_one_key_share_what_they_have_in_common(fleet: Fleet) -> None:
    limiter = fleet.instance()
    strict, lax = Limit(Window(100, 60)), Limit(Window(1000, 60), (Quota(5000, Calendar("Daily")),))
    assert await admitted(limiter, lax, 150) == 150
    await refused(limiter, strict, 10)
    await limiter.close()
    report = (await fleet.admin.show("k"))[0]
    assert (report.windows[60].used, report.quotas["q_daily"].used) == (150, 150)


@in_virtual_time
async def test_what_another_counter_counts_is_left_to_it(fleet: Fleet) -> None:
    limiter = fleet.instance()
    both = Limit(Window(1000, 60), (Quota(5000, Calendar("Daily")),))
    for window, quotas in ((True, False), (False, True)):
        for actual in (0, 30, 100, 300):
            admission = await limiter.admit("k", both, 100)
            assert isinstance(admission, Admission)
            await asyncio.sleep(0.1)
            admission.leave(window=window, quotas=quotas)
            assert admission.settle(actual)
            admission.leave(window=True, quotas=True)  # too late: nothing happens
    await limiter.close()
    report = (await fleet.admin.show("k"))[0]
    assert (report.windows[60].used, report.quotas["q_daily"].used) == (430, 430)


@in_virtual_time
async def test_units_of_one_key_are_counted_apart(fleet: Fleet) -> None:
    limiter = fleet.instance()
    await admitted(limiter, PER_MINUTE, 1000)
    assert await admitted(limiter, Limit(Window(10, 60), unit="calls"), 1) == 1
    assert {report.unit for report in await fleet.admin.show("k")} <= {"tokens", "calls"}


@in_virtual_time
async def test_shards_together_hold_the_limit(fleet: Fleet) -> None:
    limiters = [fleet.instance() for _ in range(6)]
    limit = Limit(Window(10_000, 60), shards=4)
    total = 0
    for _ in range(60):
        total += sum([await admitted(limiter, limit, 50) for limiter in limiters])
        await asyncio.sleep(0.3)
    assert 9000 <= total <= 10_000
    for limiter in limiters:
        await limiter.close()
    report = (await fleet.admin.show("k"))[0]
    assert (report.shards, report.windows[60].used) == (4, total)


@in_virtual_time
async def test_reset_frees_the_counter_within_two_seconds(fleet: Fleet) -> None:
    limiter = fleet.instance()
    await admitted(limiter, PER_MINUTE, 1000)
    await refused(limiter, PER_MINUTE, 1000)
    assert await fleet.admin.reset("k") == 1
    await asyncio.sleep(1.5)
    assert await admitted(limiter, PER_MINUTE, 1000) == 1000


@in_virtual_time
async def test_settling_after_a_reset_does_not_touch_the_new_count(fleet: Fleet) -> None:
    limiter = fleet.instance()
    before = await limiter.admit("k", PER_MINUTE, 900)
    await fleet.admin.reset("k")
    assert await admitted(limiter, PER_MINUTE, 400) == 400
    assert isinstance(before, Admission)
    before.settle(0)
    await limiter.close()
    assert (await fleet.admin.show("k"))[0].windows[60].used == 400


@in_virtual_time
async def test_outage_admits_what_the_instance_used_before(fleet: Fleet) -> None:
    one, other = fleet.instance(), fleet.instance()
    used = 0
    for _ in range(20):
        used += await admitted(one, PER_MINUTE, 20)
        await asyncio.sleep(1)
    fleet.outage(True)
    in_outage = 0
    for _ in range(50):
        in_outage += await admitted(one, PER_MINUTE, 20)
        await asyncio.sleep(1)
    assert in_outage > 0
    fleet.outage(False)
    await asyncio.sleep(8)
    await one.close()
    stored = (await fleet.admin.show("k"))[0].windows[60].used
    assert 0 < stored <= 400 + 20
    assert await admitted(other, PER_MINUTE, 1000 - stored) == 1000 - stored


@in_virtual_time
async def test_after_an_outage_nothing_is_admitted_before_it_is_stored(fleet: Fleet) -> None:
    """Otherwise others would lease meanwhile what this instance is using up."""
    limiter = fleet.instance(max_instances=2)
    for _ in range(20):
        await admitted(limiter, PER_MINUTE, 20)
        await asyncio.sleep(1)
    fleet.outage(True)
    for _ in range(8):
        assert await admitted(limiter, PER_MINUTE, 20) == 20, "half of what was left"
        await asyncio.sleep(1)
    fleet.outage(False)
    for _ in range(4):
        await limiter.admit("k", PER_MINUTE, 900)  # too much, but it lets storage be asked
        await asyncio.sleep(1)
    before = (await fleet.admin.show("k"))[0].windows[60].used
    assert before == 28 * 20
    assert await admitted(limiter, PER_MINUTE, 20) == 20
    assert (await fleet.admin.show("k"))[0].windows[60].used >= before + 20
    assert (await refused(limiter, PER_MINUTE, 300)).which == "storage", "within the limit, but not its share"


@pytest.mark.parametrize(("mode", "expected"), [("open", 10_000), ("closed", 0)])
def test_outage_in_the_other_modes(mode: Any, expected: int) -> None:
    async def scenario(fleet: Fleet) -> None:
        limiter = fleet.instance()
        fleet.outage(True)
        limit = Limit(Window(1000, 60), on_storage_error=mode)
        assert await admitted(limiter, limit, 100, times=100) == expected

    loop = VirtualLoop()
    loop.run(scenario(Fleet(loop)))


@in_virtual_time
async def test_fresh_instance_in_an_outage_admits_its_floor(fleet: Fleet) -> None:
    limiter = fleet.instance(max_instances=10)
    fleet.outage(True)
    assert await admitted(limiter, PER_MINUTE, 20, times=50) == 100


@in_virtual_time
async def test_debts_of_an_outage_are_written_back(fleet: Fleet) -> None:
    limiter = fleet.instance()
    fleet.outage(True)
    limit = Limit(Window(1000, 60), on_storage_error="open")
    assert await admitted(limiter, limit, 100, times=7) == 700
    fleet.outage(False)
    await asyncio.sleep(12)
    assert (await fleet.admin.show("k"))[0].windows[60].used == 700


@in_virtual_time
async def test_counter_pushed_out_of_memory_gives_back(fleet: Fleet) -> None:
    limiter = fleet.instance(max_counters=2)
    limit = Limit(Window(1_000_000, 60))
    await limiter.admit("k", limit, 10)
    for name in ("a", "b", "c"):
        await limiter.admit(name, limit, 10)
    await asyncio.sleep(3)
    assert (await fleet.admin.show("k"))[0].windows[60].used == 10


@in_virtual_time
async def test_no_outage_fills_memory_with_counters(fleet: Fleet) -> None:
    limiter = fleet.instance(max_counters=20)
    monthly = Limit(quotas=(Quota(1000, Calendar("Monthly")),))
    fleet.outage(True)
    for number in range(200):
        await limiter.admit(f"key {number}", monthly, 10)
    operations = fleet.operations
    await limiter.flush()
    assert fleet.operations - operations <= 1, "who asks whether storage answers again is one"
    assert len(limiter._counters) + len(limiter._leaving) == 40
    assert len(limiter._instance.dirty) <= 40
    fleet.outage(False)
    await asyncio.sleep(12)
    assert len(limiter._leaving) == 0
    reports = await fleet.admin.list_all()
    assert {(report.key, report.quotas["q_monthly"].used) for report in reports} == {
        (f"key {number}", 10) for number in range(160, 200)
    }


@in_virtual_time
async def test_busy_counter_stays_in_memory(fleet: Fleet) -> None:
    limiter = fleet.instance(max_counters=3)
    busy = limiter.counter("k", PER_MINUTE)
    idle = limiter.counter("idle", PER_MINUTE)
    for number in range(10):
        await limiter.admit(f"other {number}", PER_MINUTE, 10)
        await limiter.flush()
        await limiter.admit("k", PER_MINUTE, 1)
    assert limiter.counter("k", PER_MINUTE) is busy
    assert limiter.counter("idle", PER_MINUTE) is not idle


@in_virtual_time
async def test_a_very_long_key_has_a_counter_of_its_own_and_is_found_by_it(fleet: Fleet) -> None:
    limiter = fleet.instance()
    long, other = "k" * 60_000, "k" * 59_999
    await limiter.admit(long, PER_MINUTE, 10)
    await limiter.admit(other, PER_MINUTE, 5)
    assert len(limiter.counter(long, PER_MINUTE).key) < 1_100
    await limiter.close()
    assert [report.windows[60].used for report in await fleet.admin.show(long)] == [10]
    assert [report.windows[60].used for report in await fleet.admin.show(other)] == [5]


@in_virtual_time
async def test_busy_counter_stays_small(fleet: Fleet) -> None:
    limiter = fleet.instance()
    for _ in range(400):
        await limiter.admit("k", PER_MINUTE, 5)
        await asyncio.sleep(1)
    assert limiter.counter("k", PER_MINUTE).remembered < 200


@in_virtual_time
async def test_caller_that_goes_away_leaves_the_count_right(fleet: Fleet) -> None:
    limiter = fleet.instance()
    asking = asyncio.create_task(limiter.admit("k", PER_MINUTE, 100))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.1)
    assert asking.cancelled()
    await limiter.close()
    assert (await fleet.admin.show("k"))[0].windows[60].used == 0


@in_virtual_time
async def test_remaining_counts_down(fleet: Fleet) -> None:
    limiter = fleet.instance()
    limit = Limit(Window(1000, 60), (Quota(3000, Calendar("Daily")),))
    assert limiter.remaining("k", limit).window == 1000
    await admitted(limiter, limit, 300)
    remaining = limiter.remaining("k", limit)
    assert (remaining.window, remaining.quotas) == (700, (2700,))
    admission = await limiter.admit("k", limit, 200)
    assert isinstance(admission, Admission) and admission.settle(50)  # storage has not heard of it yet
    remaining = limiter.remaining("k", limit)
    assert (remaining.window, remaining.quotas) == (650, (2650,))


@in_virtual_time
async def test_sweep_deletes_only_what_counts_nothing(fleet: Fleet) -> None:
    limiter = fleet.instance()
    await limiter.admit("short", PER_MINUTE, 10)
    await limiter.admit("forever", Limit(quotas=(Quota(100, Fixed(0)),)), 10)
    await limiter.close()
    assert await fleet.admin.sweep() == 0
    await asyncio.sleep(4000)
    assert await fleet.admin.sweep() == 1
    assert [report.key for report in await fleet.admin.list_all()] == ["forever"]


def test_limit_without_window_or_quota_is_refused() -> None:
    with pytest.raises(ValueError, match="a window or a quota"):
        Limit()
