"""Reads an answer as it passes: whole documents and streams, in any pieces, with bounded memory.

Passing bytes on is what every request pays for, so the readers look only for usage meanwhile; what else an answer tells
is parsed when somebody asks.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import orjson

from shared.llm.conversations import conversation_of
from shared.llm.conversations.conversation import Growing
from shared.llm.json_members import Members
from shared.llm.lenient_json import salvaged, was_cut_off
from shared.llm.schemas.schema import Schema
from shared.llm.sse import Events, data_of
from shared.llm.usage import Facts, Usage

Count = Callable[[str], int]

# A document up to here is kept and parsed; of a larger one only the members that matter are.
WHOLE = 1_048_576
MEMBERS = frozenset(
    {"usage", "id", "model", "stop_reason", "status", "type", "object", "usageMetadata", "modelVersion", "responseId"}
)
# Of a longer document only the end is parsed while nobody asks for more than its usage.
_SHORT = 8_192
# So much of a compressed answer is unpacked at a time.
_UNPACKED = 1_048_576
# So many bytes of a stream wait unparsed, in case their text is needed; then it is counted and they are forgotten.
UNREAD = 131_072
# The event that is hidden is small: a longer one cannot be it and need not be held back.
_LONGEST_HELD = 65_536
# Where nothing is held back, an event may be long: the last one of Responses repeats all, an image's has its bytes.
_LONGEST_READ = 8_388_608


class DocumentReader:
    """A JSON answer, read at its `end`; `body` is what there is of it already."""

    __slots__ = ("size", "usage", "_schema", "_kept", "_members", "_document", "_cut_off", "_unread")

    begun: ClassVar[None] = None  # a document tells its usage at once

    def __init__(self, schema: Schema, body: bytes = b"") -> None:
        self.size = len(body)
        self.usage: Usage | None = None
        self._schema = schema
        self._kept = [body]
        self._members: Members | None = None
        self._document: Any = None
        self._cut_off = False
        self._unread = b""

    @property
    def model(self) -> str:
        """The model the answer names; empty when it names none."""
        document = self._read()
        model = document.get(self._schema.model_member) if isinstance(document, dict) else None
        return model if isinstance(model, str) else ""

    @property
    def facts(self) -> Facts:
        """What the answer told."""
        facts = Facts()
        self._schema.note(self._read(), facts)
        return facts

    def messages(self) -> tuple[list[Any], bool]:
        """The messages of the answer, once it has ended, and whether some are missing: of a document too large to keep
        all are."""
        return conversation_of(self._schema.name).answered(self._read()), self._members is not None

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return them."""
        self.size += len(data)
        if self._members is not None:
            self._members.feed(data)
        else:
            self._kept.append(data)
            if self.size > WHOLE:
                self._pick_members(b"".join(self._kept))
                self._kept.clear()
        return data

    def end(self) -> bytes:
        """All has come, or no more will."""
        if self._members is None:
            body = b"".join(self._kept)
            self._kept.clear()
            if len(body) <= _SHORT:
                self._parse(body)
            else:
                self._unread = body
                found = members_from(body, self._schema.usage_member)
                if found is not None:
                    self.usage = self._schema.usage(found)
                    return b""
        self.usage = self._schema.usage(self._read())
        return b""

    def text_tokens(self, count: Count) -> int:
        """Tokens of the text that came; of a document too large to keep, or that was cut off, by its size."""
        document = self._read()
        if self._members is not None or self._cut_off:
            return self._schema.tokens_by_size(self.size)
        return count(self._schema.text(document))

    def _read(self) -> Any:
        """The document, once it has ended; of one too large to keep, the members that matter."""
        if self._unread:
            body, self._unread = self._unread, b""
            if len(body) > WHOLE:
                self._pick_members(body)
            else:
                self._parse(body)
        return self._document

    def _parse(self, body: bytes) -> None:
        self._document = _document(body)
        self._cut_off = self._document is None and was_cut_off(body)

    def _pick_members(self, body: bytes) -> None:
        self._members = Members(MEMBERS)
        self._members.feed(body)
        self._document = self._members.values


