"""`make bench`: the gateway against a bare aiohttp forwarder, a bare httpx forwarder and the backend directly.

One run, in interleaved rounds, so that a slow minute of the machine hits all alike; every figure is the median of the
rounds. The server under test has one core to itself, the load generator and the backend share the others; how busy each
was is in the last table, and the server under test being the busy one is what makes the figures its own.

    python -m tests.bench.gateway [--quick] [--variants direct,aiohttp,gateway] [--write-readme] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import uvloop

from tests.bench import load, report
from tests.bench.variants import GATEWAYS, GatewayVariant
from tests.support.processes import ROOT, ChildProcess

KEY = secrets.token_hex(16)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Scenario:
    """One kind of load."""

    name: str
    connections: int
    stream: bool = False
    prompt: int = 200  # bytes
    pace: int = 0  # milliseconds between the backend's chunks; 0: as fast as they go

    def body(self) -> bytes:
        """The chat request."""
        messages = [{"role": "user", "content": "word " * (self.prompt // 5)}]
        options = {"stream": True} if self.stream else {}
        return json.dumps({"model": "gpt-4o-mini", **options, "messages": messages}, separators=(",", ":")).encode()


# The most connections come last: they leave the default httpx pool in a state that would spoil what follows.
SCENARIOS = (
    Scenario("plain-1", 1),
    Scenario("first-chunk", 1, stream=True, pace=1),
    Scenario("plain-16", 16),
    Scenario("prompt-64k", 16, prompt=65536),
    Scenario("paced-64", 64, stream=True, pace=5),
    Scenario("stream-64", 64, stream=True),
    Scenario("plain-64", 64),
    Scenario("plain-256", 256),
)


@dataclass
class Cell:
    """What one variant did under one load in one round."""

    per_second: float
    p50: float  # milliseconds
    p99: float
    first_byte: float  # milliseconds, median
    cpu: float  # microseconds of the server per answer
    busy: dict[str, float]  # share of one core: server, backend, load


@dataclass
class Results:
    """All rounds: cells by variant and scenario, and what starting a server took."""

    cells: dict[str, dict[str, list[Cell]]] = field(default_factory=dict)
    cold_starts: dict[str, list[float]] = field(default_factory=dict)  # seconds
    memory: dict[str, list[float]] = field(default_factory=dict)  # MB after the round
    idle_memory: dict[str, list[float]] = field(default_factory=dict)  # MB after the first answer


@dataclass(frozen=True)
class Server:
    """A running server under test; without a process it is the backend itself."""

    name: str
    chat_url: str
    process: ChildProcess | None = None


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Run the block, and all processes it starts, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(process: ChildProcess) -> float:
    """CPU time the process has used so far, in the user and the system part, threads included."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_megabytes(process: ChildProcess) -> float:
    """Resident memory of the process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def headers(scenario: Scenario | None = None) -> dict[str, str]:
    """What every request brings, to the yardsticks too."""
    pace = {"x-pace": str(scenario.pace)} if scenario is not None and scenario.pace else {}
    return {"api-key": KEY, **pace}


def first_answer(url: str, process: ChildProcess, timeout: float = 20.0) -> None:
    """Return when `url` answers a chat call with 200; raises RuntimeError when it does not."""
    request = urllib.request.Request(
        url, SCENARIOS[0].body(), {"content-type": "application/json", **headers()}, method="POST"
    )
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                answer.read()
                return
        except (urllib.error.HTTPError, urllib.error.URLError) as error:
            starting = not isinstance(error, urllib.error.HTTPError) or error.code == 503
            if not starting or time.monotonic() > deadline or process.exit_code is not None:
                reason = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
                raise RuntimeError("\n".join([f"{url} does not answer 200: {reason}", *process.lines[-20:]])) from error
            time.sleep(0.005)


def start(name: str, backend: str, folder: Path, cores: set[int], results: Results, stack: ExitStack) -> Server:
    """Start the server of that name until `stack` ends, and note how long it took to its first 200."""
    if name == "direct":
        return Server(name, f"{backend}/v1/chat/completions")
    env: Mapping[str, str] = {}
    gateway = next((one for one in GATEWAYS if one.name == name), None)
    if gateway is not None:
        command, env, path = gateway_command(gateway, backend, folder / name)
    else:
        command = [sys.executable, "-m", "tests.bench.forwarders", name, "--backend", backend]
        path = "/v1/chat/completions"
    begun = time.perf_counter()
    with on_cores(cores):
        process = ChildProcess(command, env=env)
    stack.callback(process.kill)
    url = process.wait_for_line("listening on ").rstrip("/") + path
    first_answer(url, process)
    results.cold_starts.setdefault(name, []).append(time.perf_counter() - begun)
    results.idle_memory.setdefault(name, []).append(resident_megabytes(process))
    if gateway is not None:
        expect_key_check(url)
    return Server(name, url, process)


def expect_key_check(url: str) -> None:
    """A gateway that lets anybody in would look fast: raises RuntimeError unless a wrong key gets 401."""
    wrong = {"content-type": "application/json", "api-key": "wrong"}
    request = urllib.request.Request(url, SCENARIOS[0].body(), wrong, method="POST")
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 401:
                return
    raise RuntimeError(f"{url} does not refuse a wrong key")


def gateway_command(gateway: GatewayVariant, backend: str, folder: Path) -> tuple[list[str], dict[str, str], str]:
    """Write the variant's configuration; returns the command, its environment and the path to call."""
    folder.mkdir(exist_ok=True)
    for name, text in {"gateway.yaml": gateway.config, **gateway.files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("@backend@", backend))
    env = {
        "GATEWAY_KEY_HASH_SECRET": "bench",
        "BENCH_SUBSCRIPTION_KEY": KEY,
        "BENCH_BACKEND_KEY": "backend-key",
        "WEBSITE_SITE_NAME": "bench",
        "IDENTITY_ENDPOINT": f"{backend}/msi/token",
        "IDENTITY_HEADER": "bench",
        **{name: value.replace("@backend@", backend) for name, value in gateway.settings.items()},
    }
    command = [sys.executable, "-m", "shared", "serve", "--config", str(folder / "gateway.yaml"), "--port", "0"]
    return command, env, "/llm/chat/completions"


