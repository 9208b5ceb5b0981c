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

    def read(self, document: Any, facts: Facts) -> str:
        """Note usage, model and status of a whole response."""
        if not isinstance(document, Mapping):
            return ""
        self._note(document, facts)
        output = document.get("output")
        return "".join(_item(item) for item in output) if isinstance(output, list) else ""

    def read_event(self, document: Any, facts: Facts) -> str:
        """Note what an event says, by its type."""
        if not isinstance(document, Mapping):
            return ""
        kind = text(document.get("type"))
        if kind.endswith(".delta"):
            return text(document.get("delta"))
        if kind in _LAST:
            self._note(part(document, "response"), facts)
        elif "response" in document:
            note_model(part(document, "response"), facts)
        return ""

    def _note(self, response: Mapping[str, Any], facts: Facts) -> None:
        facts.usage = openai_usage(response.get("usage")) or facts.usage
        note_model(response, facts)
        note_finish(part(response, "incomplete_details").get("reason") or response.get("status"), facts)


def _item(item: object) -> str:
    if not isinstance(item, Mapping):
        return ""
    return "".join(_texts(item))


def _texts(item: Mapping[str, Any]) -> Iterable[str]:
    yield from (text(item.get(name)) for name in ("name", "arguments"))
    for name in ("content", "summary"):
        parts = item.get(name)
        for one in parts if isinstance(parts, list) else ():
            if isinstance(one, Mapping):
                yield text(one.get("text")) + text(one.get("refusal"))


RESPONSES = Responses()
