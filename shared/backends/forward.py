"""One attempt at a backend: a fresh request built from the caller's, authenticated, sent; the answer as it comes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import httpx

from shared.backends.attempts import SOURCE
from shared.backends.call_span import CallSpan, add_trace_context, begin_attempt, next_span_id, traceparent
from shared.backends.client_tls import ClientTls
from shared.backends.health import Flight
from shared.backends.model_name import Renamed
from shared.backends.redirects import MOST, redirected
from shared.backends.target import Target
from shared.backends.transport import Content, Transport, build_request
from shared.context import Context
from shared.errors import BackendError
from shared.message import (
    GatewayResponse,
    Headers,
    RawHeaders,
    end_to_end,
    without_query_parameters,
)
from shared.telemetry.spans import Value

# What a caller's header says of the bytes of its body.
OF_THESE_BYTES = frozenset({b"content-md5", b"content-digest", b"repr-digest", b"digest"})


async def forward(
    ctx: Context,
    target: Target,
    transport: Transport,
    *,
    header_timeout: float | None = None,
    continue_timeout: float | None = None,
    follow_redirects: bool = False,
    named: Renamed | None = None,
    flight: Flight | None = None,
    told: Mapping[str, Value] | None = None,
) -> GatewayResponse:
    """Send `ctx.request` to `target` and return its answer with the body unread.

    `header_timeout` (seconds) shortens the backend's own limit, never lengthens it past what the platform allows; with
    `continue_timeout` a body waits so long for the backend's "100 Continue". `follow_redirects` as `redirects` says.
    `named` has path and body for a backend that knows the model by another name. `flight` is told how it goes. `told`
    is what the span of the attempt says beside the rest.
    BackendError when no answer comes: 502 for the connection, 504 for time. The request itself is left as it was.
    """
    span_id = next_span_id(ctx)
    call: CallSpan | None = None
    try:
        request = await build(ctx, target, header_timeout, continue_timeout, named, span_id)
        ctx.backend = target.info
        if span_id:
            call = begin_attempt(ctx, span_id, request, target.info.id, told)
        response = await transport.handle_async_request(request)
        if follow_redirects:
            response, call = await _follow(ctx, transport, request, response, call)
    except httpx.TransportError as error:
        failure = as_backend_error(error, target.info.id)
        if call is not None:
            call.failed(error)
        if flight is not None:
            _tell(ctx, flight, failure, error)
            flight.ended()
        raise failure from error
    except BaseException as error:
        if call is not None:
            call.failed(error)
        if flight is not None:
            flight.ended()
        raise
    return _answer(ctx, target, response, flight, call)


def _answer(
    ctx: Context, target: Target, response: httpx.Response, flight: Flight | None, call: CallSpan | None
) -> GatewayResponse:
    """The answer whose head is there; `flight` and `call` are told when its body has come to its end."""
    headers = Headers(end_to_end([(name.lower(), value) for name, value in response.headers.raw]))
    reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
    stream = response.stream
    whole = isinstance(stream, Content)
    if flight is not None:
        services = ctx.services
        flight.answered(response.status_code, headers.raw, services.monotonic(), services.clock(), streams=not whole)
        if whole:
            flight.ended()
    if call is not None:
        call.head_came(response.status_code)
        if whole:
            call.answered(response.status_code)
    if isinstance(stream, Content) and "content-encoding" not in headers:
        return GatewayResponse(response.status_code, headers, stream.content, status_reason=reason)
    return GatewayResponse(
        response.status_code,
        headers,
        status_reason=reason,
        stream=_body(ctx, response, target.info.id, flight, call),
        close=response.aclose if (flight is None and call is None) or whole else _closing(response, flight, call),
    )


def _tell(ctx: Context, flight: Flight, failure: BackendError, error: httpx.TransportError) -> None:
    """A call failed, unless it is the caller's doing: a request that cannot be sent."""
    if not isinstance(error, httpx.LocalProtocolError):
        flight.failed(failure.reason, ctx.services.monotonic(), ctx.services.clock())


def _closing(response: httpx.Response, flight: Flight | None, call: CallSpan | None) -> Callable[[], Awaitable[None]]:
    async def closed() -> None:
        if flight is not None:
            flight.ended()
        if call is not None:
            call.answered(response.status_code)
        await response.aclose()

    return closed


async def _follow(
    ctx: Context, transport: Transport, request: httpx.Request, response: httpx.Response, call: CallSpan | None
) -> tuple[httpx.Response, CallSpan | None]:
    """The answer at the end of a chain of redirects, and its call; all of them together have the time one answer
    has."""
    timeout: dict[str, float] = request.extensions["timeout"]
    monotonic = ctx.services.monotonic
    deadline = monotonic() + timeout["headers"]
    for _ in range(MOST):
        following = redirected(request, response, {**timeout, "headers": max(0.001, deadline - monotonic())})
        if following is None:
            break
        ctx.trace({"status": response.status_code, "redirected to": following.url.host}, SOURCE)
        await response.aclose()
        request = following
        call = _next_call(ctx, following, response, call)
        try:
            response = await transport.handle_async_request(request)
        except BaseException as error:
            if call is not None:
                call.failed(error)
            raise
    return response, call


