"""The transport's exchange: what goes out, what comes back, and when."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from shared.backends.transport import Content, Transport, build_request
from tests.support.raw_server import Peer, raw_server
from tests.support.waiting import soon

pytestmark = pytest.mark.usefixtures("both_loops")


def transport() -> Transport:
    return Transport(environ={})


async def pieces(response: httpx.Response) -> list[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return [piece async for piece in response.stream]


async def test_request_and_answer_pass_unchanged() -> None:
    packed = gzip.compress(b"not to be unpacked")
    seen: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer(packed, headers=b"Content-Encoding: gzip\r\nSet-Cookie: a\r\nset-cookie: b\r\n")

    async with raw_server(script) as server, transport() as sender:
        headers = [(b"X-Twice", b"1"), (b"x-twice", "ü".encode()), (b"content-type", b"application/json")]
        request = build_request("POST", server.origin, b"/a//b%2Fc/../d?q=1&q=%20", headers=headers, body=b'{"a":1}')
        response = await sender.handle_async_request(request)
        assert b"".join(await pieces(response)) == packed

    head, body = seen[0]
    assert head == (
        b"POST /a//b%%2Fc/../d?q=1&q=%%20 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nX-Twice: 1\r\nx-twice: \xc3\xbc\r\n"
        b"content-type: application/json\r\ncontent-length: 7\r\n\r\n" % server.port
    )
    assert body == b'{"a":1}'
    assert response.status_code == 200
    assert response.headers.raw[1:] == [(b"Content-Encoding", b"gzip"), (b"Set-Cookie", b"a"), (b"set-cookie", b"b")]
    assert response.extensions == {"http_version": b"HTTP/1.1", "reason_phrase": b"OK", "reused": False}
    assert isinstance(response.stream, Content)


async def test_works_under_httpx_client() -> None:
    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            await peer.answer(head.split(b" ")[1], headers=b"content-type: text/plain\r\n")

    async with raw_server(script) as server, httpx.AsyncClient(transport=transport(), base_url=server.origin) as client:
        assert (await client.get("/a", params={"q": "x y"})).text == "/a?q=x+y"
        assert (await client.post("/b", json={})).text == "/b"
        assert len(server.accepted) == 1


async def test_works_under_openai_sdk() -> None:
    event = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for data in (event + b'{"content":"a"}}]}\n\n', event + b'{"content":"b"}}]}\n\n', b"data: [DONE]\n\n"):
            await peer.send(b"%x\r\n%b\r\n" % (len(data), data))
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    async with raw_server(script) as server, httpx.AsyncClient(transport=transport()) as client:
        sdk = openai.AsyncOpenAI(api_key="k", base_url=str(server.origin), http_client=client)  # type: ignore[arg-type]
        stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["a", "b"]


async def test_body_arrives_as_it_is_sent() -> None:
    taken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for data in (b"1\r\na\r\n", b"2\r\nbb\r\n3\r\nccc\r\n", b"0\r\nx-trailer: 1\r\n\r\n"):
            await taken.wait()
            taken.clear()
            await peer.send(data)
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        taken.set()
        received = []
        async for piece in response.stream:
            received.append(piece)
            taken.set()
        assert received == [b"a", b"bbccc"]  # what was there together comes together
        assert "x-trailer" not in response.headers
        assert sender.idle_connections == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_answer_without_body_frees_its_connection(method: str, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer)

    async with raw_server(script) as server, transport() as sender:
        for _ in range(2):
            response = await sender.handle_async_request(build_request(method, server.origin, b"/", headers=[]))
            assert await pieces(response) == []
        assert len(server.accepted) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"])
async def test_body_without_length_ends_with_connection(head: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"all ")
        await asyncio.sleep(0.02)
        await peer.send(b"of it")

    async with raw_server(script) as server, transport() as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        assert b"".join(await pieces(response)) == b"all of it"
        await soon(lambda: sender.open_connections == 0)


async def test_interim_answers_are_skipped() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        await peer.answer(b"done", status=b"201 Made")

    async with raw_server(script) as server, transport() as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        assert (response.status_code, response.reason_phrase) == (201, "Made")
        assert "link" not in response.headers
        assert await response.aread() == b"done"


@pytest.mark.parametrize("body", [b"abcdef", [b"abc", b"", b"def"]])
async def test_body_waits_for_100_continue(body: bytes | list[bytes]) -> None:
    async def stream(parts: list[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def script(peer: Peer) -> None:
        await peer.head()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.answer(await peer.reader.readexactly(6))
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        headers = [(b"expect", b"100-continue"), (b"content-length", b"6")]
        content = body if isinstance(body, bytes) else stream(body)
        request = build_request("PUT", server.origin, b"/", headers=headers, body=content)
        response = await sender.handle_async_request(request)
        assert await response.aread() == b"abcdef"
        assert sender.idle_connections == 1


async def test_body_is_kept_back_when_expectation_fails() -> None:
    left: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"no", status=b"417 Expectation Failed")
        left.append(await peer.reader.read())

    async with raw_server(script) as server, transport() as sender:
        request = build_request("PUT", server.origin, b"/", headers=[(b"expect", b"100-continue")], body=b"secret")
        response = await sender.handle_async_request(request)
        assert response.status_code == 417
        await response.aread()
        await soon(lambda: left == [b""])


async def test_body_goes_out_when_nobody_says_continue() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer((await peer.request())[1])

    async with raw_server(script) as server, transport() as sender:
        request = build_request(
            "PUT", server.origin, b"/", headers=[(b"expect", b"100-continue")], body=b"abc", timeout={"continue": 0.02}
        )
        assert await (await sender.handle_async_request(request)).aread() == b"abc"


@pytest.mark.parametrize("framing", [[], [(b"content-length", b"300000")], [(b"transfer-encoding", b"chunked")]])
async def test_streamed_request_body_arrives(framing: list[tuple[bytes, bytes]]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for letter in (b"a", b"", b"b", b"c"):
            yield letter * 100_000

    async def script(peer: Peer) -> None:
        while True:
            await peer.answer((await peer.request())[1])

    async with raw_server(script) as server, transport() as sender:
        for _ in range(2):
            request = build_request("POST", server.origin, b"/", headers=framing, body=body())
            response = await sender.handle_async_request(request)
            assert b"".join(await pieces(response)) == b"a" * 100_000 + b"b" * 100_000 + b"c" * 100_000
        assert len(server.accepted) == 1


async def test_a_body_in_memory_that_is_called_chunked_cannot_pose_as_a_second_request() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer((await peer.request())[1])

    body = b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n"
    async with raw_server(script) as server, transport() as sender:
        headers = [(b"transfer-encoding", b"Chunked")]
        request = build_request("POST", server.origin, b"/", headers=headers, body=body)
        assert await (await sender.handle_async_request(request)).aread() == body
        request = build_request("GET", server.origin, b"/", headers=[(b"transfer-encoding", b"chunked")])
        assert await (await sender.handle_async_request(request)).aread() == b""


async def test_request_stream_is_not_read_ahead_of_backend() -> None:
    pulled = 0
    release = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal pulled
        for _ in range(400):
            pulled += 1
            yield b"x" * 65536

    async def script(peer: Peer) -> None:
        await peer.head()
        await release.wait()
        await peer.answer(b"%d" % len(await peer.chunked_body()))

    async with raw_server(script) as server, transport() as sender:
        call = asyncio.ensure_future(
            sender.handle_async_request(build_request("POST", server.origin, b"/", headers=[], body=body()))
        )
        await asyncio.sleep(0.2)
        assert pulled < 200  # the sockets' buffers are full, ours is not growing
        release.set()
        assert await (await call).aread() == b"%d" % (400 * 65536)


async def test_answer_is_not_read_ahead_of_reader() -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (400 * 65536))
        for _ in range(400):
            await peer.send(b"x" * 65536)
            sent += 1
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        await asyncio.sleep(0.2)
        assert sent < 200
        assert sum(map(len, await pieces(response))) == 400 * 65536
        assert sender.idle_connections == 1


@pytest.mark.parametrize("streamed", [True, False])
async def test_early_answer_ends_upload(streamed: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"too much", status=b"413 Content Too Large")
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        content = body() if streamed else b"x" * 30_000_000
        request = build_request("POST", server.origin, b"/", headers=[], body=content, timeout={"read": 5, "write": 5})
        response = await sender.handle_async_request(request)
        assert response.status_code == 413
        assert await response.aread() == b"too much"
        await soon(lambda: sender.open_connections == 0 and server.ended == 1)


async def test_upload_stops_while_error_is_read() -> None:
    pulled = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield b"x"
            await asyncio.sleep(0.001)

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\n\r\ntoo ")
        await asyncio.sleep(0.05)
        await peer.send(b"much")
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        request = build_request("POST", server.origin, b"/", headers=[], body=body())
        response = await sender.handle_async_request(request)
        before = pulled
        assert await response.aread() == b"too much"
        assert pulled <= before + 1


async def test_answer_may_overlap_upload() -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
        sent = await peer.chunked_body()
        await peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent))
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        response = await sender.handle_async_request(
            build_request("POST", server.origin, b"/", headers=[], body=body())
        )
        received = []
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for piece in response.stream:
            received.append(piece)
            go_on.set()
        assert received == [b"hi", b"firstsecond"]
        assert sender.idle_connections == 1


async def test_error_of_body_stream_reaches_caller() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        raise LookupError("the client left")

    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.gone()
        ended.set()

    async with raw_server(script) as server, transport() as sender:
        with pytest.raises(LookupError, match="the client left"):
            await sender.handle_async_request(build_request("POST", server.origin, b"/", headers=[], body=body()))
        async with asyncio.timeout(10):
            await ended.wait()


@pytest.mark.parametrize("seed", range(8))
async def test_any_division_into_packets_reads_the_same(seed: int) -> None:
    chance = random.Random(seed)
    chunks = [chance.randbytes(chance.choice([1, 2, 15, 16, 17, 255, 4096])) for _ in range(6)]
    wire = (
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 Fine\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    wire += b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\ntrailer: 1\r\n\r\n"

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            cuts = sorted(chance.sample(range(1, len(wire)), 12))
            for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
                await peer.send(wire[start:end])
                await asyncio.sleep(0.001 if chance.random() < 0.7 else 0)
        await peer.gone()

    async with raw_server(script) as server, transport() as sender:
        for _ in range(2):
            response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
            assert b"".join(await pieces(response)) == b"".join(chunks)
            assert response.headers.raw == [(b"x-a", b"1"), (b"transfer-encoding", b"chunked")]
            assert response.reason_phrase == "Fine"
        assert len(server.accepted) == 1