class StreamReader:
    """An answer of server-sent events. With `hide` the event that only tells usage is left out of what `feed` returns;
    everything else passes byte for byte. With `keep` the messages are put together, up to so many characters.
    """

    def __init__(self, schema: Schema, *, hide: bool, count: Count, keep: int = 0) -> None:
        self._facts = Facts()
        self.size = 0
        self._schema = schema
        self._usage_member = schema.usage_member
        self._hide = hide
        self._count = count
        self._events = Events(_LONGEST_HELD if hide else _LONGEST_READ)
        self._whole = True
        self._unread: list[bytes] = []
        self._fold_at = UNREAD
        self._text: list[str] = []
        self._counted = 0
        self._said: Growing | None = conversation_of(schema.name).growing(keep) if keep else None

    @property
    def usage(self) -> Usage | None:
        """The usage the backend told, if it has told it all."""
        usage = self._facts.usage
        return usage if usage is None or not usage.estimated else None

    @property
    def begun(self) -> Usage | None:
        """The usage that the beginning of the stream told, as long as no more has come."""
        usage = self._facts.usage
        return usage if usage is not None and usage.estimated else None

    @property
    def model(self) -> str:
        """The model the stream has named; empty when it has named none."""
        return self._facts.model or self.facts.model

    @property
    def facts(self) -> Facts:
        """What the stream has told so far."""
        self._parse_unread(self.usage is None)
        return self._facts

    def messages(self) -> tuple[list[Any], bool]:
        """The messages that have come so far, and whether some of it was too long to keep; none without `keep`."""
        if self._said is None:
            return [], False
        self._parse_unread(True)
        return self._said.messages(), self._said.cut

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; returns what may pass now."""
        if (
            self._whole
            and chunk[-2:] == b"\n\n"
            and (self._usage_member not in chunk or not tells(chunk, self._usage_member))
        ):
            # Whole events that tell text: the way of nearly every chunk.
            self._unread.append(chunk)
            self.size += len(chunk)
            if self.size > self._fold_at:
                self._fold()
            return chunk
        return self._feed(chunk)

    def end(self) -> bytes:
        """The stream has ended; returns what was held back."""
        rest = self._events.end()
        if rest:
            self._take(rest)
        return rest if self._hide else b""

    def text_tokens(self, count: Count) -> int:
        """Tokens of the text that came."""
        self._parse_unread(True)
        return self._counted + count("".join(self._text))

    def _feed(self, chunk: bytes) -> bytes:
        passing = [event for event in self._events.feed(chunk) if not self._take(event)]
        self._whole = not self._events.waiting
        return b"".join(passing) if self._hide else chunk

    def _take(self, event: bytes) -> bool:
        """Keep an event, or read it when it tells usage; True when it must be hidden."""
        document = _document(data_of(event)) if tells(event, self._usage_member) else None
        self.size += len(event)
        if document is None:
            self._unread.append(event)
        if self.size > self._fold_at:
            self._fold()
        if document is None:
            return False
        if self._said is not None:
            self._parse_unread(True)  # messages are put together in the order they come
            self._said.add(document)
        self._schema.note_event(document, self._facts)
        self._text.append(self._schema.text_of_event(document))
        only_usage = isinstance(document, dict) and document.get("choices") == [] and document.get("usage")
        return self._hide and bool(only_usage)

    def _parse_unread(self, with_text: bool) -> None:
        unread, self._unread = self._unread, []
        if not unread:
            return
        events = Events()
        for event in (*events.feed(b"".join(unread)), events.end()):
            if with_text or self._said is not None or not self._facts.model or tells(event, b'_reason"'):
                document = _document(data_of(event))
                if document is not None:
                    if self._said is not None:
                        self._said.add(document)
                    self._schema.note_event(document, self._facts)
                    self._text.append(self._schema.text_of_event(document))

    def _fold(self) -> None:
        self._fold_at = self.size + UNREAD
        self._parse_unread(True)
        self._counted += self._count("".join(self._text))
        self._text.clear()


Reader = DocumentReader | StreamReader


def tells(data: bytes, name: bytes) -> bool:
    """Whether bytes of events may have a member of that name (in quotation marks) that is not null. A quick look: it
    may find one where none is, never the other way round."""
    found = data.count(name)
    return bool(found) and found > data.count(name + b":null") + data.count(name + b": null")


def members_from(body: bytes, name: bytes) -> dict[str, Any] | None:
    """The members of a JSON object from the last one named `name` (in quotation marks) on; None where that is no member
    of its own.

    What is parsed is the end of the body behind an opening brace. That is JSON only where the name opens a member of
    the outermost object: the end of one further in has braces too many. In a text a quotation mark has a backslash
    before it.
    """
    at = body.rfind(name)
    if at < 1 or body[at - 1 : at] == b"\\":
        return None
    members = _parsed(b"{" + body[at:])
    return members if isinstance(members, dict) else None


def _parsed(data: bytes) -> Any:
    """What JSON data says; None when it is none, or was cut off."""
    if not data:
        return None
    try:
        return orjson.loads(data)
    except ValueError:
        return None


def _document(data: bytes) -> Any:
    """What an answer or an event says, if any parser can tell; None when it is no JSON, such as `[DONE]`."""
    if not data or data == b"[DONE]":
        return None
    try:
        return orjson.loads(data)
    except ValueError:
        return salvaged(data)


def decoder(coding: str) -> Callable[[bytes], Iterator[bytes]] | None:
    """What undoes a Content-Encoding piece by piece (RFC 9110 section 8.4.1); None for one it cannot undo. What it
    gives for one piece comes in pieces, too: a few bytes may be megabytes."""
    match coding.strip().lower():
        case "gzip" | "x-gzip":
            return _lenient(16 + zlib.MAX_WBITS)
        case "deflate":
            return _lenient(zlib.MAX_WBITS)
    return None


def _lenient(window: int) -> Callable[[bytes], Iterator[bytes]]:
    """A decoder that gives nothing more once the data is broken: the caller's own client will say so. There may be
    several members (RFC 1952 section 2.2)."""
    inflate = zlib.decompressobj(window)
    broken = False

    def decode(data: bytes) -> Iterator[bytes]:
        nonlocal broken, inflate
        while not broken:
            if inflate.eof:
                inflate = zlib.decompressobj(window)
            try:
                piece = inflate.decompress(data, _UNPACKED)
            except zlib.error:
                broken = True
                return
            if piece:
                yield piece
            data = inflate.unconsumed_tail or inflate.unused_data
            if not data and len(piece) < _UNPACKED:
                return

    return decode
