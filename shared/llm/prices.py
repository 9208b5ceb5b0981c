"""What a call to a model costs: finds the price of its model, and charges its usage."""

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from shared.config.prices import Price
from shared.llm.usage import Usage

# A caller can ask for a new model with every request; what was found for a name is kept for so many.
_KEPT = 1_024

# us.anthropic.claude-..., amazon.nova-...: Bedrock names who made a model, after the region.
_MAKER = re.compile(r"^(?:[a-z]+\.)?[a-z0-9]+\.(?=[a-z])")
# -2024-11-20, -20250929, @20250929, -0613, -latest, and Bedrock's -v1:0
_VERSION = re.compile(r"(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest))?(?:-v\d+(?::\d+)?)?$")


class Asked(NamedTuple):
    """Who answered a call: the model as the answer names it (empty: it does not), the model or deployment that was
    asked for, provider (`gen_ai.provider.name`) and backend, empty where they are not known."""

    response_model: str
    request_model: str
    provider: str = ""
    backend: str = ""


class Cost(NamedTuple):
    """What a call has cost; the currency is its ISO 4217 code."""

    amount: float
    currency: str


class Rate(NamedTuple):
    """A price with all its defaults filled in: amounts for a million tokens."""

    input: float
    cached_input: float
    cache_write: float
    long_cache_write: float
    audio_input: float
    image_input: float
    output: float
    audio_output: float
    currency: str

    def cost(self, usage: Usage) -> Cost:
        """What the usage costs. Each token is charged once: thoughts that a backend counts in the total alone, as part
        of the answer."""
        answer = usage.total_tokens - usage.prompt_tokens
        amount = usage.prompt_tokens * self.input + answer * self.output
        if usage.cached_tokens:
            amount += usage.cached_tokens * (self.cached_input - self.input)
        if usage.cache_creation_tokens:
            amount += usage.cache_creation_tokens * (self.cache_write - self.input)
            amount += usage.long_cache_creation_tokens * (self.long_cache_write - self.cache_write)
        if usage.audio_prompt_tokens or usage.audio_completion_tokens or usage.image_prompt_tokens:
            amount += usage.audio_prompt_tokens * (self.audio_input - self.input)
            amount += usage.image_prompt_tokens * (self.image_input - self.input)
            amount += usage.audio_completion_tokens * (self.audio_output - self.output)
        return Cost(max(0.0, amount) / 1_000_000, self.currency)


class Dated(NamedTuple):
    """When a rate holds: from a day on (as `date.toordinal`), for prompts above a number of tokens."""

    since: int
    above: int
    rate: Rate


class PriceTable:
    """Prices of one configuration: those it declares, then those of the list that comes with the gateway."""

    def __init__(self, declared: Iterable[Price], listed: Iterable[Price]) -> None:
        self._declared = tuple(declared)
        self._listed = tuple(listed)
        self._candidates = lru_cache(maxsize=_KEPT)(self._find)

    def rate(self, asked: Asked, prompt_tokens: int, day: date) -> Rate | None:
        """The rate for a call on `day`; None when no price is known.

        A declared price goes before a listed one, then one for the backend before others, then an exact name before a
        name without version before a pattern (the longer first), then one for the provider. Among equals the latest
        that is valid counts, and of these the one with the highest `above_prompt_tokens` the prompt exceeds. A listed
        price goes by the model the answer names; only where it names none by what was asked for, since a deployment
        can have any name.
        """
        today = day.toordinal()
        for since, above, rate in self._candidates(asked):
            if since <= today and (not above or prompt_tokens > above):
                return rate
        return None

    def _find(self, asked: Asked) -> tuple[Dated, ...]:
        """All that may hold, the best first."""
        listed = (asked.response_model or asked.request_model,)
        return (
            *_ranked(self._declared, asked, (asked.response_model, asked.request_model)),
            *_ranked(self._listed, asked, listed),
        )


def _ranked(prices: tuple[Price, ...], asked: Asked, models: tuple[str, ...]) -> list[Dated]:
    names = [_names(model) for model in models if model]
    found = []
    for price in prices:
        if price.provider not in (None, asked.provider) or price.backend not in (None, asked.backend):
            continue
        named = max((_rank(price.model.lower(), name) for name in names), default=(0, 0))
        if named[0]:
            since = price.valid_from.toordinal() if price.valid_from is not None else 0
            dated = Dated(since, price.above_prompt_tokens, _rate(price))
            rank = (price.backend is not None, named, price.provider is not None, since, price.above_prompt_tokens)
            found.append((rank, dated))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [dated for _, dated in found]


def _rank(pattern: str, names: tuple[str, str, str]) -> tuple[int, int]:
    """How well a pattern names a model; (0, 0): not at all."""
    full, plain, unversioned = names
    if pattern in (full, plain):
        return 3, 0
    if pattern == unversioned:
        return 2, 0
    if "*" in pattern:
        expression = re.compile(".*".join(map(re.escape, pattern.split("*"))))
        if expression.fullmatch(full) or expression.fullmatch(plain):
            return 1, len(pattern)
    return 0, 0


def _names(model: str) -> tuple[str, str, str]:
    """A model's name as it is, without what stands before it (openai/gpt-4o, us.anthropic.claude-sonnet-4-5), and also
    without its version."""
    full = model.lower()
    plain = _MAKER.sub("", full.rpartition("/")[2])
    return full, plain, _VERSION.sub("", plain)


def _rate(price: Price) -> Rate:
    def amount(given: float | None, default: float) -> float:
        return default if given is None else given

    written = amount(price.cache_write, price.input)
    return Rate(
        price.input,
        amount(price.cached_input, price.input),
        written,
        amount(price.long_cache_write, written),
        amount(price.audio_input, price.input),
        amount(price.image_input, price.input),
        price.output,
        amount(price.audio_output, price.output),
        price.currency,
    )
