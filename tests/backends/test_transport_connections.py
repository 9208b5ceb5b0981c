"""The transport's connections: kept, shared, limited, given up and never leaked."""

import asyncio
import contextlib
import gc
import random
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from shared.backends.connection_pool import Limits
from shared.backends.dial import open_socket
from shared.backends.transport import Transport, build_request
from tests.support.raw_server import Peer, RawServer, raw_server
from tests.support.waiting import soon

pytestmark = pytest.mark.usefixtures("both_loops")


async def echo(peer: Peer) -> None:
    while True:
        _, body = await peer.request()
        await peer.answer(body)


async def call(sender: Transport, server: RawServer, method: str = "GET", **options: Any) -> httpx.Response:
    headers = options.pop("headers", [])
    response = await sender.handle_async_request(build_request(method, server.origin, b"/", headers=headers, **options))
    await response.aread()
    return response


async def settle() -> None:
    await asyncio.sleep(0.03)


# --- reuse and stale connections -----------------------------------------------------------------------------------


async def test_connection_is_reused() -> None:
    async with raw_server(echo) as server, Transport(environ={}) as sender:
        reused = [(await call(sender, server)).extensions["reused"] for _ in range(3)]
        assert reused == [False, True, True]
        assert len(server.accepted) == 1


async def test_connection_closed_while_idle_is_noticed_at_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        for expected in (1, 2):
            await call(sender, server, "POST", body=b"x")  # no error, although no POST is repeated
            await soon(lambda: sender.open_connections == sender.idle_connections == 0)
            assert len(server.accepted) == expected


def stale_server(seen: list[bytes], *, reset: bool = False) -> Any:
    """Answers the first request of the first connection, takes the second without an answer."""

    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.request()
            await peer.answer()
            seen.append((await peer.head()).split(b" ")[0])
            if reset:
                peer.reset()
            return
        while True:
            seen.append((await peer.request())[0].split(b" ")[0])
            await peer.answer(b"again")

    return script


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("GET", {}),
        ("DELETE", {}),
        ("PUT", {"body": b"x"}),
        ("POST", {"body": b"x", "headers": [(b"Idempotency-Key", b"1")]}),
        ("POST", {"body": b"x", "extensions": {"idempotent": True}}),
    ],
)
async def test_repeatable_request_survives_stale_connection(method: str, options: dict[str, Any], reset: bool) -> None:
    seen: list[bytes] = []
    async with raw_server(stale_server(seen, reset=reset)) as server, Transport(environ={}) as sender:
        await call(sender, server)
        response = await call(sender, server, method, **options)
        assert response.content == b"again"
        assert response.extensions["reused"] is False
        assert seen == [method.encode()] * 2


async def one_piece() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("POST", {"body": b"x"}),
        ("PATCH", {"body": b"x"}),
        ("GET", {"extensions": {"idempotent": False}}),
        ("PUT", {"body": "a stream"}),
    ],
)
async def test_other_request_is_sent_once_only(method: str, options: dict[str, Any]) -> None:
    seen: list[bytes] = []
    if options.get("body") == "a stream":
        options = {"body": one_piece()}
    async with raw_server(stale_server(seen)) as server, Transport(environ={}) as sender:
        await call(sender, server)
        with pytest.raises(httpx.TransportError) as caught:
            await call(sender, server, method, **options)
        assert caught.value.request.method == method
        assert seen == [method.encode()]


async def test_request_that_took_too_long_is_not_repeated() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        await call(sender, server)
        with pytest.raises(httpx.ReadTimeout):
            await call(sender, server, timeout={"read": 0.03})
        await settle()
        assert len(server.accepted) == 1


async def test_nothing_is_repeated_once_answer_has_started() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()
        await peer.send(b"HTTP/1.1 200 ")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        await call(sender, server)
        with pytest.raises(httpx.RemoteProtocolError):
            await call(sender, server)
        assert len(server.accepted) == 1


