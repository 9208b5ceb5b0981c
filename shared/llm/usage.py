"""What an answer cost: token counts as a backend reports them, and what else is learned on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Usage(NamedTuple):
    """Tokens of one exchange. The details are parts of `prompt_tokens` and `completion_tokens`, not additions.

    `total_tokens` is the backend's own sum where it gives one: some count thoughts there and nowhere else.
    `cache_creation_tokens` were written to the provider's prompt cache; `long_cache_creation_tokens` are those of them
    that it keeps for longer at another price (Anthropic: an hour, OpenAI: twelve). `estimated` tells that the backend
    gave no usage, or not yet all of it, and a tokenizer counted the prompt and what was delivered.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    image_prompt_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    estimated: bool = False
    long_cache_creation_tokens: int = 0

    @classmethod
    def estimate(cls, prompt: int, completion: int) -> "Usage":
        """Counts that a tokenizer made."""
        return cls(prompt, completion, prompt + completion, estimated=True)

    def cut_off_at(self, completion: int) -> "Usage":
        """What the beginning of a stream told, with what a tokenizer counted of the answer that came of it."""
        completion = max(completion, self.completion_tokens)
        total = self.prompt_tokens + completion
        return self._replace(completion_tokens=completion, total_tokens=total, estimated=True)


@dataclass(slots=True)
class Facts:
    """What an answer has told so far: its usage, the model that gave it, its id, why its choices ended (in order)."""

    usage: Usage | None = None
    model: str = ""
    finish_reasons: list[str] = field(default_factory=list)
    id: str = ""


# More than any call costs: what is above it is no count, and many would not fit into what counters are kept in.
_MOST = 2**31 - 1


def number(value: object) -> int:
    """A token count out of JSON, which knows no difference between 9 and 9.0; anything that is none reads as 0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= _MOST else 0


def part(value: object, name: str) -> Mapping[str, Any]:
    """The object a field of an object holds; empty where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


# What they call the tokens of prompt and completion, their sum, and the objects with their details.
_OF_COMPLETIONS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"
)  # fmt: skip
_OF_RESPONSES = ("input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details")
# Bedrock's Converse tells what Anthropic does, in other words.
_OF_CONVERSE = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_input_tokens": "cacheReadInputTokens",
    "cache_creation_input_tokens": "cacheWriteInputTokens",
}
# What a plain answer tells, made without a call of Python's: nearly every answer is one.
_counts = tuple.__new__
_NO_DETAILS = Usage(0, 0, 0)[3:]


def openai_usage(usage: object) -> Usage | None:
    """The `usage` object of chat completions, completions, embeddings (`prompt_tokens`), responses and images
    (`input_tokens`), and of Bedrock's Converse (`inputTokens`); a sum alone is taken for the prompt's, as embeddings
    and rerankings tell it. None when it is no such object, or says what cannot be: less than nothing, or nothing at
    all.

    https://platform.openai.com/docs/api-reference/chat/object, .../responses/object, .../images/object,
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
    """
    if not isinstance(usage, dict):
        return None
    names = _OF_COMPLETIONS
    if "prompt_tokens" not in usage and "completion_tokens" not in usage:
        if "input_tokens" in usage or "output_tokens" in usage:
            names = _OF_RESPONSES
        elif "outputTokens" in usage:
            return anthropic_usage({name: usage.get(told) for name, told in _OF_CONVERSE.items()})
    prompt, completion, total, asked, answered = map(usage.get, names)
    if (
        not type(prompt) is type(completion) is type(total) is int
        or not 0 <= prompt <= prompt + completion <= total <= _MOST
    ):
        if prompt and not number(prompt) or completion and not number(completion):
            return None
        completion, total = number(completion), number(total)
        prompt = number(prompt) or (0 if completion else total)
        total = max(total, prompt + completion)
    if not total:
        return None
    if not asked and not answered:
        return _counts(Usage, (prompt, completion, total, *_NO_DETAILS))
    asked = asked if isinstance(asked, dict) else {}
    answered = answered if isinstance(answered, dict) else {}
    return Usage(
        prompt,
        completion,
        total,
        number(asked.get("cached_tokens")),
        number(asked.get("cache_write_tokens")),
        number(answered.get("reasoning_tokens")),
        number(asked.get("audio_tokens")),
        number(answered.get("audio_tokens")),
        number(asked.get("image_tokens")),
        number(answered.get("accepted_prediction_tokens")),
        number(answered.get("rejected_prediction_tokens")),
        long_cache_creation_tokens=number(part(asked, "cache_write_tokens_details").get("ttl_12h_tokens")),
    )


def anthropic_usage(usage: object, before: Usage | None = None) -> Usage | None:
    """The `usage` object of Anthropic messages; `before` is what an earlier event of the stream said, whose fields
    stay where this one is silent. The prompt is all of it: read from the cache, written to it, and neither.

    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
    """
    if not isinstance(usage, dict) or not ("input_tokens" in usage or "output_tokens" in usage):
        return before
    known = before or Usage(0, 0, 0)
    cached = _kept(usage, "cache_read_input_tokens", known.cached_tokens)
    written = _kept(usage, "cache_creation_input_tokens", known.cache_creation_tokens)
    fresh = _kept(usage, "input_tokens", known.prompt_tokens - known.cached_tokens - known.cache_creation_tokens)
    completion = _kept(usage, "output_tokens", known.completion_tokens)
    prompt = fresh + cached + written
    if not prompt + completion:
        return before
    long = _kept(part(usage, "cache_creation"), "ephemeral_1h_input_tokens", known.long_cache_creation_tokens)
    thoughts = _kept(part(usage, "output_tokens_details"), "thinking_tokens", known.reasoning_tokens)
    return known._replace(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=cached,
        cache_creation_tokens=written,
        reasoning_tokens=thoughts,
        long_cache_creation_tokens=long,
        estimated=False,
    )


def gemini_usage(usage: object) -> Usage | None:
    """The `usageMetadata` of Gemini's generateContent; None where it counts nothing, as in Vertex AI's first events.

    The prompt includes what was cached, the candidates do not include thoughts; what tools brought in is told apart.
    https://ai.google.dev/api/generate-content#UsageMetadata
    """
    if not isinstance(usage, dict) or not ("promptTokenCount" in usage or "totalTokenCount" in usage):
        return None
    prompt = number(usage.get("promptTokenCount")) + number(usage.get("toolUsePromptTokenCount"))
    thoughts = number(usage.get("thoughtsTokenCount"))
    completion = number(usage.get("candidatesTokenCount")) + thoughts
    total = max(number(usage.get("totalTokenCount")), prompt + completion)
    if not total:
        return None
    return Usage(
        prompt,
        completion,
        total,
        number(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        audio_prompt_tokens=_of_modality(usage.get("promptTokensDetails"), "AUDIO"),
        audio_completion_tokens=_of_modality(usage.get("candidatesTokensDetails"), "AUDIO"),
        image_prompt_tokens=_of_modality(usage.get("promptTokensDetails"), "IMAGE"),
    )


def _of_modality(details: object, modality: str) -> int:
    found = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    return sum(number(one.get("tokenCount")) for one in found if one.get("modality") == modality)


def _kept(usage: Mapping[str, Any], name: str, before: int) -> int:
    value = usage.get(name)
    return 0 if value == 0 else number(value) or before
