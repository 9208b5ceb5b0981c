"""A scripted LLM backend: a real HTTP server in its own thread that answers, drips, stalls, cuts and lies on request.

    with Backend() as backend:
        backend.script = Script(chunk_every=0.05)      # from now on; or backend.scripts.append(...) for the next one
        ...                                            # call backend.url, or a gateway in front of it
        assert backend.last.header("api-key") == "..."
        assert await backend.last.left_within(1.0)     # the gateway hung up

A client that cannot reach the object sends the script along: as JSON in the header `x-script`, or as the last prompt,
`{"script": {"status": 429}}`. `dialects.py` has what it speaks. To run it: `python -m tests.support.backend`.
It is written on plain streams because a web framework would not let it misbehave.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import json
import threading
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.dialects import Answer, Call, answer, anthropic_error, error, text_of
from tests.support.loopback import LoopbackServer

FOREVER = 3600.0
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Script:
    """How one request is answered; the defaults are a well-behaved provider. Times are seconds."""

    status: int = 200  # other than 200: the provider's error with this status
    headers: dict[str, str] = field(default_factory=dict)  # more response headers, such as Retry-After
    text: str | None = None  # what the model says
    body: str | None = None  # these bytes instead of the answer, with the answer's content type
    usage: bool = True  # False: no token counts anywhere
    delay: float = 0.0  # wait before the status line
    chunk_every: float = 0.0  # wait between chunks
    stall_after: int | None = None  # so many chunks, then silence with the connection open
    cut_after: int | None = None  # so many chunks, then the connection closes unfinished
    hang_up: bool = False  # close without a word
    garbage: bool = False  # bytes that are not HTTP
    huge: int = 0  # a body of so many bytes
    gzip: bool = False  # compress the answer, streams included
    read_every: float = 0.0  # read 64 KB of the request, wait, and so on
    answer_early: bool = False  # answer without reading the request body, then close


@dataclass
class Recorded:
    """One request as it arrived, and how its connection went on."""

    method: str
    target: str  # raw: path and query as they were sent
    headers: list[tuple[str, str]]  # in order, names as they were sent
    body: bytes = b""
    answered: threading.Event = field(default_factory=threading.Event)  # the answer is out, whole
    client_left: threading.Event = field(default_factory=threading.Event)  # the client closed before that

    def header(self, name: str) -> str | None:
        """The header's value (values, joined by commas), None when it was not sent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    async def left_within(self, seconds: float) -> bool:
        """Whether the client closes its connection within `seconds` while the answer is still under way."""
        return await asyncio.to_thread(self.client_left.wait, seconds)