def measure(server: Server, scenario: Scenario, backend: ChildProcess, warm_up: float, seconds: float) -> Cell:
    """Load one server with one scenario; raises RuntimeError when an answer is not 200."""
    request = load.request_bytes(server.chat_url, scenario.body(), headers(scenario))
    used = {"backend": cpu_seconds(backend)}
    if server.process is not None:
        used["server"] = cpu_seconds(server.process)
    begun = time.perf_counter()
    measured = uvloop.run(
        load.run(server.chat_url, request, connections=scenario.connections, warm_up=warm_up, seconds=seconds)
    )
    wall = time.perf_counter() - begun
    used["backend"] = cpu_seconds(backend) - used["backend"]
    if server.process is not None:
        used["server"] = cpu_seconds(server.process) - used["server"]
    if measured.failures:
        raise RuntimeError(f"{server.name}, {scenario.name}: {len(measured.failures)} failures: {measured.failures[0]}")
    busy = {part: spent / wall for part, spent in used.items()}
    return Cell(
        per_second=measured.per_second,
        p50=1000 * measured.percentile(0.5),
        p99=1000 * measured.percentile(0.99),
        first_byte=1000 * measured.percentile(0.5, measured.first_bytes),
        # Of all answers, the warm-up's too: that is what the CPU time went into.
        cpu=1e6 * used["server"] / measured.all_answers if measured.all_answers and "server" in used else float("nan"),
        busy={**busy, "load": measured.cpu / measured.seconds},
    )


def run(names: list[str], rounds: int, warm_up: float, seconds: float) -> Results:
    """Measure all variants under all loads, `rounds` times over, each round with fresh servers."""
    results = Results()
    cores = sorted(os.sched_getaffinity(0))
    under_test, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    with on_cores(others), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        backend = stack.enter_context(ChildProcess([sys.executable, "-m", "tests.bench.mock_backend"]))
        backend_url = backend.wait_for_line("listening on ")
        for number in range(rounds):
            with ExitStack() as round_stack:
                servers = [start(name, backend_url, Path(folder), under_test, results, round_stack) for name in names]
                for scenario in SCENARIOS:
                    print(f"round {number + 1} of {rounds}: {scenario.name}", file=sys.stderr, flush=True)
                    for server in servers:
                        cell = measure(server, scenario, backend, warm_up, seconds)
                        results.cells.setdefault(server.name, {}).setdefault(scenario.name, []).append(cell)
                for server in servers:
                    if server.process is not None:
                        memory = resident_megabytes(server.process)
                        results.memory.setdefault(server.name, []).append(memory)
    return results


def summary(results: Results) -> report.Summary:
    """The medians of the rounds."""
    cells = {
        name: {
            scenario: report.Figures(
                **{one: median(getattr(cell, one) for cell in rounds) for one in report.MEDIANS},
                busy={part: median(cell.busy[part] for cell in rounds) for part in rounds[0].busy},
            )
            for scenario, rounds in scenarios.items()
        }
        for name, scenarios in results.cells.items()
    }
    return report.Summary(
        cells,
        {name: median(values) for name, values in results.cold_starts.items()},
        {name: median(values) for name, values in results.idle_memory.items()},
        {name: median(values) for name, values in results.memory.items()},
    )


def main() -> None:
    """Run, print the tables, and write them where asked to."""
    known = ["direct", "aiohttp", "httpx", *(gateway.name for gateway in GATEWAYS)]
    parser = argparse.ArgumentParser(description="Benchmark the gateway against bare forwarders.")
    parser.add_argument("--quick", action="store_true", help="two short rounds, about a minute")
    parser.add_argument("--variants", default="direct,aiohttp,httpx,gateway", help=f"of {','.join(known)}")
    parser.add_argument("--write-readme", action="store_true", help="put the tables between the README's markers")
    parser.add_argument("--json", type=Path, help="file for every round's figures")
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity"):
        parser.error("the benchmark needs Linux: it gives the server under test a core of its own")
    names = options.variants.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"unknown variants: {', '.join(sorted(unknown))}")
    rounds, warm_up, seconds = (2, 0.2, 0.7) if options.quick else (5, 0.3, 1.2)
    try:
        results = run(names, rounds, warm_up, seconds)
    except RuntimeError as error:  # a server that does not start, or answers anything but 200
        sys.exit(str(error))
    text = report.tables(summary(results), rounds=rounds, seconds=seconds)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(asdict(results), indent=1))
    if options.write_readme:
        report.write_between_markers(ROOT / "README.md", text)


if __name__ == "__main__":
    main()
