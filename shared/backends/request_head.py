"""An HTTP/1.1 request head as bytes: checked against injection, with Host and body framing filled in (pure)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import httpx

from shared.message import TOKEN

_TOKEN = re.compile(TOKEN.pattern.encode())
_TARGET = re.compile(rb"/[^\x00-\x20\x7f]*|\*")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the names of a request's headers say about it; indexes point into the header list."""

    has_host: bool
    length_at: int | None
    encoding_at: int | None
    expects: bool
    has_idempotency_key: bool


@dataclass(frozen=True, slots=True)
class Destination:
    """What every head for one origin has in common: the Host value and, through a plain proxy, the prefix that makes
    the target absolute (RFC 9112 3.2.2) and the proxy's authorization."""

    host: bytes
    target_prefix: bytes = b""
    proxy_authorization: bytes | None = field(default=None, repr=False)


class RequestHead(NamedTuple):
    """The bytes up to and including the empty line, and how the body that follows is framed.

    ``length`` is the declared body length, ``None`` with ``chunked`` framing; ``expects`` says that the client
    waits for "100 Continue"; ``has_idempotency_key`` that the caller made the request repeatable.
    """

    data: bytes
    length: int | None
    chunked: bool
    expects: bool
    has_idempotency_key: bool


@lru_cache(maxsize=1024)  # a client sends the same set of names again and again
def header_facts(names: tuple[bytes, ...]) -> HeaderFacts:
    """Names in order -> facts. Raises ``httpx.LocalProtocolError`` for a name that is no token (RFC 9110 5.6.2) or
    for a doubled field that would let two servers read two different messages (RFC 9112 6.3)."""
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise httpx.LocalProtocolError(f"illegal header name {name[:64]!r}")
    lower = [name.lower() for name in names]
    for single in (b"host", b"content-length", b"transfer-encoding"):
        if lower.count(single) > 1:
            raise httpx.LocalProtocolError(f"{single.decode()} is given more than once")
    if b"content-length" in lower and b"transfer-encoding" in lower:
        raise httpx.LocalProtocolError("content-length and transfer-encoding exclude each other")
    return HeaderFacts(
        has_host=b"host" in lower,
        length_at=lower.index(b"content-length") if b"content-length" in lower else None,
        encoding_at=lower.index(b"transfer-encoding") if b"transfer-encoding" in lower else None,
        expects=b"expect" in lower,
        has_idempotency_key=b"idempotency-key" in lower,
    )


@lru_cache(maxsize=64)
def _method(method: str) -> bytes:
    name = method.encode("latin-1", "replace")
    if not _TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError("illegal request method")
    return name


def encode_head(
    to: Destination, method: str, target: bytes, *, headers: list[tuple[bytes, bytes]], body_length: int | None
) -> RequestHead:
    """A request's parts -> its head.

    ``body_length`` is the number of body bytes, ``None`` for a stream of unknown length: that one is sent with the
    caller's Content-Length or else chunked. One of known length goes by it, also where a header calls it chunked: its
    bytes must not be read as chunks. Raises ``httpx.LocalProtocolError`` where CR, LF or NUL would let a
    value become a second header or request (RFC 9110 5.5), or where the declared and the real length differ.
    """
    facts = header_facts(tuple([name for name, _ in headers]))
    if facts.encoding_at is not None:
        if headers[facts.encoding_at][1].strip().lower() != b"chunked":
            raise httpx.LocalProtocolError("the only transfer-encoding of a request body is chunked")
        if body_length is not None:
            headers = [pair for pair in headers if pair[0].lower() != b"transfer-encoding"]
            facts = header_facts(tuple([name for name, _ in headers]))
    if not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("illegal request target")
    lines = [b"%b %b%b HTTP/1.1" % (_method(method), to.target_prefix, target)]
    if not facts.has_host:
        lines.append(b"host: " + to.host)
    if to.proxy_authorization is not None:
        lines.append(b"proxy-authorization: " + to.proxy_authorization)
    lines += [b": ".join(pair) for pair in headers]

    length, chunked = body_length, False
    if facts.length_at is not None:
        length = _declared(headers[facts.length_at][1])
        if body_length is not None and body_length != length:
            raise httpx.LocalProtocolError(f"content-length is {length}, the body has {body_length} bytes")
    elif facts.encoding_at is not None:
        chunked = True
    elif body_length is None:
        lines.append(b"transfer-encoding: chunked")
        chunked = True
    elif body_length or method in _BODY_METHODS:
        lines.append(b"content-length: %d" % body_length)

    breaks = len(lines) + 1
    lines.append(b"\r\n")
    data = b"\r\n".join(lines)
    if data.count(b"\n") != breaks or data.count(b"\r") != breaks or b"\0" in data:
        raise httpx.LocalProtocolError("a header value holds CR, LF or NUL")
    return RequestHead(data, length, chunked, facts.expects, facts.has_idempotency_key)


def _declared(value: bytes) -> int:
    # RFC 9110 8.6: digits only; int() alone would take "+5", "1_0" and spaces.
    if not value.isdigit():
        raise httpx.LocalProtocolError("content-length is not a number")
    return int(value)
