"""Trips told to other instances through a table: who learns what, who tries first, what an outage does."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.backends import sharing
from shared.backends.health import Fleet, Health
from shared.backends.sharing import EVERY, FIRST_TRIAL, IDLE, SOON, Sharing
from shared.config.backends import Backend
from shared.stores.breaker_state import BreakerChange, BreakerStore
from shared.stores.memory import MemoryEntities
from shared.stores.protocols import StorageUnavailable
from tests.backends.pools import breaker
from tests.support.waiting import soon

URL = "https://one.example"


class Clock:
    """Real time, moved on by hand where waiting would take too long."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def utc(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)


class Instance:
    """One gateway instance as far as breakers go: a fleet of one backend, and its sharing."""

    def __init__(self, store: BreakerStore, name: str, clock: Clock, url: str = URL) -> None:
        self.clock = clock
        self.fleet = Fleet()
        self.health: Health = self.fleet.take(
            {"one": Backend.model_validate({"url": url, "circuit_breaker": breaker(trip="PT30S")})}
        )["one"]
        self.sharing = Sharing(store, self.fleet, name, clock=clock.utc, monotonic=clock.monotonic)
        self.fleet.on_change.append(self.sharing.tell)

    @property
    def state(self) -> str:
        assert self.health.breaker is not None
        return self.health.breaker.state(self.clock.monotonic())

    def call(self, status: int) -> bool:
        """A call answered so; whether it was let through."""
        self.sharing.touch()
        flight = self.health.begin(str, self.clock.monotonic())
        if flight is not None:
            flight.answered(status, [], self.clock.monotonic(), self.clock.utc(), streams=False)
            flight.ended()
        return flight is not None


@asynccontextmanager
async def instances(count: int, store: BreakerStore, *, url: str = URL) -> AsyncIterator[list[Instance]]:
    clock = Clock()
    made = [Instance(store, f"instance {number}", clock, URL if number == 0 else url) for number in range(count)]
    try:
        yield made
    finally:
        for one in made:
            await one.sharing.aclose()


def memory() -> BreakerStore:
    return BreakerStore(MemoryEntities(time.time))


async def test_a_trip_is_learned_and_so_is_the_end_of_it() -> None:
    async with instances(2, memory()) as (first, second):
        assert second.call(200)
        assert first.call(500)
        await soon(lambda: second.state == "open")
        assert second.health.foreign and not first.health.foreign
        assert not second.call(200)

        first.clock.ahead += 30
        # Its time is up at both, but the one that tripped tries first.
        assert (first.state, second.state) == ("half-open", "open")
        assert not second.call(200)
        assert first.call(200)
        await soon(lambda: second.state == "closed")
        assert second.call(200)


async def test_the_other_tries_too_when_the_first_does_not() -> None:
    async with instances(2, memory()) as (first, second):
        first.call(500)
        second.call(200)
        await soon(lambda: second.state == "open")
        first.clock.ahead += 30 + FIRST_TRIAL
        assert second.call(200)
        await soon(lambda: second.state == "closed")
        first.call(200)
        await soon(lambda: first.state == "closed")


async def test_of_two_that_trip_at_once_one_tries_first() -> None:
    async with instances(2, memory()) as both:
        for one in both:
            one.call(200)
        await asyncio.sleep(0.1)
        for one in both:
            one.call(500)
        await asyncio.sleep(3 * SOON)
        assert sum(one.health.foreign for one in both) == 1


async def test_a_trial_that_takes_its_time_stays_the_only_one() -> None:
    async with instances(2, memory()) as (first, second):
        first.call(500)
        second.call(200)
        await soon(lambda: second.state == "open")
        first.clock.ahead += 30
        trial = first.health.begin(str, first.clock.monotonic())
        assert trial is not None
        for _ in range(4):
            await asyncio.sleep(EVERY * 1.3)
            first.sharing.touch()
            assert not second.call(200)
            first.clock.ahead += FIRST_TRIAL / 3
        trial.answered(200, [], first.clock.monotonic(), first.clock.utc(), streams=False)
        await soon(lambda: second.state == "closed")


async def test_an_old_trip_nobody_has_ended_holds_nobody_up() -> None:
    store = memory()
    async with instances(2, store) as (first, late):
        first.call(500)
        await soon(lambda: not first.sharing._untold)
        late.clock.ahead += 30 + 2 * FIRST_TRIAL
        for _ in range(3):
            assert late.call(200)
            await asyncio.sleep(0.1)
        assert late.state == "closed"


async def test_what_is_known_of_another_address_says_nothing() -> None:
    async with instances(2, memory(), url="https://moved.example") as (first, second):
        first.call(500)
        for _ in range(4):
            second.call(200)
            await asyncio.sleep(EVERY / 4)
        assert second.state == "closed"


async def test_a_trip_is_written_once() -> None:
    written: list[Any] = []

    class Counted(MemoryEntities):
        async def upsert(self, entity: Any) -> str:
            written.append(entity)
            return await super().upsert(entity)

    async with instances(1, BreakerStore(Counted(time.time))) as (one,):
        one.call(500)
        await asyncio.sleep(EVERY * 1.5)
        assert [entity["RowKey"] for entity in written] == ["one"]


async def test_older_news_than_ones_own_is_none() -> None:
    async with instances(1, memory()) as (one,):
        one.call(500)
        at = one.health.changed_at
        assert at is not None
        one.health.learn(None, at - timedelta(seconds=1), 0.0)
        assert one.state == "open"
        one.health.learn(None, at + timedelta(seconds=1), 0.0)
        assert one.state == "closed"


async def test_nobody_looks_while_there_is_no_traffic() -> None:
    reads = 0

    class Counted(BreakerStore):
        async def read(self) -> Sequence[BreakerChange]:
            nonlocal reads
            reads += 1
            return await super().read()

    async with instances(1, Counted(MemoryEntities(time.time))) as (one,):
        one.call(200)
        await soon(lambda: reads == 1)
        one.clock.ahead += IDLE
        await asyncio.sleep(EVERY * 1.5)
        assert reads == 1
        one.call(200)
        await soon(lambda: reads == 2)


async def test_an_outage_is_said_once_and_what_was_to_tell_is_told_after_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    class Down(MemoryEntities):
        down = True

        async def upsert(self, entity: Any) -> str:
            if self.down:
                raise StorageUnavailable("down")
            return await super().upsert(entity)

    entities = Down(time.time)
    async with instances(2, BreakerStore(entities)) as (first, second):
        first.call(500)
        for _ in range(6):
            second.call(200)
            await asyncio.sleep(EVERY / 4)
        assert (first.state, second.state) == ("open", "closed")
        assert not first.call(200)
        entities.down = False
        await soon(lambda: second.state == "open")
    said = [
        record.message for record in caplog.records if record.name == sharing.log.name and "shared" in record.message
    ]
    assert said == ["circuit breakers are not shared at the moment: down", "circuit breakers are shared again"]


async def test_a_store_that_hangs_holds_nobody_up() -> None:
    class Hangs(BreakerStore):
        async def read(self) -> Sequence[BreakerChange]:
            await asyncio.sleep(3600)
            return []

    async with instances(1, Hangs(MemoryEntities(time.time))) as (one,):
        began = time.monotonic()
        assert one.call(500) and not one.call(200)
        await asyncio.sleep(0.1)
        assert not one.call(200)
        assert time.monotonic() - began < 1
