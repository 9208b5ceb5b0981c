"""Messages of completions: https://platform.openai.com/docs/api-reference/completions"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.chat_completions import GrowingChoices
from shared.llm.conversations.conversation import Conversation, Growing, turns
from shared.llm.schemas.schema import choices_in


class Completions(Conversation):
    """Prompts and texts, told as messages of user and assistant."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """A message for each prompt."""
        return turns(body.get("prompt"))

    def answered(self, document: Any) -> list[Any]:
        """A message for each choice."""
        texts = [choice.get("text") for choice in choices_in(document)]
        return [{"role": "assistant", "content": text} for text in texts if isinstance(text, str)]

    def growing(self, most: int) -> Growing:
        """A message for each index."""
        return _Growing(most)


class _Growing(GrowingChoices):
    def add_choice(self, message: dict[str, Any], choice: Mapping[str, Any]) -> None:
        text = choice.get("text")
        if isinstance(text, str):
            self.grow(message, "content", text)


COMPLETIONS = Completions()
