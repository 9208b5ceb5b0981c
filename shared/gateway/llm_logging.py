"""Logs the calls to models: what was asked and answered, once the answer is out."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.backends.background import Background
from shared.config.diagnostics import Diagnostics, LoggedMessages
from shared.config.models import Api
from shared.context import Context
from shared.llm.answer import Reader
from shared.llm.call import LlmCall
from shared.llm.conversations import conversation_of
from shared.llm.usage import Usage
from shared.policies.attempt import Attempt
from shared.policies.llm_exchange import LlmExchange
from shared.telemetry.llm_log import MARGIN, LlmLog, Logged, written
from shared.telemetry.redaction import Redactor
from shared.telemetry.spans import RequestSpan, Value
from shared.telemetry.telemetry import Telemetry

log = logging.getLogger("gateway.llm_log")

# Prompt and answer up to so many bytes are written on the event loop, and only if redacting them takes no longer.
AT_ONCE = 32_768
SECONDS_AT_ONCE = 0.005
# What takes longer than this to redact is withheld. The package regex counts CPU time.
SECONDS = 1.0
# Names that callers and backends choose.
LONGEST_NAME = 256
WITHHELD = Logged('["[withheld: redacting took too long]"]')


@dataclass(frozen=True, slots=True)
class LlmLogging:
    """The log of one API's calls to models.

    A call is logged when a backend was asked, whatever it answered: its last attempt, as the policies sent it, and the
    answer as far as it has come. A request that a policy refuses or a cache answers is no call to a model, and is not
    logged; neither are requests without a JSON body, nor those in an unknown schema whose answer tells no usage. Logs
    are never sampled.
    """

    requests: LoggedMessages
    responses: LoggedMessages
    redactor: Redactor

    @classmethod
    def of(cls, all_apis: Diagnostics | None, api: Api) -> "LlmLogging | None":
        """The log of an API's calls, by its own diagnostics or those of all APIs; None when it has none. HTTP APIs are
        not about models unless they have diagnostics of their own."""
        chosen = api.diagnostics or (all_apis if api.kind != "http" else None)
        if chosen is None or chosen.large_language_model.logs == "disabled":
            return None
        wanted = chosen.large_language_model
        always = all_apis.large_language_model.redact if all_apis is not None else ()
        redactor = Redactor((*always, *(wanted.redact if chosen is not all_apis else ())))
        return cls(wanted.requests, wanted.responses, redactor)

    def begin(self, ctx: Context) -> None:
        """Log the call that this request may become, where there is telemetry."""
        telemetry, span = ctx.services.telemetry, ctx.span
        if telemetry is None or span is None:
            return
        exchange = LlmExchange.of(ctx)
        if self.responses.messages == "all":
            exchange.keep_messages(self.responses.max_size_in_bytes + MARGIN)
        ctx.on_completion(lambda _: self._log(ctx, exchange, telemetry, span))

    async def _log(self, ctx: Context, exchange: LlmExchange, telemetry: Telemetry, span: RequestSpan) -> None:
        attempt = exchange.attempt
        if attempt is None or attempt.call is None or attempt.cached:
            return
        if exchange.usage is None and not attempt.call.schema.counted:
            return
        begun = LlmLog(
            ctx.timestamp.timestamp(),
            span.trace_id,
            span.span_id,
            columns=_columns(ctx, exchange, attempt.call),
            counts=_counts(ctx, exchange.usage, attempt, attempt.call),
        )
        call = _Call(self, begun, attempt.call, attempt.reader, ctx.services.monotonic, telemetry)
        if len(attempt.call.data) + call.answered <= AT_ONCE:
            try:
                return call.hand_over(call.with_messages(SECONDS_AT_ONCE))
            except TimeoutError:
                pass  # a pattern that is slow on this text: not on the event loop
        await ctx.services.get(Background).start(call.log_aside(), "logging a call to a model")


@dataclass(frozen=True, slots=True)
class _Call:
    """One call that is over: its log without messages, and where those are."""

    logging: LlmLogging
    begun: LlmLog
    call: LlmCall
    reader: Reader | None
    monotonic: Callable[[], float]
    telemetry: Telemetry

    @property
    def answered(self) -> int:
        """Bytes of the answer."""
        return self.reader.size if self.reader is not None else 0

    def with_messages(self, seconds: float) -> LlmLog:
        """The whole log. TimeoutError when redacting takes longer than `seconds`."""
        end = self.monotonic() + seconds
        redact = self.logging.redactor.within(lambda: end - self.monotonic())
        return replace(self.begun, request=self._request(redact), response=self._response(redact))

    async def log_aside(self) -> None:
        """Log it from a thread, with the longest time there is; what cannot be redacted in it is withheld."""
        try:
            whole = await asyncio.to_thread(self.with_messages, SECONDS)
        except TimeoutError:
            correlation = self.begun.columns["CorrelationId"]
            log.warning("request %s: redacting took more than %g s: prompt and answer withheld", correlation, SECONDS)
            wanted = (self.logging.requests, self.logging.responses)
            request, response = (WITHHELD if one.messages == "all" else None for one in wanted)
            whole = replace(self.begun, request=request, response=response)
        self.hand_over(whole)

    def hand_over(self, whole: LlmLog) -> None:
        """Give it to the telemetry."""
        for item in whole.items():
            self.telemetry.log(item)

    def _request(self, redact: Callable[[str], str]) -> Logged | None:
        if self.logging.requests.messages == "none":
            return None
        messages = conversation_of(self.call.schema.name).asked(self.call.body)
        return written(messages, self.logging.requests.max_size_in_bytes, redact) if messages else None

    def _response(self, redact: Callable[[str], str]) -> Logged | None:
        if self.logging.responses.messages == "none" or self.reader is None:
            return None
        messages, cut = self.reader.messages()
        if not messages and not cut:
            return None
        logged = written(messages, self.logging.responses.max_size_in_bytes, redact)
        return Logged(logged.text, logged.cut or cut)


def _columns(ctx: Context, exchange: LlmExchange, call: LlmCall) -> dict[str, Value]:
    """What every record of a call has: who called what."""
    facts = exchange.facts
    operation, subscription = ctx.operation, ctx.subscription
    return {
        "CorrelationId": str(ctx.request_id),
        "ApiId": ctx.api.id if ctx.api is not None else "",
        "OperationId": operation.id if operation is not None else "",
        "OperationName": (operation.name or operation.id) if operation is not None else "",
        "ProductId": ctx.product.id if ctx.product is not None else "",
        "SubscriptionId": subscription.id if subscription is not None else "",
        "BackendId": ctx.backend.id if ctx.backend is not None else "",
        "ModelName": (facts.model or call.model)[:LONGEST_NAME],
        "RequestId": facts.id[:LONGEST_NAME],
        "Region": ctx.services.deployment.region,
    }


def _counts(ctx: Context, usage: Usage | None, attempt: Attempt, call: LlmCall) -> dict[str, Value]:
    """What the first record has: API Management's columns, and what it has no column for, where there is any."""
    used = usage or Usage(0, 0, 0)
    counts: dict[str, Value] = {
        "DeploymentName": call.model[:LONGEST_NAME],
        "ApiVersion": ctx.request.original_url.query().get("api-version", [""])[0][:LONGEST_NAME],
        "PromptTokens": used.prompt_tokens,
        "CompletionTokens": used.completion_tokens,
        "TotalTokens": used.total_tokens,
        "IsStreamCompletion": call.stream,
        "BackendResponseCode": attempt.status,
    }
    more: dict[str, Value] = {
        "PromptCachedTokens": used.cached_tokens,
        "PromptCacheCreationTokens": used.cache_creation_tokens,
        "ReasoningTokens": used.reasoning_tokens,
        "TokensEstimated": used.estimated,
    }
    return counts | {name: value for name, value in more.items() if value}
