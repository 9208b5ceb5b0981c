"""Responses: https://platform.openai.com/docs/api-reference/responses-streaming"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.llm.recorded.dialect import Dialect, Document, event
from shared.llm.usage import Usage

_SAYS = {"message", "reasoning"}
_DELTAS = {"output_text": ("response.output_text", "text"), "refusal": ("response.refusal", "refusal")}


class Responses(Dialect):
    """The last event has the whole response."""

    def finished(self, document: Mapping[str, Any]) -> bool:
        """Completed, with messages and thoughts only."""
        output = document["output"]
        return (
            document["status"] == "completed"
            and any(item["type"] == "message" for item in output)
            and all(item["type"] in _SAYS for item in output)
        )

    def assembled(self, events: Sequence[Any]) -> Document | None:
        """What `response.completed` has."""
        for one in reversed(events):
            if isinstance(one, dict) and one.get("type") == "response.completed":
                response = one["response"]
                return response if isinstance(response, dict) else None
        return None

    def events(self, document: Document, *, asks_for_usage: bool) -> list[bytes]:
        """Created, each item with its parts, completed."""
        begun = {**document, "status": "in_progress", "output": [], "usage": None}
        steps = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
        for index, item in enumerate(document["output"]):
            steps += _item(index, item)
        steps.append(("response.completed", {"response": document}))
        return [
            event({"type": name, "sequence_number": number, **data}, name) for number, (name, data) in enumerate(steps)
        ]

    def said(self, document: Mapping[str, Any]) -> str:
        """The text of all messages."""
        parts = [part for item in document["output"] for part in item.get("content") or ()]
        return "\n".join(str(part.get("text") or "") for part in parts)

    def usage(self, usage: Usage) -> Document:
        """Under the names of Responses."""
        return {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }


def _item(index: int, item: Mapping[str, Any]) -> Iterator[tuple[str, Document]]:
    at = {"output_index": index}
    is_message = item["type"] == "message"
    opened = {**item, "status": "in_progress", "content": []} if is_message else item
    yield "response.output_item.added", {**at, "item": opened}
    for number, part in enumerate(item.get("content") or () if is_message else ()):
        place = {"item_id": item.get("id", ""), **at, "content_index": number}
        name, member = _DELTAS[part["type"]]
        yield "response.content_part.added", {**place, "part": {**part, member: ""}}
        more: Document = {"logprobs": []} if member == "text" else {}
        yield f"{name}.delta", {**place, "delta": part[member], **more}
        yield f"{name}.done", {**place, member: part[member], **more}
        yield "response.content_part.done", {**place, "part": part}
    yield "response.output_item.done", {**at, "item": item}


RESPONSES = Responses()
