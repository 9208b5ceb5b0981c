"""What passes through the gateway, byte by byte, and what happens when either side leaves."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator

import anthropic
import httpx
import openai
import pytest

from tests.support.backend import Backend, Script
from tests.support.raw_server import Peer, raw_server
from tests.support.running import Running, running

CONFIG = """
backends:
  v1: { url: "@backend@/v1", timeouts: { headers: 1, idle: 1 } }
  root: { url: "@backend@" }
  deep: { url: "@backend@/base/path", credentials: { query: { api-version: fixed, sig: a&b } } }
  nobody: { url: "http://127.0.0.1:9", timeouts: { connect: 1 } }
apis:
  chat: { path: chat, kind: openai, backend: v1, subscription_required: false }
  claude: { path: claude, kind: anthropic, backend: root, subscription_required: false }
  any: { path: any, kind: passthrough, backend: deep, subscription_required: false }
  gone: { path: gone, kind: openai, backend: nobody, subscription_required: false }
limits: { max_request_body: 3000000 }
"""
PROMPT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture(scope="module")
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend):
    with running(CONFIG, values={"backend": backend.url}) as gateway:
        yield gateway


def scripted(backend: Backend, **script: object) -> None:
    backend.scripts.append(Script(**script))  # type: ignore[arg-type]


# what a backend sees


def test_an_endpoint_with_a_slash_at_its_end_as_the_portal_shows_it(backend: Backend) -> None:
    config = """
named_values: { endpoint: "@backend@/" }
backends: { azure: { url: "{{endpoint}}/openai" } }
apis: { aoai: { path: aoai/openai, kind: azure-openai, backend: azure, subscription_required: false } }
"""
    with running(config, values={"backend": backend.url}) as gateway:
        path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
        assert httpx.post(f"{gateway.url}/aoai{path}", json=PROMPT).status_code == 200
    assert backend.last.target == path


async def test_an_answer_has_one_date_and_that_to_head_the_length_get_would_bring() -> None:
    config = """
backends: { it: { url: "@backend@" } }
apis: { any: { path: any, kind: passthrough, backend: it, subscription_required: false } }
"""

    async def answer(peer: Peer) -> None:
        while head := await peer.head():
            fields = b"content-length: 5\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
            await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, b"" if head.startswith(b"HEAD") else b"hello"))

    async with raw_server(answer) as server:
        with running(config, values={"backend": f"http://127.0.0.1:{server.port}"}) as gateway:
            async with httpx.AsyncClient(base_url=gateway.url) as client:
                for method, body in (("HEAD", b""), ("GET", b"hello"), ("HEAD", b"")):
                    got = await client.request(method, "/any/thing")
                    assert (got.status_code, got.content, got.headers["content-length"]) == (200, body, "5")
                    assert len(got.headers.get_list("date")) == 1


def test_a_post_without_a_body_is_sent_with_none(gateway: Running, backend: Backend) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /any/runs/1/cancel HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while connection.recv(65536):
            pass
    assert backend.last.target.startswith("/base/path/runs/1/cancel")
    assert (backend.last.header("content-length"), backend.last.header("transfer-encoding")) == ("0", None)


def test_platform_and_hop_by_hop_headers_end_here(gateway: Running, backend: Backend) -> None:
    withheld = {
        "x-functions-key": "host-key",
        "x-ms-invocation-id": "1",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "public.example",
        "forwarded": "for=10.0.0.1",
        "x-ms-client-principal": "who",
        "x-azure-ref": "ref",
        "via": "1.1 proxy",
        "te": "trailers",
        "proxy-authorization": "Basic x",
        "keep-alive": "timeout=5",
        "connection": "keep-alive, x-listed",
        "x-listed": "named by Connection",
    }
    kept = {"x-app": "1", "user-agent": "me", "anthropic-beta": "any value", "traceparent": "00-1-2-01"}
    httpx.post(f"{gateway.url}/chat/chat/completions", json=PROMPT, headers=withheld | kept)
    for name in withheld:
        assert backend.last.header(name) is None, name
    for name, value in kept.items():
        assert backend.last.header(name) == value
    assert backend.last.header("host") == backend.url.removeprefix("http://")


def test_every_connection_header_names_what_ends_here(gateway: Running, backend: Backend) -> None:
    fields = [("connection", "x-one"), ("x-one", "1"), ("connection", "close, x-two"), ("x-two", "2"), ("x-three", "3")]
    httpx.post(f"{gateway.url}/chat/chat/completions", json=PROMPT, headers=fields)
    assert [backend.last.header(name) for name in ("x-one", "x-two", "x-three")] == [None, None, "3"]


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/any/a%2Fb/c?x=%20&x=2&y", "/base/path/a%2Fb/c?x=%20&x=2&y&api-version=fixed&sig=a%26b"),
        ("/any/c?api-version=mine&API-VERSION=again", "/base/path/c?api-version=fixed&sig=a%26b"),
        ("/any", "/base/path/?api-version=fixed&sig=a%26b"),
        ("//any///x/", "/base/path/x/?api-version=fixed&sig=a%26b"),
        ("/any/model/arn:aws:bedrock%3Aeu/invoke", None),
        ("/any/../chat", ""),
        ("/any/%2e%2e/chat", ""),
        ("/any/x%2f..%2f..%2fadmin", ""),
        ("/any//127.0.0.1:1/x", "/base/path/127.0.0.1:1/x?api-version=fixed&sig=a%26b"),
        ("/any/@evil.example/x", "/base/path/@evil.example/x?api-version=fixed&sig=a%26b"),
    ],
)
def test_target_stays_below_the_backends_path(
    gateway: Running, backend: Backend, sent: str, received: str | None
) -> None:
    before = len(backend.requests)
    status = raw_get(gateway.url, sent)
    if received == "":
        assert status == 404 and len(backend.requests) == before
    else:
        target = backend.last.target
        assert target == (received or f"/base/path{sent.removeprefix('/any')}?api-version=fixed&sig=a%26b")


def raw_get(url: str, target: str) -> int:
    """A GET whose target is sent as it is: httpx would tidy it."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1])


