"""Answers on their way into a cache and out of it: which are worth keeping, and either form out of the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.llm.recorded import chat_completions, messages, responses
from shared.llm.recorded.dialect import Dialect
from shared.llm.sse import Events, data_of
from shared.llm.usage import Usage

Form = Literal["json", "sse"]

DIALECTS: Mapping[str, Dialect] = {
    "chat completions": chat_completions.CHAT_COMPLETIONS,
    "messages": messages.MESSAGES,
    "responses": responses.RESPONSES,
}
CACHED = "served_from_cache"
"""The member of `usage` that tells that nothing was spent: its counts are those of the call that was answered first."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer as it came: its status, its form, its bytes, and the usage the backend told."""

    status: int
    form: Form
    body: bytes
    usage: Usage | None = None

    def pack(self) -> bytes:
        """As bytes: a line of JSON, then the body."""
        usage = list(self.usage)[:3] if self.usage is not None else None
        return json.dumps({"status": self.status, "form": self.form, "usage": usage}).encode() + b"\n" + self.body

    @classmethod
    def unpack(cls, data: bytes) -> "CachedAnswer":
        """What `pack` wrote. ValueError when the bytes are something else."""
        head, _, body = data.partition(b"\n")
        try:
            told = json.loads(head)
            usage = Usage(*told["usage"]) if told["usage"] else None
            return cls(int(told["status"]), told["form"], body, usage)
        except (KeyError, TypeError) as error:
            raise ValueError("not a cached answer") from error


def complete(schema: str, answer: CachedAnswer) -> bool:
    """Whether an answer may be given again: it came to its proper end, was neither cut nor filtered, and says
    something instead of calling a tool."""
    document = as_document(schema, answer)
    try:
        return document is not None and DIALECTS[schema].finished(document)
    except (LookupError, TypeError, AttributeError):
        return False


def as_document(schema: str, answer: CachedAnswer) -> dict[str, Any] | None:
    """A whole answer as JSON; None for one that is none, or a stream without its proper end."""
    dialect = DIALECTS.get(schema)
    if dialect is None:
        return None
    try:
        if answer.form == "json":
            document = json.loads(answer.body)
            return document if isinstance(document, dict) else None
        return dialect.assembled([_parsed(event) for event in events_of(answer.body)])
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def as_json_body(schema: str, answer: CachedAnswer) -> bytes | None:
    """The body for a caller who does not stream; None when there is no way to it."""
    if answer.status != 200:
        return answer.body if answer.form == "json" else None
    document = as_document(schema, answer)
    if document is None:
        return None
    if answer.form == "sse" and answer.usage is not None and not document.get("usage"):
        document["usage"] = DIALECTS[schema].usage(answer.usage)
    _mark(document)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def as_stream_body(schema: str, answer: CachedAnswer, *, asks_for_usage: bool) -> bytes | None:
    """The events for a caller who streams: those that came, or those a backend would have sent; None when there is no
    way to them."""
    dialect = DIALECTS.get(schema)
    if answer.status != 200 or dialect is None:
        return None
    if answer.form == "json":
        document = as_document(schema, answer)
        if document is None:
            return None
        _mark(document)
        try:
            return b"".join(dialect.events(document, asks_for_usage=asks_for_usage))
        except (LookupError, TypeError, AttributeError):
            return None
    return b"".join(_replayed(dialect, answer, asks_for_usage))


def said(schema: str, answer: CachedAnswer) -> str:
    """What an answer says, to compare it with another."""
    document = as_document(schema, answer)
    try:
        return DIALECTS[schema].said(document) if document is not None else ""
    except (LookupError, TypeError, AttributeError):
        return ""


def _replayed(dialect: Dialect, answer: CachedAnswer, asks_for_usage: bool) -> list[bytes]:
    """The recorded events, byte for byte but for those that tell usage."""
    replayed: list[bytes] = []
    told = False
    for event in events_of(answer.body):
        document = _parsed(event) if b'"usage"' in event else None
        if not isinstance(document, dict):
            if data_of(event) == b"[DONE]" and asks_for_usage and not told and answer.usage is not None:
                replayed += dialect.usage_events(replayed, answer.usage, CACHED)
            replayed.append(event)
            continue
        if dialect.only_usage(document):
            told = True
            if not asks_for_usage:
                continue
        replayed.append(_with_data(event, document) if _mark_event(document) else event)
    return replayed


def events_of(body: bytes) -> list[bytes]:
    """The events of a recorded stream."""
    events = Events(longest=len(body) + 1)
    return [event for event in (*events.feed(body), events.end()) if event]


def _parsed(event: bytes) -> Any:
    data = data_of(event)
    return None if not data else "[DONE]" if data == b"[DONE]" else json.loads(data)


def _with_data(event: bytes, document: Mapping[str, Any]) -> bytes:
    lines = event.split(b"\n")
    head = b"".join(line + b"\n" for line in lines if line.startswith((b"event:", b"id:")))
    return head + b"data: " + json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _mark(document: dict[str, Any]) -> bool:
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return False
    usage[CACHED] = True
    return True


def _mark_event(document: dict[str, Any]) -> bool:
    """Mark the usage of an event, wherever its dialect has it."""
    inner = [document.get(name) for name in ("response", "message")]
    return any([_mark(one) for one in (document, *inner) if isinstance(one, dict)])
