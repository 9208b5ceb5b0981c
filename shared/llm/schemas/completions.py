"""Completions: https://platform.openai.com/docs/api-reference/completions"""

from typing import Any

from shared.llm.schemas.schema import Body, Count, Schema, choices_in, choices_of, text
from shared.llm.tokens import input_tokens
from shared.llm.usage import number

_DEFAULT_MAX_TOKENS = 16


class Completions(Schema):
    """A prompt of text or token ids, one or many; choices have `text` in documents and chunks alike."""

    name = "completions"
    paths = ("completions",)
    asks_for_usage = True

    def max_tokens(self, body: Body) -> int | None:
        """For each prompt and each of its choices, discarded ones (`best_of`) included; 16 unless set."""
        prompt = body.get("prompt")
        prompts = len(prompt) if isinstance(prompt, list) and not all(isinstance(one, int) for one in prompt) else 1
        choices = max(choices_of(body), number(body.get("best_of")))
        return (number(body.get("max_tokens")) or _DEFAULT_MAX_TOKENS) * choices * max(1, prompts)

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """All prompts, without a frame, and the suffix."""
        return input_tokens(body.get("prompt"), count) + count(text(body.get("suffix")))

    def text(self, document: Any) -> str:
        """The text of all choices of a document or a chunk."""
        return "".join(text(choice.get("text")) for choice in choices_in(document))


COMPLETIONS = Completions()