class Backend(LoopbackServer):
    """The server; start it with `with`, from a sync or an async test."""

    def __init__(self, *, port: int = 0, key: str | None = None, script: Script | None = None) -> None:
        """`key`: what every request must bring (api-key, x-api-key or bearer), else 401; None: anything goes."""
        super().__init__(port, "backend")
        self.key = key
        self.script = script or Script()
        self.scripts: deque[Script] = deque()
        self.requests: list[Recorded] = []
        self._arrived = threading.Condition()

    @property
    def last(self) -> Recorded:
        """The newest request."""
        return self.requests[-1]

    def wait_for_requests(self, count: int = 1, timeout: float = 20.0) -> list[Recorded]:
        """All requests once there are `count`; raises TimeoutError when they do not come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived")
        return self.requests

    async def listen(self) -> asyncio.Server:
        """A connection for each client."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self._serve), "127.0.0.1", self.port)

    async def _serve(self, client: _Client) -> None:
        try:
            while await self._exchange(client):
                pass
        except (_ClientLeft, ConnectionError, asyncio.IncompleteReadError):
            pass  # recorded with the request it hit; between requests a client may leave as it likes
        except asyncio.CancelledError:
            return  # the server ends; up to Python 3.11 a cancelled connection task is reported as an error
        finally:
            client.writer.transport.abort()

    async def _exchange(self, client: _Client) -> bool:
        """Read a request and answer it; returns whether the connection stays open."""
        request = await client.read_head()
        if request is None:
            return False
        given = request.header("x-script")
        script = _script(json.loads(given)) if given else self.scripts.popleft() if self.scripts else self.script
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        try:
            if not script.answer_early:
                await client.read_body(request, script.read_every)
            script, reply = self._reply(request, script)
            stays = await client.send(reply, script, request.method)
        except (_ClientLeft, ConnectionError, asyncio.IncompleteReadError):
            request.client_left.set()
            raise
        request.answered.set()
        return stays and not script.answer_early

    def _reply(self, request: Recorded, script: Script) -> tuple[Script, Answer]:
        """The script that holds (a prompt may bring its own) and what it makes the provider say."""
        url = urlsplit(request.target)
        body = _parsed(request)
        if own := _script_in_prompt(body):
            script = own
        azure = url.path.startswith("/openai")
        headers = {name.lower(): value for name, value in request.headers}
        call = Call(
            request.method,
            unquote(url.path),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            body,
            azure,
            script.text,
            script.usage,
        )
        reply = answer(call, headers)
        if self.key is not None and self.key not in _keys(headers):
            reply = _error(call, 401, "Access denied due to invalid subscription key or wrong API endpoint.")
        elif script.status != 200:
            reply = _error(call, script.status, f"The backend was told to answer {script.status}.")
        if script.huge:
            reply = Answer(raw=b"x" * script.huge, content_type="application/octet-stream")
        if script.body is not None:
            reply = replace(reply, raw=script.body.encode(), document=None, events=None)
        return script, replace(reply, headers={**self._platform_headers(azure), **reply.headers, **script.headers})

    def _platform_headers(self, azure: bool) -> dict[str, str]:
        number = len(self.requests)
        headers = {
            "x-request-id": f"req-{number:08d}",
            "x-ratelimit-remaining-requests": str(max(0, 1000 - number)),
            "x-ratelimit-remaining-tokens": str(max(0, 100_000 - 100 * number)),
        }
        if azure:
            return {**headers, "apim-request-id": f"apim-{number:08d}", "x-ms-region": "Sweden Central"}
        return {**headers, "openai-version": "2020-10-01", "openai-processing-ms": "5"}


class _ClientLeft(Exception):
    """The client closed its connection while it was being answered."""


