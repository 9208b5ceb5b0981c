"""What a dialect knows of its two forms: one document, and the events of a stream."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.llm.usage import Usage

Document = dict[str, Any]


class Dialect:
    """One dialect; without state. Subclasses raise LookupError, TypeError or AttributeError for what is no answer."""

    def finished(self, document: Mapping[str, Any]) -> bool:
        """Whether the answer ended by itself with something said: not cut, not filtered, no call of a tool."""
        raise NotImplementedError

    def assembled(self, events: Sequence[Any]) -> Document | None:
        """The document that the events (parsed; "[DONE]" as text, comments as None) tell; None without proper end."""
        raise NotImplementedError

    def events(self, document: Document, *, asks_for_usage: bool) -> list[bytes]:
        """The events a backend would have sent."""
        raise NotImplementedError

    def said(self, document: Mapping[str, Any]) -> str:
        """The text of an answer."""
        raise NotImplementedError

    def usage(self, usage: Usage) -> Document:
        """A usage object."""
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }

    def only_usage(self, event: Mapping[str, Any]) -> bool:
        """Whether an event tells usage and nothing else, so that callers see it only when they asked for it."""
        return False

    def usage_events(self, before: Sequence[bytes], usage: Usage, mark: str) -> list[bytes]:
        """What tells the usage before the stream ends, after the events `before`, where a caller has to ask for it."""
        return []


def event(document: object, name: str = "") -> bytes:
    """One event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def join(into: Document, added: Mapping[str, Any]) -> None:
    """Add a delta: texts and lists grow, objects merge, anything else is replaced."""
    for name, value in added.items():
        known = into.get(name)
        match known, value:
            case str(), str():
                into[name] = known + value
            case list(), list():
                into[name] = known + value
            case dict(), dict():
                into[name] = known = dict(known)
                join(known, value)
            case _ if value is not None or name not in into:
                into[name] = value
