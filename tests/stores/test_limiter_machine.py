"""Any order of requests, answers, crashes, conflicts and lost messages: what holds for a limit, always holds."""

import asyncio
import random
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from shared.stores.counter_entity import CounterSchema, partition
from shared.stores.counter_ring import Buckets
from shared.stores.limiter import Limiter
from shared.stores.limits import Admission, Limit, Quota, Window
from shared.stores.memory import MemoryEntities
from shared.stores.periods import Calendar
from tests.bench.virtual_time import VirtualLoop
from tests.stores.faulty import Fault, FaultyEntities

WINDOW, QUOTA = 1000, 4000
INSTANCES = 3


@dataclass(slots=True)
class Request:
    """An admitted request as the test remembers it; ``charge`` is what it may cost at most without debts."""

    admission: Admission
    instance: int
    at: float
    charge: int
    actual: int
    died: bool = False


class LimiterMachine(RuleBasedStateMachine):
    """Three instances on one table; ``closed``: without storage only leases are admitted, so nothing excuses excess."""

    requests: Bundle[Request] = Bundle("requests")
    instances = st.integers(0, INSTANCES - 1)

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.rows = MemoryEntities(self.loop.time)
        self.tables = [FaultyEntities(self.rows) for _ in range(INSTANCES)]
        self.limit = Limit(Window(WINDOW, 60), (Quota(QUOTA, Calendar("Hourly")),), on_storage_error="closed")
        self.names = 0
        self.limiters = [self.limiter(index) for index in range(INSTANCES)]
        self.all: list[Request] = []
        self.crashed = False

    def limiter(self, index: int) -> Limiter:
        self.names += 1
        return Limiter(
            self.tables[index],
            clock=self.loop.time,
            chance=random.Random(self.chance.random()),
            writer=f"i{self.names}",
        )

    @rule(target=requests, index=instances, amount=st.integers(1, 400))
    def admit(self, index: int, amount: int) -> Request | None:
        decision = self.loop.run_until_complete(self.limiters[index].admit("k", self.limit, amount))
        if not isinstance(decision, Admission):
            return None
        return self.note(index, decision, amount)

    def note(self, index: int, admission: Admission, amount: int) -> Request:
        """Remember an admission; an instance that knows it has used the limit up must not have made it."""
        request = Request(admission, index, self.loop.now, amount, amount)
        self.all.append(request)
        own = [each for each in self.all if each.instance == index and not each.died]
        assert sum(each.actual for each in own if each.at > request.at - 60) <= WINDOW
        assert sum(each.actual for each in own if each.at >= Calendar("Hourly").start(request.at)) <= QUOTA
        return request

    @rule(indexes=st.lists(instances, min_size=2, max_size=8), amount=st.integers(1, 300))
    def admit_at_once(self, indexes: list[int], amount: int) -> None:
        async def together() -> None:
            asked = (self.limiters[index].admit("k", self.limit, amount) for index in indexes)
            for index, decision in zip(indexes, await asyncio.gather(*asked), strict=True):
                if isinstance(decision, Admission):
                    self.note(index, decision, amount)

        self.loop.run_until_complete(together())

    @rule(request=consumes(requests), actual=st.integers(0, 500))
    def settle(self, request: Request | None, actual: int) -> None:
        if request is None or request.died:
            return
        assert request.admission.settle(actual)
        assert not request.admission.settle(actual + 1)
        request.actual = actual
        request.charge = min(request.charge, actual)

    @rule(request=consumes(requests), actual=st.integers(0, 500), amount=st.integers(1, 400))
    def settle_while_a_lease_is_on_its_way(self, request: Request | None, actual: int, amount: int) -> None:
        if request is None or request.died:
            return
        index = request.instance
        table = self.tables[index]

        async def together() -> None:
            table.held = asyncio.Event()
            asking = asyncio.create_task(self.limiters[index].admit("k", self.limit, amount))
            await asyncio.sleep(0.01)
            if asking.done() and isinstance(admission := asking.result(), Admission):
                self.note(index, admission, amount)
            self.settle(request, actual)
            table.held.set()
            table.held = None
            if not asking.done() and isinstance(admission := await asking, Admission):
                self.note(index, admission, amount)

        self.loop.run_until_complete(together())

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 4.0, 11.0, 31.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(index=instances, faults=st.lists(st.sampled_from(Fault), min_size=1, max_size=3))
    def disturb(self, index: int, faults: list[Fault]) -> None:
        self.tables[index].faults.extend(faults)

    @rule(index=instances)
    def arrive_late(self, index: int) -> None:
        self.loop.run_until_complete(self.tables[index].apply_late())

    @rule(index=instances)
    def crash(self, index: int) -> None:
        self.limiters[index].abandon()
        self.limiters[index] = self.limiter(index)
        self.crashed = True
        for request in self.all:
            request.died = request.died or request.instance == index

    @rule(index=instances)
    def close(self, index: int) -> None:
        self.loop.run_until_complete(self.limiters[index].close())

    @invariant()
    def no_window_and_no_quota_is_exceeded(self) -> None:
        if not hasattr(self, "loop"):
            return
        now = self.loop.now
        assert sum(request.charge for request in self.all if request.at > now - 60) <= WINDOW
        hour = Calendar("Hourly").start(now)
        assert sum(request.charge for request in self.all if request.at >= hour) <= QUOTA

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.loop.run_until_complete(self.come_to_rest())
            self.compare_with_storage()
        finally:
            for limiter in self.limiters:
                limiter.abandon()
            self.loop.run_until_complete(asyncio.sleep(0))
            asyncio.set_event_loop(None)
            self.loop.close()

    async def come_to_rest(self) -> None:
        for table in self.tables:
            table.faults.clear()
        for _ in range(4):  # longer than the longest pause of the breaker, and once more for what was left to resolve
            await asyncio.sleep(7)
            for limiter in self.limiters:
                await limiter.close()

    def compare_with_storage(self) -> None:
        """Nothing charged twice, nothing forgotten: what is stored is the sum of what was used."""
        buckets = Buckets(60)
        now = self.loop.now
        oldest = buckets.oldest(now)
        hour = Calendar("Hourly").start(now)
        stored = self.loop.run_until_complete(self.rows.read(partition("tokens", "k", 0, 1), "w"))
        if stored is None:
            assert not self.all
            return
        state = CounterSchema("k", self.limit).read(stored.entity)
        ring = state.ring.total_since(oldest)
        quota = state.quotas[0].used if state.quotas[0].start == hour else 0
        in_window = [request for request in self.all if request.admission.bucket >= oldest]
        in_hour = [request for request in self.all if request.at >= hour]
        if self.crashed:
            # What was leased and unspent is lost, what was used beyond the estimate and not yet written as well.
            assert ring >= sum(request.charge for request in in_window)
            assert quota >= sum(request.charge for request in in_hour)
        else:
            assert ring == sum(request.actual for request in in_window)
            assert quota == sum(request.actual for request in in_hour)


LimiterMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLimiterMachine = LimiterMachine.TestCase
