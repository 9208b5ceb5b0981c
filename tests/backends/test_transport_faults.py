"""The transport's failures: timeouts, answers that are no HTTP, requests that must not be sent; never a hang."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from shared.backends.transport import Transport, build_request
from tests.support.raw_server import Peer, RawServer, raw_server
from tests.support.waiting import soon

pytestmark = pytest.mark.usefixtures("both_loops")

OK = b"HTTP/1.1 200 OK\r\n"


async def call(sender: Transport, server: RawServer, method: str = "GET", **options: Any) -> bytes:
    headers = options.pop("headers", [])
    target = options.pop("target", b"/")
    request = build_request(method, server.origin, target, headers=headers, **options)
    return await (await sender.handle_async_request(request)).aread()


async def hang(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def test_connect_timeout() -> None:
    async def never(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        await asyncio.sleep(30)
        return []

    async with Transport(environ={}, resolve=never) as sender:
        request = build_request("GET", httpx.URL("http://backend.test"), b"/", headers=[], timeout={"connect": 0.05})
        with pytest.raises(httpx.ConnectTimeout):
            await sender.handle_async_request(request)
        assert sender.open_connections == 0


async def test_unknown_name_is_connect_error() -> None:
    async def unknown(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        raise OSError("no such name")

    async with Transport(environ={}, resolve=unknown) as sender:
        with pytest.raises(httpx.ConnectError, match="no such name"):
            await sender.handle_async_request(build_request("GET", httpx.URL("http://b.test"), b"/", headers=[]))


@pytest.mark.parametrize("limits", [{"read": 0.05}, {"read": 9, "headers": 0.05}])
async def test_headers_timeout(limits: dict[str, float | None]) -> None:
    async with raw_server(hang) as server, Transport(environ={}) as sender:
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout, match="headers"):
            await call(sender, server, "POST", body=b"x", timeout=limits)
        assert 0.04 < time.monotonic() - started < 5
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_read_timeout_counts_from_last_bytes() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-length: 100\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.25)
            await peer.send(b"x")
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        request = build_request("GET", server.origin, b"/", headers=[], timeout={"read": 1.0, "headers": 5})
        response = await sender.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        received = []
        with pytest.raises(httpx.ReadTimeout, match="body"):
            async for piece in response.stream:
                received.append(piece)
        assert b"".join(received) == b"xxxxx"
        await soon(lambda: sender.open_connections == 0)


async def test_time_spent_by_reader_is_not_backends() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-length: 4\r\n\r\nab")
        await asyncio.sleep(0.15)
        await peer.send(b"cd")
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        request = build_request("GET", server.origin, b"/", headers=[], timeout={"read": 0.1})
        response = await sender.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for _ in response.stream:
            await asyncio.sleep(0.3)


async def test_timeouts_of_one_exchange_do_not_hit_the_next() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        await asyncio.sleep(0.9)
        await peer.answer(b"late")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        await call(sender, server, timeout={"read": 0.4})
        await asyncio.sleep(0.5)  # the first exchange's timer passes over an idle connection
        assert await call(sender, server, timeout={"read": 5}) == b"late"
        assert len(server.accepted) == 1


@pytest.mark.parametrize("streamed", [True, False])
async def test_write_timeout(streamed: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 65536

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(5)

    async with raw_server(script) as server, Transport(environ={}) as sender:
        content = body() if streamed else b"x" * 65_536_000
        with pytest.raises(httpx.WriteTimeout):
            await call(sender, server, "POST", body=content, timeout={"write": 0.1, "read": 5})
        await soon(lambda: sender.open_connections == 0)


async def test_slow_but_steady_upload_is_no_write_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        left = 20_000_000
        while left:
            left -= len(await peer.reader.read(1_000_000))
            await asyncio.sleep(0.06)
        await peer.answer(b"all")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        started = time.monotonic()
        timeout: dict[str, float | None] = {"write": 0.8, "read": 5}
        assert await call(sender, server, "POST", body=b"x" * 20_000_000, timeout=timeout) == b"all"
        assert time.monotonic() - started > 0.8


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00",
        b"<html>no head</html>",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"bad name: x\r\n\r\n",
        OK + b"x: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: a\rset-cookie: evil\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: a\nset-cookie: evil\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 199 Early\r\ncontent-length: 3\r\n\r\nabc" + OK + b"content-length: 0\r\n\r\n",
        OK + b"x: " + b"a" * 70_000 + b"\r\n\r\n",
        OK + b"x: " + b"a" * 600_000,
        OK + b"x: y\r\n" * 20_000,
        b"HTTP/1.1 103 Early\r\n\r\n" * 20_000,
        b"",
        b"HTTP/1.1 200",
        OK + b"content-length: 10\r\n\r\nshort",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5;x=" + b"y" * 600_000,
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"trailer: 1\r\n" * 60_000,
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_bad_answer_is_protocol_error(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with raw_server(script) as server, Transport(environ={}) as sender:
        # a reset in the middle of too large a head may overtake our own verdict
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            async with asyncio.timeout(5):
                await call(sender, server)
        await soon(lambda: sender.open_connections == 0)


async def test_endless_head_ends_although_backend_keeps_sending() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        while not peer.writer.is_closing():
            await peer.send(b"x: y\r\n" * 1000)

    async with raw_server(script) as server, Transport(environ={}) as sender:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            async with asyncio.timeout(5):
                await call(sender, server)


async def test_what_came_before_the_break_is_delivered() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        received = []
        with pytest.raises(httpx.RemoteProtocolError, match="in the middle"):
            async for piece in response.stream:
                received.append(piece)
        assert received == [b"hello"]


@pytest.mark.parametrize(
    "bad",
    [
        {"headers": [(b"x", b"a\r\nevil: 1")]},
        {"headers": [(b"x", b"a\nevil: 1")]},
        {"headers": [(b"x", b"a\rb")]},
        {"headers": [(b"x", b"a\0b")]},
        {"headers": [(b"x\r\nevil", b"a")]},
        {"headers": [(b"x: y", b"a")]},
        {"headers": [(b"", b"a")]},
        {"headers": [("ä".encode(), b"a")]},
        {"headers": [(b"host", b"a"), (b"Host", b"b")]},
        {"headers": [(b"content-length", b"1"), (b"Content-Length", b"1")], "body": b"x"},
        {"headers": [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "body": b"x"},
        {"headers": [(b"transfer-encoding", b"gzip")], "body": b"x"},
        {"headers": [(b"content-length", b"2")], "body": b"x"},
        {"headers": [(b"content-length", b"+1")], "body": b"x"},
        {"target": b"/a b"},
        {"target": b"/a HTTP/1.1\r\nevil: 1"},
        {"target": b"/\0"},
        {"target": b"evil.test/"},
        {"target": b"http://evil.test/"},
        {"method": "GET /evil HTTP/1.1\r\nx:"},
        {"method": ""},
    ],
    ids=repr,
)
async def test_request_that_would_be_misread_is_refused(bad: dict[str, Any]) -> None:
    async with raw_server(hang) as server, Transport(environ={}) as sender:
        with pytest.raises(httpx.LocalProtocolError):
            await call(sender, server, **bad)
        assert sender.open_connections == 0
        assert not server.accepted


@pytest.mark.parametrize(("length", "message"), [(b"5", "longer"), (b"50", "shorter")])
async def test_stream_must_keep_to_its_length(length: bytes, message: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"0123456789"

    async with raw_server(hang) as server, Transport(environ={}) as sender:
        with pytest.raises(httpx.LocalProtocolError, match=message):
            await call(sender, server, "POST", headers=[(b"content-length", length)], body=body())
        await soon(lambda: sender.open_connections == 0)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "unix:/x", "/relative"])
async def test_other_schemes_are_refused(url: str) -> None:
    async with Transport(environ={}) as sender:
        with pytest.raises(httpx.UnsupportedProtocol):
            await sender.handle_async_request(httpx.Request("GET", url))
