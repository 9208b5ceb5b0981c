"""The arithmetic under the limiter: buckets, rings, periods, the storage clock, estimates."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stores.breaker import Breaker
from shared.stores.clock import StorageClock
from shared.stores.counter_ring import Buckets, Ring
from shared.stores.estimates import Estimates
from shared.stores.limits import part
from shared.stores.periods import NEVER, Calendar, CalendarUnit, Fixed


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(st.dictionaries(st.integers(1_700_000_000, 1_700_000_100), st.integers(0, 10**12)))
def test_ring_reads_what_it_wrote(amounts: dict[int, int]) -> None:
    ring = Ring.parse(Ring(amounts).text())
    assert ring.amounts == {bucket: amount for bucket, amount in amounts.items() if amount}


@given(
    st.sampled_from([1, 10, 60, 300]),
    st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 100)), max_size=60),
    st.floats(0, 1400),
)
def test_ring_never_forgets_what_is_in_the_window(window: int, charges: list[tuple[float, int]], now: float) -> None:
    buckets, ring = Buckets(window), Ring()
    for time, amount in charges:
        ring.add(buckets.at(time), amount)
    ring.trim(buckets.oldest(now))
    assert ring.total() >= sum(amount for time, amount in charges if now - window < time)
    assert ring.total() <= sum(amount for time, amount in charges if now - window - 2 * buckets.seconds < time)


def test_ring_of_a_busy_minute_is_small() -> None:
    assert len(Ring({28_000_000 + i: 40_000 for i in range(70)}).text()) < 600


def test_ring_tells_which_bucket_has_to_leave() -> None:
    ring = Ring({5: 10, 6: 20, 9: 30})
    assert ring.frees(10) == 5
    assert ring.frees(11) == 6
    assert ring.frees(61) is None


@pytest.mark.parametrize(
    ("unit", "start", "end"),
    [
        ("Hourly", "2024-02-29T23:00:00", "2024-03-01T00:00:00"),
        ("Daily", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
        ("Weekly", "2024-02-26T00:00:00", "2024-03-04T00:00:00"),
        ("Monthly", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("Yearly", "2024-01-01T00:00:00", "2025-01-01T00:00:00"),
    ],
)
def test_calendar_period_around_a_leap_day(unit: CalendarUnit, start: str, end: str) -> None:
    period = Calendar(unit)
    begun = period.start(at("2024-02-29T23:59:59.9"))
    assert begun == at(start)
    assert period.end(begun) == at(end)


def test_month_after_december_is_january() -> None:
    period = Calendar("Monthly")
    assert period.end(int(at("2026-12-01T00:00:00"))) == at("2027-01-01T00:00:00")


@given(st.integers(300, 10**7), st.integers(-(10**10), 10**10), st.floats(0, 4e9))
def test_fixed_period_contains_the_moment(seconds: int, first: int, now: float) -> None:
    period = Fixed(seconds, first)
    start = period.start(now)
    assert start <= now < period.end(start)
    assert (start - first) % seconds == 0


def test_period_of_no_length_never_ends() -> None:
    assert Fixed(0).end(Fixed(0).start(1e9)) == NEVER


@given(st.integers(0, 10**9), st.integers(1, 100))
def test_parts_of_a_limit_add_up(total: int, shards: int) -> None:
    parts = [part(total, shards, index) for index in range(shards)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_clock_believes_the_machine_while_storage_agrees() -> None:
    clock = StorageClock(lambda: 1000.4)
    clock.observe_second(1000.0, 1000.39, 1000.40)
    assert clock.offset == 0.0


def test_clock_narrows_a_wrong_machine_down() -> None:
    wrong_by, local = 30.0, [0.0]
    clock = StorageClock(lambda: local[0])
    for step in range(40):
        true = 5000 + step * 0.13
        local[0] = true - wrong_by
        clock.observe_second(float(int(true)), local[0] - 0.01, local[0])
    assert clock.offset == pytest.approx(wrong_by, abs=0.1)


def test_clock_never_runs_backwards() -> None:
    local = [1000.0]
    clock = StorageClock(lambda: local[0])
    before = clock()
    clock.observe_second(900.0, 1000.0, 1000.1)
    assert clock.offset < -50
    assert clock() >= before


def test_clock_ignores_a_header_it_cannot_read() -> None:
    clock = StorageClock(lambda: 1000.0)
    clock.observe("yesterday", 999.0, 1000.0)
    clock.observe(None, 999.0, 1000.0)
    assert clock.offset == 0.0


def test_breaker_lets_one_try_after_growing_pauses() -> None:
    breaker = Breaker(random.Random(1))
    breaker.trip(0.0)
    assert not breaker.take_probe(0.3)
    assert breaker.take_probe(0.7)
    assert not breaker.take_probe(0.7)
    now = 1.0
    for _ in range(8):
        breaker.trip(now)
        breaker.trip(now)
        now += 7
        assert breaker.take_probe(now)
    breaker.trip(now)
    assert not breaker.take_probe(now + 3.4)
    assert breaker.take_probe(now + 6.6)
    assert breaker.outages == 1
    breaker.reset(now)
    assert not breaker.tripped
    assert now + 6.5 < breaker.settled_at < now + 15


def test_estimates_are_running_means() -> None:
    estimates = Estimates()
    estimates.learn("k", "m", 40)
    assert estimates["k", "m"] == 40, "a first answer replaces the guess"
    for _ in range(60):
        estimates.learn("k", "m", 100)
    assert round(estimates["k", "m"]) == 100
    estimates.learn("k", "m", 200)
    assert round(estimates["k", "m"]) == 110


def test_estimates_forget_the_least_used() -> None:
    estimates = Estimates(max_entries=2)
    for key in ("a", "b", "c"):
        estimates.learn(key, "m", 7)
    assert list(estimates) == [("b", "m"), ("c", "m")]
    estimates.learn("b", "m", 7)
    estimates.learn("d", "m", 7)
    assert list(estimates) == [("b", "m"), ("d", "m")]
