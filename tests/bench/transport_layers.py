"""What one exchange costs in the layers that could lie beneath the gateway: throughput and this process's CPU time.

    python -m tests.bench.transport_layers [--seconds 1] [--connections 1,16,64,256] [--layers ...]

A scripted backend runs in a process of its own and answers with constant bytes; every layer is measured in turn for
each number of connections, so that a slow minute of the machine touches all of them. `httpx-aiohttp` is measured
when it is installed.
"""

import argparse
import asyncio
import importlib.util
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection as Pipe
from typing import cast

import httpx

from shared.backends.transport import Transport, build_request

CHUNKS = 50
EVENT = b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
ANSWER = b'{"id":"c1","object":"chat.completion","choices":[{"message":{"content":"' + b"word " * 150 + b'"}}]}'
PROMPT = b'{"model":"gpt","messages":[{"role":"user","content":"' + b"word " * 100 + b'"}]}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"OpenAI/Python 1.0"),
    (b"api-key", b"0123456789abcdef0123456789abcdef"),
    (b"x-ms-client-request-id", b"4dd1d6a4-3a1c-4f4b-8a4e-0d7f2d3a9f10"),
    (b"x-stainless-lang", b"python"),
]
REPLY_HEADERS = b"content-type: application/json\r\nx-request-id: 1\r\nx-ratelimit-remaining-tokens: 100\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\n" + REPLY_HEADERS + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
STREAM_HEAD = b"HTTP/1.1 200 OK\r\n" + REPLY_HEADERS + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)

Call = Callable[[bytes], Awaitable[int]]  # target -> body bytes received


class Backend(asyncio.Protocol):
    """Answers any request; one to /stream gets its events in separate writes, one per turn of the loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, end, body = self.seen.partition(b"\r\n\r\n")
        if not end or len(body) < len(PROMPT):
            return
        self.seen = b""
        if head.startswith(b"POST /stream"):
            self.transport.write(STREAM_HEAD)
            self.send_events(CHUNKS)
        else:
            self.transport.write(PLAIN)

    def send_events(self, left: int) -> None:
        if not left:
            self.transport.write(b"0\r\n\r\n")
            return
        self.transport.write(CHUNK)
        asyncio.get_running_loop().call_soon(self.send_events, left - 1)


def run_backend(pipe: Pipe) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    run_fast(serve)


def run_fast(main: Callable[[], Awaitable[None]]) -> None:
    """On uvloop where it is installed."""
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())


@asynccontextmanager
async def direct(origin: str) -> AsyncIterator[Call]:
    url = httpx.URL(origin)
    async with Transport(environ={}) as transport:

        async def call(target: bytes) -> int:
            timeout = {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 5.0}
            request = build_request("POST", url, target, headers=HEADERS, body=PROMPT, timeout=timeout)
            response = await transport.handle_async_request(request)
            size = 0
            async for chunk in response.stream:
                size += len(chunk)
            return size

        yield call


@asynccontextmanager
async def through_client(origin: str, transport: httpx.AsyncBaseTransport | None) -> AsyncIterator[Call]:
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with httpx.AsyncClient(transport=transport, limits=limits, timeout=60, trust_env=False) as client:

        async def call(target: bytes) -> int:
            size = 0
            async with client.stream("POST", origin + target.decode(), headers=HEADERS, content=PROMPT) as response:
                async for chunk in response.aiter_raw():
                    size += len(chunk)
            return size

        yield call


@asynccontextmanager
async def aiohttp_alone(origin: str) -> AsyncIterator[Call]:
    import aiohttp

    headers = [(name.decode(), value.decode()) for name, value in HEADERS]
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1000), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def call(target: bytes) -> int:
            size = 0
            async with session.post(origin + target.decode(), headers=headers, data=PROMPT) as response:
                async for chunk in response.content.iter_any():
                    size += len(chunk)
            return size

        yield call


@asynccontextmanager
async def httpx_aiohttp(origin: str) -> AsyncIterator[Call]:
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1000), cookie_jar=aiohttp.DummyCookieJar())
    async with through_client(origin, AiohttpTransport(client=session)) as call:
        yield call


LAYERS = {
    "ours": direct,
    "ours under httpx": lambda origin: through_client(origin, Transport(environ={})),
    "aiohttp alone": aiohttp_alone,
    "httpx-aiohttp": httpx_aiohttp,
    "default httpx": lambda origin: through_client(origin, None),
}


async def measure(call: Call, target: bytes, connections: int, seconds: float, expected: int) -> tuple[float, float]:
    """Exchanges per second, and this process's CPU microseconds per exchange, with so many callers at a time."""
    done = 0
    end = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert await call(target) == expected
            done += 1

    start, cpu = time.perf_counter(), time.process_time()
    tasks = [asyncio.create_task(worker()) for _ in range(connections)]
    # default httpx may stand still for longer than any patience under many callers: what is not done is not counted
    _, late = await asyncio.wait(tasks, timeout=seconds * 2)
    elapsed, spent = time.perf_counter() - start, time.process_time() - cpu
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=bool(late))
    return done / elapsed, spent / max(done, 1) * 1e6


async def compare(origin: str, names: list[str], connections: list[int], seconds: float) -> None:
    for target, expected in ((b"/plain", len(ANSWER)), (b"/stream", CHUNKS * len(EVENT))):
        what = "plain exchanges" if target == b"/plain" else f"streams of {CHUNKS} chunks"
        print(f"\n{what} per second (CPU microseconds each)")
        print(f"{'':26}" + "".join(f"{f'{count} connections':>22}" for count in connections))
        rows: dict[str, list[str]] = {name: [] for name in names}
        for count in connections:
            for name in names:
                async with AsyncExitStack() as stack:
                    call = await stack.enter_async_context(LAYERS[name](origin))
                    await measure(call, target, count, 0.2, expected)
                    rate, cpu = await measure(call, target, count, seconds, expected)
                rows[name].append(f"{rate:>13,.0f} ({cpu:>5,.0f})")
        for name, cells in rows.items():
            print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", default="1,16,64,256")
    parser.add_argument("--layers", default=",".join(LAYERS))
    options = parser.parse_args()
    names = options.layers.split(",")
    if not importlib.util.find_spec("httpx_aiohttp"):
        names = [name for name in names if name != "httpx-aiohttp"]
    ours, theirs = multiprocessing.Pipe()
    backend = multiprocessing.Process(target=run_backend, args=(theirs,), daemon=True)
    backend.start()
    try:
        origin = f"http://127.0.0.1:{ours.recv()}"
        counts = [int(each) for each in options.connections.split(",")]
        run_fast(lambda: compare(origin, names, counts, options.seconds))
    finally:
        backend.terminate()
        backend.join()


if __name__ == "__main__":
    main()
