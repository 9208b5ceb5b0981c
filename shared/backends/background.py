"""Work that goes on after its request has been answered: held on to, bounded, and waited for at the end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("gateway")


class Background:
    """Runs coroutines on the side. At most `limit` at once: a further one waits for its turn in `start`, so that
    nothing is dropped and memory stays bounded."""

    def __init__(self, limit: int = 256) -> None:
        self._free = asyncio.Semaphore(limit)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Start `work`; a failure is logged under `name`."""
        try:
            await self._free.acquire()
        except BaseException:
            work.close()
            raise
        task = asyncio.create_task(self._run(work, name))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def aclose(self, seconds: float = 5.0) -> None:
        """Let what runs come to its end for so long, then cancel it."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()

    async def _run(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception as error:
            detail = getattr(error, "detail", "") or str(error)
            log.warning("%s failed: %s: %s", name, type(error).__name__, detail)
        finally:
            self._free.release()
