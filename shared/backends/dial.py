"""From an origin to an open connection: names, addresses, TCP, a proxy's tunnel, TLS."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httptools
import httpx

from shared.backends.http1 import Connection
from shared.backends.proxies import Proxy
from shared.backends.tls import NameOnlyContext, check_peer_name

# (host, port) -> socket addresses as `socket.getaddrinfo` returns them. A door for tests and for private resolvers.
Resolve = Callable[[str, int], Awaitable[Sequence[tuple[Any, ...]]]]

_ATTEMPT_DELAY = 0.25  # seconds; RFC 8305 section 5
_KEEPALIVE_IDLE = 60  # seconds; Azure's load balancers drop a silent flow after 4 minutes
_KEEPALIVE_INTERVAL = 20
_KEEPALIVE_COUNT = 4
_TLS_CLOSE = 5.0  # seconds to wait for a peer's close_notify
_TUNNEL_ANSWER_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Route:
    """Where one origin is: ``context`` is ``None`` for plain HTTP, ``server_name`` the name for SNI and the check."""

    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: Proxy | None = None


async def system_resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    """Asks the system's resolver in a thread; raises ``socket.gaierror``."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Dialer:
    """Opens connections along one route; dials that wait for the same name share one look-up."""

    def __init__(self, route: Route, resolve: Resolve = system_resolve) -> None:
        self._route = route
        self._resolve = resolve
        self._lookup: asyncio.Task[Sequence[tuple[Any, ...]]] | None = None

    async def dial(self, seconds: float | None, lost: Callable[[Connection], None]) -> Connection:
        """A connection ready for its first request; ``lost`` is called once, when it has ended.

        ``seconds`` cover everything from the name to the end of the TLS handshake. Raises
        ``httpx.ConnectTimeout``, ``httpx.ConnectError`` or, when the proxy refuses, ``httpx.ProxyError``.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._open(lost)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection to {self._route.host} within {seconds} s") from error
        except OSError as error:  # ssl.SSLError and socket.gaierror are OSErrors too
            raise httpx.ConnectError(f"cannot connect to {self._route.host}: {error}") from error

    async def _open(self, lost: Callable[[Connection], None]) -> Connection:
        loop = asyncio.get_running_loop()
        route = self._route
        connected = await open_socket(await self._addresses())

        def protocol() -> Connection:
            return Connection(loop, lost)

        if route.context is None:
            _, connection = await loop.create_connection(protocol, sock=connected)
            return connection
        if route.proxy is None:
            transport, connection = await loop.create_connection(
                protocol,
                sock=connected,
                ssl=route.context,
                server_hostname=route.server_name,
                ssl_shutdown_timeout=_TLS_CLOSE,
            )
        else:
            raw = await open_tunnel(connected, route.host, route.port, route.proxy)
            connection = protocol()
            try:
                started = await loop.start_tls(
                    raw, connection, route.context, server_hostname=route.server_name, ssl_shutdown_timeout=_TLS_CLOSE
                )
            except BaseException:
                raw.abort()
                raise
            if started is None:  # the peer went away during the handshake
                raise ConnectionAbortedError("the TLS handshake was cut off")
            transport = started
            connection.connection_made(transport)
        try:
            self._check_tls(transport, route.context)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _check_tls(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        peer: ssl.SSLObject = transport.get_extra_info("ssl_object")
        if peer.selected_alpn_protocol() not in (None, "http/1.1"):
            raise ssl.SSLError(1, "the TLS context agreed on another protocol than http/1.1")
        if isinstance(context, NameOnlyContext):
            check_peer_name(peer.getpeercert(binary_form=True), self._route.server_name or self._route.host)

    async def _addresses(self) -> Sequence[tuple[Any, ...]]:
        there = self._route.proxy or self._route
        if literal := _literal(there.host, there.port):
            return literal
        # A burst of first requests must not queue one getaddrinfo each on the loop's few threads.
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.ensure_future(self._resolve(there.host, there.port))
            # Everyone who asked may have left by the time it fails.
            self._lookup.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        return await asyncio.shield(self._lookup)


async def open_socket(addresses: Sequence[tuple[Any, ...]], delay: float = _ATTEMPT_DELAY) -> socket.socket:
    """Connects to the first address that answers, starting one attempt after the other (RFC 8305, "happy eyeballs").

    Done here because uvloop's ``create_connection`` tries its addresses strictly in turn. Raises the first
    attempt's ``OSError`` when none answers.
    """
    ordered = _interleave(addresses)
    if not ordered:
        raise OSError("the name has no address")
    if len(ordered) == 1:
        return await _attempt(ordered[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    running: set[asyncio.Task[socket.socket]] = set()
    won: asyncio.Task[socket.socket] | None = None
    try:
        while won is None and (ordered or running):
            if ordered:
                attempts.append(asyncio.create_task(_attempt(ordered.pop(0))))
                running.add(attempts[-1])
            done, running = await asyncio.wait(
                running, timeout=delay if ordered else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = next((task for task in done if task.exception() is None), None)
        return won.result() if won is not None else attempts[0].result()
    finally:
        for task in attempts:
            if not task.done():
                task.cancel()
            elif task is not won and task.exception() is None:
                task.result().close()


def _interleave(addresses: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    first = [each for each in addresses if each[0] == addresses[0][0]]
    other = [each for each in addresses if each[0] != addresses[0][0]]
    pairs = [each for pair in zip(first, other, strict=False) for each in pair]
    shorter = min(len(first), len(other))
    return pairs + first[shorter:] + other[shorter:]


async def _attempt(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, sockaddr = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        _tune(opened)
        await asyncio.get_running_loop().sock_connect(opened, sockaddr)
    except BaseException:
        opened.close()
        raise
    return opened


def _tune(opened: socket.socket) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    settings = {
        "TCP_KEEPIDLE": _KEEPALIVE_IDLE,
        "TCP_KEEPALIVE": _KEEPALIVE_IDLE,  # macOS's name for it
        "TCP_KEEPINTVL": _KEEPALIVE_INTERVAL,
        "TCP_KEEPCNT": _KEEPALIVE_COUNT,
    }
    for name, value in settings.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _literal(host: str, port: int) -> list[tuple[Any, ...]] | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]


async def open_tunnel(connected: socket.socket, host: str, port: int, proxy: Proxy) -> asyncio.Transport:
    """Asks a proxy for a tunnel (CONNECT, RFC 9110 9.3.6) -> the raw transport, ready for TLS.

    Raises ``httpx.ProxyError`` when the proxy refuses or answers what is no HTTP.
    """
    loop = asyncio.get_running_loop()
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1".encode(), f"host: {authority}".encode()]
    if proxy.authorization is not None:
        lines.append(b"proxy-authorization: " + proxy.authorization)
    transport, tunnel = await loop.create_connection(lambda: _Tunnel(loop), sock=connected)
    try:
        transport.write(b"\r\n".join([*lines, b"\r\n"]))
        await tunnel.ready
    except BaseException:
        transport.abort()
        raise
    return transport


class _Tunnel(asyncio.Protocol):
    """Waits for the end of the proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: asyncio.Future[None] = loop.create_future()
        self._answer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, rest = bytes(self._answer).partition(b"\r\n\r\n")
        if not end and len(self._answer) < _TUNNEL_ANSWER_LIMIT:
            return
        # Before our ClientHello a TLS server says nothing: bytes after a 2xx head did not come from the backend.
        status = _status_of(head + end)
        if status is None or (200 <= status < 300 and rest):
            self._fail(httpx.ProxyError("the proxy's answer to CONNECT is not HTTP"))
        elif not 200 <= status < 300:
            self._fail(httpx.ProxyError(f"the proxy refused the tunnel with status {status}"))
        elif not self.ready.done():
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(httpx.ProxyError("the proxy closed the connection before the tunnel stood"))

    def _fail(self, error: httpx.ProxyError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)


def _status_of(head: bytes) -> int | None:
    parser = httptools.HttpResponseParser(object())
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    return parser.get_status_code() or None
