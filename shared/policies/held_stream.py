"""Holds a stream of events back until what they say has been checked, and lets them go as the bytes they came as."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from math import isfinite
from typing import Any

from shared.errors import GatewayError
from shared.llm.inspected_content import Content, Path, Text, event_content, together, unescaped
from shared.llm.sse import Events, data_of

CHECKS_AT_ONCE = 4
# One event may carry an image.
LONGEST_EVENT = 8_388_608
MOST_HELD = 16_777_216
"""Bytes of events that wait: then the window is closed, and nothing more is read until some have gone."""

Check = Callable[[Content], Coroutine[Any, Any, None]]


class HeldStream:
    """`released` gives the same bytes as the stream, later.

    Whatever the chunking, at any time the characters given out are at most those found clean and `unchecked` more. A
    window of `window` characters is checked as soon as it is full, while the next one fills, together with the last
    `overlap` characters before it; what remains, at the end. Events count by the characters of all their texts, and go
    whole or not at all. What `check` raises is raised at once, what breaks the stream when all that may go has gone.
    """

    def __init__(
        self, stream: AsyncIterator[bytes], check: Check, *, window: int, overlap: int, unchecked: float
    ) -> None:
        self._stream = stream
        self._check = check
        self._size = window
        self._unchecked = unchecked
        self._held: deque[tuple[bytes, int]] = deque()
        self._held_bytes = 0
        self._checks: deque[tuple[int, asyncio.Task[None]]] = deque()
        self._reading: asyncio.Task[bytes | None] | None = None
        self._events = Events(LONGEST_EVENT)
        self._window = _Window(overlap)
        self._arrived = 0
        self._verified = 0
        self._ended = False
        self._broken: GatewayError | None = None

    async def released(self) -> AsyncIterator[bytes]:
        """The events as they become free."""
        try:
            while True:
                if free := self._free():
                    yield free
                    continue
                if self._ended and not self._checks:
                    break
                await self._progress()
            if self._broken is not None:
                raise self._broken
        finally:
            self.stop()

    def stop(self) -> None:
        """End the checks and the reading: nobody takes the rest."""
        for _, check in self._checks:
            check.cancel()
        if self._reading is not None:
            self._reading.cancel()

    def _free(self) -> bytes:
        """The events that may go now."""
        free = []
        while self._held and self._held[0][1] <= self._verified + self._unchecked:
            free.append(self._held.popleft()[0])
        data = b"".join(free)
        self._held_bytes -= len(data)
        return data

    async def _progress(self) -> None:
        """Wait until more has come or been checked, and take note of it."""
        may_read = len(self._checks) < CHECKS_AT_ONCE and self._held_bytes < MOST_HELD
        if self._reading is None and not self._ended and (may_read or not self._checks):
            self._reading = asyncio.create_task(_next(self._stream))
        under_way: list[asyncio.Task[Any]] = [task for _, task in self._checks]
        if self._reading is not None:
            under_way.append(self._reading)
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for _, task in self._checks:
            if task.done():
                task.result()  # a violation in a later window counts at once
        while self._checks and self._checks[0][1].done():
            self._verified = self._checks.popleft()[0]
        if self._reading is not None and self._reading.done():
            self._take(self._reading)
            self._reading = None

    def _take(self, reading: "asyncio.Task[bytes | None]") -> None:
        try:
            chunk = reading.result()
        except GatewayError as error:
            self._broken, chunk = error, None
        if chunk is not None:
            for event in self._events.feed(chunk):
                self._add(event)
            return
        self._ended = True
        if rest := self._events.end():
            self._add(rest)
        self._close_window()

    def _add(self, event: bytes) -> None:
        content = self._window.content
        added = self._window.add(data_of(event))
        if len(event) > LONGEST_EVENT:
            content.opaque.append("an event of more than 8 MiB")
        at_once = bool(content.images or content.opaque)
        if at_once and isfinite(self._unchecked):
            added = max(added, int(self._unchecked) + 1)  # what has no characters never goes unchecked
        self._arrived += max(added, at_once)
        self._held.append((event, self._arrived))
        self._held_bytes += len(event)
        if at_once or self._arrived - self._closed >= self._size or self._held_bytes >= MOST_HELD:
            self._close_window()

    @property
    def _closed(self) -> int:
        """Up to where everything is checked or being checked."""
        return self._checks[-1][0] if self._checks else self._verified

    def _close_window(self) -> None:
        content = self._window.close()
        if self._arrived > self._closed:
            self._checks.append((self._arrived, asyncio.create_task(self._check(content))))


class _Window:
    """What has been said since the last check, by its place; and the last characters before that."""

    def __init__(self, overlap: int) -> None:
        self.content = Content()
        self._overlap = overlap
        self._new: dict[Path, list[str]] = {}
        self._before: dict[Path, str] = {}
        self._said: dict[Path, hashlib.blake2b] = {}

    def add(self, data: bytes) -> int:
        """Note what an event says; returns how many characters of it are new."""
        added = 0
        for path, text in event_content(data, self.content):
            said = self._said.get(path)
            encoded = text.encode("utf-8", "surrogatepass")
            if said is None:
                if _is_whole(path) and self._repeats(encoded):
                    continue
                said = self._said[path] = hashlib.blake2b(digest_size=16)
            said.update(encoded)
            self._new.setdefault(path, []).append(text)
            added += len(text)
        return added

    def close(self) -> Content:
        """The texts to check; a new window begins."""
        content, self.content = self.content, Content()
        texts = []
        for path, parts in self._new.items():
            text = self._before.get(path, "") + "".join(parts)
            self._before[path] = text[-self._overlap :] if self._overlap else ""
            texts.append(unescaped(text) if _is_json(path) else text)
        self._new = {}
        content.texts = [Text(text, "application") for text in together(texts)]
        return content

    def _repeats(self, text: bytes) -> bool:
        """Whether this is all that has been said at some place."""
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return any(said.digest() == digest for said in self._said.values())


def _is_whole(path: Path) -> bool:
    """Whether an event tells a text as a whole, as those do that end the parts of a Responses stream."""
    kind = path[0] if path else ""
    return isinstance(kind, str) and kind.startswith("response.") and not kind.endswith(".delta")


def _is_json(path: Path) -> bool:
    """Whether the text is JSON inside JSON: the arguments of a call."""
    return any(isinstance(step, str) and ("arguments" in step or step == "partial_json") for step in path)


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
