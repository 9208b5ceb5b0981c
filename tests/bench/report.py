"""The benchmark's figures as Markdown tables with ratios, for the terminal and the README."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- bench:start -->", "<!-- bench:end -->"
MEDIANS = ("per_second", "p50", "p99", "first_byte", "cpu")
YARDSTICK = "aiohttp"
BUSY_ENOUGH = 0.9  # of its core: below, the rates say more about the machine than about the server
TITLES = {
    "direct": "backend directly",
    "aiohttp": "bare aiohttp forwarder",
    "httpx": "bare httpx forwarder",
    "gateway-policies": "gateway with a policy document",
}


@dataclass(frozen=True)
class Figures:
    """One variant under one load: per second, milliseconds, microseconds of CPU per answer, shares of a core."""

    per_second: float
    p50: float
    p99: float
    first_byte: float
    cpu: float
    busy: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """Figures by variant and scenario; seconds to the first answer and megabytes by variant."""

    cells: dict[str, dict[str, Figures]]
    cold_starts: dict[str, float]
    idle_memory: dict[str, float]
    memory: dict[str, float]


def tables(summary: Summary, *, rounds: int, seconds: float) -> str:
    """All tables, with the command that repeats them."""
    parts = [
        f"Medians of {rounds} interleaved rounds of {seconds:g} s per cell, the server under test on one core "
        f"({_machine()}). In brackets: the ratio to the bare aiohttp forwarder, more is better. "
        "Repeat with `make bench`.",
        _throughput(summary),
        _latency(summary),
        _streams(summary),
        _processes(summary),
        _proof(summary),
    ]
    return "\n\n".join(parts)


def write_between_markers(file: Path, text: str) -> None:
    """Replace what stands between the markers in `file`; raises ValueError when they are not there."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file.name} has no {BEGIN} ... {END}")
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _throughput(summary: Summary) -> str:
    loads = [("plain-1", "1 connection"), ("plain-16", "16"), ("plain-64", "64"), ("plain-256", "256")]
    rows = [
        [_title(name), *(_rate(summary, name, load) for load, _ in loads), _rate(summary, name, "prompt-64k")]
        for name in summary.cells
    ]
    return _table(["Requests per second", *(title for _, title in loads), "64 KB prompts, 16"], rows)


def _latency(summary: Summary) -> str:
    loads = ("plain-1", "plain-64", "plain-256")
    rows = [
        [
            _title(name),
            *(f"{_number(cells[load].p50, 2)} / {_number(cells[load].p99, 2)}" for load in loads),
            _cpu(summary, name, "plain-64"),
            _cpu(summary, name, "prompt-64k"),
        ]
        for name, cells in summary.cells.items()
    ]
    head = ["Latency p50 / p99, ms", "1 connection", "64", "256", "CPU µs per request, 64", "64 KB prompts"]
    return _table(head, rows)


def _streams(summary: Summary) -> str:
    direct = summary.cells.get("direct")
    rows = []
    for name, cells in summary.cells.items():
        first = cells["first-chunk"].first_byte
        added = f"+{first - direct['first-chunk'].first_byte:.2f}" if direct and name != "direct" else "–"
        rate, cpu = _rate(summary, name, "stream-64"), _cpu(summary, name, "stream-64")
        rows.append([_title(name), rate, cpu, _cpu(summary, name, "paced-64"), _number(first, 2), added])
    head = [
        "Streams of 50 chunks, 64 connections",
        "per second",
        "CPU µs per stream",
        "the same, a chunk every 5 ms",
        "first chunk, 1 connection, ms",
        "added, ms",
    ]
    return _table(head, rows)


def _processes(summary: Summary) -> str:
    rows = [
        [
            _title(name),
            f"{summary.cold_starts[name]:.2f}",
            _number(summary.idle_memory[name]),
            _number(summary.memory[name]),
        ]
        for name in summary.cold_starts
    ]
    head = ["Process", "start to first 200, s", "resident MB after that", "resident MB after the load"]
    return _table(head, rows)


def _proof(summary: Summary) -> str:
    rows = []
    for name, cells in summary.cells.items():
        for scenario in ("plain-64", "stream-64"):
            busy = cells[scenario].busy
            shares = [_percent(busy.get(part)) for part in ("server", "backend", "load")]
            rows.append([_title(name), scenario, *shares])
    table = _table(["Who was busy (share of a core)", "load", "server under test", "backend", "load generator"], rows)
    servers = [cells["plain-64"].busy.get("server", 1.0) for cells in summary.cells.values()]
    if min(servers) >= BUSY_ENOUGH:
        return table
    warning = "**Something else used the machine:** a server under test had less than"
    return f"{table}\n\n{warning} {_percent(BUSY_ENOUGH)} of its core. The CPU figures hold, the rates are too low."


def _rate(summary: Summary, name: str, scenario: str) -> str:
    rate = summary.cells[name][scenario].per_second
    yardstick = summary.cells.get(YARDSTICK, {}).get(scenario)
    if yardstick is None or not yardstick.per_second or name == YARDSTICK:
        return _number(rate)
    return f"{_number(rate)} ({rate / yardstick.per_second:.2f})"


def _cpu(summary: Summary, name: str, scenario: str) -> str:
    """CPU per answer; the ratio is that of work done per CPU second, so that more is better as everywhere."""
    cpu = summary.cells[name][scenario].cpu
    yardstick = summary.cells.get(YARDSTICK, {}).get(scenario)
    if yardstick is None or math.isnan(cpu) or name == YARDSTICK:
        return _number(cpu)
    return f"{_number(cpu)} ({yardstick.cpu / cpu:.2f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(name: str) -> str:
    return TITLES.get(name, name)


def _number(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
