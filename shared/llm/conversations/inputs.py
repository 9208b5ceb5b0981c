"""Messages of embeddings and images, which are prompts and hardly an answer.

https://platform.openai.com/docs/api-reference/embeddings and .../images
"""

from collections.abc import Mapping
from typing import Any

from shared.llm.conversations.conversation import Conversation, turns


class Embeddings(Conversation):
    """Vectors are no messages."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """A message for each input."""
        return turns(body.get("input"))


class Images(Conversation):
    """Of images what is told about them: the prompt as the model revised it, or where they are."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """The prompt."""
        return turns(body.get("prompt"))

    def answered(self, document: Any) -> list[Any]:
        """One message with all images, without their bytes."""
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, list):
            return []
        images = [
            {"type": "image", **{name: value for name, value in image.items() if name != "b64_json"}}
            for image in data
            if isinstance(image, dict)
        ]
        return [{"role": "assistant", "content": images}]


EMBEDDINGS = Embeddings()
IMAGES = Images()
