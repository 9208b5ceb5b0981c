"""Messages of Responses: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.conversation import Conversation, Growing, Items, settled, turns

# By event: the list of the item, the member that tells the place in it, the type of what is there, the text that grows.
_PARTS = {
    "response.output_text.delta": ("content", "content_index", "output_text", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "summary_text", "text"),
}
# By event: the text of the item that grows.
_TEXTS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
# What an item is while it comes.
_PASSING = frozenset({"status", "id"})


class Responses(Conversation):
    """Messages are items among others: calls of tools, their results, reasoning."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """Instructions as the first message, then the input."""
        return [*turns(body.get("instructions"), "system"), *turns(body.get("input"))]

    def answered(self, document: Any) -> list[Any]:
        """The output items."""
        output = document.get("output") if isinstance(document, dict) else None
        return output if isinstance(output, list) else []

    def growing(self, most: int) -> Growing:
        """Items by their place in the output."""
        return _Growing(most)


class _Growing(Growing):
    """Goes by the deltas. What is told again at the end of a part, an item and the whole is taken for items without
    deltas alone."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._items = Items()
        self._whole: list[Any] = []

    def add(self, event: Any) -> None:
        match event:
            case {"type": "response.output_item.added", "output_index": index, "item": dict() as item}:
                if (known := self.item(self._items, index)) is not None:
                    self.join(known, {name: value for name, value in item.items() if name not in _PASSING})
            case {"type": "response.output_item.done", "output_index": index, "item": dict() as item}:
                self._done(index, item)
            case {"type": str() as name, "output_index": index, "delta": str() as delta}:
                if (known := self.item(self._items, index)) is not None:
                    self._grow(known, name, event, delta)
            case {"type": str() as name, "response": {"output": list() as output}} if name in _LAST and not self._items:
                self._whole = output

    def _grow(self, item: dict[str, Any], name: str, event: Mapping[str, Any], delta: str) -> None:
        if name in _TEXTS:
            self.grow(item, _TEXTS[name], delta)
        elif name in _PARTS:
            list_name, place, kind, member = _PARTS[name]
            parts = item.setdefault(list_name, Items())
            part = self.item(parts, event.get(place)) if isinstance(parts, Items) else None
            if part is not None:
                part.setdefault("type", kind)
                self.grow(part, member, delta)

    def _done(self, index: object, item: Mapping[str, Any]) -> None:
        """An item as it has become: what no delta told of it is added."""
        known = self.item(self._items, index)
        if known is None:
            return
        told = {name for name, value in known.items() if value}
        self.join(known, {name: value for name, value in item.items() if name not in told and name not in _PASSING})

    def messages(self) -> list[Any]:
        return settled(self._items) or self._whole


RESPONSES = Responses()
