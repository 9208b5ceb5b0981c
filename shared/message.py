"""The messages that pass through the gateway: request, response, their headers, URL and bodies."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from shared.body import PACKED, SMALL_JSON, is_sprawling_json, unpacked
from shared.errors import BackendError, PolicyFailed, Refusal, RequestTooLarge

# What a policy may have read into memory of an answer, packed and unpacked.
LARGEST_READ = 104_857_600

RawHeaders = list[tuple[bytes, bytes]]

# RFC 9110 section 4.2: the ports of URLs that name none.
DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 9110 section 5.6.2: what names of headers and methods are made of.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# RFC 9110 section 7.6.1: they speak of one connection, so no proxy passes them on.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# Keys of the Functions host and its own bookkeeping: dropped on arrival, nobody may see them.
HOST_ONLY = HOP_BY_HOP | {
    b"x-functions-key",
    b"x-functions-clientid",
    b"x-ms-invocation-id",
    b"x-ms-coldstart",
    b"x-ms-token-aad-access-token",
    b"x-ms-token-aad-id-token",
    b"x-ms-token-aad-refresh-token",
}

# Credentials a caller may send. Unless an API says otherwise they end at the gateway.
CREDENTIALS = frozenset({b"authorization", b"api-key", b"x-api-key", b"ocp-apim-subscription-key"})

# What App Service, its proxies and other hops tell of the caller. Policies read some of it; a backend gets none of it
# as it came, because it names the platform's inside and cannot be trusted behind another proxy.
FORWARDING = frozenset(
    {
        b"apim-debug-authorization",
        b"client-ip",
        b"disguised-host",
        b"forwarded",
        b"host",
        b"max-forwards",
        b"via",
        b"was-default-hostname",
        b"x-appservice-proto",
        b"x-arr-log-id",
        b"x-arr-ssl",
        b"x-azure-clientip",
        b"x-azure-fdid",
        b"x-azure-ref",
        b"x-azure-requestchain",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-client-port",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-tlsversion",
        b"x-ms-client-principal",
        b"x-ms-client-principal-id",
        b"x-ms-client-principal-idp",
        b"x-ms-client-principal-name",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-site-deployment-id",
        b"x-waws-unencoded-url",
    }
)
WITHHELD = FORWARDING | CREDENTIALS


@lru_cache(maxsize=1024)
def field_name(name: str) -> bytes:
    """A header's name as it is kept: lower case, in bytes."""
    return name.lower().encode("latin-1", "replace")


class Headers:
    """Header fields in order, names in lower case, looked up without regard to case (RFC 9110 section 5.1)."""

    __slots__ = ("raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.raw: RawHeaders = list(raw)

    def get(self, name: str) -> str | None:
        """All values of `name` joined by a comma, or None when it is absent."""
        key = field_name(name)
        found: str | None = None
        for field, value in self.raw:
            if field == key:
                text = value.decode("latin-1")
                found = text if found is None else f"{found},{text}"
        return found

    def get_all(self, name: str) -> list[str]:
        """The values of `name`, one per field line."""
        key = field_name(name)
        return [value.decode("latin-1") for field, value in self.raw if field == key]

    @property
    def content_type(self) -> bytes:
        """The media type as it came, the first where there are several; empty when there is none."""
        for field, value in self.raw:
            if field == b"content-type":
                return value
        return b""

    def items(self) -> Iterator[tuple[str, str]]:
        """Every field line as (name in lower case, value)."""
        for name, value in self.raw:
            yield name.decode("latin-1"), value.decode("latin-1")

    def set(self, name: str, *values: str) -> None:
        """Replace all fields of `name` by these."""
        key = field_name(name)
        kept = [pair for pair in self.raw if pair[0] != key]
        for value in values:
            kept.append((key, encode_value(value)))
        self.raw = kept

    def replace(self, field: bytes, value: str) -> None:
        """Replace all fields of this `field_name` by one."""
        kept = [pair for pair in self.raw if pair[0] != field]
        kept.append((field, encode_value(value)))
        self.raw = kept

    def add(self, name: str, *values: str) -> None:
        """Append a field for each value."""
        key = field_name(name)
        self.raw.extend((key, encode_value(value)) for value in values)

    def remove(self, name: str) -> None:
        """Drop all fields of `name`."""
        key = field_name(name)
        self.raw = [pair for pair in self.raw if pair[0] != key]

    def copy(self) -> "Headers":
        """An independent copy."""
        return Headers(self.raw)

    def __contains__(self, name: str) -> bool:
        key = field_name(name)
        return any(field == key for field, _ in self.raw)


def encode_value(value: str) -> bytes:
    """A header value in bytes. Control characters become spaces (RFC 9110 section 5.5), text beyond ASCII is sent as
    UTF-8, half a surrogate pair as a question mark.
    """
    if not value.isprintable():
        value = _CONTROLS.sub(" ", value)
    return value.encode(errors="replace").strip(b" \t")


def end_to_end(raw: RawHeaders, drop: frozenset[bytes] = HOP_BY_HOP) -> RawHeaders:
    """The fields that may be passed on: without those in `drop` and those that `Connection` names (RFC 9110, 7.6.1)."""
    for name, value in raw:
        if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            said = b",".join([value for name, value in raw if name == b"connection"])
            listed = {token.strip().lower() for token in said.split(b",")}
            return [pair for pair in raw if pair[0] not in drop and pair[0] not in listed]
    return [pair for pair in raw if pair[0] not in drop]


class Url:
    """A URL in parts; `path` and `query` stay percent-encoded as the caller sent them, `query` without `?`."""

    __slots__ = ("scheme", "host", "port", "path", "query_text")

    def __init__(self, scheme: str, host: str, port: int, path: str, query: str = "") -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.query_text = query

    @property
    def query_string(self) -> str:
        """The query with its question mark, or nothing."""
        return f"?{self.query_text}" if self.query_text else ""

    def query(self) -> dict[str, list[str]]:
        """Decoded query parameters, each with all its values in order."""
        parameters: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.query_text, keep_blank_values=True):
            parameters.setdefault(name, []).append(value)
        return parameters

    def copy(self) -> "Url":
        """An independent copy."""
        return Url(self.scheme, self.host, self.port, self.path, self.query_text)

    def __str__(self) -> str:
        host = self.host if self.port in (0, DEFAULT_PORTS.get(self.scheme)) else f"{self.host}:{self.port}"
        return f"{self.scheme}://{host}{self.path}{self.query_string}"


