"""What to send next when a backend answers with a redirect (RFC 9110 section 15.4, pure)."""

import httpx

from shared.backends.transport import Content, build_request
from shared.message import DEFAULT_PORTS, RawHeaders

# .NET's default is 50; a chain of so many is a loop.
MOST = 10

STATUSES = frozenset({301, 302, 303, 307, 308})

# What another origin gets to see. Any other header may be a credential that a policy or a backend's declaration put in.
HARMLESS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-type",
        b"range",
        b"traceparent",
        b"tracestate",
        b"user-agent",
    }
)
OF_A_BODY = frozenset({b"content-encoding", b"content-language", b"content-length", b"content-type", b"expect"})


def redirected(request: httpx.Request, response: httpx.Response, timeout: dict[str, float]) -> httpx.Request | None:
    """The request that follows `response`; None when it is no redirect, or one that must not or cannot be followed.

    303 is followed by GET, as are 301 and 302 after a POST; otherwise method and body stay, and a body that was a
    stream cannot be sent again. Nothing goes from https to http. Credentials, client certificates among them, are only
    for the origin they were meant for.
    """
    url = _location(request, response)
    if url is None:
        return None
    headers: RawHeaders = list(request.headers.raw)
    method, body = request.method, b""
    if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
        method = method if method == "HEAD" else "GET"
        headers = [pair for pair in headers if pair[0].lower() not in OF_A_BODY]
    elif isinstance(request.stream, Content):
        body = request.stream.content
    else:
        return None
    extensions = {key: value for key, value in request.extensions.items() if key not in ("target", "timeout")}
    if _origin(url) != _origin(request.url):
        headers = [pair for pair in headers if pair[0].lower() in HARMLESS]
        extensions = {}
    origin = httpx.URL(scheme=url.scheme, host=url.host, port=url.port)
    return build_request(
        method, origin, url.raw_path, headers=headers, body=body, timeout=timeout, extensions=extensions
    )


def _location(request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    found = response.headers.get_list("location")
    if response.status_code not in STATUSES or len(found) != 1:
        return None
    target: bytes = request.extensions["target"]
    try:
        url = httpx.URL(str(request.url).rstrip("/") + target.decode("latin-1")).join(found[0])
    except (httpx.InvalidURL, ValueError):
        return None
    safe = url.scheme == "https" or (url.scheme == "http" and request.url.scheme == "http")
    return url if safe and url.host and not url.userinfo else None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or DEFAULT_PORTS.get(url.scheme, 0)
