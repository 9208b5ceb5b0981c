"""Messages of Anthropic: https://docs.anthropic.com/en/api/messages and .../messages-streaming"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.llm.conversations.conversation import Conversation, Growing, Items, Parts, settled, turns


class Messages(Conversation):
    """The system prompt stands beside the messages; an answer is one message of several blocks."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """The system prompt as the first message, then `messages`."""
        system = body.get("system")
        return [*([{"role": "system", "content": system}] if system else []), *turns(body.get("messages"))]

    def answered(self, document: Any) -> list[Any]:
        """The one message."""
        if not isinstance(document, dict) or document.get("type") != "message":
            return []
        return [{"role": document.get("role", "assistant"), "content": document.get("content")}]

    def growing(self, most: int) -> Growing:
        """Blocks by index."""
        return _Growing(most)


class _Growing(Growing):
    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._blocks = Items()
        self._begun = False

    def add(self, event: Any) -> None:
        match event:
            case {"type": "message_start"}:
                self._begun = True
            case {"type": "content_block_start", "index": index, "content_block": dict() as block}:
                if (known := self.item(self._blocks, index)) is not None:
                    self.join(known, block)
            case {"type": "content_block_delta", "index": index, "delta": dict() as delta}:
                if (known := self.item(self._blocks, index)) is not None:
                    self._grow(known, delta)

    def _grow(self, block: dict[str, Any], delta: Mapping[str, Any]) -> None:
        for name, member in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input")):
            if isinstance(text := delta.get(name), str):
                if member == "input" and not isinstance(block.get(member), Parts):
                    block[member] = Parts()  # it begins as an empty object
                self.grow(block, member, text)

    def messages(self) -> list[Any]:
        blocks = settled(self._blocks)
        for block in blocks:
            if isinstance(given := block.get("input"), str):
                block["input"] = _parsed(given)
        return [{"role": "assistant", "content": blocks}] if self._begun else []


def _parsed(text: str) -> Any:
    """The input of a tool; the text itself where the stream has ended before it."""
    try:
        return orjson.loads(text) if text else {}
    except ValueError:
        return text


MESSAGES = Messages()