class _Connection(asyncio.StreamReaderProtocol):
    """A stream connection that knows at once when the client has left, also while nothing is read or written."""

    def __init__(self, serve: Callable[[_Client], Awaitable[None]]) -> None:
        self.lost = asyncio.Event()
        super().__init__(asyncio.StreamReader(limit=2**20), lambda reader, writer: serve(_Client(reader, writer, self)))

    def eof_received(self) -> bool:
        super().eof_received()
        self.lost.set()
        return False  # plain streams would keep the half-closed connection and notice nothing

    def connection_lost(self, failure: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(failure)


class _Client:
    """The other end of one connection: HTTP/1.1 by hand, so that every way of getting it wrong is possible."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection) -> None:
        self.reader, self.writer, self.connection = reader, writer, connection
        writer.transport.set_write_buffer_limits(0)  # `drain` then means: handed to the kernel

    async def read_head(self) -> Recorded | None:
        """Method, target and headers of the next request; None at the end of the connection."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head[:-4].split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = [line.partition(":") for line in lines]
        return Recorded(method, target, [(name, value.strip()) for name, _, value in pairs])

    async def read_body(self, request: Recorded, every: float) -> None:
        """Read the body, by length or chunked, into `request.body`."""
        if (request.header("expect") or "").lower() == "100-continue":
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (request.header("transfer-encoding") or "").lower():
            while size := int((await self.reader.readuntil(b"\n")).partition(b";")[0], 16):
                request.body += await self.reader.readexactly(size)
                await self._line()
                await self.pause(every)
            await self._line()
            return
        left = int(request.header("content-length") or 0)
        while left:
            piece = await self.reader.readexactly(min(left, 65536))
            request.body += piece
            left -= len(piece)
            await self.pause(every)

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise _ClientLeft  # in the middle of its body
        return line

    async def send(self, reply: Answer, script: Script, method: str) -> bool:
        """Answer as the script says; returns whether the connection stays open."""
        await self.pause(script.delay)
        if script.hang_up:
            return False
        if script.garbage:
            await self.write(b"\x16\x03\x01 this is not HTTP\r\n\x00\xff\r\n\r\n")
            return False
        chunks = list(_chunks(reply, script))
        chunked = reply.events is not None
        headers = {"content-type": reply.content_type, **reply.headers}
        headers |= {"transfer-encoding": "chunked"} if chunked else {"content-length": str(sum(map(len, chunks)))}
        if script.gzip:
            headers["content-encoding"] = "gzip"
        lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Scripted')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.write("\r\n".join([*lines, "\r\n"]).encode("latin-1"))
        if method == "HEAD":
            return True
        async for number, chunk in self._paced(chunks, script):
            if number == script.cut_after:
                return False
            await self.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if script.cut_after is not None and script.cut_after >= len(chunks):
            return False
        if chunked:
            await self.write(b"0\r\n\r\n")
        return True

    async def _paced(self, chunks: list[bytes], script: Script) -> AsyncIterator[tuple[int, bytes]]:
        for number, chunk in enumerate(chunks):
            if number == script.stall_after:
                await self.pause(FOREVER)
            if number:
                await self.pause(script.chunk_every)
            yield number, chunk

    async def write(self, data: bytes) -> None:
        """Hand bytes to the kernel."""
        if self.connection.lost.is_set():
            raise _ClientLeft
        self.writer.write(data)
        await self.writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait; raises _ClientLeft as soon as the client leaves."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self.connection.lost.wait(), seconds)
        except TimeoutError:
            return
        raise _ClientLeft


def _chunks(reply: Answer, script: Script) -> Iterable[bytes]:
    """The body in the pieces it leaves in: one per event of a stream, eight of a plain answer that is to be paced."""
    if reply.events is not None:
        if not script.gzip:
            return reply.events
        packer = zlib.compressobj(wbits=31)
        packed = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in reply.events]
        return [*packed, packer.flush()]
    body = reply.raw if reply.raw is not None else json.dumps(reply.document, ensure_ascii=False).encode()
    if script.gzip:
        body = gzip.compress(body, mtime=0)
    paced = script.chunk_every or script.stall_after is not None or script.cut_after is not None
    size = max(1, -(-len(body) // 8)) if paced else 65536
    return [body[at : at + size] for at in range(0, len(body), size)]


def _parsed(request: Recorded) -> Any:
    """The JSON body; form fields' names are not read, so any other body becomes an object that says so."""
    kind = request.header("content-type") or ""
    if request.method != "POST" or kind.startswith("multipart/"):
        return {"base64": base64.b64encode(request.body).decode()}
    try:
        return json.loads(request.body)
    except ValueError:
        return None


def _script_in_prompt(body: Any) -> Script | None:
    if not isinstance(body, dict):
        return None
    spoken = body.get("messages") or body.get("input") or body.get("prompt") or ""
    text = text_of(spoken[-1] if isinstance(spoken, list) and spoken else spoken).strip()
    return _script(json.loads(text)["script"]) if text.startswith('{"script"') else None


def _script(fields: dict[str, Any]) -> Script:
    return Script(**fields)


def _keys(headers: dict[str, str]) -> set[str]:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return {headers.get("api-key", ""), headers.get("x-api-key", ""), bearer}


def _error(call: Call, status: int, message: str) -> Answer:
    if "/messages" in call.path:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
        return anthropic_error(status, kinds.get(status, "api_error"), message)
    return error(status, message, "server_error" if status >= 500 else "invalid_request_error", azure=call.azure)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A scripted LLM backend on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="what requests must bring")
    parser.add_argument("--chunk-every", type=float, default=0.0, help="seconds between the chunks of a stream")
    options = parser.parse_args()
    with Backend(port=options.port, key=options.key, script=Script(chunk_every=options.chunk_every)) as backend:
        print(f"listening on {backend.url}", flush=True)
        while True:
            time.sleep(FOREVER)


if __name__ == "__main__":
    main()