def test_a_port_that_is_none_is_no_fault_of_the_gateway(gateway: Running, backend: Backend) -> None:
    for port in ("²".encode("latin-1"), b"9" * 5_000):
        answer = httpx.post(f"{gateway.url}/chat/chat/completions", json=PROMPT, headers={b"host": b"name:" + port})
        assert answer.status_code == 200


def test_a_host_key_in_the_query_ends_here(gateway: Running, backend: Backend) -> None:
    key = "kT7x-Wq9uVb2ZcR4yN8mP1sD6fG3hJ5kL0aE7oUiAzFuQwErTy=="
    for sent in (key, key.replace("=", "%3D")):
        httpx.get(f"{gateway.url}/chat/models?a=1&code={sent}&b=2")
        assert backend.last.target == "/v1/models?a=1&b=2"
    httpx.get(f"{gateway.url}/chat/models?code=an-authorization-code")
    assert backend.last.target == "/v1/models?code=an-authorization-code"


def test_compressed_answers_pass_unchanged(gateway: Running, backend: Backend) -> None:
    scripted(backend, gzip=True)
    with httpx.stream("POST", f"{gateway.url}/chat/chat/completions", json=PROMPT) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join(answer.iter_raw())
    assert b"Hello there" in gzip.decompress(raw)


def test_a_backends_own_error_passes_unchanged(gateway: Running, backend: Backend) -> None:
    scripted(backend, status=429, headers={"retry-after": "7", "x-ms-region": "here"})
    answer = httpx.post(f"{gateway.url}/chat/chat/completions", json=PROMPT)
    assert (
        answer.status_code == 429 and answer.headers["retry-after"] == "7" and answer.headers["x-ms-region"] == "here"
    )
    assert "statusCode" not in answer.json()
    assert answer.headers["x-request-id"] and answer.headers["x-gateway-request-id"]


def test_large_uploads_are_streamed_and_limited(gateway: Running, backend: Backend) -> None:
    body = bytes(range(256)) * 10_000
    httpx.post(f"{gateway.url}/any/up", content=body)
    assert backend.last.body == body and backend.last.header("content-length") == str(len(body))

    def parts():
        for _ in range(20):
            yield body[:100_000]

    httpx.post(f"{gateway.url}/any/up", content=parts())
    assert backend.last.body == body[:100_000] * 20 and backend.last.header("transfer-encoding") == "chunked"
    for content in (body + body[:500_000], (body[:100_000] for _ in range(31))):
        answer = httpx.post(f"{gateway.url}/any/up", content=content)
        assert answer.status_code == 413 and answer.json()["error"]["type"] == "request_too_large"


def test_an_upload_that_is_not_read_reaches_no_policy(backend: Backend) -> None:
    marked = '<set-header name="x-on-error"><value>ran</value></set-header>'
    xml = f"<policies><inbound /><backend /><outbound /><on-error>{marked}</on-error></policies>"
    with running(CONFIG + "policy: all.xml\n", files={"all.xml": xml}, values={"backend": backend.url}) as gateway:
        unknown = httpx.post(f"{gateway.url}/nowhere", content=b"")
        refused = httpx.post(f"{gateway.url}/chat/chat/completions", content=bytes(3_000_001))
    assert (unknown.status_code, unknown.headers.get("x-on-error")) == (404, "ran")
    assert (refused.status_code, refused.headers.get("x-on-error")) == (413, None)


async def test_an_upload_starts_before_it_has_ended(gateway: Running, backend: Backend) -> None:
    arrived = len(backend.requests)
    halfway = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 200_000
        await asyncio.to_thread(backend.wait_for_requests, arrived + 1)
        halfway.set()
        yield b"y" * 200_000

    async with httpx.AsyncClient() as client:
        await client.post(f"{gateway.url}/any/up", content=parts())
    assert halfway.is_set() and backend.last.body == b"x" * 200_000 + b"y" * 200_000