async def test_fresh_connection_is_not_tried_twice() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        with pytest.raises(httpx.RemoteProtocolError):
            await call(sender, server)
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokmore",
    ],
)
async def test_connection_that_must_not_be_reused_is_closed(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        for expected in (1, 2):
            response = await call(sender, server)
            assert (response.content, response.headers["content-length"]) == (b"ok", "2")
            await soon(lambda: sender.open_connections == 0 and len(server.accepted) == server.ended)
            assert len(server.accepted) == expected


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"\r\n"])
async def test_bytes_on_idle_connection_close_it(unasked: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await asyncio.sleep(0.02)
        await peer.send(unasked)
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        await call(sender, server)
        assert sender.idle_connections == 1
        await soon(lambda: sender.open_connections == 0)
        assert (await call(sender, server)).content == b"ok"


async def test_idle_connections_expire() -> None:
    limits = Limits(idle_expiry=0.5)
    async with raw_server(echo) as server, Transport(environ={}, limits=limits) as sender:
        await asyncio.gather(*(call(sender, server) for _ in range(3)))
        assert sender.idle_connections == 3
        await soon(lambda: sender.open_connections == 0 and server.ended == 3)


async def test_age_of_idle_connection_counts_even_if_timers_stood_still() -> None:
    async with raw_server(echo) as server, Transport(environ={}, limits=Limits(idle_expiry=0.05)) as sender:
        await call(sender, server)
        time.sleep(0.08)  # noqa: ASYNC251 - as when the platform freezes the process
        await call(sender, server)
        assert len(server.accepted) == 2


async def test_servers_own_idle_limit_is_honoured() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(headers=b"Keep-Alive: timeout=1, max=100\r\n")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        await call(sender, server)
        await call(sender, server)
        assert len(server.accepted) == 1
        await asyncio.sleep(0.55)  # of its 1 second we use half
        await call(sender, server)
        assert len(server.accepted) == 2


async def test_surplus_idle_connections_are_closed() -> None:
    limits = Limits(max_idle=2)
    async with raw_server(echo) as server, Transport(environ={}, limits=limits) as sender:
        await asyncio.gather(*(call(sender, server) for _ in range(5)))
        await soon(lambda: sender.open_connections == sender.idle_connections == 2)


# --- the limit and its queue ---------------------------------------------------------------------------------------


async def test_callers_queue_in_order_at_limit() -> None:
    order: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await asyncio.sleep(0.005)
            await peer.answer(body)

    async with raw_server(script) as server, Transport(environ={}, limits=Limits(max_connections=2)) as sender:

        async def caller(number: int) -> None:
            await call(sender, server, "POST", body=b"%d" % number)
            order.append(number)

        await asyncio.gather(*(caller(number) for number in range(10)))
        assert len(server.accepted) == 2
        assert all(abs(place - number) <= 1 for place, number in enumerate(order)), order


async def test_pool_timeout_is_raised_and_place_is_passed_on() -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await release.wait()
        await peer.answer()
        await echo(peer)

    async with raw_server(script) as server, Transport(environ={}, limits=Limits(max_connections=1)) as sender:
        first = asyncio.ensure_future(call(sender, server))
        await settle()
        with pytest.raises(httpx.PoolTimeout):
            await call(sender, server, timeout={"pool": 0.02})
        cancelled = asyncio.ensure_future(call(sender, server))
        patient = asyncio.ensure_future(call(sender, server))
        await settle()
        cancelled.cancel()
        release.set()
        assert (await first).status_code == (await patient).status_code == 200
        assert len(server.accepted) == 1


async def test_queue_moves_on_when_connection_fails() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number < 3:
            peer.reset()
        await peer.answer()
        await echo(peer)

    async with raw_server(script) as server, Transport(environ={}, limits=Limits(max_connections=1)) as sender:
        results = await asyncio.gather(*(call(sender, server, "POST") for _ in range(5)), return_exceptions=True)
        assert [isinstance(result, httpx.TransportError) for result in results] == [True, True, False, False, False]


async def leave_queue_in_ones_turn(sender: Transport, server: RawServer) -> None:
    async def first_caller() -> None:
        with contextlib.suppress(httpx.TransportError):
            await call(sender, server, "POST", headers=[(b"x", b"first")])
        second.cancel()  # by now it has the connection or its place, but has not run yet

    first = asyncio.ensure_future(first_caller())
    second = asyncio.ensure_future(call(sender, server))
    await asyncio.gather(first, second, return_exceptions=True)
    assert second.cancelled()


@pytest.mark.parametrize("reset", [False, True])
async def test_leaving_queue_in_moment_of_ones_turn_loses_nothing(reset: bool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            if b"first" in (await peer.request())[0] and reset:
                peer.reset()
                return
            await peer.answer()

    async with raw_server(script) as server, Transport(environ={}, limits=Limits(max_connections=1)) as sender:
        for _ in range(3):
            await leave_queue_in_ones_turn(sender, server)
            assert sender.open_connections == (0 if reset else 1)
            async with asyncio.timeout(10):
                await call(sender, server)
        assert sender.open_connections == sender.idle_connections == 1


@pytest.mark.parametrize("seed", range(3))
async def test_no_order_of_events_loses_connection(seed: int) -> None:
    chance = random.Random(seed)

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            match chance.randrange(8):
                case 0:
                    return
                case 1:
                    peer.reset()
                    return
                case 2:
                    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal")
                    await asyncio.sleep(0.002)
                    await peer.send(b"ve")
                case _:
                    await peer.answer(body)

    async def caller(server: RawServer, sender: Transport) -> None:
        with contextlib.suppress(httpx.TransportError):
            await call(sender, server, chance.choice(["GET", "POST"]), timeout={"pool": chance.choice([None, 0.01])})

    async with raw_server(script) as server, Transport(environ={}, limits=Limits(max_connections=4)) as sender:
        tasks = []
        for _ in range(400):
            tasks.append(asyncio.ensure_future(caller(server, sender)))
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        await settle()
        assert sender.open_connections == sender.idle_connections <= 4
        assert server.ended >= len(server.accepted) - sender.idle_connections


async def test_failed_dials_free_their_places() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with Transport(environ={}, limits=Limits(max_connections=1)) as sender:
            for _ in range(3):
                with pytest.raises(httpx.ConnectError):
                    request = build_request("GET", httpx.URL(f"http://127.0.0.1:{port}"), b"/", headers=[])
                    await sender.handle_async_request(request)
            assert sender.open_connections == 0


# --- leaving early -------------------------------------------------------------------------------------------------


async def hang(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def start_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
    await peer.gone()


async def test_cancelling_wait_for_headers_closes_connection() -> None:
    async with raw_server(hang) as server, Transport(environ={}) as sender:
        task = asyncio.ensure_future(call(sender, server))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_cancelling_body_closes_connection() -> None:
    async with raw_server(start_body) as server, Transport(environ={}) as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        task = asyncio.ensure_future(response.aread())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_cancelling_upload_stops_reading_its_body() -> None:
    left = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.005)
        finally:
            left.set()

    async with raw_server(hang) as server, Transport(environ={}) as sender:
        task = asyncio.ensure_future(call(sender, server, "POST", body=body()))
        await settle()
        task.cancel()
        async with asyncio.timeout(10):
            await left.wait()
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_cancelling_dial_leaves_nothing() -> None:
    asked = asyncio.Event()

    async def never(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        asked.set()
        await asyncio.sleep(30)
        return []

    async with Transport(environ={}, resolve=never) as sender:
        request = build_request("GET", httpx.URL("http://backend.test"), b"/", headers=[])
        task = asyncio.ensure_future(sender.handle_async_request(request))
        await asked.wait()
        assert sender.open_connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sender.open_connections == 0


async def test_closing_response_early_closes_connection() -> None:
    async with raw_server(start_body) as server, Transport(environ={}) as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        await response.aclose()
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))
        with pytest.raises(httpx.StreamError):
            await response.aread()


async def test_forgotten_response_does_not_keep_its_connection() -> None:
    async with raw_server(start_body) as server, Transport(environ={}) as sender:
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        del response
        gc.collect()
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_closing_transport_ends_everything() -> None:
    async with raw_server(hang) as server:
        sender = Transport(environ={}, limits=Limits(max_connections=1))
        calls = [asyncio.ensure_future(call(sender, server)) for _ in range(2)]
        await settle()
        await sender.aclose()
        used, queued = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(used, httpx.ReadError)
        assert isinstance(queued, RuntimeError)
        assert sender.open_connections == 0
        with pytest.raises(RuntimeError, match="closed"):
            await call(sender, server)


# --- names and addresses -------------------------------------------------------------------------------------------


def address(host: str, port: int) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


async def test_name_is_resolved_once_for_burst_and_not_for_idle_connections() -> None:
    asked: list[tuple[str, int]] = []

    async with raw_server(echo) as server:

        async def resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
            asked.append((host, port))
            await asyncio.sleep(0.01)
            return [address("127.0.0.1", server.port)]

        async with Transport(environ={}, resolve=resolve) as sender:
            request = build_request("GET", httpx.URL("http://backend.test:81"), b"/", headers=[])
            for _ in range(2):
                await asyncio.gather(*(sender.handle_async_request(request) for _ in range(5)))
        assert asked == [("backend.test", 81)]
        assert len(server.accepted) == 5


async def test_one_who_leaves_does_not_take_others_look_up_along() -> None:
    async with raw_server(echo) as server:

        async def resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
            await asyncio.sleep(0.03)
            return [address("127.0.0.1", server.port)]

        async with Transport(environ={}, resolve=resolve) as sender:
            request = build_request("GET", httpx.URL("http://backend.test"), b"/", headers=[])
            leaving = asyncio.ensure_future(sender.handle_async_request(request))
            staying = asyncio.ensure_future(sender.handle_async_request(request))
            await asyncio.sleep(0.01)
            leaving.cancel()
            assert (await staying).status_code == 200


async def test_dead_address_does_not_hold_up_living_one() -> None:
    async with raw_server(echo) as server:

        async def resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                refused = unused.getsockname()[1]
            return [address("127.0.0.1", refused), address("127.0.0.1", server.port)]

        async with Transport(environ={}, resolve=resolve) as sender:
            request = build_request("GET", httpx.URL("http://backend.test"), b"/", headers=[])
            async with asyncio.timeout(10):
                assert (await sender.handle_async_request(request)).status_code == 200


async def test_silent_address_does_not_hold_up_living_one() -> None:
    # A listener whose backlog is full lets a SYN go unanswered, as a dead IPv6 route does.
    with socket.socket() as full, socket.socket() as filler:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for each in (filler, *fillers):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        async with raw_server(echo) as server:

            async def resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
                return [address(*full.getsockname()), address("127.0.0.1", server.port)]

            async with Transport(environ={}, resolve=resolve) as sender:
                request = build_request("GET", httpx.URL("http://backend.test"), b"/", headers=[])
                async with asyncio.timeout(4):
                    assert (await sender.handle_async_request(request)).status_code == 200
                assert sender.open_connections == 1
        for each in fillers:
            each.close()


async def test_sockets_are_tuned() -> None:
    async with raw_server(echo) as server:
        with await open_socket([address("127.0.0.1", server.port)]) as opened:
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
