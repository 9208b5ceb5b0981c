"""What telemetry costs: throughput beside a gateway without it, and memory over many calls when its service is away.

Throughput is what lasts: an instance that was idle records its first 2,000 requests at once, and they pass in the
warm-up. For memory every request is recorded as far as the queues have room, tokens are counted, and nothing listens at
the ingestion endpoint.

    python -m tests.bench.telemetry [--calls 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import uvloop

from tests.bench import load
from tests.bench.gateway import (
    SCENARIOS,
    Cell,
    Results,
    Server,
    headers,
    measure,
    on_cores,
    resident_megabytes,
    start,
)
from tests.support.processes import ChildProcess

IN_TURNS = ("gateway", "gateway-telemetry", "gateway-telemetry-all", "gateway-token-metric")
GROWING = ("gateway", "gateway-telemetry-down")
CONNECTIONS = 16
STEP_SECONDS = 1.0
WARM_UP, SECONDS = 2.0, 4.0


def grow(server: Server, calls: int) -> list[tuple[int, float]]:
    """Calls made so far and resident megabytes, in steps until `calls` are made. RuntimeError when one fails."""
    request = load.request_bytes(server.chat_url, SCENARIOS[0].body(), headers())
    made, steps = 0, []
    while made < calls:
        measured = uvloop.run(
            load.run(server.chat_url, request, connections=CONNECTIONS, warm_up=0.0, seconds=STEP_SECONDS)
        )
        if measured.failures:
            raise RuntimeError(f"{server.name}: {measured.failures[0]}")
        made += measured.all_answers
        assert server.process is not None
        steps.append((made, resident_megabytes(server.process)))
    return steps


def compare(servers: list[Server], backend: ChildProcess, rounds: int) -> None:
    """Print what each does under the same load in turns: medians of the rounds."""
    scenario = next(one for one in SCENARIOS if one.connections == CONNECTIONS and not one.stream)
    cells: dict[str, list[Cell]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            cells[server.name].append(measure(server, scenario, backend, WARM_UP, SECONDS))
    alone = median(cell.per_second for cell in cells[servers[0].name])
    for name, several in cells.items():
        per_second = median(cell.per_second for cell in several)
        cpu = median(cell.cpu for cell in several)
        p99 = median(cell.p99 for cell in several)
        print(f"{name}: {per_second:,.0f} requests/s ({per_second / alone:.2f}), {cpu:.0f} µs CPU, p99 {p99:.1f} ms")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description="What telemetry costs in throughput and, when it cannot be sent, memory."
    )
    parser.add_argument("--calls", type=int, default=50_000, help="calls over which memory is looked at")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison of throughput")
    options = parser.parse_args()
    calls: int = options.calls
    cores = sorted(os.sched_getaffinity(0))
    under_test, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    with on_cores(others), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        backend = stack.enter_context(ChildProcess([sys.executable, "-m", "tests.bench.mock_backend"]))
        url = backend.wait_for_line("listening on ")
        with ExitStack() as turns:
            running = [start(name, url, Path(folder), under_test, Results(), turns) for name in IN_TURNS]
            compare(running, backend, options.rounds)
        for name in GROWING:
            server = start(name, url, Path(folder), under_test, Results(), stack)
            steps = grow(server, calls)
            shown = [steps[0], *(one for one in steps if one[0] >= calls // 2)]
            print(
                f"{name}:",
                ", ".join(f"{made:,} calls {memory:.0f} MB" for made, memory in (shown[0], shown[1], shown[-1])),
            )


if __name__ == "__main__":
    main()
