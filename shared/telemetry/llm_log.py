"""The log of a call to a model: its records, prompts and completions as JSON of bounded size, cut in parts.

Columns and sequence are those of API Management's table: the record with sequence number 0 has the counts, those after
it the parts of the prompt, then those of the completion.
https://learn.microsoft.com/azure/azure-monitor/reference/tables/apimanagementgatewayllmlog
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.telemetry.spans import Value
from shared.telemetry.telemetry import LogItem

CATEGORY = "GatewayLlmLogs"
LONGEST_PART = 32_768
"""Bytes of one part; Application Insights keeps as many characters of a message."""
MARGIN = 4_096
"""Characters past the limit that are redacted as well: what is longer and begins before the limit shows in part."""

LONG_NUMBER = 7
"""Digits of a number that is redacted as if it were a text."""
DEEPEST = 64
"""Objects and lists within each other that are logged."""
NOTHING = object()

# Bytes in disguise: of images, audio, files.
_BASE64 = re.compile(r"(data:[^,]{0,200},)?[A-Za-z0-9+/_=\r\n-]{1024,}")
# What only the provider can read, and numbers.
_LEFT_OUT = frozenset({"encrypted_content", "signature", "thoughtSignature", "embedding", "logprobs"})


@dataclass(frozen=True, slots=True)
class Logged:
    """Messages as they are logged: JSON of an array, and whether some of it was cut off."""

    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class LlmLog:
    """One call: `columns` are on every record, `counts` on the first one alone. `time` is seconds since 1970."""

    time: float
    trace_id: int
    span_id: int
    columns: Mapping[str, Value]
    counts: Mapping[str, Value] = field(default_factory=dict)
    request: Logged | None = None
    response: Logged | None = None

    def items(self) -> Iterator[LogItem]:
        """The records in sequence; the messages of a direction are the `message`s of its parts, joined."""
        yield self._item(0, f"LLM call, {self.counts.get('TotalTokens', 0)} tokens", self.counts)
        number = 0
        for name, logged in (("RequestMessages", self.request), ("ResponseMessages", self.response)):
            for part in parts(logged.text) if logged is not None else ():
                number += 1
                more: dict[str, Value] = {"Column": name}
                if logged is not None and logged.cut:
                    more["Truncated"] = True
                yield self._item(number, part, more)

    def _item(self, number: int, message: str, more: Mapping[str, Value]) -> LogItem:
        attributes = {"Category": CATEGORY, "SequenceNumber": number, **self.columns, **more}
        return LogItem(message, self.time, self.trace_id, self.span_id, attributes)


def parts(text: str, longest: int = LONGEST_PART) -> Iterator[str]:
    """JSON in parts of at most `longest` bytes, no character cut. The exporter strips messages, so a space at either
    end of a part is written as an escape: joined, the parts say the same."""
    if len(text) * 4 <= longest:
        yield text
        return
    data = text.encode()
    start, most = 0, longest - 2 * len("\\u0020")
    while start < len(data):
        end = min(start + most, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        part = data[start:end].decode()
        yield _escaped(part[:1]) + part[1:-1] + _escaped(part[-1:]) if len(part) > 1 else _escaped(part)
        start = end


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if character.isspace() else character


def written(messages: Iterable[Any], most: int, redact: Callable[[str], str]) -> Logged:
    """Messages as JSON of at most `most` bytes: every text redacted, bytes in base64 told by their length alone, and
    what is too much left out so that it is JSON still. Raises what `redact` raises."""
    writer = _Writer(most, redact)
    return Logged(orjson.dumps(writer.copy(list(messages), 0)).decode(), writer.cut)


class _Writer:
    """Copies plain data as far as there is room, which it counts in bytes of JSON."""

    def __init__(self, most: int, redact: Callable[[str], str]) -> None:
        self.cut = False
        self._room = most
        self._redact = redact
        self._names: dict[str, str] = {}

    def copy(self, value: Any, depth: int) -> Any:
        """The copy; NOTHING when it has no room."""
        match value:
            case str():
                return self._string(value)
            case dict() | list() if depth > DEEPEST or not self._takes(2):
                self.cut = True
                return NOTHING
            case dict():
                return self._object(value, depth + 1)
            case list():
                return self._list(value, depth + 1)
        return self._number(value)

    def _object(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for name, member in value.items():
            if name in _LEFT_OUT:
                continue
            name = self._name(name)
            if self.cut or not self._takes(len(orjson.dumps(name)) + 2):
                break
            if (kept := self.copy(member, depth)) is not NOTHING:
                copy[name] = kept
        return copy

    def _name(self, name: str) -> str:
        """A member's name, redacted once: most are the schema's, those of a tool's input can be anything."""
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = self._redact(name)
        return found

    def _number(self, value: Any) -> Any:
        """A number, true, false or null. Long numbers can be those of cards and accounts; tokens are short."""
        text = orjson.dumps(value).decode()
        if len(text) >= LONG_NUMBER and (redacted := self._redact(text)) != text:
            return self._string(redacted)
        return value if self._takes(len(text)) else NOTHING

    def _list(self, value: list[Any], depth: int) -> list[Any]:
        copy: list[Any] = []
        for item in value:
            if self.cut or not self._takes(1):
                break
            if (kept := self.copy(item, depth)) is not NOTHING:
                copy.append(kept)
        return copy

    def _string(self, text: str) -> Any:
        if len(text) > 1024 and _BASE64.fullmatch(text):
            text = f"[{len(text)} characters of base64]"
        beyond = len(text) > self._room + MARGIN
        if beyond:
            # What the margin holds may be half of something to redact: none of it is shown.
            text = self._redact(text[: self._room + MARGIN])[:-MARGIN]
        else:
            text = self._redact(text)
        kept = _shortened(text, self._room - 2)
        self.cut = self.cut or beyond or kept is not text
        if kept is None:
            return NOTHING
        self._room -= len(orjson.dumps(kept))
        return kept

    def _takes(self, size: int) -> bool:
        if size > self._room:
            self.cut = True
            return False
        self._room -= size
        return True


def _shortened(text: str, room: int) -> str | None:
    """The beginning that has room as JSON without its quotation marks; None when nothing has."""
    if room < 0:
        return None
    kept = text if len(text) <= room else text[:room]
    while (over := len(orjson.dumps(kept)) - 2 - room) > 0:
        kept = kept[: len(kept) - max(1, over // 6)]  # a character takes six bytes at most
    return kept
