"""llm-token-limit and azure-openai-token-limit: tokens per minute and per period, by key, over all instances."""

from collections.abc import Callable
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from shared.config.declared import HeaderName
from shared.context import Context
from shared.errors import GatewayError
from shared.errors import Refusal as Refused
from shared.llm.call import LlmCall
from shared.llm.max_tokens import longest_answer
from shared.llm.tokens import rough_count
from shared.llm.usage import Usage
from shared.policies.counting import Room, left, take, take_after_miss, take_now, trace_refusal
from shared.policies.durations import in_words, whole_seconds
from shared.policies.expression import Expression
from shared.policies.fused import Fusing
from shared.policies.llm_exchange import LlmExchange
from shared.policies.policy import Policy, Section
from shared.policies.run import Waiting
from shared.stores.estimates import FIRST_GUESS, Estimates
from shared.stores.limits import Limit, OnStorageError, Quota, Refusal, Window
from shared.stores.periods import Calendar

# At most what an entity's 64 bits hold with room to spare.
Tokens = Annotated[int, Field(gt=0, le=10**15)]
Reserve = Literal["predict", "strict", "none"]
Period = Literal["Hourly", "Daily", "Weekly", "Monthly", "Yearly"]

# APIM's words; Responses and Anthropic messages can be counted as well.
_CANNOT_ESTIMATE = (
    "Unable to parse and estimate tokens from incoming request. Please ensure incoming request is of one of the "
    "following types: 'Chat Completion', 'Completion', 'Embeddings' and works with current prompt estimation mode of "
    "'Auto'."
)

# Tokens of a prompt by the size of its body from which on its texts are looked for: most of a large one may be media.
_WORTH_A_LOOK = 2_048


class Counting:
    """One request under one policy: what was reserved where, and what it turned out to cost.

    `prompt` is what a tokenizer counted (None: nothing did), `usage` what a plain answer told before it left.
    """

    __slots__ = ("answered", "call", "ctx", "key", "limit", "policy", "prompt", "reserved", "room", "usage")

    def __init__(self, policy: "LlmTokenLimit", ctx: Context, key: str, limit: Limit, call: LlmCall | None) -> None:
        self.policy = policy
        self.ctx = ctx
        self.key = key
        self.limit = limit
        self.call = call
        self.prompt: int | None = None
        self.reserved = 1
        self.room: Room | None = None
        self.answered = False
        self.usage: Usage | None = None

    def reserve(self, mode: Reserve) -> int:
        """What to ask for; no call to a model, such as a list of models, is let through while something is left."""
        call, prompt = self.call, self.prompt
        if call is None:
            return 0
        if mode == "none":
            amount = prompt or 0
        else:
            if prompt is None:
                prompt = (len(call.data) + 3) // 4
                if prompt > _WORTH_A_LOOK and not call.is_plain_text:
                    prompt = call.prompt_tokens(rough_count)
            most = call.max_tokens
            if mode == "strict":
                amount = prompt + (longest_answer(call.model) if most is None else most)
            else:
                answer = round(self.ctx.services.get(Estimates).get((self.key, call.model), FIRST_GUESS))
                amount = prompt + (answer if most is None or answer < most else most)
                # A prediction larger than the limit would refuse for ever what may well fit.
                if amount > self.limit.largest:
                    amount = max(self.prompt or 0, self.limit.largest)
        if amount > 1:
            self.reserved = amount
        return amount

    def settle(self, usage: Usage | None) -> None:
        """The exchange has ended: count what it used instead of what was reserved, and learn from it."""
        ctx, call = self.ctx, self.call
        if self.room is not None:
            self.room.settle(usage.total_tokens if usage is not None else 0)
        if usage is not None and call is not None:
            ctx.services.get(Estimates).learn(self.key, call.model, usage.completion_tokens)
        if ctx.trace_entries is not None:
            ctx.trace({"counter-key": self.key, "reserved": self.reserved, "usage": usage}, self.policy.element)


