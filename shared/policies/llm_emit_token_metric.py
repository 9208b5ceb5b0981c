"""llm-emit-token-metric and azure-openai-emit-token-metric: count the tokens of a call, and what they cost."""

import logging
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, field_validator

from shared.context import Context
from shared.errors import PolicyFailed
from shared.llm.call import LONGEST_MODEL
from shared.llm.prices import Asked, Cost, PriceTable
from shared.llm.usage import Usage
from shared.policies.attempt import Attempt
from shared.policies.compiler import Compiler
from shared.policies.llm_exchange import LlmExchange
from shared.policies.metric_dimensions import DEFAULTS, UNKNOWN, Dimensions, Evaluated, read_dimensions, resolved
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.run import Waiting
from shared.telemetry.genai import PROVIDERS
from shared.telemetry.metrics import Metrics, Pairs
from shared.telemetry.told import Told

log = logging.getLogger("gateway.metrics")

# The page promises (preview, June 2026) cached, reasoning, thinking and other tokens without naming the metrics.
# The names are those of the policy toolkit's emulator (Azure/azure-api-management-policy-toolkit, LlmTokenUsageReader);
# here a thing has one name, whatever a provider calls it. Metric and field of Usage:
DETAILS = (
    ("Cached Tokens", "cached_tokens"),
    ("Cache Creation Prompt Tokens", "cache_creation_tokens"),
    ("Reasoning Tokens", "reasoning_tokens"),
    ("Prompt Audio Tokens", "audio_prompt_tokens"),
    ("Completion Audio Tokens", "audio_completion_tokens"),
    ("Prompt Image Tokens", "image_prompt_tokens"),
    ("Accepted Prediction Tokens", "accepted_prediction_tokens"),
    ("Rejected Prediction Tokens", "rejected_prediction_tokens"),
)
_AT = tuple((name, Usage._fields.index(field)) for name, field in DETAILS)
_FIRST_DETAIL = min(at for _, at in _AT)

ESTIMATED = ("Estimated", "true")


