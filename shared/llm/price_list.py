"""The price list that comes with the gateway: US dollars per million tokens, standard tier, as quoted in November 2026.

OpenAI: https://developers.openai.com/api/docs/pricing; Azure's global standard deployments cost the same
(https://azure.microsoft.com/pricing/details/azure-openai/), data zones, regions and other tiers do not.
Anthropic: https://platform.claude.com/docs/en/about-claude/pricing. A name is good for its dated versions too. Prices
change and contracts differ: `prices` in `gateway.yaml` goes before this list.
"""

from collections.abc import Iterator
from datetime import date

from shared.config.prices import Price

_OPENAI_LONG = 272_000
"""From here on OpenAI charges the whole prompt twice and the answer one and a half times."""


def _openai(model: str, input: float, cached: float | None, output: float) -> Price:
    return Price(model=model, input=input, cached_input=cached, output=output)


def _openai_tiers(
    model: str, input: float, cached: float, output: float, *, writes: bool = True, since: date | None = None
) -> Iterator[Price]:
    """Models with a higher price for long prompts. Since GPT-5.6, writing to the cache costs a quarter more than
    input."""
    for above, of_prompt, of_answer in ((0, 1.0, 1.0), (_OPENAI_LONG, 2.0, 1.5)):
        yield Price(
            model=model,
            input=input * of_prompt,
            cached_input=cached * of_prompt,
            cache_write=input * of_prompt * 1.25 if writes else None,
            output=output * of_answer,
            above_prompt_tokens=above,
            valid_from=since,
        )


def _claude(
    model: str, input: float, output: float, cached: float = 0.1, *, above: int = 0, since: date | None = None
) -> Price:
    """`cached` is the share of the input price that reading from the cache costs; writing costs 1.25 times as much as
    input, for an hour twice as much."""
    return Price(
        model=model,
        input=input,
        cached_input=input * cached,
        cache_write=input * 1.25,
        long_cache_write=input * 2,
        output=output,
        above_prompt_tokens=above,
        valid_from=since,
    )


PRICE_LIST: tuple[Price, ...] = (
    # OpenAI, newest first
    *_openai_tiers("gpt-6.1-sol", 2.00, 0.10, 10.00),
    *_openai_tiers("gpt-6-sol", 2.00, 0.20, 10.00),
    *_openai_tiers("gpt-6-luna", 0.10, 0.01, 0.50),
    *_openai_tiers("gpt-5.6-sol", 5.00, 0.50, 30.00),
    # A promotion, without an end yet.
    *_openai_tiers("gpt-5.6-sol", 4.00, 0.40, 20.00, since=date(2026, 8, 21)),
    *_openai_tiers("gpt-5.6-terra", 2.00, 0.20, 12.00),
    *_openai_tiers("gpt-5.6-luna", 0.20, 0.02, 1.20),
    *_openai_tiers("gpt-5.5", 5.00, 0.50, 30.00, writes=False),
    _openai("gpt-5.5-pro", 30.00, None, 180.00),
    *_openai_tiers("gpt-5.4", 2.50, 0.25, 15.00, writes=False),
    _openai("gpt-5.4-mini", 0.75, 0.075, 4.50),
    _openai("gpt-5.4-nano", 0.20, 0.02, 1.25),
    _openai("gpt-5.3-codex", 1.75, 0.175, 14.00),
    _openai("gpt-5.2", 1.75, 0.175, 14.00),
    _openai("gpt-5.2-chat", 1.75, 0.175, 14.00),
    _openai("gpt-5.2-codex", 1.75, 0.175, 14.00),
    _openai("gpt-5.1", 1.25, 0.125, 10.00),
    _openai("gpt-5.1-chat", 1.25, 0.125, 10.00),
    _openai("gpt-5.1-codex", 1.25, 0.125, 10.00),
    _openai("gpt-5", 1.25, 0.125, 10.00),
    _openai("gpt-5-chat", 1.25, 0.125, 10.00),
    _openai("gpt-5-codex", 1.25, 0.125, 10.00),
    _openai("gpt-5-mini", 0.25, 0.025, 2.00),
    _openai("gpt-5-nano", 0.05, 0.005, 0.40),
    _openai("gpt-4.1", 2.00, 0.50, 8.00),
    _openai("gpt-4.1-mini", 0.40, 0.10, 1.60),
    _openai("gpt-4.1-nano", 0.10, 0.025, 0.40),
    _openai("gpt-4o", 2.50, 1.25, 10.00),
    _openai("gpt-4o-2024-05-13", 5.00, None, 15.00),
    _openai("gpt-4o-mini", 0.15, 0.075, 0.60),
    _openai("o4-mini", 1.10, 0.275, 4.40),
    _openai("o3", 2.00, 0.50, 8.00),
    _openai("o3-mini", 1.10, 0.55, 4.40),
    _openai("o1", 15.00, 7.50, 60.00),
    _openai("gpt-4-turbo", 10.00, None, 30.00),
    _openai("gpt-4", 30.00, None, 60.00),
    _openai("gpt-3.5-turbo", 0.50, None, 1.50),
    _openai("gpt-35-turbo", 0.50, None, 1.50),
    _openai("text-embedding-3-large", 0.13, None, 0),
    _openai("text-embedding-3-small", 0.02, None, 0),
    _openai("text-embedding-ada-002", 0.10, None, 0),
    # Anthropic
    _claude("claude-fable-5-1", 10.00, 50.00, 0.025),
    _claude("claude-fable-5", 10.00, 50.00),
    _claude("claude-opus-5-5", 4.00, 20.00, 0.05),
    _claude("claude-opus-5", 5.00, 25.00),
    _claude("claude-opus-4-8", 5.00, 25.00),
    _claude("claude-opus-4-7", 5.00, 25.00),
    _claude("claude-opus-4-6", 5.00, 25.00),
    _claude("claude-opus-4-5", 5.00, 25.00),
    _claude("claude-opus-4-1", 15.00, 75.00),
    _claude("claude-opus-4", 15.00, 75.00),
    _claude("claude-sonnet-5-5", 2.00, 10.00),
    _claude("claude-sonnet-5-5", 2.00, 10.00, 0.05, since=date(2026, 10, 7)),
    _claude("claude-sonnet-5", 2.00, 10.00),
    _claude("claude-sonnet-4-6", 3.00, 15.00),
    _claude("claude-sonnet-4-5", 3.00, 15.00),
    _claude("claude-sonnet-4", 3.00, 15.00),
    _claude("claude-3-7-sonnet", 3.00, 15.00),
    _claude("claude-3-5-sonnet", 3.00, 15.00),
    _claude("claude-haiku-5-5", 0.10, 0.50),
    _claude("claude-haiku-5-5", 0.50, 2.50, above=100_000),
    _claude("claude-haiku-4-5", 1.00, 5.00),
    _claude("claude-3-5-haiku", 0.80, 4.00),
)
