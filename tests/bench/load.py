"""The benchmark's load generator: raw connections that send one prebuilt request after another and time the answers.

It reads no more of an answer than where it ends. `run` belongs on uvloop, on another core than the server under test.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit


@dataclass
class Measured:
    """What a run saw: seconds measured, one latency and time to first body byte per answer (seconds), failures."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cpu: float = 0.0  # CPU seconds of this process meanwhile
    all_answers: int = 0  # warm-up included

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, part: float, values: list[float] | None = None) -> float:
        """The latency (or other value) below which `part` of them lie; nan without any."""
        ordered = sorted(self.latencies if values is None else values)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


class Connection(asyncio.Protocol):
    """One client: sends, waits for the end of the answer, sends again until told to stop."""

    def __init__(self, request: bytes, measured: Measured) -> None:
        self.request, self.measured = request, measured
        self.running = self.recording = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send the request and start its clock."""
        self.running = True
        self.received = b""
        self.head_ends = self.needed = 0
        self.first = 0.0
        self.begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.head_ends:
            self.received += data
            if not self._read_head():
                return
            if len(self.received) > self.head_ends:
                self.first = time.perf_counter()
        else:
            # Of a chunked answer only the end matters.
            self.received = self.received[-8:] + data if self.needed < 0 else self.received + data
            self.first = self.first or time.perf_counter()
        if len(self.received) >= self.needed if self.needed > 0 else self.received.endswith(b"\r\n0\r\n\r\n"):
            self._ended()

    def _read_head(self) -> bool:
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.received[:end]
        if not head.startswith(b"HTTP/1.1 200"):
            self.measured.failures.append(self.received[:300].decode("latin-1"))
        length = re.search(rb"content-length: ?(\d+)", head, re.IGNORECASE)
        self.head_ends = end + 4
        self.needed = self.head_ends + int(length[1]) if length else -1
        return True

    def _ended(self) -> None:
        now = time.perf_counter()
        self.measured.all_answers += 1
        if self.recording:
            self.measured.latencies.append(now - self.begun)
            self.measured.first_bytes.append(self.first - self.begun)
        if self.running:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if self.running:
            self.measured.failures.append(f"the connection closed: {error}")


def request_bytes(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST of a JSON body, ready to send."""
    target = urlsplit(url)
    lines = [f"POST {target.path}{'?' + target.query if target.query else ''} HTTP/1.1", f"host: {target.netloc}"]
    lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


async def run(url: str, request: bytes, *, connections: int, warm_up: float, seconds: float) -> Measured:
    """Keep `connections` busy for `warm_up` and then `seconds`, of which only the latter is measured."""
    loop, target, measured = asyncio.get_running_loop(), urlsplit(url), Measured()
    clients: list[Connection] = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Connection(request, measured), target.hostname or "", target.port or 80
        )
        clients.append(client)
    for client in clients:
        client.send()
    await asyncio.sleep(warm_up)
    for client in clients:
        client.recording = True
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    measured.seconds, measured.cpu = time.perf_counter() - begun, time.process_time() - cpu
    for client in clients:
        client.running = client.recording = False
        client.transport.abort()
    await asyncio.sleep(0)
    return measured
