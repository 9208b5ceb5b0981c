"""Messages of completions: https://platform.openai.com/docs/api-reference/completions"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.chat_completions import choices_of
from shared.llm.conversations.conversation import Conversation, Growing, Items, settled, turns


class Completions(Conversation):
    """Prompts and texts, told as messages of user and assistant."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """A message for each prompt."""
        return turns(body.get("prompt"))

    def answered(self, document: Any) -> list[Any]:
        """A message for each choice."""
        texts = [choice.get("text") for choice in choices_of(document)]
        return [{"role": "assistant", "content": text} for text in texts if isinstance(text, str)]

    def growing(self, most: int) -> Growing:
        """A message for each index."""
        return _Growing(most)


class _Growing(Growing):
    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._choices = Items()

    def add(self, event: Any) -> None:
        for choice in choices_of(event):
            text = choice.get("text")
            message = self.item(self._choices, choice.get("index", 0))
            if message is not None and isinstance(text, str):
                self.grow(message, "content", text)

    def messages(self) -> list[Any]:
        return [{"role": "assistant", **message} for message in settled(self._choices)]


COMPLETIONS = Completions()
