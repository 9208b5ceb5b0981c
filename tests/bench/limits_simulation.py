"""The limiter at up to 1,000 instances in virtual time: the same code, a simulated network and table service."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.stores.clock import StorageClock
from shared.stores.limiter import Limiter
from shared.stores.limits import Admission, Limit, OnStorageError, Quota, Window
from shared.stores.periods import Fixed
from tests.bench.usage_windows import WindowUse, percentile, window_use
from tests.bench.virtual_time import SimulatedEntities, SimulatedService, VirtualLoop
from tests.bench.workload import MEAN_TOKENS, answer, reservation


@dataclass(frozen=True)
class Scenario:
    """``load``: tokens asked for as a multiple of the limit. ``reserve``: what is known before the answer."""

    name: str
    instances: int
    load: float = 1.5
    limit: int = 2_400_000
    window: int = 60
    seconds: float = 180.0
    shards: int = 1
    reserve: str = "exact"
    answer_seconds: float = 4.0
    round_trip: float = 0.008
    clock_skew: float = 0.02
    partition_rate: float = 2000.0
    on_storage_error: OnStorageError = "bounded"
    outages: Sequence[tuple[float, float]] = ()
    crash_at: float | None = None
    crash_share: float = 0.5
    churn_every: float | None = None
    quota: tuple[int, int] | None = None
    seed: int = 1


@dataclass
class Result:
    scenario: Scenario
    requests: int = 0
    refused: int = 0
    operations: int = 0
    conflicts: int = 0
    waits: list[float] = field(default_factory=list)
    reserved: list[tuple[float, int]] = field(default_factory=list)
    used: list[tuple[float, int]] = field(default_factory=list)
    lost: int = 0
    reserved_use: WindowUse = field(default_factory=lambda: WindowUse(0, 0, 0))
    true_use: WindowUse = field(default_factory=lambda: WindowUse(0, 0, 0))
    quota_use: list[float] = field(default_factory=list)
    cpu: float = 0.0
    recovered: float = 0.0
    """Mean use of the limit from 70 s after a crash on."""

    @property
    def operations_per_request(self) -> float:
        return self.operations / max(1, self.requests)

    def wait(self, proportion: float) -> float:
        """Milliseconds that admitting took, at a percentile."""
        return 1000 * percentile(self.waits, proportion)


class Fleet:
    """The instances of one run and the requests that come to them."""

    def __init__(self, loop: VirtualLoop, scenario: Scenario) -> None:
        self.scenario = scenario
        self.result = Result(scenario)
        self._loop = loop
        self._chance = random.Random(scenario.seed)
        self._service = SimulatedService(
            loop, self._chance, round_trip=scenario.round_trip, partition_rate=scenario.partition_rate
        )
        self._begin = loop.time()
        self._service.outages = [(self._begin + a, self._begin + b) for a, b in scenario.outages]
        quotas = () if scenario.quota is None else (Quota(scenario.quota[0], Fixed(scenario.quota[1])),)
        self._limit = Limit(
            Window(scenario.limit, scenario.window),
            quotas,
            shards=scenario.shards,
            on_storage_error=scenario.on_storage_error,
        )
        self._limiters = [self._instance() for _ in range(scenario.instances)]
        self._alive = [True] * scenario.instances

    def _instance(self) -> Limiter:
        skew = self._chance.gauss(0, self.scenario.clock_skew)
        clock = StorageClock(lambda: self._loop.now + skew)
        logging.getLogger("shared.stores").setLevel(logging.ERROR)  # a fleet reports an outage once per instance
        return Limiter(
            SimulatedEntities(self._service, clock),
            clock=clock,
            chance=random.Random(self._chance.getrandbits(64)),
            writer=f"{self._chance.getrandbits(32):08x}",
            max_instances=max(40, self.scenario.instances),
        )

    async def run(self) -> Result:
        scenario, result = self.scenario, self.result
        happenings = [asyncio.create_task(self._crash()), asyncio.create_task(self._churn())]
        await asyncio.gather(*(self._source(index) for index in range(scenario.instances)))
        result.operations = self._service.operations
        result.conflicts = self._service.conflicts
        for task in happenings:
            task.cancel()
        end = self._begin + scenario.seconds
        result.waits.sort()
        result.reserved_use = window_use(result.reserved, scenario.window, scenario.limit, self._begin, end)
        result.true_use = window_use(result.used, scenario.window, scenario.limit, self._begin, end)
        if scenario.crash_at is not None:
            healed = self._begin + scenario.crash_at + 70 - scenario.window
            result.recovered = window_use(result.used, scenario.window, scenario.limit, healed, end).mean
        if scenario.quota is not None:
            result.quota_use = self._quota_use(*scenario.quota)
        return result

    def _quota_use(self, limit: int, period: int) -> list[float]:
        uses: dict[int, int] = {}
        for at, amount in self.result.used:
            uses[int(at // period)] = uses.get(int(at // period), 0) + amount
        return [uses[index] / limit for index in sorted(uses)]

    async def _source(self, index: int) -> None:
        scenario = self.scenario
        rate = scenario.load * scenario.limit / scenario.window / MEAN_TOKENS / scenario.instances
        running: set[asyncio.Task[None]] = set()
        await asyncio.sleep(self._chance.expovariate(rate))
        while self._loop.now < self._begin + scenario.seconds and self._alive[index]:
            task = asyncio.create_task(self._request(index))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(self._chance.expovariate(rate))

    async def _request(self, index: int) -> None:
        limiter, result = self._limiters[index], self.result
        prompt, actual = answer(self._chance)
        amount = reservation(self.scenario.reserve, prompt, actual)
        begun = self._loop.now
        result.requests += 1
        decision = await limiter.admit("k", self._limit, amount)
        result.waits.append(self._loop.now - begun)
        if not isinstance(decision, Admission):
            result.refused += 1
            return
        result.used.append((self._loop.now, actual))
        reserved_at = len(result.reserved)
        result.reserved.append((self._loop.now, amount))
        await asyncio.sleep(self._chance.expovariate(1 / self.scenario.answer_seconds))
        if self._alive[index] and self._limiters[index] is limiter:
            decision.settle(actual)
            result.reserved[reserved_at] = (result.reserved[reserved_at][0], min(amount, actual))

    async def _crash(self) -> None:
        if self.scenario.crash_at is None:
            return
        await asyncio.sleep(self.scenario.crash_at)
        for index in self._chance.sample(
            range(len(self._limiters)), int(len(self._limiters) * self.scenario.crash_share)
        ):
            self._kill(index)
            self._alive[index] = False

    async def _churn(self) -> None:
        while self.scenario.churn_every is not None:
            await asyncio.sleep(self.scenario.churn_every)
            index = self._chance.randrange(len(self._limiters))
            self._kill(index)
            self._limiters[index] = self._instance()

    def _kill(self, index: int) -> None:
        """What kill -9 does: nothing is given back, nothing more is written."""
        limiter = self._limiters[index]
        self.result.lost += limiter.counter("k", self._limit).leased
        limiter.abandon()


def simulate(scenario: Scenario) -> Result:
    """Run a scenario; equal scenarios give equal results."""
    begun = time.process_time()
    loop = VirtualLoop()
    result = loop.run(Fleet(loop, scenario).run())
    result.cpu = time.process_time() - begun
    return result
