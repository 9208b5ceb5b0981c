"""A JSON answer of unknown schema: its usage is taken when it has one, its prompt is not counted."""

from typing import Any

from shared.llm.schemas.schema import Schema, note_model
from shared.llm.usage import Facts, anthropic_usage, openai_usage


class AnyJson(Schema):
    """What passthrough APIs speak: most providers call it `usage`, with OpenAI's names or Anthropic's."""

    name = "unknown"
    counted = False

    def note(self, document: Any, facts: Facts) -> None:
        """Note the usage, of whichever naming."""
        if isinstance(document, dict):
            usage = document.get("usage")
            anthropic = isinstance(usage, dict) and "cache_read_input_tokens" in usage
            facts.usage = (anthropic_usage(usage) if anthropic else openai_usage(usage)) or facts.usage
            note_model(document, facts)


ANY_JSON = AnyJson()
