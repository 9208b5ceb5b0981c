"""The messages of a call by wire schema, one file each; to add one: write the file, add it here."""

from collections.abc import Mapping

from shared.llm.conversations.chat_completions import CHAT_COMPLETIONS
from shared.llm.conversations.completions import COMPLETIONS
from shared.llm.conversations.conversation import Conversation
from shared.llm.conversations.inputs import EMBEDDINGS, IMAGES
from shared.llm.conversations.messages import MESSAGES
from shared.llm.conversations.responses import RESPONSES

_BY_SCHEMA: Mapping[str, Conversation] = {
    "chat completions": CHAT_COMPLETIONS,
    "completions": COMPLETIONS,
    "responses": RESPONSES,
    "embeddings": EMBEDDINGS,
    "messages": MESSAGES,
    "images": IMAGES,
}
_UNKNOWN = Conversation()


def conversation_of(schema: str) -> Conversation:
    """How calls of the schema of that name are read; one that finds no messages for an unknown one."""
    return _BY_SCHEMA.get(schema, _UNKNOWN)