def _next_call(ctx: Context, request: httpx.Request, before: httpx.Response, call: CallSpan | None) -> CallSpan | None:
    """The call that follows a redirect: one of its own, with its own place in the trace."""
    if call is None:
        return None
    sent = traceparent(ctx, call.span_id).decode()
    call.answered(before.status_code)
    span_id = next_span_id(ctx)
    if request.headers.get("traceparent") == sent:  # else it is a policy's own
        request.headers["traceparent"] = traceparent(ctx, span_id).decode()
    return begin_attempt(ctx, span_id, request, "", redirected=True)


async def build(
    ctx: Context,
    target: Target,
    header_timeout: float | None,
    continue_timeout: float | None = None,
    named: Renamed | None = None,
    span_id: int = 0,
) -> httpx.Request:
    """The request of one attempt: the caller's, less what no backend may see, plus what this backend must be shown.
    `span_id` is its place in the trace, 0 without telemetry."""
    request = ctx.request
    withheld = {id(pair) for pair in ctx.withheld}
    replaced = target.replaced_headers
    headers: RawHeaders = [pair for pair in request.headers.raw if pair[0] not in replaced and id(pair) not in withheld]
    body = request.body
    if named is not None and named.body is not None:
        body = named.body
        headers = [pair for pair in headers if pair[0] not in OF_THESE_BYTES]
    content: bytes | AsyncIterator[bytes] | None = body
    if content is None and request.stream is not None:
        content = request.send_stream()
    else:
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        if body or request.method in ("POST", "PUT", "PATCH"):
            headers.append((b"content-length", b"%d" % len(body or b"")))
    headers += target.headers
    if span_id:
        add_trace_context(ctx, span_id, headers)
    if target.identity is not None:
        token = await ctx.services.tokens.token(target.identity.resource, target.identity.client_id)
        headers.append((b"authorization", b"Bearer " + token.encode()))
    path = (
        target.base_path + (request.url.path if named is None else named.path) + _query(request.url.query_text, target)
    )
    timeout = target.timeouts
    if header_timeout is not None and header_timeout < timeout["headers"]:
        timeout = {**timeout, "headers": header_timeout}
        timeout["connect"] = timeout["pool"] = min(timeout["connect"], header_timeout)
    if continue_timeout is not None and content:
        timeout = {**timeout, "continue": continue_timeout}
        headers = [pair for pair in headers if pair[0] != b"expect"] + [(b"expect", b"100-continue")]
    return build_request(
        request.method,
        target.origin,
        path.encode("latin-1"),
        headers=headers,
        body=content or b"",
        timeout=timeout,
        extensions=await _extensions(ctx, target),
    )


async def _extensions(ctx: Context, target: Target) -> dict[str, object]:
    """The target's own, with the client certificate a policy chose for this request."""
    if ctx.client_certificate is None:
        return target.extensions
    context = await ctx.services.get(ClientTls).context(ctx.client_certificate, target.tls, target.folder)
    return {**target.extensions, "ssl_context": context}


def _query(query: str, target: Target) -> str:
    if target.replaced_query:
        query = without_query_parameters(query, target.replaced_query)
        query = f"{query}&{target.query}" if query else target.query
    return f"?{query}" if query else ""


async def _body(
    ctx: Context, response: httpx.Response, backend: str, flight: Flight | None, call: CallSpan | None
) -> AsyncIterator[bytes]:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        async for chunk in stream:
            if flight is not None and flight.waits_for_body:
                flight.first_byte(ctx.services.monotonic())
            yield chunk
    except httpx.TransportError as error:
        failure = as_backend_error(error, backend)
        if call is not None:
            call.failed(error)
        if flight is not None:
            _tell(ctx, flight, failure, error)
        raise failure from error
    finally:
        if flight is not None:
            flight.ended()
        if call is not None:
            call.answered(response.status_code)
        await response.aclose()


def as_backend_error(error: httpx.TransportError, backend: str) -> BackendError:
    """The gateway's error for a network failure. The caller learns what happened, operators which backend and why."""
    detail = f"backend {backend}: {type(error).__name__}: {error}"
    match error:
        case httpx.ConnectTimeout():
            return BackendError.timeout("The backend could not be connected to in time.", detail=detail)
        case httpx.PoolTimeout():
            return BackendError.timeout("No connection to the backend became free in time.", detail=detail)
        case httpx.TimeoutException():
            return BackendError.timeout("The backend did not answer in time.", detail=detail)
        case httpx.ConnectError() | httpx.ProxyError():
            return BackendError("The backend could not be reached.", detail=detail)
        case httpx.RemoteProtocolError():
            return BackendError("The backend closed the connection or did not answer in HTTP.", detail=detail)
        case httpx.LocalProtocolError():
            return BackendError("The request cannot be sent to the backend.", detail=detail)
        case _:
            return BackendError("The connection to the backend broke.", detail=detail)
