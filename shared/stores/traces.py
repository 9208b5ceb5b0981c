"""Finished request traces: of this process in memory, of all instances in a table."""

import logging
import zlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.stores.protocols import Entities, StoreError

log = logging.getLogger("gateway")

TABLE = "traces"
KEPT = timedelta(hours=1)
_PIECE = 60 * 1024
_PIECES = 12


class MemoryTraces:
    """The newest traces of this process."""

    def __init__(self, most: int = 200) -> None:
        self._traces: OrderedDict[str, str] = OrderedDict()
        self._most = most

    async def put(self, id: str, trace: str) -> None:
        """Keep a trace (JSON text), and let the oldest go when there are too many."""
        self._traces[id] = trace
        while len(self._traces) > self._most:
            self._traces.popitem(last=False)

    async def get(self, id: str) -> str | None:
        """The trace of that id, or None."""
        return self._traces.get(id)


class TableTraces:
    """Traces in a table, so that any instance can show them; what storage does not take stays in this process."""

    def __init__(self, entities: Entities, clock: Callable[[], datetime]) -> None:
        self._entities = entities
        self._clock = clock
        self._memory = MemoryTraces()

    async def put(self, id: str, trace: str) -> None:
        """Keep a trace. Never raises: a request must not fail for its trace."""
        await self._memory.put(id, trace)
        packed = zlib.compress(trace.encode())
        if len(packed) > _PIECE * _PIECES:
            log.warning("the trace %s is too large for storage; only this instance has it", id)
            return
        pieces = {f"c{index:02}": packed[at : at + _PIECE] for index, at in enumerate(range(0, len(packed), _PIECE))}
        try:
            await self._entities.upsert({"PartitionKey": "trace", "RowKey": id, "at": self._clock(), **pieces})
        except StoreError as error:
            log.warning("the trace %s was not stored: %s", id, error)

    async def get(self, id: str) -> str | None:
        """The trace of that id, or None when there is none any more. StoreError when storage gives no answer."""
        found = await self._memory.get(id)
        if found is not None:
            return found
        stored = await self._entities.read("trace", id)
        if stored is None:
            return None
        names = sorted(name for name in stored.entity if name.startswith("c") and name[1:].isdigit())
        pieces = [piece for name in names if isinstance(piece := stored.entity[name], bytes)]
        return zlib.decompress(b"".join(pieces)).decode()

    async def purge(self) -> int:
        """Delete traces older than an hour; returns how many."""
        deleted, continuation = 0, None
        before = self._clock() - KEPT
        while True:
            page = await self._entities.query("trace", select=["at"], continuation=continuation)
            for stored in page.rows:
                if stored.modified < before:
                    await self._entities.delete("trace", str(stored.entity["RowKey"]))
                    deleted += 1
            continuation = page.continuation
            if continuation is None:
                return deleted
