"""Two gateway processes on one storage: what they count together is what the backend billed, through an outage too."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.support.azurite import Azurite
from tests.support.backend import Backend, Script
from tests.support.dialects import count_tokens
from tests.support.processes import ROOT
from tests.support.serve import RunningGateway, gateways

CONFIG = """
named_values: {{key: {{env: CALLER_KEY}}}}
backends:
  model: {{url: "{backend}/v1"}}
  claude: {{url: "{backend}"}}
apis:
  chat: {{path: chat, kind: openai, backend: model, policy: chat.xml}}
  claude: {{path: claude, kind: anthropic, backend: claude, policy: chat.xml}}
subscriptions:
  team: {{scope: all-apis, keys: {{primary: "{{{{key}}}}"}}}}
"""
POLICY = """
<policies>
  <inbound><base /><llm-token-limit counter-key="@(context.Subscription.Id)" {attributes} /></inbound>
  <backend><base /></backend>
</policies>
"""
KEY = "the key of the callers of this test"
MODEL = "gpt-4o-mini"


@dataclass
class System:
    """Two gateways, their storage, and an administrator's terminal."""

    storage: Azurite
    environment: dict[str, str]
    instances: list[RunningGateway]

    def administer(self, *arguments: str) -> Any:
        """The JSON a command prints."""
        command = [sys.executable, "-m", "shared", "limits", *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def post(self, at: int, body: dict[str, Any]) -> httpx.Response:
        """A chat completion at one of the instances."""
        url = f"{self.instances[at].url}/chat/chat/completions"
        return httpx.post(url, json=body, headers={"api-key": KEY}, timeout=20)


@contextmanager
def system(folder: Path, backend: Backend, attributes: str) -> Iterator[System]:
    (folder / "gateway.yaml").write_text(CONFIG.format(backend=backend.url))
    (folder / "chat.xml").write_text(POLICY.format(attributes=attributes))
    with Azurite(data=folder / "storage") as storage:
        environment = {
            "GATEWAY_CONFIG": str(folder / "gateway.yaml"),
            "GATEWAY_KEY_HASH_SECRET": "the key-hash secret of this test",
            "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string,
            "CALLER_KEY": KEY,
        }
        with gateways(folder / "gateway.yaml", 2, env=environment) as instances:
            yield System(storage, environment, instances)


def billed(backend: Backend, script: Script) -> int:
    """What the backend bills for all it was asked: its own count of prompts and answers."""
    assert script.text is not None
    prompts = [" ".join(part["content"] for part in request.json()["messages"]) for request in backend.requests]
    return sum(count_tokens(prompt) + count_tokens(script.text) for prompt in prompts)


async def mixed_load(system: System, calls: int) -> None:
    """Plain and streamed calls of both official SDKs at both instances, all at once."""

    async def one(number: int) -> None:
        url = system.instances[number % 2].url
        messages: list[Any] = [{"role": "user", "content": "word " * (1 + number % 7)}]
        stream = number % 3 == 0
        if number % 5 == 0:
            async with anthropic.AsyncAnthropic(base_url=f"{url}/claude", api_key=KEY) as claude:
                answer = await claude.messages.create(model=MODEL, max_tokens=50, messages=messages, stream=stream)
                if stream:
                    assert [event async for event in answer]  # type: ignore[union-attr]
        else:
            async with openai.AsyncOpenAI(base_url=f"{url}/chat", api_key=KEY) as client:
                said = await client.chat.completions.create(model=MODEL, messages=messages, stream=stream)
                if stream:
                    chunks = [chunk async for chunk in said]  # type: ignore[union-attr]
                    assert all(chunk.choices for chunk in chunks)  # nobody asked for the usage chunk

    gate = asyncio.Semaphore(8)

    async def gated(number: int) -> None:
        async with gate:
            await one(number)

    await asyncio.gather(*(gated(number) for number in range(calls)))


def test_the_counter_is_the_sum_of_what_the_backend_billed(tmp_path: Path, backend: Backend) -> None:
    script = backend.script = Script(text="an answer of six words indeed", chunk_every=0.002)
    limits = 'tokens-per-minute="1000000" token-quota="5000000" token-quota-period="Monthly"'
    with system(tmp_path, backend, limits) as running:
        asyncio.run(mixed_load(running, 60))
        assert len(backend.requests) == 60
        expected = billed(backend, script)
        for instance in running.instances:
            instance.process.stop(grace=8)  # asked to end, an instance gives back what it leased
        (minute, month) = running.administer("show", "team")
        assert (month["per"], month["used"], month["left"]) == ("monthly", expected, 5_000_000 - expected)
        assert minute["per"] == "minute" and minute["used"] <= expected
        assert {row["key"] for row in running.administer("list")} == {"team"}


def test_strict_stops_at_the_limit_for_streams_too(tmp_path: Path, backend: Backend) -> None:
    script = backend.script = Script(text="word " * 40, chunk_every=0.001)
    body = {"model": MODEL, "max_tokens": 40, "messages": [{"role": "user", "content": "hi"}]}
    with system(tmp_path, backend, 'tokens-per-minute="2000" reservation="strict"') as running:

        async def burst() -> list[int]:
            async with httpx.AsyncClient(timeout=30, headers={"api-key": KEY}) as client:

                async def call(number: int) -> int:
                    url = f"{running.instances[number % 2].url}/chat/chat/completions"
                    return (await client.post(url, json={**body, "stream": number % 2 == 0})).status_code

                return await asyncio.gather(*(call(number) for number in range(40)))

        begun = time.monotonic()
        statuses = asyncio.run(burst()) + asyncio.run(burst())
        assert time.monotonic() - begun < 55, "the window has moved on"
        assert set(statuses) == {200, 429}
        assert 1_000 < billed(backend, script) <= 2_000
        refused = running.post(1, {**body, "max_tokens": 2_000})
        assert refused.json()["message"] == "Token limit will exceed based on estimated request tokens."

        running.administer("reset", "team")
        time.sleep(1.5)
        assert [running.post(at, body).status_code for at in (0, 1)] == [200, 200]
        command = [sys.executable, "-m", "shared", "limits", "show", "nobody"]
        unknown = subprocess.run(command, cwd=ROOT, env={**os.environ, **running.environment}, capture_output=True)
        assert (unknown.returncode, unknown.stderr.decode()) == (1, "limits show: nothing is counted under 'nobody'\n")


@pytest.mark.parametrize(("mode", "refuses"), [("bounded", True), ("open", False), ("closed", True)])
def test_an_outage_of_storage(tmp_path: Path, backend: Backend, mode: str, refuses: bool) -> None:
    """200 a minute are used up to about a half; then storage freezes, and 40 more calls of 10 tokens come."""
    script = backend.script = Script(text="word " * 9)
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with system(tmp_path, backend, f'tokens-per-minute="200" reservation="none" on-storage-error="{mode}"') as running:
        assert [running.post(at % 2, body).status_code for at in range(10)] == [200] * 10
        running.storage.pause()
        try:
            begun = time.monotonic()
            answers = [running.post(at % 2, body) for at in range(40)]
            took = time.monotonic() - begun
        finally:
            running.storage.resume()
        statuses = [answer.status_code for answer in answers]
        assert took < 20, "a request waited for storage that is away"
        if refuses:
            assert statuses.count(429) > 0
            assert billed(backend, script) <= 200 + 20  # a call in flight at each instance crosses the limit
            assert "retry-after" in next(answer for answer in answers if answer.status_code == 429).headers
        else:
            assert statuses == [200] * 40
