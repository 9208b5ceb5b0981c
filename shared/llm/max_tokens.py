"""The longest answer of a model, for requests that set no bound."""

from shared.llm.model_names import base_name

# The models' own pages: https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models,
# https://learn.microsoft.com/azure/ai-foundry/foundry-models/concepts/models-sold-directly-by-azure,
# https://ai.google.dev/gemini-api/docs/models
_LONGEST = (
    ("gpt-5-chat", 16_384),
    ("gpt-5", 128_000),
    ("gpt-4.1", 32_768),
    ("gpt-4.5", 16_384),
    ("gpt-4o-2024-05-13", 4_096),
    ("gpt-4o", 16_384),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-1106", 4_096),
    ("gpt-4-0125", 4_096),
    ("gpt-4", 8_192),
    ("gpt-35-turbo", 4_096),
    ("gpt-3.5-turbo", 4_096),
    ("gpt-oss", 131_072),
    ("o1-mini", 65_536),
    ("o1-preview", 32_768),
    ("o1", 100_000),
    ("o3", 100_000),
    ("o4", 100_000),
    ("gemini-1.5", 8_192),
    ("gemini-2.0-flash-thinking", 65_536),
    ("gemini-2.0", 8_192),
    ("gemini-2.5", 65_536),
)
# A model nobody knows: as much as any of them, so that "never above the limit" stays true.
_UNKNOWN = 131_072


def longest_answer(model: str) -> int:
    """Tokens of the longest answer of a model, or of a deployment that is named after one."""
    name = base_name(model)
    return next((tokens for prefix, tokens in _LONGEST if name.startswith(prefix)), _UNKNOWN)
