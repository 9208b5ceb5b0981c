"""Which request follows a redirect, and what it still carries."""

import httpx
import pytest

from shared.backends.redirects import redirected
from shared.backends.transport import build_request

HEADERS = [(b"authorization", b"Bearer x"), (b"x-any", b"1"), (b"accept", b"*/*"), (b"content-type", b"a/b")]


def following(location: str, *, status: int = 307, origin: str = "https://api.contoso.com") -> httpx.Request | None:
    request = build_request(
        "POST",
        httpx.URL(origin),
        b"/base/chat?api-version=1",
        headers=HEADERS,
        body=b"{}",
        timeout={"headers": 9.0},
        extensions={"ssl_context": "its own"},
    )
    return redirected(request, httpx.Response(status, headers={"location": location}), {"headers": 3.0})


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/there", "https://api.contoso.com/there"),
        ("there?x=%2F#part", "https://api.contoso.com/base/there?x=%2F"),
        ("?y=1", "https://api.contoso.com/base/chat?y=1"),
        ("//other.contoso.com/a", "https://other.contoso.com/a"),
        ("https://API.contoso.com:443/a", "https://api.contoso.com/a"),
    ],
)
def test_a_location_is_read_against_the_request_it_answers(location: str, url: str) -> None:
    request = following(location)
    assert request is not None
    assert str(request.url).rstrip("/") + request.extensions["target"].decode() == url
    assert request.extensions["timeout"] == {"headers": 3.0}


@pytest.mark.parametrize("location", ["/a", "https://api.contoso.com:443/a", "HTTPS://API.CONTOSO.COM/a"])
def test_the_same_origin_sees_everything(location: str) -> None:
    request = following(location)
    assert request is not None
    assert request.headers.raw == HEADERS
    assert request.extensions["ssl_context"] == "its own"


@pytest.mark.parametrize(
    "location",
    ["https://api.contoso.com:444/a", "https://contoso.com/a", "https://api.contoso.com.evil.example/a", "//[::1]/a"],
)
def test_another_origin_sees_no_credentials_and_no_certificate(location: str) -> None:
    request = following(location)
    assert request is not None
    assert request.headers.raw == [(b"accept", b"*/*"), (b"content-type", b"a/b")]
    assert "ssl_context" not in request.extensions


@pytest.mark.parametrize(
    "location",
    [
        "http://api.contoso.com/a",
        "ftp://api.contoso.com/a",
        "https://user:key@api.contoso.com/a",
        "javascript:alert(1)",
    ],
)
def test_what_is_less_safe_is_not_followed(location: str) -> None:
    assert following(location) is None


@pytest.mark.parametrize("status", [200, 300, 304, 305, 399])
def test_other_statuses_are_no_redirects(status: int) -> None:
    assert following("/a", status=status) is None
    assert following("http://api.contoso.com/a", origin="http://api.contoso.com") is not None