class LlmEmitTokenMetric(Policy):
    """Adds the tokens of a call to the metrics `Total Tokens`, `Prompt Tokens` and `Completion Tokens` of `namespace`,
    by its dimensions, when the answer has come to its end, streams included; and those parts of them that the backend
    tells: `Cached Tokens`, `Cache Creation Prompt Tokens`, `Reasoning Tokens`, `Prompt Audio Tokens`, ...

    What a call to a model has used is counted once for each policy of the request, whatever attempts it took; an answer
    of a cache or of the gateway itself has used nothing. Where the backend tells no usage a tokenizer counts what was
    delivered, and the values have one dimension more, `Estimated`: a sum over the metric has them all the same.

    `Cost` has what the call costs in the currency of the model's price (see `prices` in gateway.yaml), with the
    dimensions `Model` and `Currency` besides; for a model without a price there is none, which is logged once. The
    request's own span tells it too.

    Expressions see the request as it is when the policy runs. Default dimensions are those known at the end: Backend ID
    is the backend that gave the answer, the member where it is a pool. `Model` is one more than API Management has: the
    model the answer names, or the one asked for. Nothing that fails here fails the request: a dimension whose
    expression throws reads `N/A`. Without telemetry nothing is counted, except for a request's debug trace.
    https://learn.microsoft.com/azure/api-management/llm-emit-token-metric-policy
    """

    element: ClassVar[str] = "llm-emit-token-metric"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    runs_ahead: ClassVar[bool] = True

    namespace: str = "API Management"
    # The pages of 2024 listed it, those of 2026 do not.
    value: float = 1
    dimensions: Dimensions = Field(alias="(dimensions)")
    prices: PriceTable = Field(alias="(prices)", repr=False)

    @field_validator("value")
    @classmethod
    def _no_value(cls, value: float) -> float:
        if value != 1:
            raise ValueError("only 1: these metrics have the counts of tokens as their values")
        return value

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The dimensions, and the prices of the configuration."""
        defaults = {**DEFAULTS, "model": _model}
        return {**read_dimensions(element, compiler, defaults), "prices": compiler.prices}

    def __call__(self, ctx: Context) -> Waiting | None:
        """Count at the end of the exchange."""
        if self.dimensions.written is None:
            return self._evaluate(ctx)
        self._begin(ctx, self.dimensions.written)
        return None

    async def _evaluate(self, ctx: Context) -> None:
        self._begin(ctx, await self.dimensions.evaluate(ctx, lambda name, failure: self._failed(ctx, name, failure)))

    def _begin(self, ctx: Context, dimensions: Evaluated) -> None:
        metrics = ctx.services.get(Metrics)  # type: ignore[type-abstract]
        if not (metrics.wanted or ctx.tracing):
            return
        exchange = LlmExchange.of(ctx)
        exchange.on_usage(lambda usage: self._count(ctx, exchange, dimensions, usage))

    def _count(self, ctx: Context, exchange: LlmExchange, dimensions: Evaluated, usage: Usage | None) -> None:
        attempt = exchange.attempt
        if usage is None or attempt is None or attempt.cached:
            return
        pairs = resolved(dimensions, ctx)
        if usage.estimated:
            pairs = with_more(pairs, ESTIMATED)
        counts = _counts(usage)
        metrics = ctx.services.get(Metrics)  # type: ignore[type-abstract]
        metrics.add(self.namespace, counts, pairs)
        asked = _asked(ctx, attempt)
        model = asked.response_model or asked.request_model
        rate = self.prices.rate(asked, usage.prompt_tokens, ctx.timestamp)
        if rate is not None:
            cost = ctx.notes[Cost] = rate.cost(usage)
            of_cost = with_more(pairs, ("Currency", cost.currency), ("Model", model or UNKNOWN))
            metrics.add(self.namespace, (("Cost", cost.amount),), of_cost)
            counts.append((f"Cost ({cost.currency})", cost.amount))
        elif _told(ctx).first(f"price of {model}"):
            log.warning(
                "no price is known for model %r: its calls have no Cost until prices in gateway.yaml has", model
            )
        if ctx.tracing:
            ctx.trace({"namespace": self.namespace, **dict(counts), "dimensions": dict(pairs)}, self.element)

    def _failed(self, ctx: Context, name: str, failure: PolicyFailed) -> None:
        place = f"{self.place.file}:{self.place.line}"
        ctx.trace({"dimension": name, "message": str(failure)}, self.element, "error")
        if _told(ctx).first(f"dimension {name} {place}"):
            log.warning("%s: dimension %s of %s is N/A: %s", place, name or "(name)", self.element, failure)


class AzureOpenaiEmitTokenMetric(LlmEmitTokenMetric):
    """The older name of the same policy.

    https://learn.microsoft.com/azure/api-management/azure-openai-emit-token-metric-policy
    """

    element: ClassVar[str] = "azure-openai-emit-token-metric"


@lru_cache(maxsize=1_024)
def with_more(pairs: Pairs, *more: tuple[str, str]) -> Pairs:
    """The dimensions of a document and further ones, in order; where both have a name, the document's value stays."""
    names = {name.lower() for name, _ in pairs}
    added = [pair for pair in more if pair[0].lower() not in names]
    return tuple(sorted([*pairs, *added], key=lambda pair: pair[0].lower()))


def _counts(usage: Usage) -> list[tuple[str, float]]:
    counts: list[tuple[str, float]] = [
        ("Total Tokens", usage.total_tokens),
        ("Prompt Tokens", usage.prompt_tokens),
        ("Completion Tokens", usage.completion_tokens),
    ]
    if any(usage[_FIRST_DETAIL:]):
        counts += [(name, usage[at]) for name, at in _AT if usage[at]]
    return counts


def _asked(ctx: Context, attempt: Attempt) -> Asked:
    kind, backend, call = ctx.kind, ctx.backend, attempt.call
    return Asked(
        attempt.model[:LONGEST_MODEL],
        call.model if call is not None else "",
        PROVIDERS.get(kind.name, "") if kind is not None else "",
        backend.id if backend is not None else "",
    )


def _model(ctx: Context) -> str:
    """The value of the default dimension Model."""
    attempt = LlmExchange.of(ctx).attempt
    if attempt is None:
        return ""
    return attempt.model or (attempt.call.model if attempt.call is not None else "")


def _told(ctx: Context) -> Told:
    told: Told = ctx.services.extras.setdefault(Told, Told())
    return told
