"""`make bench-limits`: the limiter in simulation and in real processes, judged by its goals.

python -m tests.bench.limits            # about five minutes
python -m tests.bench.limits --quick    # under a minute: fewer instances, shorter windows
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.bench.limits_processes import Figures, Trial, run
from tests.bench.limits_simulation import Result, Scenario, simulate
from tests.support.azurite import Azurite

MINUTE = 2_400_000  # tokens per minute: 50 requests of 800 tokens per second


@dataclass(frozen=True)
class Goal:
    """One row of the goals table: what is wanted of which run."""

    text: str
    run: str
    measure: Callable[["Row"], float]
    most: float = float("inf")
    least: float = float("-inf")
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """One run, simulated or real, in the terms the table is printed in."""

    name: str
    where: str
    instances: int
    requests: int
    operations_per_request: float
    p50: float
    p99: float
    reserved: float
    used: float
    mean: float
    conflicts: int
    refused: float
    lost_per_instance: float = 0.0
    recovered: float = 0.0
    quota: tuple[float, ...] = ()
    cpu_per_request: float = 0.0


def simulated(result: Result) -> Row:
    scenario = result.scenario
    dead = int(scenario.instances * scenario.crash_share) if scenario.crash_at is not None else 0
    return Row(
        scenario.name,
        "simulation",
        scenario.instances,
        result.requests,
        result.operations_per_request,
        result.wait(0.5),
        result.wait(0.99),
        100 * result.reserved_use.worst - 100,
        100 * result.true_use.worst - 100,
        100 * result.true_use.mean,
        result.conflicts,
        100 * result.refused / max(1, result.requests),
        lost_per_instance=100 * result.lost / scenario.limit / max(1, dead),
        recovered=100 * result.recovered,
        quota=tuple(100 * use for use in result.quota_use),
    )


def real(figures: Figures) -> Row:
    return Row(
        figures.name,
        "processes",
        figures.instances,
        figures.requests,
        figures.operations_per_request,
        figures.p50,
        figures.p99,
        100 * figures.reserved.worst - 100,
        100 * figures.used.worst - 100,
        100 * figures.used.mean,
        figures.conflicts,
        100 * figures.refused / max(1, figures.requests),
        cpu_per_request=1e6 * figures.cpu / max(1, figures.requests),
    )


def saturated(name: str, instances: int, limit: int, shards: int = 1, reserve: str = "predict") -> Scenario:
    return Scenario(name, instances, limit=limit, shards=shards, reserve=reserve)


def scenarios(quick: bool) -> list[Scenario]:
    """The simulated runs; the rate in a name is requests per second of one instance."""
    few = [
        saturated("saturated 9/s", 8, MINUTE),
        saturated("saturated 5/s", 8, MINUTE // 2),
        saturated("strict 9/s", 8, MINUTE, reserve="strict"),
        Scenario("overload 20x", 8, load=20, limit=600_000, seconds=90),
        Scenario("crash of half", 8, crash_at=90),
        Scenario("crash of one", 8, load=3, crash_at=90, crash_share=0.125, seconds=240),
        Scenario("outage 30 s", 32, seconds=240, outages=((100, 130),)),
    ]
    if quick:
        return few
    return [
        *few,
        saturated("saturated 50/s", 8, 12_800_000),
        saturated("saturated 5/s, 15 instances", 15, MINUTE),
        saturated("saturated 2/s", 32, MINUTE),
        saturated("saturated 2/s, 8 instances", 8, 512_000),
        saturated("saturated 1/s", 8, 256_000),
        saturated("saturated 0.2/s", 8, 51_200),
        saturated("300 instances, 12 shards", 300, MINUTE, shards=12),
        saturated("1000 instances, 40 shards", 1000, MINUTE, shards=40),
        saturated("strict 2/s", 32, MINUTE, reserve="strict"),
        saturated("none 9/s", 8, MINUTE, reserve="none"),
        Scenario("overload 20x, 32 instances", 32, load=20, limit=600_000, seconds=90),
        Scenario("overload 20x, predict", 8, load=20, limit=600_000, seconds=90, reserve="predict"),
        Scenario("overload 20x, strict", 8, load=20, limit=600_000, seconds=90, reserve="strict"),
        Scenario("overload 20x in an outage", 32, load=20, limit=600_000, seconds=240, outages=((100, 130),)),
        Scenario("clocks 1 s apart", 32, clock_skew=1.0),
        Scenario("partition of 50 tx/s", 32, partition_rate=50),
        Scenario("quota", 8, load=1.0, seconds=600, quota=(10_000_000, 300)),
        Scenario("quota, strict", 8, load=1.0, seconds=600, quota=(10_000_000, 300), reserve="strict"),
        Scenario("quota, an instance dies each 5 s", 32, load=1.0, seconds=600, quota=(10_000_000, 300), churn_every=5),
    ]


def trials(quick: bool) -> list[Trial]:
    """The runs in real processes. Killed processes and the outage use a window short enough to see what follows."""
    if quick:
        return [
            Trial("real saturated", 4, limit=200_000, window=15, seconds=16),
            Trial(
                "real kill -9 of half", 4, load=3, limit=100_000, window=5, seconds=11, reserve="exact", kill_half_at=5
            ),
            Trial("real outage", 4, limit=100_000, window=5, seconds=14, reserve="exact", outage=(5, 10)),
        ]
    return [
        Trial("real saturated 5/s"),
        Trial("real overload 20x", load=20, limit=100_000, window=20, seconds=35, reserve="exact"),
        Trial("real kill -9 of half", load=3, limit=150_000, window=15, seconds=38, reserve="exact", kill_half_at=18),
        Trial("real outage", limit=150_000, window=15, seconds=52, reserve="exact", outage=(18, 33)),
    ]


GOALS = (
    Goal("transactions per request at 50/s", "saturated 50/s", lambda row: row.operations_per_request, most=0.1),
    Goal("transactions per request at 9/s", "saturated 9/s", lambda row: row.operations_per_request, most=0.3),
    Goal("transactions per request at 5/s", "saturated 5/s", lambda row: row.operations_per_request, most=0.4),
    Goal(
        "transactions per request at 5/s, more instances",
        "saturated 5/s, 15 instances",
        lambda row: row.operations_per_request,
        most=0.4,
    ),
    Goal("transactions per request at 2/s", "saturated 2/s", lambda row: row.operations_per_request, most=0.7),
    Goal("transactions per request at 1/s", "saturated 1/s", lambda row: row.operations_per_request, most=1.0),
    Goal("transactions per request below", "saturated 0.2/s", lambda row: row.operations_per_request, most=2.5),
    Goal("transactions per request, real", "real saturated 5/s", lambda row: row.operations_per_request, most=0.4),
    Goal("transactions per request at 20x", "overload 20x", lambda row: row.operations_per_request, most=0.1),
    Goal("added latency p50", "saturated 2/s", lambda row: row.p50, most=0.5, unit=" ms"),
    Goal("added latency p99", "saturated 2/s", lambda row: row.p99, most=60, unit=" ms"),
    Goal("added latency p50, 1000 instances", "1000 instances, 40 shards", lambda row: row.p50, most=20, unit=" ms"),
    Goal("added latency p99, 1000 instances", "1000 instances, 40 shards", lambda row: row.p99, most=100, unit=" ms"),
    Goal("added latency p50, real", "real saturated 5/s", lambda row: row.p50, most=0.5, unit=" ms"),
    Goal("added latency p99, real", "real saturated 5/s", lambda row: row.p99, most=60, unit=" ms"),
    Goal("reserved above the limit at 20x", "overload 20x", lambda row: row.reserved, most=0.1, unit=" %"),
    Goal("reserved above the limit at 20x, real", "real overload 20x", lambda row: row.reserved, most=0.1, unit=" %"),
    Goal("used above the limit at 20x, predict", "overload 20x, predict", lambda row: row.used, most=1.5, unit=" %"),
    Goal("used above the limit at 20x, strict", "overload 20x, strict", lambda row: row.used, most=0.0, unit=" %"),
    Goal("used above the limit, predict", "saturated 9/s", lambda row: row.used, most=1.5, unit=" %"),
    Goal("used above the limit, strict", "strict 9/s", lambda row: row.used, most=0.0, unit=" %"),
    Goal("used while saturated, predict", "saturated 9/s", lambda row: row.mean, least=95, unit=" %"),
    Goal("used while saturated, 32 instances", "saturated 2/s", lambda row: row.mean, least=95, unit=" %"),
    Goal("used while saturated, strict", "strict 9/s", lambda row: row.mean, least=90, unit=" %"),
    Goal("lost by a crash, per instance", "crash of half", lambda row: row.lost_per_instance, most=0.3, unit=" %"),
    Goal("used again 70 s after a crash", "crash of one", lambda row: row.recovered, least=95, unit=" %"),
    Goal("above the limit after a crash", "crash of half", lambda row: row.reserved, most=0.0, unit=" %"),
    Goal("above the limit after kill -9, real", "real kill -9 of half", lambda row: row.reserved, most=0.0, unit=" %"),
    Goal("above the limit in an outage", "outage 30 s", lambda row: row.reserved, most=0.0, unit=" %"),
    Goal(
        "above the limit in an outage at 20x",
        "overload 20x in an outage",
        lambda row: row.reserved,
        most=0.0,
        unit=" %",
    ),
    Goal("above the limit in an outage, real", "real outage", lambda row: row.reserved, most=0.0, unit=" %"),
    Goal("quota used in a whole period, at least", "quota", lambda row: row.quota[1], least=99.5, unit=" %"),
    Goal("quota used, at most", "quota", lambda row: max(row.quota), most=100.0, unit=" %"),
    Goal("quota used, at most, strict", "quota, strict", lambda row: max(row.quota), most=100.0, unit=" %"),
)


def print_rows(rows: Iterable[Row]) -> Iterator[Row]:
    print(
        f"{'run':34s} {'where':10s} {'inst':>4s} {'requests':>8s} {'tx/req':>7s} {'p50 ms':>7s} {'p99 ms':>7s}"
        f" {'reserved':>9s} {'true':>8s} {'used':>6s} {'refused':>7s} {'conflicts':>9s}"
    )
    for row in rows:
        print(
            f"{row.name:34s} {row.where:10s} {row.instances:4d} {row.requests:8d} {row.operations_per_request:7.3f}"
            f" {row.p50:7.1f} {row.p99:7.1f} {row.reserved:+8.2f}% {row.used:+7.2f}% {row.mean:5.1f}%"
            f" {row.refused:6.1f}% {row.conflicts:9d}" + _extras(row),
            flush=True,
        )
        yield row


def _extras(row: Row) -> str:
    quota = f"  quota {'/'.join(f'{use:.2f}' for use in row.quota)} %" if row.quota else ""
    cpu = f"  {row.cpu_per_request:.0f} us CPU per request" if row.cpu_per_request else ""
    return quota + cpu


def print_goals(rows: Iterable[Row], command: str) -> bool:
    """Print what was wanted, what was measured, and whether that passes; goals without their run are left out."""
    by_name = {row.name: row for row in rows}
    print(f"\n{'goal':48s} {'wanted':>12s} {'measured':>12s}          {command}")
    passed = True
    for goal in GOALS:
        if goal.run not in by_name:
            continue
        measured = goal.measure(by_name[goal.run])
        good = goal.least <= measured <= goal.most
        passed = passed and good
        wanted = f"<= {goal.most:g}" if goal.most != float("inf") else f">= {goal.least:g}"
        print(
            f"{goal.text:48s} {wanted + goal.unit:>12s} {f'{measured:.3g}' + goal.unit:>12s}"
            f"  {'pass' if good else 'FAIL'}    {goal.run}"
        )
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--only", choices=("simulation", "processes"), help="leave out the other half")
    arguments = parser.parse_args()
    begun = time.monotonic()
    rows = list(print_rows(measured(arguments.quick, arguments.only)))
    passed = print_goals(rows, "python -m tests.bench.limits" + (" --quick" if arguments.quick else ""))
    print(f"\n{time.monotonic() - begun:.0f} s")
    return 0 if passed else 1


def measured(quick: bool, only: str | None) -> Iterator[Row]:
    """The simulations first, one per core, then the processes, which want the machine for themselves."""
    if only != "processes":
        with ProcessPoolExecutor(2) as pool:
            yield from map(simulated, pool.map(simulate, scenarios(quick)))
    if only != "simulation":
        with Azurite() as azurite:
            for trial in trials(quick):
                yield real(run(trial, azurite))


if __name__ == "__main__":
    sys.exit(main())
