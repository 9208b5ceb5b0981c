"""Responses: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.llm.schemas.schema import Body, Count, Schema, note_finish, note_model, smallest, text
from shared.llm.tokens import responses_tokens
from shared.llm.usage import Facts, openai_usage, part

# The events that carry the response as it ended, with its usage.
_LAST = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}


class Responses(Schema):
    """A stream ends with an event that has the whole response; before that, deltas have the text."""

    name = "responses"
    paths = ("responses",)

    def max_tokens(self, body: Body) -> int | None:
        """`max_output_tokens` bounds reasoning and text together."""
        return smallest(body, "max_output_tokens")

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """Instructions, input items, tools. What `previous_response_id` refers to is known to the backend alone."""
        return responses_tokens(body, model, count)

    def note(self, document: Any, facts: Facts) -> None:
        """Note usage, model and status of a whole response."""
        if isinstance(document, dict):
            facts.usage = openai_usage(document.get("usage")) or facts.usage
            note_model(document, facts)
            note_finish(part(document, "incomplete_details").get("reason") or document.get("status"), facts)

    def text(self, document: Any) -> str:
        """All output items of a whole response."""
        output = document.get("output") if isinstance(document, dict) else None
        return "".join(_item(item) for item in output) if isinstance(output, list) else ""

    def note_event(self, document: Any, facts: Facts) -> None:
        """Note what the events tell that carry the response."""
        if not isinstance(document, dict):
            return
        if text(document.get("type")) in _LAST:
            self.note(document.get("response"), facts)
        elif "response" in document:
            note_model(part(document, "response"), facts)

    def text_of_event(self, document: Any) -> str:
        """What a delta adds: text, refusal, arguments, a summary of thoughts."""
        if isinstance(document, dict) and text(document.get("type")).endswith(".delta"):
            return text(document.get("delta"))
        return ""


def _item(item: object) -> str:
    if not isinstance(item, dict):
        return ""
    return "".join(_texts(item))


def _texts(item: Mapping[str, Any]) -> Iterable[str]:
    yield from (text(item.get(name)) for name in ("name", "arguments"))
    for name in ("content", "summary"):
        parts = item.get(name)
        for one in parts if isinstance(parts, list) else ():
            if isinstance(one, dict):
                yield text(one.get("text")) + text(one.get("refusal"))


RESPONSES = Responses()