class LlmTokenLimit(Policy):
    """Limits prompt and completion tokens, by `tokens-per-minute` (429) and by `token-quota` in a period (403).

    A counter is shared by all instances and all policies with the same `counter-key`. Each request reserves tokens
    before it is sent, and is settled with what the backend says it used, streams included.

    Attributes of this gateway's own:

    - `reservation`: "predict" (default) reserves the prompt and the mean of earlier answers to this key and model, at
      most max_tokens, at most the limit; "strict" the prompt and the longest answer the request allows, so that the
      limit is never exceeded; "none" what API Management does, nothing but an estimated prompt.
    - `on-storage-error`: "bounded" (default) goes on with what this instance used before the outage, "open" admits
      everything, "closed" only what is leased already.
    - `shards`: splits a counter for more than about 25 busy instances.
    - `count-cached-answers`: "true" charges answers that come from a cache with what they cost when they were made.

    With `estimate-prompt-tokens` the prompt is counted by a tokenizer before the call and a body that cannot be counted
    is refused; for streams it always is counted. Headers of a stream leave before its end: they tell the estimate.
    API Management's page wants a literal `tokens-per-minute`, documents in use compute it.
    https://learn.microsoft.com/azure/api-management/llm-token-limit-policy
    """

    element: ClassVar[str] = "llm-token-limit"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    runs_ahead: ClassVar[bool] = True

    counter_key: Expression[str]
    tokens_per_minute: Expression[Tokens] | None = None
    token_quota: Expression[Tokens] | None = None
    token_quota_period: Expression[Period] | None = None
    estimate_prompt_tokens: bool = False
    retry_after_header_name: HeaderName = "Retry-After"
    retry_after_variable_name: str | None = None
    remaining_quota_tokens_header_name: HeaderName | None = None
    remaining_quota_tokens_variable_name: str | None = None
    remaining_tokens_header_name: HeaderName | None = None
    remaining_tokens_variable_name: str | None = None
    tokens_consumed_header_name: HeaderName | None = None
    tokens_consumed_variable_name: str | None = None
    reservation: Reserve = "predict"
    on_storage_error: OnStorageError = "bounded"
    shards: Annotated[int, Field(ge=1, le=100)] = 1
    count_cached_answers: bool = False

    @model_validator(mode="after")
    def _some_limit(self) -> "LlmTokenLimit":
        if (self.token_quota is None) != (self.token_quota_period is None):
            raise ValueError("token-quota and token-quota-period go together")
        if self.tokens_per_minute is None and self.token_quota is None:
            raise ValueError("tokens-per-minute, or token-quota and token-quota-period, must be there")
        return self

    def __call__(self, ctx: Context) -> Waiting | None:
        """Reserve or refuse; the rest happens when the answer comes and when it has ended."""
        if self._count is None:
            return self._computed(ctx)
        LlmExchange.of(ctx).call_now()  # a body that has to be read first is, before the key is evaluated
        return self._count(ctx, self.counter_key.now(ctx))

    def fuse(self, fusing: Fusing) -> list[str] | None:
        """The same, where no number is an expression."""
        if self._count is None:
            return None
        count = f"{fusing.name(self._count)}(ctx, key)"
        return [f"key = {fusing.value(self.counter_key)}", "within = True", f"outcome = {count}", "within = False"]

    @cached_property
    def _count(self) -> Callable[[Context, str | None], Waiting | None] | None:
        """Counts a request under a limit that holds for every one; None when an expression gives some of it. It knows
        the policy's fields, because a look at a model's costs as much as a call."""
        numbers = (self.tokens_per_minute, self.token_quota, self.token_quota_period)
        if any(number is not None and number.compiled is not None for number in numbers):
            return None
        limit = self._limit_of(*(None if number is None else number.constant for number in numbers))
        mode, counts_prompt = self.reservation, self._counts_prompt
        tells = self._tells or self.count_cached_answers

        def count(ctx: Context, key: str | None) -> Waiting | None:
            exchange = LlmExchange.of(ctx)
            call = exchange.call_now()
            counting = Counting(self, ctx, key or "", limit, call)
            if counts_prompt or (call is not None and call.stream):
                return self._waiting(exchange, counting)
            amount = counting.reserve(mode)
            room = take_now(ctx, counting.key, limit, amount)
            if room is None:
                return self._wait_for_room(exchange, counting, amount)
            if tells or isinstance(room, Refusal):
                self._begin(exchange, counting, room)
            else:
                counting.room = room
                exchange.on_usage(counting.settle)
            return None

        return count

    async def _computed(self, ctx: Context) -> None:
        """With an expression in the numbers too."""
        exchange = LlmExchange.of(ctx)
        call = await exchange.call()
        key = await self.counter_key(ctx) or ""
        await self._waiting(exchange, Counting(self, ctx, key, await self._limit(ctx), call))

    async def _waiting(self, exchange: LlmExchange, counting: Counting) -> None:
        """With whatever has to be waited for, such as the prompt counted by a tokenizer."""
        ctx, call = counting.ctx, counting.call
        if self._counts_prompt or (call is not None and call.stream):
            counting.prompt = await self._prompt(ctx, exchange, call)
        amount = counting.reserve(self.reservation)
        self._begin(exchange, counting, await take(ctx, counting.key, counting.limit, amount))

    async def _wait_for_room(self, exchange: LlmExchange, counting: Counting, amount: int) -> None:
        room = await take_after_miss(counting.ctx, counting.key, counting.limit, amount)
        self._begin(exchange, counting, room)

    def _begin(self, exchange: LlmExchange, counting: Counting, room: Room | Refusal) -> None:
        """Raise the refusal, or see to it that the room is settled and the caller is told."""
        ctx = counting.ctx
        if isinstance(room, Refusal):
            trace_refusal(ctx, self, counting.key, room)
            fits = counting.reserved <= counting.limit.largest
            raise self._refused(ctx, room, estimated=counting.prompt is not None, fits=fits)
        counting.room = room
        exchange.on_usage(counting.settle)
        if self.count_cached_answers:
            exchange.count_cached()
        if self._tells:
            self._tell_variables(counting)
            exchange.on_answer(lambda usage: self._answered(counting, usage))
            ctx.on_reply(lambda ctx: self._tell_headers(counting))

    # what to reserve

    async def _limit(self, ctx: Context) -> Limit:
        per_minute, quota, period = self.tokens_per_minute, self.token_quota, self.token_quota_period
        return self._limit_of(
            None if per_minute is None else await per_minute(ctx),
            None if quota is None else await quota(ctx),
            None if period is None else await period(ctx),
        )

    def _limit_of(self, per_minute: int | None, quota: int | None, period: Period | None) -> Limit:
        window = Window(per_minute, 60) if per_minute is not None else None
        quotas = (Quota(quota, Calendar(period)),) if quota is not None and period is not None else ()
        return Limit(window, quotas, "tokens", self.shards, self.on_storage_error)

    async def _prompt(self, ctx: Context, exchange: LlmExchange, call: LlmCall | None) -> int:
        if (
            self.estimate_prompt_tokens
            and ctx.request.method == "POST"
            and (call is None or not call.schema.counted or not call.body)
        ):
            raise Refused(_CANNOT_ESTIMATE, status=400, source=self.element, reason="UnableToEstimateTokens")
        return await exchange.prompt_tokens(wait=self.reservation == "strict") if call is not None else 0

    @cached_property
    def _counts_prompt(self) -> bool:
        return self.estimate_prompt_tokens or self.reservation == "strict"

    # what to tell

    def _refused(self, ctx: Context, refusal: Refusal, *, estimated: bool, fits: bool) -> GatewayError:
        quota = refusal.which == "quota"
        thing, status = ("quota", 403) if quota else ("limit", 429)
        before = estimated and (refusal.remaining > 0 or not fits)
        message = f"Token {thing} " + ("will exceed based on estimated request tokens." if before else "is exceeded.")
        wait = whole_seconds(refusal.retry_after)
        if fits:
            message += f" Try again in {in_words(refusal.retry_after) if quota else f'{wait} seconds'}."
        if self.retry_after_variable_name:
            ctx.variables[self.retry_after_variable_name] = wait
        headers = [(self.retry_after_header_name, str(wait))]
        for (name, variable), of_quota in ((self._names, False), (self._quota_names, True)):
            remaining = refusal.remaining if of_quota == quota else None
            if remaining is not None and variable:
                ctx.variables[variable] = remaining
            if remaining is not None and name:
                headers.append((name, str(remaining)))
        return Refused(
            message,
            status=status,
            source=self.element,
            reason="OpenAITokenQuotaExceeded" if quota else "OpenAITokenLimitExceeded",
            code="insufficient_quota" if quota else "rate_limit_exceeded",
            headers=headers,
        )

    @property
    def _names(self) -> tuple[str | None, str | None]:
        return self.remaining_tokens_header_name, self.remaining_tokens_variable_name

    @property
    def _quota_names(self) -> tuple[str | None, str | None]:
        return self.remaining_quota_tokens_header_name, self.remaining_quota_tokens_variable_name

    @cached_property
    def _tells(self) -> bool:
        return any(
            (*self._names, *self._quota_names, self.tokens_consumed_header_name, self.tokens_consumed_variable_name)
        )

    def _remaining(self, counting: Counting, *, replies: bool = False) -> tuple[int | None, int | None]:
        """Left in the window and in the quota, with this request at what it is known to cost."""
        now = left(counting.ctx, counting.key, counting.limit)
        spared = 0
        if counting.usage is not None:
            spared = counting.reserved - counting.usage.total_tokens
        elif LlmExchange.of(counting.ctx).costs_nothing(replies=replies):
            spared = counting.reserved
        window = None if now.window is None else max(0, now.window + spared)
        return window, max(0, now.quotas[0] + spared) if now.quotas else None

    def _tell_variables(self, counting: Counting) -> None:
        variables = counting.ctx.variables
        for remaining, (_, variable) in zip(self._remaining(counting), (self._names, self._quota_names), strict=True):
            if variable and remaining is not None:
                variables[variable] = remaining
        if self.tokens_consumed_variable_name:
            usage = counting.usage
            variables[self.tokens_consumed_variable_name] = usage.total_tokens if usage else counting.prompt or 0

    async def _answered(self, counting: Counting, usage: Usage | None) -> None:
        counting.answered, counting.usage = True, usage
        self._tell_variables(counting)

    async def _tell_headers(self, counting: Counting) -> None:
        response = counting.ctx.response
        if response is None:
            return
        if LlmExchange.of(counting.ctx).attempt is None:  # what an attempt before the last one told is void
            counting.answered, counting.usage = False, None
        told = zip(self._remaining(counting, replies=True), (self._names, self._quota_names), strict=True)
        for remaining, (name, _) in told:
            if name and remaining is not None:
                response.headers.set(name, str(remaining))
        if self.tokens_consumed_header_name and counting.answered:
            consumed = counting.usage.total_tokens if counting.usage else counting.prompt or 0
            response.headers.set(self.tokens_consumed_header_name, str(consumed))


class AzureOpenaiTokenLimit(LlmTokenLimit):
    """The older name of the same policy.

    https://learn.microsoft.com/azure/api-management/azure-openai-token-limit-policy
    """

    element: ClassVar[str] = "azure-openai-token-limit"
