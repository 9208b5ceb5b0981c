"""The function app on the real Python Functions runtime, behind a stand-in for the host: what only shows there.

Skipped where there is no Python 3.13 environment with the runtime (`make test` makes it); with CI set that is an error.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.app_insights import AppInsights
from tests.support.backend import Backend, Script
from tests.support.funchost.host import FunctionHost
from tests.support.processes import ROOT

PYTHON = ROOT / ".venv-functions" / "bin" / "python"
KEY = "runtime-suite-key-0123456789abcdef"
BACKEND_KEY = "backend-key-0123456789abcdef"
CONFIG = """\
named_values:
  backend-key: {{ env: RUNTIME_BACKEND_KEY }}
backends:
  scripted:
    url: "{url}/v1"
    credentials:
      header: {{ Authorization: "Bearer {{{{backend-key}}}}" }}
apis:
  llm:
    display_name: LLM
    path: llm
    kind: openai
    backend: scripted
"""
CHAT = "/llm/chat/completions"
HELLO = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**HELLO, "stream": True}


@pytest.fixture(autouse=True)
def _runtime_is_there() -> None:
    if PYTHON.exists():
        return
    message = "no Python 3.13 environment with the Functions runtime: `make functions-env`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncIterator[tuple[FunctionHost, Backend, aiohttp.ClientSession]]:
    """The app, its backend and a client with a working key; afterwards every invocation must have ended well."""
    with Backend(key=BACKEND_KEY) as backend:
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(url=backend.url))
        env = {
            "GATEWAY_CONFIG": str(config),
            "GATEWAY_KEY_HASH_SECRET": "runtime-suite",
            "GATEWAY_ALL_ACCESS_KEY": KEY,
            "RUNTIME_BACKEND_KEY": BACKEND_KEY,
            **settings,
        }
        async with FunctionHost(ROOT, python=PYTHON, env=env) as host:
            timeout = aiohttp.ClientTimeout(total=20)
            async with aiohttp.ClientSession(host.url, headers={"api-key": KEY}, timeout=timeout) as client:
                yield host, backend, client
            await all_ended(host)
            assert len(host.finished) == host.started > 0
            assert [one for one in host.finished if not one.succeeded] == [], host.logs[-30:]


async def all_ended(host: FunctionHost) -> None:
    """Wait until no invocation runs; a hung one never ends and fails the test."""
    await asyncio.wait_for(host.quiet.wait(), 5)


async def test_the_extensions_own_pages_reach_the_gateway(tmp_path: Path) -> None:
    async with running(tmp_path) as (host, backend, client):
        for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
            async with client.get(path) as answer:
                assert answer.status == 404, path
                assert (await answer.json())["statusCode"] == 404, path
        assert host.started == 4
        assert backend.requests == []


async def test_a_call_and_its_errors_have_the_gateways_shape(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, backend, client):
        async with client.post(CHAT, json=HELLO) as answer:
            assert answer.status == 200
            assert (await answer.json())["choices"][0]["message"]["role"] == "assistant"
        async with client.post(CHAT, json=HELLO, headers={"api-key": "wrong"}) as refused:
            assert refused.status == 401
            assert (await refused.json())["statusCode"] == 401
            assert "WWW-Authenticate" in refused.headers
        async with client.post("/status-0123456789abcdef") as _, client.get("/status-0123456789abcdef") as healthy:
            assert healthy.status == 200
        assert len(backend.requests) == 1


async def test_a_stream_arrives_chunk_by_chunk(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, backend, client):
        backend.script = Script(text="one two three four", chunk_every=0.2)
        begun, arrivals = time.monotonic(), []
        async with client.post(CHAT, json=STREAM) as answer:
            async for chunk, _ in answer.content.iter_chunks():
                arrivals += [time.monotonic() - begun] * chunk.count(b"data: ")
        gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:], strict=False)]
        assert len(arrivals) == 7  # the role, four words, the finish, [DONE]
        assert arrivals[0] < 1.0
        assert all(gap > 0.05 for gap in gaps), gaps
        assert 1.0 < arrivals[-1] - arrivals[0] < 3.0


async def test_many_streams_at_once_all_finish(tmp_path: Path) -> None:
    async with running(tmp_path) as (host, backend, client):
        backend.script = Script(text="one two three", chunk_every=0.1)

        async def read() -> bytes:
            async with client.post(CHAT, json=STREAM) as answer:
                return await answer.read()

        begun = time.monotonic()
        answers = await asyncio.gather(*(read() for _ in range(30)))
        assert all(answer.endswith(b"data: [DONE]\n\n") for answer in answers)
        assert time.monotonic() - begun < 5
        await all_ended(host)
        assert len(host.finished) == 30


async def test_a_client_that_leaves_a_stream_ends_the_backend_call(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, backend, client):
        backend.script = Script(stall_after=2)
        async with client.post(CHAT, json=STREAM) as answer:
            await answer.content.readany()
            assert not backend.last.client_left.is_set()
            answer.close()
            assert await backend.last.left_within(10.0)


async def test_a_client_that_leaves_before_the_answer_ends_the_backend_call(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, backend, client):
        backend.script = Script(delay=30)
        call = asyncio.create_task(client.post(CHAT, json=HELLO))
        await asyncio.to_thread(backend.wait_for_requests)
        call.cancel()
        assert await backend.last.left_within(10.0)


async def test_what_host_and_hops_add_does_not_reach_the_backend(tmp_path: Path) -> None:
    added = {
        "x-functions-key": "host-key",
        "X-Forwarded-For": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
        "TE": "trailers",
        "Keep-Alive": "timeout=5",
        "x-of-the-caller": "stays",
    }
    async with running(tmp_path) as (_, backend, client):
        async with client.post(CHAT, json=HELLO, headers=added) as answer:
            assert answer.status == 200
            assert "x-ms-invocation-id" not in answer.headers
        names = {name.lower() for name, _ in backend.last.headers}
        dropped = {"x-functions-key", "x-ms-invocation-id", "forwarded", "te", "keep-alive", "api-key"}
        assert names & dropped == set()
        assert [name for name in names if name.startswith(("x-forwarded-", "x-functions-"))] == []
        assert backend.last.header("x-of-the-caller") == "stays"
        assert backend.last.header("authorization") == f"Bearer {BACKEND_KEY}"
        assert KEY not in str(backend.last.headers) + backend.last.target


async def test_logs_carry_no_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as (host, _, client):
        for path in (CHAT, "/nowhere"):
            query = {"subscription-key": KEY, "code": "host-key-0123456789"}
            async with client.post(path, json=HELLO, params=query) as answer:
                await answer.read()
        await all_ended(host)
        logs = "\n".join(host.logs)
        assert "Uvicorn running" in logs, "without the server's own lines this test could not fail"
        for secret in (KEY, BACKEND_KEY, "host-key-0123456789"):
            assert secret not in logs


async def test_timers_run(tmp_path: Path) -> None:
    async with running(tmp_path) as (host, _, client):
        async with client.get("/status-0123456789abcdef") as answer:
            assert answer.status == 200
        for name in host.timers:
            assert (await host.run_timer(name)).succeeded, host.logs[-20:]


async def test_telemetry_is_sent_while_the_app_runs(tmp_path: Path) -> None:
    """Nobody tells a Python worker that it ends: what waits until then is lost."""
    with AppInsights() as insights:
        async with running(tmp_path, **insights.environment) as (_, _, client):
            async with client.post(CHAT, json=HELLO) as answer:
                assert answer.status == 200
            [item] = await asyncio.to_thread(insights.wait_for, "RequestData")
            [call] = insights.of("RemoteDependencyData")
            assert (item.data["success"], call.parent_id) == (True, item.data["id"])
        assert insights.flaws == []
