"""The span of a request: begun when it comes in, told with all that became known of it when its last byte is out."""

import logging
from functools import lru_cache

from shared.backends.model_name import model_of
from shared.context import Completion, Context
from shared.llm.prices import Cost
from shared.message import DEFAULT_PORTS
from shared.policies.llm_exchange import LlmExchange
from shared.policies.run import Shortcut
from shared.telemetry import genai
from shared.telemetry.items import LONGEST_URL
from shared.telemetry.spans import RequestSpan, Span, Value
from shared.telemetry.telemetry import Telemetry
from shared.telemetry.trace_context import HEADERS, TRACEPARENT

log = logging.getLogger("gateway")

# Characters; names in use are far shorter, but callers and backends can say anything.
_LONGEST = 1_024


def begin_span(ctx: Context, telemetry: Telemetry) -> None:
    """Give the request its place in the trace. Policies can still read the caller's trace context; backends get one
    that names their call, so the caller's own is withheld from them."""
    request = ctx.request
    parent = state = None
    for pair in [pair for pair in request.headers.raw if pair[0] in HEADERS]:
        ctx.withheld.append(pair)
        text = pair[1].decode("latin-1")
        if pair[0] == TRACEPARENT:
            parent = text if parent is None else f"{parent},{text}"
        else:
            state = text if state is None else f"{state},{text}"
    span = ctx.span = telemetry.begin(parent, state)
    span.method = request.method


def observe_model(ctx: Context) -> None:
    """Have a recorded call to a model tell its tokens. A body that is passed on as a stream stays one: nobody buffers
    it for telemetry's sake."""
    span = ctx.span
    if span is None or span.sample_rate is None or ctx.operation is None or not ctx.operation.genai:
        return
    if ctx.request.body is not None:
        LlmExchange.of(ctx)


def end_span(ctx: Context, completion: Completion) -> None:
    """Hand the span over, with those of the calls made for it. To be called once, after all completion callbacks.
    Nothing is raised: what cannot be told is logged, and the answer is out."""
    span, telemetry = ctx.span, ctx.services.telemetry
    if span is None or span.sample_rate is None or telemetry is None:
        return
    span.told, span.trace_state = True, ""  # which can be long, and waits with the span
    try:
        telemetry.end(span, _ended(ctx, span, completion))
    except Exception:
        log.exception("request %s: its span is lost", ctx.request_id)


def _ended(ctx: Context, span: RequestSpan, completion: Completion) -> Span:
    # Whoever left has seen no status, or not all that came with it; 499 is what nginx calls that.
    status = 499 if completion.outcome == "client-gone" else completion.status
    attributes = _http(ctx, span.method, status)
    if completion.outcome != "completed":
        attributes[genai.OUTCOME] = completion.outcome
    _place(ctx, attributes)
    if ctx.operation is not None and ctx.operation.genai:
        _model(ctx, completion, attributes)
    cost = ctx.notes.get(Cost)
    if cost is not None:
        attributes[genai.COST], attributes[genai.CURRENCY] = round(cost.amount, 12), cost.currency
    route = attributes.get(genai.ROUTE)
    span.name = name = f"{span.method} {route}" if route else span.method
    succeeded = status < 400 and completion.outcome == "completed"
    return Span(name, span.span_id, ctx.timestamp.timestamp(), completion.elapsed, succeeded, attributes)


def _http(ctx: Context, method: str, status: int) -> dict[str, Value]:
    """OpenTelemetry's attributes of an HTTP server's span. The query is left out: it may have a key in it."""
    url = ctx.request.original_url
    attributes: dict[str, Value] = {
        genai.METHOD: method,
        genai.STATUS: status,
        genai.SCHEME: url.scheme,
        genai.PATH: url.path[:LONGEST_URL],
        genai.REQUEST_ID: str(ctx.request_id),
    }
    if url.host:
        attributes[genai.SERVER] = url.host[:_LONGEST]
        if url.port not in (0, DEFAULT_PORTS.get(url.scheme)):
            attributes[genai.PORT] = url.port
    for name, value in ctx.request.headers.raw:
        if name == b"user-agent":
            attributes[genai.USER_AGENT] = value.decode("latin-1")[:_LONGEST]
            break
    if ctx.api is not None and ctx.operation is not None:
        attributes[genai.ROUTE] = _route(ctx.api.path, ctx.operation.url_template)
    return attributes


