"""Requests of the gateway's own: to a URL a policy names, an OpenID provider, an event hub."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from shared.backends.call_span import begin_call
from shared.backends.client_tls import ClientTls
from shared.backends.proxies import parse_proxy
from shared.backends.transport import Transport, build_request
from shared.body import PACKED, unpacked
from shared.config.certificates import ClientCertificate
from shared.context import Context
from shared.errors import BackendError
from shared.message import GatewayResponse, Headers, RawHeaders, end_to_end

CONNECT_SECONDS = 10.0
PROXIES_KEPT = 16


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request. `timeout` (seconds) is for all of it, `max_bytes` for the answer's body, packed and unpacked;
    `proxy` is `http://user:password@host:port`."""

    method: str
    url: str
    headers: RawHeaders = field(default_factory=list, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    max_bytes: int = 33_554_432
    certificate: ClientCertificate | None = None
    proxy: str | None = field(default=None, repr=False)


class Sender:
    """Sends requests over the gateway's transport and reads the answers whole."""

    def __init__(self, transport: Transport, tls: ClientTls) -> None:
        self._transport = transport
        self._tls = tls
        self._proxied: OrderedDict[str, Transport] = OrderedDict()

    async def send(self, request: Outgoing, ctx: Context | None = None) -> GatewayResponse:
        """The answer with its body in memory, for the request of a caller or for none. BackendError when none comes,
        504 for time; PolicyFailed for a client certificate that cannot be used; ValueError when the URL or the proxy
        is no http(s) URL."""
        url = _read_url(request.url)
        headers = list(request.headers)
        call = begin_call(ctx, headers, request.method, url)
        try:
            answer = await self._send(request, url, headers)
        except BaseException as error:
            if call is not None:
                call.failed(error)
            raise
        if call is not None:
            call.answered(answer.status_code)
        return answer

    async def _send(self, request: Outgoing, url: httpx.URL, headers: RawHeaders) -> GatewayResponse:
        transport = self._transport if request.proxy is None else self._through(request.proxy)
        extensions: dict[str, object] = {}
        if request.certificate is not None:
            extensions["ssl_context"] = await self._tls.context(request.certificate)
        seconds = request.timeout
        prepared = build_request(
            request.method,
            url.copy_with(path="/", query=None, fragment=None),
            url.raw_path,
            headers=headers,
            body=request.body,
            timeout={"connect": min(CONNECT_SECONDS, seconds), "pool": seconds, "read": seconds, "write": seconds},
            extensions=extensions,
        )
        try:
            async with asyncio.timeout(seconds):
                return await _answer(await transport.handle_async_request(prepared), request.max_bytes)
        except TimeoutError as error:
            raise BackendError.timeout("The service did not answer in time.", detail=f"{url.host}: {error}") from error
        except httpx.TimeoutException as error:
            detail = f"{url.host}: {type(error).__name__}"
            raise BackendError.timeout("The service did not answer in time.", detail=detail) from error
        except httpx.TransportError as error:
            detail = f"{url.host}: {type(error).__name__}: {error}"
            raise BackendError("The service could not be reached or broke off.", detail=detail) from error

    async def aclose(self) -> None:
        """Close the connections through proxies; the transport is somebody else's."""
        for transport in self._proxied.values():
            await transport.aclose()

    def _through(self, proxy: str) -> Transport:
        parse_proxy(proxy)
        transport = self._proxied.get(proxy)
        if transport is None:
            transport = Transport(environ={"http_proxy": proxy, "https_proxy": proxy})
            self._proxied[proxy] = transport
            if len(self._proxied) > PROXIES_KEPT:
                # Not closed: it may be in use. Its connections end with the last reference.
                self._proxied.popitem(last=False)
        self._proxied.move_to_end(proxy)
        return transport


def _read_url(text: str) -> httpx.URL:
    try:
        urlsplit(text)  # httpx would quote a bracket without its pair
        url = httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        raise ValueError("not an http(s) URL") from None  # their own texts repeat the URL, which may carry a key
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ValueError("not an http(s) URL")
    return url


async def _answer(response: httpx.Response, max_bytes: int) -> GatewayResponse:
    parts: list[bytes] = []
    size = 0
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        async for part in stream:
            size += len(part)
            if size > max_bytes:
                raise BackendError(f"The answer is larger than {max_bytes} bytes.", reason="ResponseTooLarge")
            parts.append(part)
    finally:
        await response.aclose()
    headers = Headers(end_to_end([(name.lower(), value) for name, value in response.headers.raw]))
    body = b"".join(parts)
    coding = (headers.get("content-encoding") or "").lower()
    if coding in PACKED:
        body = unpacked(body, coding, max_bytes)
        headers.remove("content-encoding")
    headers.remove("content-length")
    reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
    return GatewayResponse(response.status_code, headers, body, status_reason=reason)
