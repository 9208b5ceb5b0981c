"""Reads an answer as it passes: whole documents and streams, in any pieces, without keeping them."""

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

from shared.llm.json_members import Members
from shared.llm.schemas.schema import Schema
from shared.llm.sse import Events, data_of
from shared.llm.usage import Facts

Count = Callable[[str], int]

# A document up to here is kept and parsed; of a larger one only the members that matter are.
WHOLE = 1_048_576
MEMBERS = frozenset({"usage", "model", "stop_reason", "status", "type", "object"})
# Events whose text may be needed later wait unparsed up to here; then their text is counted and forgotten.
UNREAD = 65_536

_TELLING = re.compile(rb'"usage"\s*:\s*\{|"(?:finish|stop)_reason"\s*:\s*"')


class DocumentReader:
    """A JSON answer. `facts` are complete after `end`."""

    def __init__(self, schema: Schema) -> None:
        self.facts = Facts()
        self._schema = schema
        self._kept: list[bytes] = []
        self._size = 0
        self._members: Members | None = None
        self._text = ""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._members is None:
            self._kept.append(data)
            if self._size > WHOLE:
                self._members = Members(MEMBERS)
                self._members.feed(b"".join(self._kept))
                self._kept.clear()
        else:
            self._members.feed(data)

    def end(self) -> None:
        """All has come, or no more will."""
        document: Any = None
        if self._members is not None:
            document = self._members.values
        elif self._kept:
            try:
                document = json.loads(b"".join(self._kept))
            except ValueError:
                document = None  # no JSON, or cut off
        self._kept.clear()
        self._text = self._schema.read(document, self.facts)

    def text_tokens(self, count: Count) -> int:
        """Tokens of the text that came; a document too large to keep counts as text."""
        return (self._size + 3) // 4 if self._members is not None else count(self._text)


class StreamReader:
    """An answer of server-sent events. With `hide` the event that only tells usage is left out of what `feed` returns;
    everything else passes byte for byte.

    Only events that tell more than text are parsed at once; the others when their text is needed, which is when the
    backend gives no usage.
    """

    def __init__(self, schema: Schema, *, hide: bool, count: Count) -> None:
        self.facts = Facts()
        self._schema = schema
        self._hide = hide
        self._count = count
        # The event to hide is small; what is longer cannot be it and need not be held back.
        self._events = Events(UNREAD)
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._text: list[str] = []
        self._counted = 0
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """Read the next bytes; returns what may pass now."""
        held = self._events.waiting
        events = self._events.feed(chunk)
        hidden = None
        for at, event in enumerate(events):
            if self._read(event):
                hidden = [*(hidden or ()), at]
        if not self._hide:
            return chunk
        if hidden is None and not held and not self._events.waiting:
            return chunk
        return b"".join(event for at, event in enumerate(events) if hidden is None or at not in hidden)

    def end(self) -> bytes:
        """The stream has ended; returns what was held back."""
        rest = self._events.end()
        if rest:
            self._read(rest)
        return rest if self._hide else b""

    def text_tokens(self, count: Count) -> int:
        """Tokens of the text that came."""
        self._parse_unread()
        return self._counted + count("".join(self._text))

    def _read(self, event: bytes) -> bool:
        """Note what an event says; True when it must be hidden."""
        if self._begun and _TELLING.search(event) is None:
            if self.facts.usage is None:
                self._unread.append(event)
                self._unread_size += len(event)
                if self._unread_size > UNREAD:
                    self._fold()
            return False
        document = self._parse(event)
        if document is None:
            return False
        self._begun = True
        self._text.append(self._schema.read_event(document, self.facts))
        if self.facts.usage is not None:
            self._unread.clear()
        return (
            self._hide
            and isinstance(document, dict)
            and document.get("choices") == []
            and isinstance(document.get("usage"), dict)
        )

    def _parse(self, event: bytes) -> Any:
        data = data_of(event)
        if not data or data == b"[DONE]":
            return None
        try:
            return json.loads(data)
        except ValueError:
            return None

    def _parse_unread(self) -> None:
        unread, self._unread, self._unread_size = self._unread, [], 0
        for event in unread:
            document = self._parse(event)
            if document is not None:
                self._text.append(self._schema.read_event(document, self.facts))

    def _fold(self) -> None:
        self._parse_unread()
        self._counted += self._count("".join(self._text))
        self._text.clear()


def decoder(coding: str) -> Callable[[bytes], bytes] | None:
    """What undoes a Content-Encoding piece by piece (RFC 9110 section 8.4.1); None for one it cannot undo."""
    match coding.strip().lower():
        case "gzip" | "x-gzip":
            return _lenient(zlib.decompressobj(16 + zlib.MAX_WBITS))
        case "deflate":
            return _lenient(zlib.decompressobj())
    return None


def _lenient(inflate: "zlib._Decompress") -> Callable[[bytes], bytes]:
    broken = False

    def decode(data: bytes) -> bytes:
        nonlocal broken
        if broken:
            return b""
        try:
            return inflate.decompress(data)
        except zlib.error:
            broken = True
            return b""

    return decode
