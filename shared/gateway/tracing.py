"""Request traces as APIM's API inspector gives them: who may ask for one, what it holds, where it is kept."""

import base64
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from shared.config.named_values import NamedValues
from shared.context import Completion, Context, TraceEntry
from shared.message import CREDENTIALS, Headers

DEBUG_HEADER = b"apim-debug-authorization"
TRACE_HEADER = b"ocp-apim-trace"
LONGEST = timedelta(hours=1)
MASK = "***"

# Values of these headers never stand in a trace.
_SECRET_HEADERS = CREDENTIALS | {
    b"apim-debug-authorization",
    b"cookie",
    b"set-cookie",
    b"proxy-authorization",
    b"x-goog-api-key",
}
_LONGEST_TEXT = 4096
Mask = Callable[[str], str]
# Tokens that policies handle: what follows an authentication scheme, and JSON Web Tokens wherever they stand.
_TOKENS = re.compile(r"(?i:\b(bearer|basic|sharedaccesssignature)\s+)[^\s\"',]+|\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")


class DebugTokens:
    """Debug credentials: an API (or all of them) and an end, signed with the gateway's secret. APIM's are of the same
    kind (Gateway - List Debug Credentials): valid for an hour at most, sent as `Apim-Debug-Authorization`."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"debug tokens", "sha256")
        self._clock = clock

    def issue(self, api: str = "", lifetime: timedelta = LONGEST) -> str:
        """A token for one API, or for all with an empty id. ValueError when it should live longer than an hour."""
        if not timedelta(0) < lifetime <= LONGEST:
            raise ValueError("a debug token lives for an hour at most")
        claims = json.dumps({"api": api, "exp": int(self._clock() + lifetime.total_seconds())}).encode()
        body = base64.urlsafe_b64encode(claims).rstrip(b"=")
        return (body + b"." + self._sign(body)).decode()

    def check(self, token: bytes, api: str) -> str:
        """ "" when the token opens this API, else what is wrong with it: Invalid, Expired or WrongAPI."""
        body, _, signature = token.partition(b".")
        if not hmac.compare_digest(signature, self._sign(body)):
            return "Invalid"
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        if claims["exp"] <= self._clock():
            return "Expired"
        return "" if claims["api"] in ("", api) else "WrongAPI"

    def _sign(self, body: bytes) -> bytes:
        return base64.urlsafe_b64encode(hmac.digest(self._key, body, "sha256")).rstrip(b"=")


class TraceStore(Protocol):
    """Keeps finished traces for a while."""

    async def put(self, id: str, trace: str) -> None:
        """Keep a trace (JSON text) under its id."""
        ...

    async def get(self, id: str) -> str | None:
        """The trace of that id, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Tracing:
    """Decides whether a request is traced and keeps its trace. `open_to_all` is the local server's setting: there
    `Ocp-Apim-Trace: true` is enough."""

    tokens: DebugTokens
    store: TraceStore
    open_to_all: bool = False

    def begin(self, ctx: Context, api: str) -> None:
        """Start the trace of a request that asks for one and may; otherwise say in a response header why not."""
        token = next((value for name, value in ctx.withheld if name == DEBUG_HEADER), None)
        if token is not None:
            wrong = self.tokens.check(token, api)
            if wrong:
                ctx.on_reply(_answer_with(f"apim-debug-authorization-{wrong.lower()}", "true"))
                return
        elif not self.open_to_all or (ctx.request.headers.get(TRACE_HEADER.decode()) or "").lower() != "true":
            return
        ctx.trace_entries = []
        ctx.on_reply(_answer_with("apim-trace-id", str(ctx.request_id)))

    def may_read(self, headers: Headers, api: str | None = None) -> bool:
        """Whether a request may fetch traces of this API, or (None) of any API at all."""
        token = headers.get(DEBUG_HEADER.decode())
        if token is None:
            return self.open_to_all
        wrong = self.tokens.check(token.encode(), api or "")
        return not wrong or (api is None and wrong == "WrongAPI")

    def keep(self, ctx: Context, named_values: NamedValues) -> None:
        """Store the trace of a traced request once it has ended."""
        if ctx.trace_entries is None:
            return

        async def store(completion: Completion) -> None:
            trace = trace_of(ctx, completion, named_values)
            await self.store.put(str(ctx.request_id), json.dumps(trace, ensure_ascii=False, indent=1))

        ctx.on_completion(store)


def trace_of(ctx: Context, completion: Completion, named_values: NamedValues) -> dict[str, Any]:
    """The finished trace: entries by section in order, times since the start, secrets masked."""
    mask = _masking(ctx, named_values)
    sections: dict[str, list[dict[str, Any]]] = {}
    for entry in ctx.trace_entries or ():
        sections.setdefault(entry.section or "gateway", []).append(_entry(ctx, entry, mask))
    return {
        "traceId": str(ctx.request_id),
        "requestId": str(ctx.request_id),
        "timestamp": ctx.timestamp.isoformat(),
        "api": ctx.api.id if ctx.api else None,
        "operation": ctx.operation.id if ctx.operation else None,
        "product": ctx.product.id if ctx.product else None,
        "subscription": ctx.subscription.id if ctx.subscription else None,
        "backend": ctx.backend.id if ctx.backend else None,
        "request": {
            "method": ctx.request.method,
            "url": mask(str(ctx.request.original_url)),
            "headers": _shown_headers(ctx, mask),
        },
        "response": {
            "statusCode": completion.status,
            "outcome": completion.outcome,
            "bytes": completion.sent,
            "firstByteSeconds": completion.first_byte,
            "seconds": completion.elapsed,
        },
        "traceEntries": sections,
    }


def _masking(ctx: Context, named_values: NamedValues) -> Mask:
    """What takes secrets out of a text: those of named values, and the caller's subscription key."""
    key = ctx.subscription_key
    return (lambda text: named_values.mask(text).replace(key, MASK)) if key else named_values.mask


def _shown_headers(ctx: Context, mask: Mask) -> dict[str, str]:
    """The request's headers as a trace may show them."""
    of_key = ctx.api.subscription_key.header.lower().encode("latin-1", "replace") if ctx.api is not None else b""
    return {
        name.decode("latin-1"): MASK if name in _SECRET_HEADERS or name == of_key else mask(value.decode("latin-1"))
        for name, value in ctx.request.headers.raw
    }


def _entry(ctx: Context, entry: TraceEntry, mask: Mask) -> dict[str, Any]:
    return {
        "source": entry.source,
        "timestamp": (ctx.timestamp + timedelta(seconds=entry.elapsed)).isoformat(),
        "elapsed": round(entry.elapsed, 6),
        "severity": entry.severity,
        "data": _shown(entry.data, mask),
    }


def _shown(data: Any, mask: Mask) -> Any:
    """Anything as JSON that is safe to show: secrets masked, long texts cut."""
    if isinstance(data, dict):
        return {str(key): _shown(value, mask) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_shown(value, mask) for value in data]
    if data is None or isinstance(data, bool | int | float):
        return data
    text = _TOKENS.sub(lambda found: f"{found[1]} {MASK}" if found[1] else MASK, mask(str(data)))
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text)} characters)"


def _answer_with(name: str, value: str) -> Callable[[Context], Any]:
    async def add(ctx: Context) -> None:
        if ctx.response is not None:
            ctx.response.headers.set(name, value)

    return add
