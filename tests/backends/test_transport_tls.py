"""The transport over TLS: whom it trusts, which name it wants to see, what it shows of itself."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from shared.backends.tls import client_context
from shared.backends.transport import Transport, build_request
from tests.support.authority import Authority
from tests.support.raw_server import Peer, raw_server
from tests.support.waiting import soon

pytestmark = pytest.mark.usefixtures("both_loops")


async def echo(peer: Peer) -> None:
    while True:
        _, body = await peer.request()
        await peer.answer(body)


def server_context(authority: Authority, folder: Path, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(*names).pem(folder / "server.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def trusting(authority: Authority, folder: Path, **options: bool) -> ssl.SSLContext:
    context = client_context(**options)
    context.load_verify_locations(authority.pem(folder / "authority.pem"))
    return context


async def get(sender: Transport, origin: httpx.URL, **extensions: object) -> bytes:
    request = build_request("POST", origin, b"/", headers=[], body=b"hi", extensions=extensions)
    return await (await sender.handle_async_request(request)).aread()


async def test_trusted_backend_answers_over_one_connection(tmp_path: Path) -> None:
    authority = Authority()
    async with (
        raw_server(echo, server_context(authority, tmp_path, "127.0.0.1")) as server,
        Transport(environ={}, ssl_context=trusting(authority, tmp_path)) as sender,
    ):
        assert await get(sender, server.origin) == b"hi"
        assert await get(sender, server.origin) == b"hi"
        assert len(server.accepted) == 1
        spoken = server.accepted[0].writer.get_extra_info("ssl_object")
        assert spoken.selected_alpn_protocol() == "http/1.1"


async def test_large_bodies_pass(tmp_path: Path) -> None:
    authority = Authority()
    body = bytes(range(256)) * 8000
    async with (
        raw_server(echo, server_context(authority, tmp_path, "127.0.0.1")) as server,
        Transport(environ={}, ssl_context=trusting(authority, tmp_path)) as sender,
    ):
        response = await sender.handle_async_request(build_request("POST", server.origin, b"/", headers=[], body=body))
        await asyncio.sleep(0.05)  # let it meet the reader's high-water mark
        assert await response.aread() == body
        assert sender.idle_connections == 1


@pytest.mark.parametrize("secure", [True, False])
async def test_end_of_connection_waits_for_slow_reader(tmp_path: Path, secure: bool) -> None:
    body = bytes(range(256)) * 16000

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)

    authority = Authority()
    async with (
        raw_server(script, server_context(authority, tmp_path, "127.0.0.1") if secure else None) as server,
        Transport(environ={}, ssl_context=trusting(authority, tmp_path)) as sender,
    ):
        response = await sender.handle_async_request(build_request("GET", server.origin, b"/", headers=[]))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        received = bytearray()
        async for piece in response.stream:
            received += piece
            await asyncio.sleep(0.005)
        assert received == body


async def test_unknown_authority_is_refused_by_default(tmp_path: Path) -> None:
    async with (
        raw_server(echo, server_context(Authority(), tmp_path, "127.0.0.1")) as server,
        Transport(environ={}) as sender,
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await get(sender, server.origin)
        assert sender.open_connections == 0


# Whether the chain and the name are right, the two switches, and whether the backend may be talked to.
@pytest.mark.parametrize(
    ("trusted", "named", "chain", "name", "accepted"),
    [
        (True, True, True, True, True),
        (True, False, True, True, False),
        (True, False, True, False, True),
        (False, True, True, True, False),
        (False, True, True, False, False),
        (False, True, False, True, True),
        (False, False, False, True, False),
        (False, False, False, False, True),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_chain_and_name_are_checked_apart(
    tmp_path: Path, host: str, trusted: bool, named: bool, chain: bool, name: bool, accepted: bool
) -> None:
    issuer = Authority()
    context = trusting(
        issuer if trusted else Authority("Another"),
        tmp_path,
        validate_certificate_chain=chain,
        validate_certificate_name=name,
    )
    shown = server_context(issuer, tmp_path, host if named else "elsewhere.test")
    async with raw_server(echo, shown) as server, Transport(environ={}) as sender:
        origin = server.origin.copy_with(host=host)
        if accepted:
            assert await get(sender, origin, ssl_context=context) == b"hi"
        else:
            with pytest.raises(httpx.ConnectError):
                await get(sender, origin, ssl_context=context)


@pytest.mark.parametrize(("shown", "fits"), [("*.backend.test", True), ("*.test", False), ("a.*.test", False)])
async def test_wildcard_stands_for_one_label(tmp_path: Path, shown: str, fits: bool) -> None:
    context = client_context(validate_certificate_chain=False)
    async with (
        raw_server(echo, server_context(Authority(), tmp_path, shown)) as server,
        Transport(environ={}) as sender,
    ):
        call = get(sender, server.origin, ssl_context=context, sni_hostname="a.backend.test")
        if fits:
            assert await call == b"hi"
        else:
            with pytest.raises(httpx.ConnectError, match=r"certificate is not for a\.backend\.test$"):
                await call


async def test_name_is_sent_and_can_be_another(tmp_path: Path) -> None:
    asked: list[str | None] = []
    authority = Authority()
    shown = server_context(authority, tmp_path, "localhost", "inner.test")
    shown.sni_callback = lambda _, name, __: asked.append(name)
    async with (
        raw_server(echo, shown) as server,
        Transport(environ={}, ssl_context=trusting(authority, tmp_path)) as sender,
    ):
        origin = server.origin.copy_with(host="localhost")
        await get(sender, origin)
        await get(sender, origin, sni_hostname="inner.test")
        assert asked == ["localhost", "inner.test"]
        assert len(server.accepted) == 2


async def test_different_options_never_share_connection(tmp_path: Path) -> None:
    authority = Authority()
    lax = client_context(validate_certificate_chain=False, validate_certificate_name=False)
    async with (
        raw_server(echo, server_context(authority, tmp_path, "127.0.0.1")) as server,
        Transport(environ={}) as sender,
    ):
        assert await get(sender, server.origin, ssl_context=lax) == b"hi"
        with pytest.raises(httpx.ConnectError):
            await get(sender, server.origin)
        assert await get(sender, server.origin, ssl_context=trusting(authority, tmp_path)) == b"hi"
        assert sender.idle_connections == 2


@pytest.mark.parametrize("kind", ["pem", "pfx", "none"])
async def test_client_certificate_is_shown(tmp_path: Path, kind: str) -> None:
    authority = Authority()
    required = server_context(authority, tmp_path, "127.0.0.1")
    required.verify_mode = ssl.CERT_REQUIRED
    required.load_verify_locations(authority.pem(tmp_path / "authority.pem"))
    own = authority.issue("gateway.test")
    match kind:
        case "pem":
            context = client_context(certificate=own.pem(tmp_path / "own.pem"))
        case "pfx":
            context = client_context(certificate=own.pfx(tmp_path / "own.pfx"))
        case _:
            context = client_context()
    context.load_verify_locations(tmp_path / "authority.pem")
    async with raw_server(echo, required) as server, Transport(environ={}, ssl_context=context) as sender:
        if kind == "none":
            with pytest.raises(httpx.TransportError):  # in TLS 1.3 the refusal comes after the handshake
                await get(sender, server.origin)
            return
        assert await get(sender, server.origin) == b"hi"
        subject = server.accepted[0].writer.get_extra_info("peercert")["subjectAltName"]
        assert subject == (("DNS", "gateway.test"),)


def test_a_pfx_with_a_password_is_told(tmp_path: Path) -> None:
    pfx = Authority().issue("gateway.test").pfx(tmp_path / "own.pfx", "secret")
    with pytest.raises(ValueError, match="password"):
        client_context(certificate=pfx)


async def test_context_that_speaks_http2_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    context = trusting(authority, tmp_path)
    context.set_alpn_protocols(["h2"])
    async with (
        raw_server(echo, server_context(authority, tmp_path, "127.0.0.1")) as server,
        Transport(environ={}, ssl_context=context) as sender,
    ):
        with pytest.raises(httpx.ConnectError, match=r"another protocol than http/1\.1$"):
            await get(sender, server.origin)
        await soon(lambda: sender.open_connections == 0)
        assert server.ended == len(server.accepted)  # the server may not even have seen the handshake end


async def test_plain_server_is_no_tls_server() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(script) as server, Transport(environ={}) as sender:
        with pytest.raises(httpx.ConnectError):
            await get(sender, server.origin.copy_with(scheme="https"))


async def test_connect_timeout_covers_handshake() -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        request = build_request(
            "GET", server.origin.copy_with(scheme="https"), b"/", headers=[], timeout={"connect": 0.1}
        )
        with pytest.raises(httpx.ConnectTimeout):
            await sender.handle_async_request(request)
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))


async def test_cancelling_handshake_closes_connection() -> None:
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        connected.set()
        await peer.gone()

    async with raw_server(script) as server, Transport(environ={}) as sender:
        task = asyncio.ensure_future(get(sender, server.origin.copy_with(scheme="https")))
        async with asyncio.timeout(5):
            await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: (sender.open_connections, server.ended) == (0, 1))
