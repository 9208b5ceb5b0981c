"""The connection layer beneath httpx: a transport that carries requests to backends over kept-alive HTTP/1.1."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

import httpx

from shared.backends.connection_pool import ConnectionPool, Limits
from shared.backends.deadline import Timeouts
from shared.backends.dial import Dialer, Resolve, Route, system_resolve
from shared.backends.http1 import Connection
from shared.backends.proxies import proxy_for
from shared.backends.request_head import Destination, RequestHead, encode_head
from shared.backends.tls import client_context
from shared.message import DEFAULT_PORTS

# RFC 9110 9.2.2: what may be sent a second time without asking.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_POOLS_KEPT = 256


class Content(httpx.ByteStream):
    """A body that is there as a whole: ``content`` are its bytes.

    As a response's stream it says that nothing more will come and that the connection is already free again.
    """

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.content:
            yield self.content


class BodyStream(httpx.AsyncByteStream):
    """A request body that comes in pieces."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


def build_request(
    method: str,
    origin: httpx.URL,
    target: bytes,
    *,
    headers: list[tuple[bytes, bytes]],
    body: bytes | AsyncIterable[bytes] = b"",
    timeout: Mapping[str, float | None] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> httpx.Request:
    """The cheapest ``httpx.Request`` that says exactly this.

    ``origin`` is made once per backend (``httpx.URL("https://host")``); ``target`` are the bytes for the request line,
    path and query, sent as they are: httpx would parse, normalise and quote them anew for each request. Headers are
    sent as they are too; Host, Content-Length or Transfer-Encoding are added on the wire where they are missing.
    ``timeout`` in seconds: ``connect``, ``read``, ``write``, ``pool``, ``headers``, ``continue``.
    """
    stream = Content(body) if isinstance(body, bytes) else BodyStream(body)
    merged = {"target": target, "timeout": timeout or {}, **(extensions or {})}
    return httpx.Request(method, origin, headers=headers, stream=stream, extensions=merged)


class Transport(httpx.AsyncBaseTransport):
    """Sends requests over HTTP/1.1 and streams the raw bytes of the answers.

    Request extensions it knows:

    - ``timeout``: httpx's ``connect``, ``read``, ``write``, ``pool``, and two of our own: ``headers``, the wait for the
      response's head (default: ``read``), and ``continue``, the wait for "100 Continue" (default: 1). Seconds.
    - ``target``: the request line's target as bytes, instead of the URL's path and query.
    - ``ssl_context``: this backend's own, see ``tls.client_context``; ``sni_hostname``: another name to ask for and to
      check. Requests that differ in either never share a connection.
    - ``idempotent``: whether the request may be sent twice, instead of the rule below.

    Response extensions: ``http_version``, ``reason_phrase`` and ``reused``. A small answer that came at once has
    ``Content`` as its stream.

    A request that fails on a reused connection, because the backend closed it before a single byte of an answer, is
    sent once more over another connection when the body can be repeated (bytes) and the request is idempotent by its
    method or says so by an ``Idempotency-Key`` header or the extension (RFC 9110 9.2.2, RFC 9112 9.3.1). A POST is
    not: a backend that died over it looks the same as one that never read it. Connections known to be closed are not
    used in the first place, and a server's ``Keep-Alive: timeout`` is honoured.

    Raises httpx's transport errors. Belongs to the event loop that uses it first. A response's stream must be read to
    its end or closed.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """``ssl_context`` is the default one (``client_context()`` when left out, built when first needed).
        ``environ`` is where proxies are looked up: the process's environment, or ``{}`` for none."""
        self._ssl_context = ssl_context
        self._limits = limits or Limits()
        self._environ = os.environ if environ is None else environ
        self._resolve = resolve
        self._pools: dict[tuple[object, ...], tuple[ConnectionPool, Destination]] = {}
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections to all origins, idle ones and those being opened included."""
        return sum(pool.open_connections for pool, _ in self._pools.values())

    @property
    def idle_connections(self) -> int:
        """Those of them that carry no exchange."""
        return sum(pool.idle_connections for pool, _ in self._pools.values())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request -> the response as soon as its head is there. Raises as the class says;
        ``httpx.LocalProtocolError`` for a request that must not be sent as it is."""
        if self._closed:
            raise RuntimeError("the transport was closed")
        pool, destination = self._pools.get(_pool_key(request)) or await self._open_pool(request)
        body, length = _body_of(request)
        extensions = request.extensions
        head = encode_head(
            destination,
            request.method,
            extensions.get("target") or request.url.raw_path,
            headers=request.headers.raw,
            body_length=length,
        )
        timeouts = Timeouts(extensions.get("timeout") or {})
        now = asyncio.get_running_loop().time()
        connection = pool.take_idle(now) or await _acquire(pool, timeouts, request)
        reused = connection.exchanges > 0
        try:
            return await _exchange(pool, connection, request, head, body, timeouts)
        except httpx.TransportError:
            if not (reused and _was_stale(connection) and isinstance(body, bytes) and _repeatable(request, head)):
                raise
        connection = await _acquire(pool, timeouts, request)
        return await _exchange(pool, connection, request, head, body, timeouts)

    async def aclose(self) -> None:
        """Ends all connections, also those in use, and waits until their sockets are closed."""
        self._closed = True
        for pool, _ in self._pools.values():
            await pool.aclose()

    async def _open_pool(self, request: httpx.Request) -> tuple[ConnectionPool, Destination]:
        url, context = request.url, None
        if url.scheme not in DEFAULT_PORTS or not url.host:
            raise httpx.UnsupportedProtocol("a backend's URL starts with http:// or https:// and has a host")
        if url.scheme == "https":
            context = request.extensions.get("ssl_context") or await self._default_context()
        port = url.port or DEFAULT_PORTS[url.scheme]
        try:
            proxy = proxy_for(url.scheme, url.host, port, self._environ)
        except ValueError as error:
            raise httpx.ProxyError(str(error)) from error
        destination = Destination(url.netloc)
        if proxy is not None and context is None:
            destination = Destination(url.netloc, b"http://" + url.netloc, proxy.authorization)
        host = url.raw_host.decode("ascii")  # url.host may be Unicode; on the wire and in certificates names are not
        server_name = (request.extensions.get("sni_hostname") or host).rstrip(".") if context else None
        pool = ConnectionPool(Dialer(Route(host, port, context, server_name, proxy), self._resolve), self._limits)
        if self._closed:  # while the default context was being read
            raise RuntimeError("the transport was closed")
        self._forget_unused_pools()
        return self._pools.setdefault(_pool_key(request), (pool, destination))

    def _forget_unused_pools(self) -> None:
        """Policies may compute a backend's URL: hosts that were called once must not stay for ever."""
        if len(self._pools) >= _POOLS_KEPT:
            self._pools = {key: entry for key, entry in self._pools.items() if entry[0].open_connections}

    async def _default_context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            # Reads hundreds of certificates.
            context = await asyncio.get_running_loop().run_in_executor(None, client_context)
            self._ssl_context = self._ssl_context or context
        return self._ssl_context


class _Body(httpx.AsyncByteStream):
    """A response body that is still arriving; frees its connection with the last byte, or ends it when left early."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: ConnectionPool, connection: Connection, timeout: float | None) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        if connection is None:
            raise httpx.StreamClosed
        while True:
            if not (connection.buffered or connection.complete):
                try:
                    await connection.receive_more(self._timeout)
                except httpx.TransportError:
                    self._connection = None
                    raise
                except BaseException:
                    self._abort()
                    raise
            data = connection.take()
            if connection.complete:
                self._connection = None
                self._pool.give_back(connection, connection.loop.time())
                if data:
                    yield data
                return
            yield data
            if self._connection is None:
                raise httpx.StreamClosed

    async def aclose(self) -> None:
        self._abort()

    def __del__(self) -> None:
        # Nobody closed it: the connection must not stay taken for ever. The collector may run in any thread.
        connection = self._connection
        if connection is not None and not connection.loop.is_closed():
            connection.loop.call_soon_threadsafe(connection.abort)

    def _abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()


async def _exchange(
    pool: ConnectionPool,
    connection: Connection,
    request: httpx.Request,
    head: RequestHead,
    body: bytes | AsyncIterable[bytes],
    timeouts: Timeouts,
) -> httpx.Response:
    reused = connection.exchanges > 0
    try:
        connection.send(head, body, timeouts, no_body=request.method == "HEAD")
        await connection.receive_head()
    except httpx.TransportError as error:
        error.request = request
        raise
    except BaseException:
        connection.abort()
        raise
    stream: Content | _Body
    if connection.complete:
        stream = Content(connection.take())
        pool.give_back(connection, connection.loop.time())
    else:
        stream = _Body(pool, connection, timeouts.read)
    facts = {"http_version": connection.http_version, "reason_phrase": connection.reason, "reused": reused}
    return httpx.Response(connection.status, headers=connection.headers, stream=stream, extensions=facts)


async def _acquire(pool: ConnectionPool, timeouts: Timeouts, request: httpx.Request) -> Connection:
    try:
        return await pool.acquire(timeouts.pool, timeouts.connect)
    except httpx.TransportError as error:
        error.request = request
        raise


def _pool_key(request: httpx.Request) -> tuple[object, ...]:
    url, extensions = request.url, request.extensions
    if url.scheme == "http":
        return url.host, url.port
    return url.scheme, url.host, url.port, extensions.get("ssl_context"), extensions.get("sni_hostname")


def _body_of(request: httpx.Request) -> tuple[bytes | AsyncIterable[bytes], int | None]:
    stream = request.stream
    if isinstance(stream, Content):
        return stream.content, len(stream.content)
    if isinstance(stream, httpx.ByteStream):
        content = request.read()
        return content, len(content)
    if not isinstance(stream, httpx.AsyncByteStream):
        raise RuntimeError("a request with a synchronous stream cannot be sent from an event loop")
    return stream, None


def _was_stale(connection: Connection) -> bool:
    return connection.peer_closed and not connection.received


def _repeatable(request: httpx.Request, head: RequestHead) -> bool:
    said = request.extensions.get("idempotent")
    return bool(said) if said is not None else request.method in _IDEMPOTENT or head.has_idempotency_key
