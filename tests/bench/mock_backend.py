"""The benchmark's backend: raw bytes in, prebuilt bytes out, so that it is never what is measured.

    python -m tests.bench.mock_backend              # prints "listening on http://127.0.0.1:PORT"

A body with `"stream":true` gets 50 chunks, each its own write in its own turn of the loop; the header `x-pace: 5`
spaces them by 5 ms, and `include_usage` adds the chunk with the usage. `GET /msi/token` is App Service's managed
identity endpoint, `POST /v2.1/track` Application Insights'. Anything else gets one small chat completion.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

CHUNKS = 50
_TEXT = "Forty-two, as far as anybody knows."
_PLAIN = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
).encode()
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_PLAIN), _PLAIN)
_TOKEN = json.dumps(
    {"access_token": "a" * 1200, "expires_on": "4102444800", "token_type": "Bearer", "resource": "r"}
).encode()
TOKEN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_TOKEN), _TOKEN)
_TAKEN = b'{"itemsReceived":1,"itemsAccepted":1,"errors":[]}'
TAKEN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_TAKEN), _TAKEN)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(content: str, finish: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "gpt-4o-mini"}
    event = f"data: {json.dumps({**data, 'choices': [choice]})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


STREAM = [_event(f" word{number}", None) for number in range(CHUNKS - 1)] + [_event("", "stop")]
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 49, "total_tokens": 58}}
_USAGE_EVENT = f"data: {json.dumps(_USAGE)}\n\n".encode()
USAGE = b"%x\r\n%b\r\n" % (len(_USAGE_EVENT), _USAGE_EVENT)


class Clock:
    """Ticks that many paced streams share: a timer for each chunk would cost more than sending it."""

    def __init__(self) -> None:
        self.waiting: dict[float, list[Callable[[], None]]] = {}

    def at_next_tick(self, pace: float, action: Callable[[], None]) -> None:
        """Call `action` at the next tick of the clock that ticks every `pace` seconds."""
        if pace not in self.waiting:
            self.waiting[pace] = []
            asyncio.get_running_loop().call_later(pace, self._tick, pace)
        self.waiting[pace].append(action)

    def _tick(self, pace: float) -> None:
        actions = self.waiting.pop(pace)
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        self.waiting[pace] = []
        for action in actions:
            action()
        if self.waiting[pace]:
            loop.call_later(max(0.0, pace - (time.monotonic() - begun)), self._tick, pace)
        else:
            del self.waiting[pace]


class MockBackend(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.buffer = b""
        self.end = STREAM_END
        self.needed = 0  # bytes the request has in all; 0: not known yet; -1: a chunked body, ended by its last chunk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if not self.needed and not self._read_head():
            return
        if self.needed > 0 and len(self.buffer) < self.needed:
            return
        if self.needed < 0 and not self.buffer.endswith(b"0\r\n\r\n"):
            return
        request, self.buffer, self.needed = self.buffer, b"", 0
        if request.startswith(b"GET /msi/token"):
            self.transport.write(TOKEN)
            return
        if request.startswith(b"POST /v2.1/track"):
            self.transport.write(TAKEN)
            return
        if b'"stream":true' not in request:
            self.transport.write(PLAIN)
            return
        self.end = USAGE + STREAM_END if b'"include_usage":true' in request else STREAM_END
        pace = re.search(rb"x-pace: ?(\d+)", request, re.IGNORECASE)
        self.transport.write(STREAM_HEAD + STREAM[0])
        self._schedule(1, int(pace[1]) / 1000 if pace else 0.0)

    def _read_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = re.search(rb"content-length: ?(\d+)", self.buffer[:end], re.IGNORECASE)
        without_body = self.buffer.startswith(b"GET ")
        self.needed = end + 4 + int(length[1]) if length else end + 4 if without_body else -1
        return True

    def _schedule(self, number: int, pace: float) -> None:
        if pace:
            self.clock.at_next_tick(pace, partial(self._send, number, pace))
        else:
            asyncio.get_running_loop().call_soon(self._send, number, pace)

    def _send(self, number: int, pace: float) -> None:
        if self.transport.is_closing():
            return
        if number == CHUNKS:
            self.transport.write(self.end)
            return
        self.transport.write(STREAM[number])
        self._schedule(number + 1, pace)


async def serve() -> None:
    """Serve until the process is ended."""
    clock = Clock()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: MockBackend(clock), "127.0.0.1", 0, backlog=1024)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
