"""What telemetry costs when its service is away: memory of the gateway over many calls, beside one without telemetry.

Every request is recorded as far as the queues have room, tokens are counted, and nothing listens at the ingestion
endpoint. What telemetry costs in throughput is in `make bench`
(`ARGS="--variants gateway,gateway-telemetry,gateway-telemetry-all,gateway-token-metric"`).

    python -m tests.bench.telemetry [--calls 50000]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.bench import load
from tests.bench.gateway import SCENARIOS, Results, Server, headers, on_cores, resident_megabytes, start
from tests.support.processes import ChildProcess

NAMES = ("gateway", "gateway-telemetry-down")
CONNECTIONS = 16
STEP_SECONDS = 1.0


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


def main() -> None:
    """Print both gateways' memory as calls go by."""
    parser = argparse.ArgumentParser(description="Memory of a gateway whose telemetry cannot be sent.")
    parser.add_argument("--calls", type=int, default=50_000)
    calls: int = parser.parse_args().calls
    cores = sorted(os.sched_getaffinity(0))
    under_test, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    with on_cores(others), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        backend = stack.enter_context(ChildProcess([sys.executable, "-m", "tests.bench.mock_backend"]))
        url = backend.wait_for_line("listening on ")
        for name in NAMES:
            server = start(name, url, Path(folder), under_test, Results(), stack)
            steps = grow(server, calls)
            shown = [steps[0], *(one for one in steps if one[0] >= calls // 2)]
            print(
                f"{name}:",
                ", ".join(f"{made:,} calls {memory:.0f} MB" for made, memory in (shown[0], shown[1], shown[-1])),
            )


if __name__ == "__main__":
    main()
