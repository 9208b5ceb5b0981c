"""A JSON answer of unknown schema: its usage is taken when it has one, its prompt is not counted."""

from typing import Any

from shared.llm.schemas.schema import Schema
from shared.llm.usage import Usage, anthropic_usage, openai_usage


class AnyJson(Schema):
    """What passthrough APIs speak: most providers call it `usage`, with OpenAI's names or Anthropic's."""

    name = "unknown"
    counted = False

    def usage(self, document: Any) -> Usage | None:
        """The usage, of whichever naming."""
        usage = document.get("usage") if isinstance(document, dict) else None
        anthropic = isinstance(usage, dict) and "cache_read_input_tokens" in usage
        return anthropic_usage(usage) if anthropic else openai_usage(usage)


ANY_JSON = AnyJson()
