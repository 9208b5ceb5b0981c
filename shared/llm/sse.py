"""Server-sent events without I/O: feed bytes as they come, take whole events out, byte for byte."""

import re

# Two line ends in a row end an event; a line ends with CRLF, LF or CR
# (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream). The groups are atomic: a
# CRLF must not be read as two line ends.
_END = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LINE_END = re.compile(rb"\r\n|\r|\n")

LONGEST = 1_048_576
"""Bytes of one event that are kept; a longer one is handed out in parts that hold no event."""


class Events:
    """Splits a stream into events. What `feed` and `end` return, joined, is the stream."""

    __slots__ = ("_rest", "_longest", "_overlong")

    def __init__(self, longest: int = LONGEST) -> None:
        self._rest = b""
        self._longest = longest
        self._overlong = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are complete now, each with the blank line that ends it."""
        if not self._rest and not self._overlong and chunk.endswith(b"\n\n") and b"\r" not in chunk:
            if chunk.find(b"\n\n") == len(chunk) - 2:
                return [chunk]
            return [event + b"\n\n" for event in chunk[:-2].split(b"\n\n")]
        return self._feed(chunk)

    def end(self) -> bytes:
        """What came after the last complete event."""
        rest, self._rest = self._rest, b""
        return rest

    @property
    def waiting(self) -> bool:
        """Whether bytes are kept back because their event is not complete."""
        return bool(self._rest)

    def _feed(self, chunk: bytes) -> list[bytes]:
        data = self._rest + chunk
        events: list[bytes] = []
        start = 0
        search_from = max(0, len(self._rest) - 3)
        while (found := _END.search(data, search_from)) is not None:
            end = found.end()
            if end == len(data) and data.endswith(b"\r"):
                break  # the LF of this CRLF may be in the next chunk
            events.append(b"" + data[start:end])
            start = search_from = end
        if self._overlong and events:
            self._overlong = False
        self._rest = data[start:]
        if len(self._rest) > self._longest:
            events.append(self._rest)
            self._rest, self._overlong = b"", True
        return events


def data_of(event: bytes) -> bytes:
    """The data of an event: its data lines joined by LF, empty when it has none (a comment)."""
    if event.startswith(b"data: ") and event.endswith(b"\n\n") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    lines = []
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines)
