"""What the cache asks of the log its instances share, and the log of a single process."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from shared.stores.semantic_cache.entry import Entry
from shared.stores.semantic_cache.namespace import Namespace

Told = tuple[Entry, bytes]
"""An entry and its quantized vector (empty: it is found by its exact prompt only)."""

LARGEST = 4_194_304
"""Compressed bytes of an answer that are kept; larger ones are not."""


class Log(Protocol):
    """Entries with vectors and payloads, by namespace. All methods raise StoreError."""

    async def append(self, namespace: Namespace, entry: Entry, vector: bytes, payload: bytes) -> None:
        """Write an entry with its payload: nobody ever reads the one without the other."""

    def newest(self, namespace: Namespace, since: int, *, patient: bool = False) -> AsyncIterator[list[Told]]:
        """Entries created at or after `since` (milliseconds), the newest first, in pages. `patient` waits longer."""
        ...

    async def payload(self, namespace: Namespace, entry: Entry) -> bytes | None:
        """The payload of an entry; None when it is gone."""
        ...

    async def purge(self, unwanted: Callable[[str, float], bool]) -> int:
        """Delete what is `unwanted` by its API's label and expiry; returns how many entries that were."""
        ...


class MemoryLog:
    """A log of this process: what it holds is bounded by bytes, the oldest entry goes first."""

    def __init__(self, most_bytes: int = 67_108_864) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[str, tuple[Namespace, Entry, bytes, bytes]] = OrderedDict()

    async def append(self, namespace: Namespace, entry: Entry, vector: bytes, payload: bytes) -> None:
        """Write an entry."""
        self._kept[entry.id] = (namespace, entry, vector, payload)
        self._size += len(vector) + len(payload)
        while self._size > self._most and self._kept:
            self._forget(next(iter(self._kept)))

    async def newest(self, namespace: Namespace, since: int, *, patient: bool = False) -> AsyncIterator[list[Told]]:
        """Entries of a namespace. Nothing here needs patience."""
        found = [
            (entry, vector)
            for kept, entry, vector, _ in self._kept.values()
            if kept.partition == namespace.partition and entry.created >= since
        ]
        yield sorted(found, key=lambda told: -told[0].created)

    async def payload(self, namespace: Namespace, entry: Entry) -> bytes | None:
        """The payload of an entry."""
        found = self._kept.get(entry.id)
        return found[3] if found is not None and found[0].check == namespace.check else None

    async def purge(self, unwanted: Callable[[str, float], bool]) -> int:
        """Delete what is unwanted."""
        ids = [id for id, (kept, entry, _, _) in self._kept.items() if unwanted(kept.api, entry.expires)]
        for id in ids:
            self._forget(id)
        return len(ids)

    def _forget(self, id: str) -> None:
        _, _, vector, payload = self._kept.pop(id)
        self._size -= len(vector) + len(payload)