def _place(ctx: Context, attributes: dict[str, Value]) -> None:
    """Whose request it was, what it asked, who answered."""
    if ctx.api is not None:
        attributes[genai.API_ID] = ctx.api.id
    if ctx.operation is not None:
        attributes[genai.OPERATION_ID] = ctx.operation.id
    if ctx.product is not None:
        attributes[genai.PRODUCT_ID] = ctx.product.id
    if ctx.subscription is not None:
        attributes[genai.SUBSCRIPTION_ID] = ctx.subscription.id
    if ctx.user is not None:
        attributes[genai.USER_ID] = ctx.user.id
    if ctx.backend is not None and ctx.backend.id:
        attributes[genai.BACKEND_ID] = ctx.backend.id
    error = ctx.last_error
    if error is not None:
        attributes[genai.ERROR_REASON] = error.reason
        attributes[genai.ERROR_SOURCE] = error.source
    elif (cache := ctx.notes.get(Shortcut)) is not None:
        attributes[genai.CACHE] = cache


def _model(ctx: Context, completion: Completion, attributes: dict[str, Value]) -> None:
    """What the model was asked and what it told, as far as somebody listened."""
    assert ctx.operation is not None
    asked: dict[str, Value] = {genai.OPERATION: ctx.operation.genai}
    if ctx.kind is not None and (provider := genai.PROVIDERS.get(ctx.kind.name)):
        asked[genai.PROVIDER] = provider
    exchange = LlmExchange.seen(ctx)
    call = exchange.asked if exchange is not None else None
    # The body of whoever was not let in is not read.
    model = call.model if call is not None else model_of(ctx.request) if exchange is not None else _deployment(ctx)
    if model:
        asked[genai.REQUEST_MODEL] = model[:_LONGEST]
    attributes.update(asked)
    if call is not None and call.stream:
        attributes[genai.REQUEST_STREAM] = True
        if completion.first_byte is not None:
            attributes[genai.TIME_TO_FIRST_CHUNK] = round(completion.first_byte, 6)
    if exchange is not None:
        _answer(exchange, attributes)
    assert ctx.span is not None
    for span in ctx.span.calls:
        if genai.ATTEMPT in span.attributes:
            span.attributes = {**asked, **span.attributes}  # a pool's member may know the model by another name


def _answer(exchange: LlmExchange, attributes: dict[str, Value]) -> None:
    facts, usage, attempt = exchange.facts, exchange.usage, exchange.attempt
    if facts.model:
        attributes[genai.RESPONSE_MODEL] = facts.model[:_LONGEST]
    if facts.finish_reasons:
        attributes[genai.FINISH_REASONS] = ",".join(facts.finish_reasons)[:_LONGEST]
    if usage is None or (attempt is not None and attempt.cached):
        return  # what a cached answer has used, its first request tells
    attributes[genai.INPUT_TOKENS] = usage.prompt_tokens
    attributes[genai.OUTPUT_TOKENS] = usage.completion_tokens
    if usage.cached_tokens:
        attributes[genai.CACHED_TOKENS] = usage.cached_tokens
    if usage.cache_creation_tokens:
        attributes[genai.CACHE_CREATION_TOKENS] = usage.cache_creation_tokens
    if usage.reasoning_tokens:
        attributes[genai.REASONING_TOKENS] = usage.reasoning_tokens
    if usage.estimated:
        attributes[genai.TOKENS_ESTIMATED] = True


def _deployment(ctx: Context) -> str:
    return ctx.request.matched_parameters.get("deployment-id", "")


@lru_cache(maxsize=4096)
def _route(api_path: str, template: str) -> str:
    """The path of all requests to an operation; a template's query is no part of it."""
    return f"/{api_path}{template.partition('?')[0]}" if api_path else template.partition("?")[0]
