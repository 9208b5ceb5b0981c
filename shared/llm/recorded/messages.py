"""Anthropic messages: https://docs.anthropic.com/en/docs/build-with-claude/streaming"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.llm.recorded.dialect import Dialect, Document, event
from shared.llm.usage import Usage

_SAYS = {"text", "thinking", "redacted_thinking"}
_ENDED = {"end_turn", "stop_sequence"}


class Messages(Dialect):
    """Blocks open, grow and close between `message_start` and `message_stop`."""

    def finished(self, document: Mapping[str, Any]) -> bool:
        """Ended by itself, with text and thoughts only."""
        content = document["content"]
        return (
            document["stop_reason"] in _ENDED
            and any(block["type"] == "text" for block in content)
            and all(block["type"] in _SAYS for block in content)
        )

    def assembled(self, events: Sequence[Any]) -> Document | None:
        """The message of `message_start`, with what the others add."""
        document: Document | None = None
        ended = False
        for one in events:
            match one:
                case {"type": "message_start", "message": dict() as message}:
                    document = {**message, "content": []}
                case {"type": "content_block_start", "content_block": dict() as block} if document is not None:
                    document["content"].append(dict(block))
                case {"type": "content_block_delta", "index": int() as index, "delta": dict() as delta} if document:
                    _grow(document["content"][index], delta)
                case {"type": "message_delta", "delta": dict() as delta} if document is not None:
                    document.update(delta)
                    document["usage"] = {**(document.get("usage") or {}), **(one.get("usage") or {})}
                case {"type": "message_stop"}:
                    ended = True
                case {"type": "error"}:
                    return None
        return document if ended else None

    def events(self, document: Document, *, asks_for_usage: bool) -> list[bytes]:
        """Start, each block in one piece, end."""
        usage = document.get("usage") or {}
        opening = {**document, "content": [], "stop_reason": None, "stop_sequence": None}
        if "output_tokens" in usage:
            opening["usage"] = {**usage, "output_tokens": 1}
        told: list[Document] = [{"type": "message_start", "message": opening}]
        for index, block in enumerate(document["content"]):
            opened, deltas = _opened(block)
            told.append({"type": "content_block_start", "index": index, "content_block": opened})
            told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            told.append({"type": "content_block_stop", "index": index})
        why = {"stop_reason": document["stop_reason"], "stop_sequence": document.get("stop_sequence")}
        told += [{"type": "message_delta", "delta": why, "usage": usage}, {"type": "message_stop"}]
        return [event(one, one["type"]) for one in told]

    def said(self, document: Mapping[str, Any]) -> str:
        """The text blocks."""
        return "\n".join(str(block.get("text") or "") for block in document["content"])

    def usage(self, usage: Usage) -> Document:
        """Under the names of Anthropic."""
        return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}


def _grow(block: Document, delta: Mapping[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case other:
            raise LookupError(other)


def _opened(block: Mapping[str, Any]) -> tuple[Document, list[Document]]:
    match block:
        case {"type": "text", "text": text}:
            cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
            return {"type": "text", "text": ""}, [*cited, {"type": "text_delta", "text": text}]
        case {"type": "thinking", "thinking": thinking}:
            signed = [{"type": "signature_delta", "signature": block["signature"]}] if "signature" in block else []
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            return opened, [{"type": "thinking_delta", "thinking": thinking}, *signed]
    return dict(block), []


MESSAGES = Messages()