_UNRESERVED = re.compile("%(2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", re.IGNORECASE)


def canonical_path(raw: str) -> str | None:
    """The path as it will be matched and forwarded: slashes single, letters and digits plain (RFC 3986, 6.2.2.2), other
    encoding as sent. None when a dot segment hides in it under any encoding (section 5.2.4 would let it leave the API),
    or a character no path can have."""
    if (
        "%" not in raw
        and "//" not in raw
        and "/." not in raw
        and "\\" not in raw
        and raw.isascii()
        and raw.isprintable()
    ):
        return raw if raw.startswith("/") and " " not in raw and "#" not in raw else None
    path = re.sub(r"/{2,}", "/", raw)
    if "%" in path:
        path = _UNRESERVED.sub(lambda code: chr(int(code[1], 16)), path)
        if _UNRESERVED.search(path):  # it was no encoding before
            return None
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or set(path) & set(" #\\"):
        return None
    decoded = fully_decoded(path)
    if "\0" in decoded:
        return None
    segments = re.split(r"[/\\]", decoded)
    # `..;x` is a dot segment to servers that know path parameters
    return None if any(segment.partition(";")[0].strip() in (".", "..") for segment in segments) else path


def fully_decoded(path: str) -> str:
    """The path with its percent-encoding undone, several times: a backend behind proxies may decode more than once."""
    decoded, previous = path, ""
    for _ in range(4):
        if decoded == previous:
            break
        previous, decoded = decoded, unquote(decoded)
    return decoded


def query_parameters(query: str) -> dict[str, str]:
    """The first value of each query parameter, decoded."""
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        parameters.setdefault(decode_query(name), decode_query(value))
    return parameters


def decode_query(text: str) -> str:
    """A query name or value with `+` and percent-encoding undone."""
    return unquote(text.replace("+", " ")) if "%" in text or "+" in text else text


def without_query_parameters(query: str, names: frozenset[str]) -> str:
    """The query without any parameter of these names, the rest untouched."""
    if not query:
        return query
    kept = [pair for pair in query.split("&") if decode_query(pair.partition("=")[0]).lower() not in names]
    return "&".join(kept)


class BodyNotBuffered(Exception):
    """Somebody needs a body that is still a stream: await `message.read()`, then ask again."""

    def __init__(self, message: "GatewayRequest | GatewayResponse") -> None:
        super().__init__("the body has not been read")
        self.message = message


class _Body:
    """What request and response share: a body that is bytes, or a stream that becomes bytes when read."""

    __slots__ = ("headers", "body", "stream", "consumed", "_json_of", "_json", "_reading")

    def __init__(self, headers: Headers, body: bytes | None, stream: AsyncIterator[bytes] | None) -> None:
        self.headers = headers
        self.body = body
        self.stream = stream
        self.consumed = False
        self._json_of: bytes | None = None
        self._json: Any = None
        self._reading: asyncio.Lock | None = None

    def _one_reader(self) -> asyncio.Lock:
        """For policies that run at the same time (`wait`): the second reader finds what the first has read."""
        if self._reading is None:
            self._reading = asyncio.Lock()
        return self._reading

    def set_body(self, body: bytes) -> None:
        """Replace the body; length and coding follow from the new one."""
        self.body = body
        self.stream = None
        self.consumed = False
        self.headers.raw = [
            pair for pair in self.headers.raw if pair[0] not in (b"content-length", b"content-encoding", b"content-md5")
        ]

    def json(self) -> Any:
        """The parsed JSON body, parsed once per body. ValueError when it is not JSON, BodyNotBuffered when unread,
        Refusal (413) when it takes too much memory (`is_sprawling_json`)."""
        if self.body is None:
            raise BodyNotBuffered(self)  # type: ignore[arg-type]
        if self._json_of is not self.body:
            self._json = parsed_json(self.body)
            self._json_of = self.body
        return self._json

    def consume(self) -> None:
        """Take the body away: it was read without `preserveContent`, what follows has none (APIM, IMessageBody)."""
        self.set_body(b"")
        self.consumed = True


