"""Embeddings: https://platform.openai.com/docs/api-reference/embeddings"""

from shared.llm.schemas.schema import Body, Count, Schema
from shared.llm.tokens import input_tokens


class Embeddings(Schema):
    """Only a prompt: text or token ids, one or many."""

    name = "embeddings"
    says_text = False
    paths = ("embeddings",)

    def max_tokens(self, body: Body) -> int | None:
        """Vectors have no tokens."""
        return 0

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """All inputs, without a frame."""
        return input_tokens(body.get("input"), count)


EMBEDDINGS = Embeddings()
