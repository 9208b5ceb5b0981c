"""The limiter in real processes against Azurite, with an injected round trip, crashes and a storage outage."""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from shared.stores.limits import OnStorageError
from tests.bench.limits_worker import Job, encode
from tests.bench.usage_windows import WindowUse, percentile, window_use
from tests.bench.workload import MEAN_TOKENS
from tests.support.azurite import Azurite
from tests.support.processes import ChildProcess

_START = 0.9
"""Seconds one more worker takes to start on a small machine."""


@dataclass(frozen=True)
class Trial:
    """``load``: tokens asked for as a multiple of the limit; times are seconds since the begin."""

    name: str
    processes: int = 8
    load: float = 1.5
    limit: int = 1_200_000
    window: int = 60
    seconds: float = 100.0
    reserve: str = "predict"
    answer_seconds: float = 2.0
    round_trip: float = 0.008
    on_storage_error: OnStorageError = "bounded"
    kill_half_at: float | None = None
    outage: tuple[float, float] | None = None


@dataclass(frozen=True)
class Figures:
    """What a run is judged by: waits in milliseconds, uses as proportions of the limit."""

    name: str
    instances: int
    requests: int
    refused: int
    operations: int
    conflicts: int
    p50: float
    p99: float
    reserved: WindowUse
    used: WindowUse
    cpu: float

    @property
    def operations_per_request(self) -> float:
        return self.operations / max(1, self.requests)


def run(trial: Trial, azurite: Azurite) -> Figures:
    """Start the workers, disturb them as the trial says, and read what they admitted."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time() + 1.5 + _START * trial.processes / 2
        jobs = [_job(trial, azurite, begin, index, Path(folder)) for index in range(trial.processes)]
        workers = [ChildProcess([sys.executable, "-m", "tests.bench.limits_worker", encode(job)]) for job in jobs]
        try:
            _disturb(trial, begin, workers, azurite)
            _wait_for(workers, begin + trial.seconds + 15)
        finally:
            azurite.resume()
            for worker in workers:
                worker.stop()
        return _figures(trial, begin, jobs)


def _job(trial: Trial, azurite: Azurite, begin: float, index: int, folder: Path) -> Job:
    return Job(
        connection_string=azurite.connection_string,
        table="limits",
        key=f"{trial.name} {begin}",
        limit=trial.limit,
        window=trial.window,
        rate=trial.load * trial.limit / trial.window / MEAN_TOKENS / trial.processes,
        begin=begin,
        seconds=trial.seconds,
        reserve=trial.reserve,
        answer_seconds=trial.answer_seconds,
        round_trip=trial.round_trip,
        on_storage_error=trial.on_storage_error,
        seed=index + 1,
        out=str(folder / f"worker{index}"),
    )


def _disturb(trial: Trial, begin: float, workers: list[ChildProcess], azurite: Azurite) -> None:
    if trial.kill_half_at is not None:
        _sleep_until(begin + trial.kill_half_at)
        for worker in workers[: len(workers) // 2]:
            worker.kill()
    if trial.outage is not None:
        _sleep_until(begin + trial.outage[0])
        azurite.pause()
        _sleep_until(begin + trial.outage[1])
        azurite.resume()


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _wait_for(workers: list[ChildProcess], latest: float) -> None:
    while time.time() < latest and any(worker.exit_code is None for worker in workers):
        time.sleep(0.1)


def _figures(trial: Trial, begin: float, jobs: list[Job]) -> Figures:
    lines = [line.split() for job in jobs for line in Path(job.out).read_text().splitlines() if line.count(" ") == 2]
    reports = [json.loads(file.read_text()) for job in jobs if (file := Path(f"{job.out}.json")).exists()]
    waits = sorted(wait for report in reports for wait in report["waits"])
    end = begin + trial.seconds
    reserved = [(float(at), int(charge)) for at, charge, _ in lines]
    used = [(float(at), int(actual)) for at, _, actual in lines]
    return Figures(
        name=trial.name,
        instances=trial.processes,
        requests=sum(report["requests"] for report in reports),
        refused=sum(report["refused"] for report in reports),
        operations=sum(report["operations"] for report in reports),
        conflicts=sum(report["conflicts"] for report in reports),
        p50=1000 * percentile(waits, 0.5),
        p99=1000 * percentile(waits, 0.99),
        reserved=window_use(reserved, trial.window, trial.limit, begin, end),
        used=window_use(used, trial.window, trial.limit, begin, end),
        cpu=sum(report["cpu"] for report in reports),
    )
