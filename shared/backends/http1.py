"""One HTTP/1.1 connection to a backend: an asyncio protocol over httptools, one exchange at a time."""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import cast

import httptools
import httpx

from shared.backends.deadline import Deadline, Timeouts
from shared.backends.request_head import RequestHead

_READ_HIGH_WATER = 256 * 1024  # bytes nobody has taken yet; above it the socket is not read
_JOIN_LIMIT = 64 * 1024  # so much of a body is sent together with the head; the rest is not copied
_SILENT_LIMIT = 64 * 1024  # bytes that bring no body: a head, a chunk extension or trailers without an end


class Connection(asyncio.Protocol):
    """Carries one exchange after the other; what fails ends the connection and is raised to whoever waits.

    The order of calls: ``send``, ``receive_head``, then ``take`` and ``receive_more`` until ``complete``, then
    ``finish``, which says whether ``send`` may be called again. ``lost`` is called once, when the socket has ended.
    ``peer_closed`` says that it was the backend, and not we, who ended the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[["Connection"], None]) -> None:
        self.loop = loop
        self._lost = lost
        self.transport: asyncio.Transport
        self.exchanges = 0
        self.active = False
        self.closed = False
        self.peer_closed = False
        self.http_version = b"HTTP/1.1"
        self.idle_since = 0.0
        self.idle_limit = math.inf
        self.reading_paused = False
        self.error: Exception | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._continue: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._deadline = Deadline(loop)
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.buffered = 0
        self.received = False
        self.complete = False
        self.keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._silent = 0
        self._news = False
        self._no_body = False
        self._until_eof = False
        self._head_timeout: float | None = None
        self._write_timeout: float | None = None
        self._writing_left = 0

    # --- the exchange -------------------------------------------------------------------------------------------

    def send(self, head: RequestHead, body: bytes | AsyncIterable[bytes], timeouts: Timeouts, *, no_body: bool) -> None:
        """Starts an exchange; returns at once. A body stream is read by a task of its own, so that an answer that
        comes before its end is seen. ``no_body``: the answer to HEAD has none, whatever its headers say."""
        if self.exchanges:
            self._reset()
        self.exchanges += 1
        self.active = True
        self._no_body = no_body
        self._head_timeout = timeouts.headers
        self._write_timeout = timeouts.write
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if self.transport.is_closing():  # uvloop's transports refuse to write then
            self._end(None)
            return
        if not isinstance(body, bytes) or head.expects:
            self.transport.write(head.data)
            self._upload = self.loop.create_task(self._send_body(body, head, timeouts.continuing))
        else:
            # Not writelines: up to Python 3.13.1 it forgets to pause the protocol (CPython gh-127655).
            self.transport.write(head.data + body[:_JOIN_LIMIT])
            if len(body) > _JOIN_LIMIT:
                self.transport.write(memoryview(body)[_JOIN_LIMIT:])

    async def receive_head(self) -> None:
        """Returns when ``status``, ``reason`` and ``headers`` are there. Raises ``httpx.ReadTimeout``,
        ``httpx.WriteTimeout``, ``httpx.ReadError``, ``httpx.WriteError``, ``httpx.RemoteProtocolError`` or what the
        body stream raised."""
        self._await_answer()
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._wait()
        self._deadline.clear()

    async def receive_more(self, seconds: float | None) -> None:
        """Returns when something can be taken or the body is complete. Raises as ``receive_head``."""
        while not (self._parts or self.complete):
            if self.error is not None:
                raise self.error
            self._deadline.set(seconds, self._read_expired)
            await self._wait()
        self._deadline.clear()

    def take(self) -> bytes:
        """The body bytes that have arrived since the last call, as one piece; empty when there are none."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.buffered = 0
        if self.reading_paused:
            self.reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return data

    def finish(self) -> bool:
        """Ends the exchange -> whether the connection may carry another; otherwise it is on its way to be closed."""
        reusable = (
            self.complete
            and self.keep_alive
            and not self.peer_closed
            and self._upload is None
            and self._drained is None
            and self.error is None
            and not self.transport.is_closing()
        )
        if not reusable:
            self.abort()
            return False
        self.active = False
        return True

    def usable(self, now: float) -> bool:
        """Whether an idle connection may carry another exchange: it lives and was not idle for too long."""
        return (
            not (self.closed or self.peer_closed or self.transport.is_closing())
            and now - self.idle_since < self.idle_limit
        )

    def abort(self) -> None:
        """Ends the connection without waiting for anything; unsent bytes are dropped."""
        self._deadline.clear()
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.cancel()
        self.transport.abort()

    def close(self) -> None:
        """Ends an idle connection politely (TLS says goodbye)."""
        self.transport.close()

    def fail(self, error: Exception) -> None:
        """Ends the connection; whoever waits for the answer gets ``error``."""
        if self.error is None and not self.complete:
            self.error = error
        self.abort()
        self._wake()

    # --- waiting ------------------------------------------------------------------------------------------------

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = waiter = self.loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _await_answer(self) -> None:
        """Starts the clock for the head once the request is out; before that, the one for progress in sending it."""
        if self._upload is not None or self.status:
            return
        if self._drained is not None:
            self._writing_left = self.transport.get_write_buffer_size()
            self._deadline.set(self._write_timeout, self._write_expired)
        else:
            self._deadline.set(self._head_timeout, self._read_expired)

    def _read_expired(self) -> None:
        what = "the next bytes of the body" if self.status else "the response headers"
        self.fail(httpx.ReadTimeout(f"{what} did not come in time"))

    def _write_expired(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left < self._writing_left:  # slow, but not stuck
            self._writing_left = left
            self._deadline.set(self._write_timeout, self._write_expired)
            return
        self.fail(httpx.WriteTimeout("the backend does not take the request body"))

    # --- sending a body -----------------------------------------------------------------------------------------

    async def _send_body(self, body: bytes | AsyncIterable[bytes], head: RequestHead, continuing: float | None) -> None:
        try:
            if head.expects and not await self._is_welcome(continuing):
                return
            left = head.length
            async for piece in _one_piece(body) if isinstance(body, bytes) else body:
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise httpx.LocalProtocolError("the body is longer than its content-length")
                if self._is_unwanted():
                    return
                self._write_piece(piece, chunked=head.chunked)
                if self._drained is not None:
                    await self._drain()
            if left:
                raise httpx.LocalProtocolError("the body is shorter than its content-length")
            if head.chunked and not self._is_unwanted():
                self.transport.write(b"0\r\n\r\n")
            self._upload = None
            self._await_answer()
        except Exception as error:
            self._upload = None
            self.fail(error)

    def _write_piece(self, piece: bytes, *, chunked: bool) -> None:
        if not piece:  # an empty chunk would end the body
            return
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)

    def _is_unwanted(self) -> bool:
        # RFC 9112 9.5: an error answered early means that the rest will not be read; the connection ends with it.
        return self.transport.is_closing() or self.error is not None or self.status >= 400

    async def _is_welcome(self, seconds: float | None) -> bool:
        """Waits for "100 Continue" or a final status; a server that says nothing gets the body (RFC 9110 10.1.1)."""
        self._continue = self.loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._continue
        except TimeoutError:
            pass
        finally:
            self._continue = None
        return not self._is_unwanted()

    async def _drain(self) -> None:
        if not self.status:
            self._writing_left = self.transport.get_write_buffer_size()
            self._deadline.set(self._write_timeout, self._write_expired)
        while self._drained is not None:
            await self._drained
        if not self.status:
            self._deadline.clear()

    # --- asyncio's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None or self.complete:
            # Nobody asked: what comes now would be taken for the next answer (response splitting).
            self.keep_alive = False
            self.abort()
            return
        self.received = True
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(httpx.RemoteProtocolError("the backend switched to another protocol"))
            return
        except httptools.HttpParserError as error:
            self._reject(error)
            return
        if self._parts:
            self._count_buffered(len(data))
        elif not self._news:
            self._count_silent(len(data))
            return
        self._news = False
        self._silent = 0
        self._wake()

    def _count_buffered(self, size: int) -> None:
        self.buffered += size  # framing included: what waits for the reader is bounded, whatever it consists of
        if self.buffered > _READ_HIGH_WATER and not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def _count_silent(self, size: int) -> None:
        self._silent += size
        if self._silent > _SILENT_LIMIT:
            self.fail(httpx.RemoteProtocolError("the response's headers are too large"))

    def _reject(self, error: httptools.HttpParserError) -> None:
        if not self.complete:
            reason = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
            self.fail(httpx.RemoteProtocolError(f"the response is no valid HTTP/1.1: {reason}"))
            return
        self.keep_alive = False  # the answer itself was whole; what follows it is not ours
        self.abort()
        self._wake()

    def eof_received(self) -> None:
        self.peer_closed = True
        self._end(None)  # connection_lost may have to wait until all that is unsent is sent

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._end(error)
        self._parser = None
        self._deadline.end()
        self.resume_writing()
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(None)
        self._wake()
        self._lost(self)

    def _end(self, error: Exception | None) -> None:
        """Takes the end of the connection, unless it was our own doing or no longer matters."""
        if not self.active or self.complete or self.error is not None:
            return
        self.peer_closed = True
        if self._until_eof and error is None:
            self.complete = True
            self._wake()
        else:
            self.fail(self._describe_loss(error))

    def _describe_loss(self, error: Exception | None) -> httpx.TransportError:
        if error is not None:
            kind = httpx.WriteError if self._upload is not None or self._drained is not None else httpx.ReadError
            described = kind(f"the connection broke: {error}")
            described.__cause__ = error
            return described
        if not self.received:
            return httpx.RemoteProtocolError("the backend closed the connection without an answer")
        return httpx.RemoteProtocolError("the backend closed the connection in the middle of its answer")

    def pause_writing(self) -> None:
        self._drained = self.loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self.active and not self.status and not self.closed and self._waiter is not None:
            self._await_answer()

    # --- httptools' side ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("bytes after the end of the response")

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = cast(httptools.HttpResponseParser, self._parser)
        status = parser.get_status_code()
        headers = self._headers
        self._headers = []  # trailers go there and stay there: merged, they could pose as headers
        if status < 200:
            self._skip_interim(status)
            return
        if status > 599:  # RFC 9110 15: to be taken for a 5xx; servers cannot send it on
            raise ValueError("no valid status code")
        self._check_head_size(headers)
        self.status = status
        self.headers = headers
        self.keep_alive = parser.should_keep_alive()
        self._news = True
        if self.exchanges == 1:
            self._learn_about_peer(parser)
        if self._no_body:
            self.complete = True
            self._parser = None  # it waits for a body that HEAD does not have
        elif not self.keep_alive:
            self._until_eof = _ends_with_connection(headers)
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(None)

    def _skip_interim(self, status: int) -> None:
        self.reason = b""
        if status < 100:
            raise ValueError("no valid status code")
        if self._continue is not None and status == 100 and not self._continue.done():
            self._continue.set_result(None)

    def _check_head_size(self, headers: list[tuple[bytes, bytes]]) -> None:
        if sum([len(name) + len(value) for name, value in headers]) > _SILENT_LIMIT:
            raise ValueError("the headers are too large")

    def _learn_about_peer(self, parser: httptools.HttpResponseParser) -> None:
        """A server that tells its idle limit (``Keep-Alive: timeout=5``) is not tried at the last second of it."""
        self.http_version = b"HTTP/" + parser.get_http_version().encode()
        for name, value in self.headers:
            if name.lower() == b"keep-alive":
                _, found, rest = value.lower().partition(b"timeout=")
                digits = rest.split(b",", 1)[0].strip()
                if found and digits.isdigit():
                    self.idle_limit = max(int(digits) - 1.0, 0.5)

    def on_body(self, body: bytes) -> None:
        if self.complete or not self.status:
            raise ValueError("body bytes where the response has none")
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self.status:  # an interim response ends as a message too
            self.complete = True
            self._news = True


def _ends_with_connection(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether only the end of the connection ends this body (RFC 9112 6.3, rules 4 and 8)."""
    for name, value in headers:
        match name.lower():
            case b"content-length":
                return False
            case b"transfer-encoding":
                return not value.lower().rstrip().endswith(b"chunked")
    return True


async def _one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body
