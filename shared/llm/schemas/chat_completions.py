"""Chat completions: https://platform.openai.com/docs/api-reference/chat"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.llm.schemas.schema import (
    Body,
    Count,
    Schema,
    choices_in,
    choices_of,
    smallest,
    text,
)
from shared.llm.tokens import chat_tokens


class ChatCompletions(Schema):
    """Whole answers have `message`, chunks of a stream have `delta`."""

    name = "chat completions"
    paths = ("chat/completions",)
    asks_for_usage = True

    def max_tokens(self, body: Body) -> int | None:
        """`max_completion_tokens` and its predecessor hold for each of the `n` choices."""
        if "max_tokens" not in body and "max_completion_tokens" not in body:
            return None
        most = smallest(body, "max_completion_tokens", "max_tokens")
        return most * choices_of(body) if most is not None else None

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """Messages in their frames, tools, functions, images."""
        return chat_tokens(body, model, count)

    def text(self, document: Any) -> str:
        """What the messages of a document, or the deltas of a chunk, say."""
        said = [choice.get("delta") or choice.get("message") for choice in choices_in(document)]
        return "".join(part for one in said if isinstance(one, dict) for part in _said(one))


def _said(message: Mapping[str, Any]) -> Iterable[str]:
    # reasoning_content: what DeepSeek, vLLM and others call thoughts they deliver and bill.
    yield from (text(message.get(name)) for name in ("content", "refusal", "reasoning_content"))
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    for function in (message.get("function_call"), *functions):
        if isinstance(function, dict):
            yield text(function.get("name")) + text(function.get("arguments"))


CHAT_COMPLETIONS = ChatCompletions()
