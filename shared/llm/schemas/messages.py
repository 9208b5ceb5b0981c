"""Anthropic messages: https://docs.anthropic.com/en/api/messages and .../messages-streaming"""

from typing import Any

from shared.llm.schemas.schema import Body, Count, Schema, note_finish, note_model, smallest, text
from shared.llm.tokens import anthropic_tokens
from shared.llm.usage import Facts, Usage, anthropic_usage, part


class Messages(Schema):
    """A stream tells the prompt's tokens in `message_start` and the answer's, so far, in each `message_delta`."""

    name = "messages"
    paths = ("messages",)

    def max_tokens(self, body: Body) -> int | None:
        """`max_tokens`, which Anthropic requires."""
        return smallest(body, "max_tokens")

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """System prompt, messages, tools, images."""
        return anthropic_tokens(body, count)

    def usage(self, document: Any) -> Usage | None:
        """The usage of a whole message."""
        return anthropic_usage(document.get("usage")) if isinstance(document, dict) else None

    def note(self, document: Any, facts: Facts) -> None:
        """Note usage, model and stop reason of a whole message."""
        if isinstance(document, dict):
            facts.usage = anthropic_usage(document.get("usage"), facts.usage)
            note_model(document, facts)
            note_finish(document.get("stop_reason"), facts)

    def text(self, document: Any) -> str:
        """All content blocks of a whole message."""
        content = document.get("content") if isinstance(document, dict) else None
        return "".join(_block(block) for block in content) if isinstance(content, list) else ""

    def note_event(self, document: Any, facts: Facts) -> None:
        """Note what the two events tell that tell more than text."""
        match document:
            case {"type": "message_start", "message": message}:
                self.note(message, facts)
                if facts.usage is not None:  # of the answer it tells the first token or two
                    facts.usage = facts.usage._replace(estimated=True)
            case {"type": "message_delta"}:
                facts.usage = anthropic_usage(document.get("usage"), facts.usage)
                note_finish(part(document, "delta").get("stop_reason"), facts)

    def text_of_event(self, document: Any) -> str:
        """The text, thoughts or tool input an event adds."""
        match document:
            case {"type": "content_block_start", "content_block": dict() as block}:
                return _block(block)
            case {"type": "content_block_delta", "delta": dict() as delta}:
                return "".join(text(delta.get(name)) for name in ("text", "partial_json", "thinking"))
        return ""


def _block(block: object) -> str:
    if not isinstance(block, dict):
        return ""
    given = block.get("input")
    return "".join(text(block.get(name)) for name in ("text", "thinking", "name")) + (str(given) if given else "")


MESSAGES = Messages()
