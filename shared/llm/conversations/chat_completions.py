"""Messages of chat completions: https://platform.openai.com/docs/api-reference/chat"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.conversation import Conversation, Growing, Items, settled, turns
from shared.llm.schemas.schema import choices_in


class ChatCompletions(Conversation):
    """One message for each choice; chunks of a stream have its `delta`."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """`messages`, as they are."""
        return turns(body.get("messages"))

    def answered(self, document: Any) -> list[Any]:
        """The message of each choice."""
        return [choice["message"] for choice in choices_in(document) if isinstance(choice.get("message"), dict)]

    def growing(self, most: int) -> Growing:
        """A message for each index."""
        return GrowingChoices(most)


class GrowingChoices(Growing):
    """A message for each choice, by its index."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._choices = Items()

    def add(self, event: Any) -> None:
        """Take what an event says of its choices."""
        for choice in choices_in(event):
            message = self.item(self._choices, choice.get("index", 0))
            if message is not None:
                self.add_choice(message, choice)

    def add_choice(self, message: dict[str, Any], choice: Mapping[str, Any]) -> None:
        """Add to a message what a chunk says of its choice."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self.join(message, delta)

    def messages(self) -> list[Any]:
        """The messages, by index."""
        return [{"role": "assistant", **message} for message in settled(self._choices)]


CHAT_COMPLETIONS = ChatCompletions()