# streams


def test_chunks_arrive_one_by_one(gateway: Running, backend: Backend) -> None:
    scripted(backend, chunk_every=0.05)
    client = openai.OpenAI(base_url=f"{gateway.url}/chat", api_key="-")
    times = [
        time.monotonic()
        for _ in client.chat.completions.create(**PROMPT, stream=True)  # type: ignore[call-overload]
    ]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(times) > 5 and sorted(gaps)[len(gaps) // 2] > 0.025


async def test_a_caller_who_leaves_ends_the_backend_call(gateway: Running, backend: Backend) -> None:
    for script in (Script(chunk_every=0.05, stall_after=3), Script(delay=30)):
        backend.scripts.append(script)
        count = len(backend.requests)
        task = asyncio.create_task(leave_early(gateway.url, wait_for_bytes=script.delay == 0))
        await asyncio.to_thread(backend.wait_for_requests, count + 1)
        await task
        assert await backend.last.left_within(10.0)


async def leave_early(url: str, *, wait_for_bytes: bool) -> None:
    async with httpx.AsyncClient() as client:
        try:
            async with client.stream(
                "POST", f"{url}/chat/chat/completions", json={**PROMPT, "stream": True}, timeout=0.4
            ) as answer:
                async for _ in answer.aiter_raw():
                    break
                assert wait_for_bytes
        except httpx.ReadTimeout:
            assert not wait_for_bytes


async def test_a_caller_who_leaves_during_the_upload_ends_the_backend_call(gateway: Running, backend: Backend) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 200_000
        await asyncio.sleep(30)

    count = len(backend.requests)
    async with httpx.AsyncClient() as client:
        task = asyncio.create_task(client.post(f"{gateway.url}/any/up", content=parts()))
        await asyncio.to_thread(backend.wait_for_requests, count + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await backend.last.left_within(10.0)


@pytest.mark.parametrize("script", [{"cut_after": 3}, {"stall_after": 3}])
def test_a_broken_stream_ends_with_an_error_the_sdks_raise(
    gateway: Running, backend: Backend, script: dict[str, int]
) -> None:
    scripted(backend, **script)
    text = ""
    with pytest.raises(openai.APIError) as raised:
        for chunk in openai.OpenAI(base_url=f"{gateway.url}/chat", api_key="-").chat.completions.create(
            **PROMPT,
            stream=True,  # type: ignore[call-overload]
        ):
            text += chunk.choices[0].delta.content or ""
    assert text and "backend" in raised.value.message


def test_a_broken_stream_of_messages_ends_with_an_error_anthropics_sdk_raises(
    gateway: Running, backend: Backend
) -> None:
    scripted(backend, cut_after=3)
    client = anthropic.Anthropic(base_url=f"{gateway.url}/claude", api_key="-", max_retries=0, timeout=5)
    with (
        pytest.raises(anthropic.APIStatusError, match="backend"),
        client.messages.stream(**PROMPT, max_tokens=5) as stream,  # type: ignore[arg-type]
    ):
        stream.get_final_text()


def test_any_other_body_that_breaks_off_is_visibly_incomplete(gateway: Running, backend: Backend) -> None:
    scripted(backend, cut_after=2, huge=400_000)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{gateway.url}/any/file")


# no answer


@pytest.mark.parametrize(
    ("path", "script", "status", "reason"),
    [
        ("/gone/models", {}, 502, "could not be reached"),
        ("/chat/models", {"hang_up": True}, 502, "closed the connection"),
        ("/chat/models", {"garbage": True}, 502, "did not answer in HTTP"),
        ("/chat/models", {"delay": 5}, 504, "did not answer in time"),
    ],
)
def test_a_backend_without_an_answer(
    gateway: Running, backend: Backend, path: str, script: dict[str, object], status: int, reason: str
) -> None:
    if script:
        scripted(backend, **script)
    started = time.monotonic()
    answer = httpx.get(f"{gateway.url}{path}")
    assert answer.status_code == status and time.monotonic() - started < 8
    assert reason in answer.json()["message"] and answer.json()["error"]["message"] == answer.json()["message"]
    assert "127.0.0.1" not in answer.text  # where a backend is, is no caller's business
    client = openai.OpenAI(base_url=gateway.url + path.removesuffix("/models"), api_key="-", max_retries=0)
    if path.startswith("/gone"):
        with pytest.raises(openai.InternalServerError):
            client.models.list()


def test_sdk_raises_its_own_classes(gateway: Running, backend: Backend) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/chat", api_key="-", max_retries=0)
    for status, kind in {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
    }.items():
        scripted(backend, status=status)
        with pytest.raises(kind):
            client.models.list()
    with pytest.raises(openai.NotFoundError, match="Resource not found"):
        openai.OpenAI(base_url=f"{gateway.url}/nowhere", api_key="-").models.list()
