"""One gateway instance of the limits benchmark: its own process, asked at random times, writing down what it admits."""

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.stores.clock import StorageClock
from shared.stores.limiter import OPERATION_DEADLINE, Limiter
from shared.stores.limits import Admission, Limit, OnStorageError, Window
from shared.stores.tables import Tables
from tests.bench.delayed import DelayedEntities
from tests.bench.workload import answer, reservation


@dataclass(frozen=True)
class Job:
    """What a worker does: ``rate`` requests per second from ``begin`` for ``seconds``; results go to ``out``."""

    connection_string: str
    table: str
    key: str
    limit: int
    window: int
    rate: float
    begin: float
    seconds: float
    reserve: str
    answer_seconds: float
    round_trip: float
    on_storage_error: OnStorageError
    seed: int
    out: str


class Worker:
    """Asks one limiter on behalf of many clients."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._chance = random.Random(job.seed)
        clock = StorageClock(time.time)
        self._account = Tables(job.connection_string, clock=clock)
        table = self._account.table(job.table, deadline=OPERATION_DEADLINE)
        self._entities = DelayedEntities(table, self._chance, job.round_trip)
        self._limiter = Limiter(self._entities, clock=clock, chance=self._chance)
        self._limit = Limit(Window(job.limit, job.window), on_storage_error=job.on_storage_error)
        self._waits: list[float] = []
        self._refused = 0
        # A line at a time, so that a killed worker's admissions count as well.
        self._admitted = Path(job.out).open("w", buffering=1)

    async def run(self) -> None:
        job = self._job
        running: set[asyncio.Task[None]] = set()
        await self._entities.read("warm", "up")
        await asyncio.sleep(max(0.0, job.begin - time.time()))
        self._entities.operations = 0
        cpu = time.process_time()
        while time.time() < job.begin + job.seconds:
            task = asyncio.create_task(self._request())
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(self._chance.expovariate(job.rate))
        self._report(time.process_time() - cpu)
        for task in running:
            task.cancel()
        await self._limiter.close()
        await self._account.close()

    async def _request(self) -> None:
        job = self._job
        prompt, actual = answer(self._chance)
        begun = time.perf_counter()
        decision = await self._limiter.admit(job.key, self._limit, reservation(job.reserve, prompt, actual))
        self._waits.append(time.perf_counter() - begun)
        if not isinstance(decision, Admission):
            self._refused += 1
            return
        self._admitted.write(f"{time.time():.4f} {min(decision.amount, actual)} {actual}\n")
        await asyncio.sleep(self._chance.expovariate(1 / job.answer_seconds))
        decision.settle(actual)

    def _report(self, cpu: float) -> None:
        report = {
            "requests": len(self._waits),
            "refused": self._refused,
            "operations": self._entities.operations,
            "conflicts": self._entities.conflicts,
            "waits": self._waits,
            "cpu": cpu,
        }
        Path(f"{self._job.out}.json").write_text(json.dumps(report))


def encode(job: Job) -> str:
    """Write a job as the worker's one argument."""
    return json.dumps(asdict(job))


if __name__ == "__main__":
    asyncio.run(Worker(Job(**json.loads(sys.argv[1]))).run())
