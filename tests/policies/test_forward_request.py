"""forward-request: timeouts, redirects, errors by status, and bodies kept for another attempt."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems
from tests.support.raw_server import Peer, raw_server

SECRETS = {"authorization": "Bearer of-the-gateway", "x-functions-key": "k", "cookie": "a=b", "api-key": "c"}


def forwarding(attributes: str, **sections: str) -> str:
    return document(backend=f"<forward-request {attributes} />", **sections)


def showing_secrets() -> str:
    return "".join(f'<set-header name="{name}"><value>{value}</value></set-header>' for name, value in SECRETS.items())


@pytest.fixture
def elsewhere() -> Iterator[Backend]:
    """A backend of another origin."""
    with Backend(script=Script(body="from elsewhere")) as other:
        yield other


@pytest.mark.parametrize("attributes", ['timeout="1"', 'timeout-ms="1000"'])
def test_response_headers_must_come_in_time(backend: Backend, attributes: str) -> None:
    backend.script = Script(delay=30)
    with policies(forwarding(attributes), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert 0.9 < answer.elapsed.total_seconds() < 3


def test_a_timeout_of_zero_leaves_the_backends_own(backend: Backend) -> None:
    backend.script = Script(delay=0.3, body="ok")
    with policies(forwarding('timeout="0"'), backend.url) as gateway:
        assert gateway.call().text == "ok"


def test_an_error_status_passes_unless_it_shall_fail(backend: Backend) -> None:
    outbound = '<set-header name="x-outbound"><value>ran</value></set-header>'
    on_error = '<set-header name="x-on-error"><value>ran</value></set-header>'
    backend.script = Script(status=429, headers={"retry-after": "7", "x-other": "1"}, body="backend's own")
    with policies(forwarding("", outbound=outbound, on_error=on_error), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.text, answer.headers["x-outbound"]) == (429, "backend's own", "ran")
    failing = forwarding('fail-on-error-status-code="true"', outbound=outbound, on_error=on_error)
    with policies(failing, backend.url) as gateway:
        answer = gateway.call()
        assert (answer.status_code, answer.headers["x-on-error"], answer.headers["retry-after"]) == (429, "ran", "7")
        assert "x-outbound" not in answer.headers and "x-other" not in answer.headers
        assert answer.json()["message"] == "The backend answered with status 429."
        backend.script = Script(status=302, body="not an error", headers={"location": "/x"})
        assert gateway.call().text == "not an error"


@pytest.mark.parametrize(
    ("status", "method", "received", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (302, "PUT", "PUT", b"{}"),
        (307, "POST", "POST", b"{}"),
        (308, "POST", "POST", b"{}"),
    ],
)
def test_a_redirect_is_followed_with_the_method_it_asks_for(
    backend: Backend, status: int, method: str, received: str, body: bytes
) -> None:
    backend.scripts.append(Script(status=status, headers={"location": "../v2/there?x=1#part"}))
    backend.script = Script(body="there")
    policy = document(showing_secrets(), '<forward-request follow-redirects="true" />')
    with policies(policy, f"{backend.url}/base") as gateway:
        answer = gateway.call(method, "/v1/models", content=b"{}", headers={"content-type": "application/json"})
    assert answer.text == "there"
    assert (backend.last.method, backend.last.target, backend.last.body) == (received, "/base/v2/there?x=1", body)
    assert backend.last.header("authorization") == SECRETS["authorization"]
    assert backend.last.header("content-type") == ("application/json" if body else None)


def test_another_origin_sees_no_credentials(backend: Backend, elsewhere: Backend) -> None:
    backend.script = Script(status=307, headers={"location": f"{elsewhere.url}/there"})
    policy = document(showing_secrets(), '<forward-request follow-redirects="true" />')
    main = {"url": backend.url, "credentials": {"header": {"x-own": "secret"}, "query": {"code": "secret"}}}
    inbound = '<set-backend-service backend-id="keyed" />'
    with policies(policy.replace("<inbound>", f"<inbound>{inbound}"), backends={"keyed": main}) as gateway:
        answer = gateway.call("POST", json={"prompt": "hi"}, headers={"accept": "text/x"})
    assert answer.text == "from elsewhere"
    assert backend.last.header("x-own") == "secret" and "code=secret" in backend.last.target
    assert (elsewhere.last.target, elsewhere.last.json()) == ("/there", {"prompt": "hi"})
    names = {name.lower() for name, _ in elsewhere.last.headers}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"}


def test_redirects_are_passed_on_by_default_and_when_they_cannot_be_followed(backend: Backend) -> None:
    backend.script = Script(status=302, headers={"location": "/there"})
    with policies(forwarding(""), backend.url) as gateway:
        assert gateway.call().headers["location"] == "/there"
    assert len(backend.requests) == 1
    with policies(forwarding('follow-redirects="true"'), backend.url) as gateway:
        assert gateway.call().status_code == 302  # a loop
        assert len(backend.requests) == 1 + 11
        for location in ("ftp://x/", "http://user:pass@127.0.0.1/", "//"):
            backend.script = Script(status=302, headers={"location": location})
            assert gateway.call().status_code == 302


def test_a_streamed_body_is_not_sent_to_where_a_redirect_points(backend: Backend) -> None:
    backend.script = Script(status=307, headers={"location": "/there"})
    large = b"x" * 2_000_000
    with policies(forwarding('follow-redirects="true"'), backend.url) as gateway:
        assert gateway.call("POST", content=large).status_code == 307
    kept = forwarding('follow-redirects="true" buffer-request-body="true"')
    with policies(kept, backend.url) as gateway:
        backend.scripts.append(Script(status=307, headers={"location": "/there"}))
        backend.script = Script(body="ok")
        assert gateway.call("POST", content=large).text == "ok"
    assert (backend.last.target, backend.last.body) == ("/there", large)


async def test_continue_timeout_holds_the_body_back() -> None:
    waited: list[float] = []

    async def answer(peer: Peer) -> None:
        head = await peer.head()
        assert b"expect: 100-continue" in head.lower()
        started = time.monotonic()
        assert await peer.reader.readexactly(2) == b"{}"
        waited.append(time.monotonic() - started)
        await peer.answer(b"ok")

    async with raw_server(answer) as server:

        def call() -> httpx.Response:
            with policies(forwarding('continue-timeout="1"'), str(server.origin)) as gateway:
                return gateway.call("POST", content=b"{}")

        assert (await asyncio.to_thread(call)).text == "ok"
    assert 0.8 < waited[0] < 3


def test_wrong_attributes_do_not_load() -> None:
    assert problems(forwarding('http-version="2or1" buffer-response="false"')) == []
    found = problems(forwarding('timeout="-1" http-version="3" buffer="true"'))
    assert len(found) == 3
    (problem,) = problems(forwarding('timeout="1" timeout-ms="1"'))
    assert "exclude each other" in problem
    assert "not allowed in inbound" in problems(document("<forward-request />"))[0]


def test_attributes_may_be_expressions(backend: Backend) -> None:
    attributes = (
        'timeout-ms="@(context.Request.Method == "GET" ? 300 : 9000)" follow-redirects="@(true)"'
        ' fail-on-error-status-code="@(1 == 1)" buffer-request-body="@(true)" buffer-response="@(false)"'
    )
    backend.script = Script(delay=0.6, status=400)
    with policies(forwarding(attributes), backend.url) as gateway:
        assert gateway.call().status_code == 504
        answer = gateway.call("POST", json={})
    assert (answer.status_code, answer.json()["message"]) == (400, "The backend answered with status 400.")
