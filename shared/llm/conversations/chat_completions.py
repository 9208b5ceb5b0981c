"""Messages of chat completions: https://platform.openai.com/docs/api-reference/chat"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.conversation import Conversation, Growing, Items, settled, turns


class ChatCompletions(Conversation):
    """One message for each choice; chunks of a stream have its `delta`."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """`messages`, as they are."""
        return turns(body.get("messages"))

    def answered(self, document: Any) -> list[Any]:
        """The message of each choice."""
        return [choice["message"] for choice in choices_of(document) if isinstance(choice.get("message"), dict)]

    def growing(self, most: int) -> Growing:
        """A message for each index."""
        return _Growing(most)


class _Growing(Growing):
    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._choices = Items()

    def add(self, event: Any) -> None:
        for choice in choices_of(event):
            delta = choice.get("delta")
            message = self.item(self._choices, choice.get("index", 0))
            if message is not None and isinstance(delta, dict):
                self.join(message, delta)

    def messages(self) -> list[Any]:
        return [{"role": "assistant", **message} for message in settled(self._choices)]


def choices_of(document: Any) -> list[Mapping[str, Any]]:
    """The choices of a document or a chunk; none where it has none."""
    choices = document.get("choices") if isinstance(document, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


CHAT_COMPLETIONS = ChatCompletions()
