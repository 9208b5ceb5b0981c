"""Looks answers up in memory and keeps them in the log; storage that does not answer is a miss, never an error."""

import asyncio
import gzip
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Literal, TypeVar

from shared.stores.breaker import Breaker
from shared.stores.cache import MemoryCache
from shared.stores.protocols import StoreError
from shared.stores.semantic_cache.entry import Entry, Vector, quantized
from shared.stores.semantic_cache.log import LARGEST, Log, Told
from shared.stores.semantic_cache.namespace import Namespace
from shared.stores.semantic_cache.shelf import Shelf

log = logging.getLogger("gateway")
T = TypeVar("T")

POLL = 1.0
"""Seconds for which what is known of a namespace counts as all there is."""
DEADLINE = 0.25
"""Seconds a request waits for storage, at most."""
OVERLAP = 10_000
"""Milliseconds that are read again with each poll: clocks differ, and writes overtake each other."""
RESYNC = 900.0
"""Seconds after which a namespace is read anew, and what has been purged elsewhere goes."""
FIRST_WAIT = 0.05
"""Seconds the first request of a namespace waits for it to be read; then it is a miss while reading goes on."""
# Larger payloads are compressed and expanded on a thread.
LARGE = 262_144
# What a namespace takes beside its entries, so that any number of empty ones is bounded as well.
NAMESPACE_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Found:
    """A cached answer: how it was found, how similar its question is (cosine), how old it is in seconds."""

    payload: bytes
    how: Literal["exact", "semantic"]
    similarity: float
    age: float


@dataclass(slots=True)
class _Held:
    """A namespace in memory. `newest` is the time of the newest entry read from the log, in milliseconds."""

    namespace: Namespace
    shelf: Shelf
    newest: int = 0
    size: int = 0
    polled: float = float("-inf")
    read_at: float = float("-inf")
    reading: "asyncio.Task[None] | None" = None
    polling: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class Counts:
    """What the cache has done since the process began. `unavailable`: lookups and stores that storage did not serve."""

    lookups: int = 0
    exact: int = 0
    semantic: int = 0
    stored: int = 0
    unavailable: int = 0
    transactions: int = field(default=0)


