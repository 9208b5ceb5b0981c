"""A server on loopback that has a thread and an event loop of its own, for tests that are sync or async."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self


class LoopbackServer:
    """Runs what `listen` opens, as long as its `with` block; `port` 0 takes a free one."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=name, daemon=True)

    @property
    def url(self) -> str:
        """The server's root, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    async def listen(self) -> asyncio.Server:
        """Open the port; called on the server's own loop."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await self.listen()
        except OSError as failure:
            self._failure = failure
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()  # asyncio.run cancels what is still being answered