class GatewayRequest(_Body):
    """The caller's request as policies see and change it.

    `url` is the part below the API's path (what `rewrite-uri` changes), `original_url` what the caller asked for.
    A large body, or one of unknown size, stays a stream until somebody reads it; `replayable` tells whether a second
    attempt can send it, `sent` that a stream has been given to an attempt already and is gone.
    """

    __slots__ = ("method", "url", "original_url", "ip_address", "matched_parameters", "certificate", "limit", "sent")

    def __init__(
        self,
        method: str,
        url: Url,
        headers: Headers,
        *,
        original_url: Url | None = None,
        ip_address: str = "",
        body: bytes | None = b"",
        stream: AsyncIterator[bytes] | None = None,
        limit: int = 104_857_600,
    ) -> None:
        super().__init__(headers, body, stream)
        self.method = method
        self.url = url
        self.original_url = original_url or url.copy()
        self.ip_address = ip_address
        self.matched_parameters: dict[str, str] = {}
        self.certificate: object | None = None
        self.limit = limit
        self.sent = False

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent more than once."""
        return self.body is not None

    def send_stream(self) -> AsyncIterator[bytes]:
        """The body's stream for the one attempt that can have it. PolicyFailed when an attempt had it before."""
        assert self.stream is not None
        if self.sent:
            raise PolicyFailed(
                reason="RequestBodyNotBuffered",
                detail="the request body was a stream and has been sent; buffer-request-body keeps it",
            )
        self.sent = True
        return limited(self.stream, self.limit)

    async def read(self) -> bytes:
        """The whole body; RequestTooLarge when it is over the limit, ClientGone when the caller leaves meanwhile,
        PolicyFailed when it was a stream and has been sent."""
        if self.body is None:
            async with self._one_reader():
                if self.body is None:
                    self.body = b"".join([part async for part in self.send_stream()])
                    self.stream, self.sent = None, False
        return self.body

    @property
    def foundry_deployment(self) -> str | None:
        """The deployment in the path, or the model in a body already read (`context.Request.Foundry.Deployment`)."""
        deployment = self.matched_parameters.get("deployment-id")
        if deployment or not self.body:
            return deployment
        try:
            parsed = self.json()
        except (ValueError, Refusal):
            return None
        model = parsed.get("model") if isinstance(parsed, dict) else None
        return model if isinstance(model, str) else None


async def limited(stream: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The stream, ended by RequestTooLarge once more than `limit` bytes have come."""
    size = 0
    async for part in stream:
        size += len(part)
        if size > limit:
            raise RequestTooLarge(limit)
        yield part


class GatewayResponse(_Body):
    """The answer as policies see and change it. A body that nobody reads passes on as the bytes the backend sent.

    `close` releases what the stream holds (a backend connection); whoever drops the response calls it.
    """

    __slots__ = ("status_code", "status_reason", "close")

    def __init__(
        self,
        status_code: int,
        headers: Headers | None = None,
        body: bytes | None = b"",
        *,
        status_reason: str = "",
        stream: AsyncIterator[bytes] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(headers or Headers(), body if stream is None else None, stream)
        self.status_code = status_code
        self.status_reason = status_reason
        self.close = close

    async def read(self) -> bytes:
        """The whole decoded body; from here on it is no stream any more. BackendError when the backend breaks off."""
        if self.body is None:
            async with self._one_reader():
                if self.body is None:
                    self.body = await self._read_all()
        return self.body

    async def _read_all(self) -> bytes:
        assert self.stream is not None
        parts: list[bytes] = []
        size = 0
        async for part in self.stream:
            size += len(part)
            if size > LARGEST_READ:
                await self.aclose()
                raise BackendError(f"The answer is larger than {LARGEST_READ} bytes.", reason="ResponseTooLarge")
            parts.append(part)
        await self.aclose()
        self.stream = None
        self.headers.remove("content-length")
        data = b"".join(parts)
        coding = (self.headers.get("content-encoding") or "").lower()
        if coding not in PACKED:
            return data
        self.headers.remove("content-encoding")
        return unpacked(data, coding, LARGEST_READ)

    async def aclose(self) -> None:
        """Release the backend connection; safe to call again."""
        close, self.close = self.close, None
        if close is not None:
            await close()

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is server-sent events that nobody has buffered."""
        return self.body is None and self.headers.content_type.startswith(b"text/event-stream")


def parsed_json(body: bytes) -> Any:
    """A request's JSON body, None for an empty one. ValueError when it is not JSON, Refusal (413) when it takes too
    much memory (`is_sprawling_json`)."""
    if len(body) >= SMALL_JSON and is_sprawling_json(body):
        raise Refusal("Request body has too many JSON values.", status=413, reason="RequestTooLarge")
    return orjson.loads(body) if body else None
