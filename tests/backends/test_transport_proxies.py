"""The way through a corporate proxy, and who is spared it."""

import asyncio
import base64
import ssl
from pathlib import Path

import httpx
import pytest

from shared.backends.proxies import Proxy, parse_proxy, proxy_for
from shared.backends.tls import client_context
from shared.backends.transport import Transport, build_request
from tests.support.authority import Authority
from tests.support.raw_server import Peer, raw_server
from tests.support.waiting import soon

both_loops = pytest.mark.usefixtures("both_loops")
BASIC = b"Basic " + base64.b64encode(b"user:p@ss")


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("http://a.test", {}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p:3128"}, Proxy("p", 3128)),
        ("https://a.test", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://a.test", {"HTTPS_PROXY": "p:3128"}, Proxy("p", 3128)),
        ("https://a.test", {"HTTPS_PROXY": ""}, None),
        ("https://a.test", {"https_proxy": "http://low", "HTTPS_PROXY": "http://high"}, Proxy("low", 80)),
        ("https://a.test", {"ALL_PROXY": "http://p"}, Proxy("p", 80)),
        ("https://a.test", {"HTTPS_PROXY": "http://user:p%40ss@p"}, Proxy("p", 80, BASIC)),
        ("https://a.test", {"HTTPS_PROXY": "http://[::1]:8080"}, Proxy("::1", 8080)),
        ("http://a.test", {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p", "NO_PROXY": "b.test, A.test"}, None),
        ("http://x.a.test", {"HTTP_PROXY": "http://p", "NO_PROXY": "a.test"}, None),
        ("http://x.a.test", {"HTTP_PROXY": "http://p", "NO_PROXY": ".a.test"}, None),
        ("http://xa.test", {"HTTP_PROXY": "http://p", "NO_PROXY": "a.test"}, Proxy("p", 80)),
        ("http://a.test:81", {"HTTP_PROXY": "http://p", "NO_PROXY": "a.test:81"}, None),
        ("http://a.test:82", {"HTTP_PROXY": "http://p", "NO_PROXY": "a.test:81"}, Proxy("p", 80)),
        ("http://10.1.2.3", {"HTTP_PROXY": "http://p", "no_proxy": "10.0.0.0/8"}, None),
        ("http://11.1.2.3", {"HTTP_PROXY": "http://p", "no_proxy": "10.0.0.0/8"}, Proxy("p", 80)),
        ("http://127.0.0.1:81", {"HTTP_PROXY": "http://p", "NO_PROXY": "127.0.0.1:81"}, None),
        ("http://127.0.0.1:81", {"HTTP_PROXY": "http://p", "NO_PROXY": "127.0.0.1"}, None),
        ("http://[::1]", {"HTTP_PROXY": "http://p", "NO_PROXY": "::1"}, None),
    ],
)
def test_environment_names_the_proxy(url: str, environ: dict[str, str], expected: Proxy | None) -> None:
    parsed = httpx.URL(url)
    port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
    assert proxy_for(parsed.scheme, parsed.host, port, environ) == expected


def test_password_is_not_shown() -> None:
    proxy = parse_proxy("http://user:p%40ss@p")
    assert "p@ss" not in repr(proxy) and BASIC.decode() not in repr(proxy)
    with pytest.raises(ValueError, match="socks5") as caught:
        parse_proxy("socks5://user:hidden@p")
    assert "hidden" not in str(caught.value)


@both_loops
@pytest.mark.parametrize("login", ["", "user:p%40ss@"])
async def test_plain_request_goes_to_proxy_in_absolute_form(login: str) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append((await peer.request())[0])
            await peer.answer()

    async with raw_server(script) as proxy:
        environ = {"HTTP_PROXY": f"http://{login}127.0.0.1:{proxy.port}"}
        async with Transport(environ=environ) as sender:
            for _ in range(2):
                origin = httpx.URL("http://backend.test:8080")
                await (await sender.handle_async_request(build_request("GET", origin, b"/a?b", headers=[]))).aread()
        assert len(proxy.accepted) == 1
    authorization = b"proxy-authorization: " + BASIC + b"\r\n" if login else b""
    expected = b"GET http://backend.test:8080/a?b HTTP/1.1\r\nhost: backend.test:8080\r\n" + authorization + b"\r\n"
    assert heads == [expected, expected]


def tls_pair(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(authority.issue("backend.test").pem(folder / "server.pem"))
    trusting = client_context()
    trusting.load_verify_locations(authority.pem(folder / "authority.pem"))
    return served, trusting


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@both_loops
async def test_tls_request_goes_through_tunnel(tmp_path: Path) -> None:
    served, trusting = tls_pair(tmp_path)
    asked: list[bytes] = []

    async def backend_script(peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            assert b"proxy-authorization" not in head
            await peer.answer(body)

    async with raw_server(backend_script, served) as backend:

        async def proxy_script(peer: Peer) -> None:
            asked.append(await peer.head())
            reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
            await peer.send(b"HTTP/1.1 200 Connection established\r\nvia: proxy\r\n\r\n")
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))

        async with raw_server(proxy_script) as proxy:
            environ = {"HTTPS_PROXY": f"http://user:p%40ss@127.0.0.1:{proxy.port}"}
            async with Transport(environ=environ, ssl_context=trusting) as sender:
                for body in (b"a", b"b" * 300_000):
                    origin = httpx.URL("https://backend.test")
                    request = build_request("POST", origin, b"/", headers=[], body=body)
                    assert await (await sender.handle_async_request(request)).aread() == body
            assert len(proxy.accepted) == 1
    assert asked == [
        b"CONNECT backend.test:443 HTTP/1.1\r\nhost: backend.test:443\r\nproxy-authorization: " + BASIC + b"\r\n\r\n"
    ]


@both_loops
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\nlong", "502"),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01 not from the backend", "not HTTP"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"x" * 100_000, "not HTTP"),
        (b"", "closed"),
    ],
)
async def test_refused_tunnel_is_proxy_error(answer: bytes, message: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer)

    async with raw_server(script) as proxy:
        environ = {"HTTPS_PROXY": f"http://user:hidden@127.0.0.1:{proxy.port}"}
        async with Transport(environ=environ, ssl_context=client_context()) as sender:
            request = build_request("GET", httpx.URL("https://backend.test"), b"/", headers=[])
            with pytest.raises(httpx.ProxyError, match=message):
                await sender.handle_async_request(request)
            await soon(lambda: sender.open_connections == 0)
        assert proxy.ended == 1


@both_loops
async def test_backend_behind_tunnel_is_verified(tmp_path: Path) -> None:
    served, _ = tls_pair(tmp_path)

    async def never(peer: Peer) -> None:
        await peer.gone()

    async with raw_server(never, served) as backend:

        async def proxy_script(peer: Peer) -> None:
            await peer.head()
            reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))

        async with (
            raw_server(proxy_script) as proxy,
            Transport(environ={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}) as sender,
        ):
            request = build_request("GET", httpx.URL("https://backend.test"), b"/", headers=[])
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await sender.handle_async_request(request)
            await soon(lambda: sender.open_connections == 0 and proxy.ended == 1)


@both_loops
async def test_proxy_of_another_kind_is_refused() -> None:
    async with Transport(environ={"HTTPS_PROXY": "https://p.test"}) as sender:
        with pytest.raises(httpx.ProxyError, match="http://host:port"):
            await sender.handle_async_request(build_request("GET", httpx.URL("https://backend.test"), b"/", headers=[]))
