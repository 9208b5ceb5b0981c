"""The span of one call to the outside: an id of its own in the trace, how long it took, what came of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import httpx

from shared.context import Context
from shared.errors import BackendError, GatewayError
from shared.message import DEFAULT_PORTS, RawHeaders
from shared.telemetry import genai
from shared.telemetry.items import LONGEST_URL
from shared.telemetry.spans import Span, Value
from shared.telemetry.trace_context import TRACEPARENT, TRACESTATE, write_traceparent


class CallSpan:
    """A call under way, of a request that is recorded. It ends once: `answered` and `failed` tell nothing more then.

    The span lasts to the end of the answer's body, or to where somebody stopped reading it; `head_came` notes the time
    to its head. A call succeeds with a status below 400 and a body that did not break, as Application Insights has it.
    One that outlives its request is handed over by itself.
    """

    __slots__ = ("span_id", "_attributes", "_began", "_monotonic", "_name", "_request", "_started", "_telemetry")

    def __init__(
        self, ctx: Context, span_id: int, method: str, url: httpx.URL, backend: str, told: Mapping[str, Value]
    ) -> None:
        assert ctx.span is not None
        services = ctx.services
        self.span_id = span_id
        # Not the context itself: a ring of objects would wait for the garbage collector after each request.
        self._request = ctx.span
        self._telemetry = services.telemetry
        self._monotonic = services.monotonic
        self._began = began = services.monotonic()
        self._started = ctx.timestamp.timestamp() + began - ctx.started
        host = url.host
        self._name = f"{method} {backend or host}"
        self._attributes: dict[str, Value] = {
            genai.METHOD: method,
            genai.SCHEME: url.scheme,
            genai.SERVER: host,
            genai.PORT: url.port or DEFAULT_PORTS.get(url.scheme, 0),
            **told,
        }
        if backend:
            self._attributes[genai.BACKEND_ID] = backend

    def head_came(self, status: int) -> None:
        """The head of an answer is there; its body follows."""
        self._attributes[genai.STATUS] = status
        self._attributes[genai.TIME_TO_HEADERS] = round(self._monotonic() - self._began, 6)

    def answered(self, status: int) -> None:
        """The answer has come to its end, or nobody reads on."""
        if self.span_id:
            self._attributes[genai.STATUS] = status
            self._end(status < 400)

    def failed(self, error: BaseException) -> None:
        """No answer came, or not all of it."""
        if self.span_id:
            self._attributes[genai.ERROR_TYPE] = type(error).__name__
            self._attributes[genai.CALL_ERROR] = _reason(error)
            self._end(False)

    def _end(self, succeeded: bool) -> None:
        duration = self._monotonic() - self._began
        span = Span(self._name, self.span_id, self._started, duration, succeeded, self._attributes)
        self.span_id = 0
        if not self._request.told:
            self._request.calls.append(span)
        elif self._telemetry is not None:
            self._telemetry.end(replace(self._request, calls=[]), span)


def _reason(error: BaseException) -> str:
    match error:
        case GatewayError():
            return error.reason
        case httpx.TimeoutException() | TimeoutError():
            return BackendError.timeout("").reason
        case httpx.TransportError():
            return BackendError.reason
        case asyncio.CancelledError():
            return "Canceled"
        case _:
            return type(error).__name__


def next_span_id(ctx: Context) -> int:
    """The id the request's next call has in the trace; 0 without telemetry. The calls of a request that is not recorded
    are not either: what comes behind them follows the request itself."""
    span = ctx.span
    if span is None:
        return 0
    return span.span_id if span.sample_rate is None else ctx.services.random.getrandbits(64) or 1


def traceparent(ctx: Context, span_id: int) -> bytes:
    """The header that tells whoever is called its place in the trace."""
    span = ctx.span
    assert span is not None
    return write_traceparent(span.trace_id, span_id, sampled=span.sample_rate is not None)


def add_trace_context(ctx: Context, span_id: int, headers: RawHeaders) -> None:
    """Put the call's place in the trace into its headers, unless a policy has said another."""
    span = ctx.span
    if span is None:
        return
    for name, _ in headers:
        if name == TRACEPARENT:
            return
    headers.append((TRACEPARENT, traceparent(ctx, span_id)))
    if span.trace_state:
        headers.append((TRACESTATE, span.trace_state.encode("latin-1")))


def begin_call(
    ctx: Context | None,
    headers: RawHeaders,
    method: str,
    url: httpx.URL,
    backend: str = "",
    told: Mapping[str, Value] | None = None,
) -> CallSpan | None:
    """A call of the gateway's own begins: to `url`, of which only the origin is told (the rest may have a key), at a
    declared backend or "". `told` are further attributes. Its place in the trace is added to `headers`. None when it
    is for no request, or for one that is not recorded."""
    if ctx is None or ctx.span is None:
        return None
    span_id = next_span_id(ctx)
    add_trace_context(ctx, span_id, headers)
    return CallSpan(ctx, span_id, method, url, backend, told or {}) if ctx.span.sample_rate is not None else None


def begin_attempt(
    ctx: Context,
    span_id: int,
    request: httpx.Request,
    backend: str,
    told: Mapping[str, Value] | None = None,
    *,
    redirected: bool = False,
) -> CallSpan | None:
    """An attempt begins to have the request itself answered. The path is told, without its query; not that of another
    server that was `redirected` to. `told` are further attributes. None when the request is not recorded."""
    span = ctx.span
    if span is None or span.sample_rate is None:
        return None
    span.attempts += 1
    attributes: dict[str, Value] = {genai.ATTEMPT: span.attempts, **(told or {})}
    if not redirected:
        target: bytes = request.extensions["target"]
        attributes[genai.PATH] = target.partition(b"?")[0][:LONGEST_URL].decode("latin-1")
    return CallSpan(ctx, span_id, request.method, request.url, backend, attributes)


def tell_lookup(ctx: Context, cache: str, began: float, result: str) -> None:
    """The request has looked into a cache that storage is behind, since `began` (by the monotonic clock). `result` is
    what was found there: miss, or as `apim.cache` has it."""
    span = ctx.span
    if span is None or span.sample_rate is None:
        return
    services = ctx.services
    started = ctx.timestamp.timestamp() + began - ctx.started
    attributes: dict[str, Value] = {genai.CALL_TYPE: "Cache", genai.CACHE: result}
    id = services.random.getrandbits(64) or 1
    span.calls.append(Span(cache, id, started, services.monotonic() - began, True, attributes))
