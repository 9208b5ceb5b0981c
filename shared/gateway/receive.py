"""Turns a server's request into a Context: headers cleaned, small bodies read, large ones left as a stream."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from shared.context import ClientWatch, Context, Services
from shared.errors import ClientGone, OperationNotFound, Refusal, RequestTooLarge
from shared.message import (
    DEFAULT_PORTS,
    HOST_ONLY,
    WITHHELD,
    GatewayRequest,
    Headers,
    RawHeaders,
    Url,
    canonical_path,
    end_to_end,
)

_HOST_KEY = re.compile(r"code=[\w+/-]{30,}AzFu[\w+/-]{4,}={0,2}", re.IGNORECASE)
_PORT = re.compile("[0-9]{1,5}")
Receive = Callable[[], Awaitable[Any]]

# Up to here a body is read before anything else: it arrives with the headers or right behind them, and a request in
# memory can be retried and moved to another backend.
READ_AT_ONCE = 1_048_576


def receive(request: Request, services: Services, *, limit: int, client_ip_header: str | None) -> Context:
    """The Context of a request whose body has not been read (`receive_body` does that). OperationNotFound for a path
    no API can have."""
    scope = request.scope
    raw: RawHeaders = scope["headers"]
    headers = Headers(end_to_end(raw, HOST_ONLY))
    message = GatewayRequest(
        scope["method"],
        _url(scope, raw),
        headers,
        ip_address=_caller_address(scope, raw, client_ip_header),
        body=None,
        limit=limit,
    )
    ctx = Context(message, services)
    ctx.withheld = [pair for pair in raw if pair[0] in WITHHELD]
    return ctx


def _url(scope: Any, raw: RawHeaders) -> Url:
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    path = canonical_path(raw_path.partition(b"?")[0].decode("latin-1"))
    if path is None:
        raise OperationNotFound
    authority, scheme = "", scope.get("scheme", "http")
    for name, value in raw:
        if name == b"host" and not authority:
            authority = value.decode("latin-1")
        elif name == b"x-forwarded-host":
            authority = value.decode("latin-1").partition(",")[0].strip()
        elif name == b"x-forwarded-proto":
            scheme = value.decode("latin-1").partition(",")[0].strip().lower()
    query = scope["query_string"].decode("latin-1")
    if "AzFu" in query:
        query = _without_host_key(query)
    host, _, port = authority.rpartition(":") if authority and authority[-1] != "]" else (authority, "", "")
    if not host or not _PORT.fullmatch(port):
        host, port = authority, ""
    number = int(port) if port else DEFAULT_PORTS.get(scheme, 80)
    return Url(scheme, host, number, path, query)


def _without_host_key(query: str) -> str:
    """The query without a Functions key in `code`: it opens the function app itself, and nobody behind may have it.
    Such keys carry a mark of their own; any other `code` is the caller's business (OAuth has one)."""
    return "&".join(pair for pair in query.split("&") if not _HOST_KEY.fullmatch(unquote(pair)))


def _caller_address(scope: Any, raw: RawHeaders, header: str | None) -> str:
    """The caller's address: from the header the platform in front sets, else from the connection."""
    if header is not None:
        wanted = header.lower().encode()
        values = [value for name, value in raw if name == wanted]
        if values:
            # The last hop is the one the platform added itself; what stands before it is the caller's own word.
            address = values[-1].decode("latin-1").rpartition(",")[2].strip()
            if address.startswith("["):
                return address[1:].partition("]")[0]
            return address.partition(":")[0] if address.count(":") == 1 else address
    client = scope.get("client")
    return client[0] if client else ""


async def receive_body(ctx: Context, receive: Receive, raw: RawHeaders) -> None:
    """Read a small body; a large one, or one of unknown size, becomes the request's stream. `raw` are the headers as
    they came. RequestTooLarge over the request's limit, ClientGone when the caller leaves meanwhile."""
    request = ctx.request
    length = _content_length(request.headers.raw)
    if length is not None and length > request.limit:
        raise RequestTooLarge(request.limit)
    # With neither Content-Length nor Transfer-Encoding there is no body (RFC 9112 section 6.3).
    may_stream = length is None and request.method not in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE")
    chunked = may_stream and any(name == b"transfer-encoding" for name, _ in raw)
    if chunked or (length or 0) > READ_AT_ONCE:
        ctx.watch = ClientWatch(receive, body_pending=True)
        request.stream = _stream(receive, ctx.watch)
        return
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    if message.get("more_body"):
        parts = [message.get("body", b"")]
        size = len(parts[0])
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > request.limit:
                raise RequestTooLarge(request.limit)
        request.body = b"".join(parts)
    else:
        request.body = message.get("body", b"")
    ctx.watch = ClientWatch(receive, body_pending=False)


def _content_length(raw: RawHeaders) -> int | None:
    for name, value in raw:
        if name == b"content-length":
            if not value.isdigit():
                raise Refusal("Content-Length is not a number.")
            return int(value)
    return None


async def _stream(receive: Receive, watch: ClientWatch) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            watch.gone = True
            raise ClientGone
        more = message.get("more_body", False)
        if not more:
            watch.body_received()
        if body := message.get("body"):
            yield body
