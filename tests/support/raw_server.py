"""A TCP server whose every connection runs a script, byte by byte: what well-behaved servers cannot be made to do."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx


@dataclass
class Peer:
    """The server's end of one connection; ``number`` counts connections from 1."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The next request's head, up to its empty line."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: head and body, chunked bodies put together."""
        head = await self.head()
        fields = dict(line.lower().split(b": ", 1) for line in head.strip().split(b"\r\n")[1:] if b": " in line)
        if fields.get(b"transfer-encoding") == b"chunked":
            return head, await self.chunked_body()
        return head, await self.reader.readexactly(int(fields.get(b"content-length", b"0")))

    async def chunked_body(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return body

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
        except RuntimeError as closed:  # uvloop's word for a connection that has ended; asyncio only warns
            raise ConnectionResetError from closed
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", status: bytes = b"200 OK", headers: bytes = b"") -> None:
        await self.send(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), headers, body))

    async def gone(self) -> None:
        """Returns when the client has closed its end."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def reset(self) -> None:
        """Ends the connection at once."""
        self.writer.transport.abort()


@dataclass
class RawServer:
    """``accepted`` are the connections so far, ``errors`` what scripts raised."""

    port: int
    scheme: str
    accepted: list[Peer] = field(default_factory=list)
    ended: int = 0
    errors: list[BaseException] = field(default_factory=list)

    @property
    def origin(self) -> httpx.URL:
        return httpx.URL(f"{self.scheme}://127.0.0.1:{self.port}")


@asynccontextmanager
async def raw_server(
    script: Callable[[Peer], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serves on a free loopback port. A script that meets the end of its connection just ends; any other error
    in it fails the test that uses the server."""
    scripts: set[asyncio.Task[None]] = set()
    running: RawServer

    async def run(peer: Peer) -> None:
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            running.errors.append(error)
        finally:
            peer.writer.close()
            running.ended += 1

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(running.accepted) + 1, reader, writer)
        running.accepted.append(peer)
        task = asyncio.get_running_loop().create_task(run(peer))
        scripts.add(task)
        task.add_done_callback(scripts.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    running = RawServer(server.sockets[0].getsockname()[1], "https" if context else "http")
    try:
        yield running
    finally:
        server.close()
        for task in tuple(scripts):
            task.cancel()
        await asyncio.gather(*scripts, return_exceptions=True)
        for peer in running.accepted:
            peer.writer.transport.abort()
        await asyncio.sleep(0.01)
    if running.errors:
        raise running.errors[0]