class SemanticCache:
    """One for the process. Namespaces that nobody asks for cost nothing and leave memory first."""

    def __init__(
        self,
        log: Log,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        chance: random.Random,
        *,
        poll: float = POLL,
        deadline: float = DEADLINE,
        most_entries: int = 20_000,
        most_bytes: int = 268_435_456,
    ) -> None:
        """`most_entries` holds for each namespace, `most_bytes` for all vectors and answers in memory."""
        self.log = log
        self.counts = Counts()
        self._clock = clock
        self._monotonic = monotonic
        self._poll = poll
        self._deadline = deadline
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._breaker = Breaker(chance)
        self._prompt = True  # storage answers as fast as a first request cares to wait
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._size = 0
        self._payloads = MemoryCache(monotonic, entries=20_000, size=most_bytes // 4)
        self._tasks: set[asyncio.Task[None]] = set()

    async def exact(self, namespace: Namespace, prompt: str) -> Found | None:
        """The answer to the same conversation, word for word. At most one poll and one read."""
        self.counts.lookups += 1
        held = await self._hold(namespace)
        entry = held.shelf.exact(prompt, self._clock())
        if entry is None and await self._refresh(held):
            entry = held.shelf.exact(prompt, self._clock())
        return await self._found(held, entry, "exact", 1.0) if entry is not None else None

    async def nearest(self, namespace: Namespace, vector: Vector, scope: int, least: float) -> Found | None:
        """The answer to the most similar question of the scope, if its cosine is at least `least`. `vector` has
        length 1."""
        held = await self._hold(namespace)
        best = await held.shelf.nearest(vector, scope, self._clock())
        if best is None or best[1] < least:
            return None
        return await self._found(held, best[0], "semantic", min(1.0, best[1]))

    async def keep(
        self,
        namespace: Namespace,
        prompt: str,
        scope: int,
        vector: Vector | None,
        payload: bytes,
        seconds: float,
        *,
        known: Callable[[], None] = lambda: None,
    ) -> bool:
        """Keep an answer for so long; without a vector it is found by the same words only. `known` is called when this
        instance can find it. False when storage has not taken it."""
        packed = await _off_loop(payload, gzip.compress, 6) if len(payload) > LARGE else gzip.compress(payload, 6)
        if seconds <= 0 or len(packed) > LARGEST:
            return False
        now = self._clock()
        entry = Entry(token_hex(6), int(now * 1000), now + seconds, prompt, scope, 1, len(packed))
        told = (entry, quantized(vector) if vector is not None else b"")
        held = await self._hold(namespace)
        held.shelf.add(told, now)
        self._payloads.keep(entry.id, payload, seconds)
        self._bound(held)
        known()

        async def write() -> bool:
            await self.log.append(namespace, entry, told[1], packed)
            return True

        written = await self._try(write, deadline=None)
        self.counts.stored += bool(written)
        return bool(written)

    def forget(self) -> None:
        """Forget all that is in memory; the log has it still."""
        self._held.clear()
        self._size = 0
        self._payloads = MemoryCache(self._monotonic, entries=20_000, size=self._most_bytes // 4)

    async def purge(self) -> int:
        """Delete from the log what is over. StoreError when storage does not let it."""
        now = self._clock()
        return await self.log.purge(lambda _, expires: expires <= now)

    async def settled(self) -> None:
        """Wait for what is being read."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        """End what is being read."""
        for task in self._tasks:
            task.cancel()

    @property
    def available(self) -> bool:
        """Whether storage answers, as far as is known."""
        return not self._breaker.tripped

    @property
    def nbytes(self) -> int:
        """Memory in use, about."""
        return self._size + self._payloads.size

    # what is in memory

    async def _hold(self, namespace: Namespace) -> _Held:
        held = self._held.get(namespace.partition)
        if held is None or held.namespace.check != namespace.check:
            held = self._held[namespace.partition] = _Held(namespace, Shelf(self._most_entries))
            self._bound(held)
        self._held.move_to_end(namespace.partition)
        if held.reading is None and self._monotonic() - held.read_at >= RESYNC:
            first = held.read_at == float("-inf")
            held.reading = self._start(self._read(held))
            if first and self._prompt:
                _, late = await asyncio.wait([held.reading], timeout=FIRST_WAIT)
                self._prompt = not late
        return held

    async def _read(self, held: _Held) -> None:
        """Read a namespace whole, as far as it fits. The first time entries can be found as they come; later the
        new shelf replaces the old one when it is complete."""
        shelf = held.shelf if held.read_at == float("-inf") else Shelf(self._most_entries)
        began = self._monotonic()

        async def read() -> bool:
            async for page in self._pages(held.namespace, 0, patient=True):
                self._take(held, shelf, page)
                if len(shelf) >= self._most_entries:
                    break
                await asyncio.sleep(0)
            return True

        try:
            if await self._try(read, deadline=None):
                held.shelf = shelf
                held.read_at = held.polled = began
        finally:
            held.reading = None
            self._bound(held)

    async def _refresh(self, held: _Held) -> bool:
        """Read what is new, unless that was done just now; requests that come meanwhile wait for the same poll."""
        if held.polling is None:
            if held.reading is not None or self._monotonic() - held.polled < self._poll:
                return False
            held.polling = self._start(self._read_new(held))
        await asyncio.wait([held.polling], timeout=self._deadline)
        return True

    async def _read_new(self, held: _Held) -> None:
        async def read() -> None:
            async for page in self._pages(held.namespace, max(0, held.newest - OVERLAP)):
                self._take(held, held.shelf, page)

        try:
            held.polled = self._monotonic()
            await self._try(read, deadline=self._deadline)
        finally:
            held.polling = None
            self._bound(held)

    async def _pages(self, namespace: Namespace, since: int, *, patient: bool = False) -> AsyncIterator[list[Told]]:
        async for page in self.log.newest(namespace, since, patient=patient):
            self.counts.transactions += 1
            yield page

    def _take(self, held: _Held, shelf: Shelf, page: list[Told]) -> None:
        now = self._clock()
        for told in page:
            shelf.add(told, now)
            held.newest = max(held.newest, min(told[0].created, int(now * 1000)))

    async def _found(
        self, held: _Held, entry: Entry, how: Literal["exact", "semantic"], similarity: float
    ) -> Found | None:
        payload = self._payloads.look_up(entry.id)
        if payload is None:
            payload = await self._payload(held, entry)
        if payload is None:
            return None
        if how == "exact":
            self.counts.exact += 1
        else:
            self.counts.semantic += 1
        return Found(payload, how, similarity, max(0.0, self._clock() - entry.created / 1000))

    async def _payload(self, held: _Held, entry: Entry) -> bytes | None:
        async def read() -> tuple[bytes | None]:
            self.counts.transactions += 1
            return (await self.log.payload(held.namespace, entry),)

        answered = await self._try(read, deadline=self._deadline)
        if answered is None:
            return None
        packed = answered[0]
        try:
            if packed is None:
                raise EOFError
            payload = await _off_loop(packed, gzip.decompress) if len(packed) > LARGE else gzip.decompress(packed)
        except (OSError, EOFError):
            held.shelf.remove(entry)
            return None
        self._payloads.keep(entry.id, payload, entry.expires - self._clock())
        return payload

    def _bound(self, held: _Held) -> None:
        """Take note of a namespace's size, and let go of those that have not been asked for longest."""
        if self._held.get(held.namespace.partition) is held:
            size = held.shelf.nbytes + NAMESPACE_BYTES
            self._size += size - held.size
            held.size = size
        while len(self._held) > 1 and self.nbytes > self._most_bytes:
            _, left = self._held.popitem(last=False)
            self._size -= left.size

    # storage

    async def _try(self, operation: Callable[[], Awaitable[T]], *, deadline: float | None) -> T | None:
        """The operation's result; None when storage does not serve it. While it is known not to, nobody waits: one
        request's operation is tried on the side from time to time."""
        if self._breaker.tripped:
            self.counts.unavailable += 1
            if self._breaker.take_probe(self._monotonic()):
                self._start(self._probe(operation))
            return None
        return await self._run(operation, deadline)

    async def _run(self, operation: Callable[[], Awaitable[T]], deadline: float | None) -> T | None:
        try:
            async with asyncio.timeout(deadline):
                result = await operation()
        except (StoreError, TimeoutError) as error:
            if not self._breaker.tripped:
                log.warning("the semantic cache goes on without storage: %s: %s", type(error).__name__, error)
            self.counts.unavailable += 1
            self._breaker.trip(self._monotonic())
            return None
        self._prompt = True
        if self._breaker.tripped:
            log.info("the semantic cache has its storage back")
            self._breaker.reset(self._monotonic())
        return result

    async def _probe(self, operation: Callable[[], Awaitable[object]]) -> None:
        await self._run(operation, None)

    def _start(self, work: "Awaitable[None]") -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _off_loop(data: bytes, change: Callable[..., bytes], *arguments: object) -> bytes:
    return await asyncio.to_thread(change, data, *arguments)
