"""Two gateway processes in front of one pool, called by the official SDK: members die, throttle, and come back."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.azurite import Azurite
from tests.support.backend import Backend, Script
from tests.support.processes import ROOT
from tests.support.serve import RunningGateway, gateways
from tests.support.waiting import wait_until

KEY = "the key of this test"
CONFIG = """
backends:
  one: &member
    url: "{one}/v1"
    circuit_breaker:
      rules:
        - name: rule
          failure_condition:
            count: 3
            interval: PT10S
            status_code_ranges: [{{ min: 500, max: 599 }}]
            error_reasons: [Server errors]
          trip_duration: PT2S
  two: {{ <<: *member, url: "{two}/v1" }}
  three: {{ <<: *member, url: "{three}/v1" }}
  ptu:
    url: "{one}/v1"
    circuit_breaker:
      rules:
        - name: rule
          failure_condition: {{ count: 1, interval: PT1M, status_code_ranges: [{{ min: 429, max: 429 }}] }}
          trip_duration: PT1M
          accept_retry_after: true
  pool:
    pool: {{ failover: true, services: [{{ id: one }}, {{ id: two }}, {{ id: three }}] }}
  spill:
    pool: {{ failover: true, services: [{{ id: ptu, priority: 1 }}, {{ id: two, priority: 2 }}] }}
apis:
  pool: {{ path: pool, kind: openai, backend: pool }}
  spill: {{ path: spill, kind: openai, backend: spill }}
"""
# What a request that finds a dead connection costs: it must be an answer, not an error, so the backend waits a little
# before its status line and dies in that time.
PACE = Script(delay=0.02, headers={f"x-ratelimit-remaining-{what}": "1000" for what in ("requests", "tokens")})


@dataclass
class System:
    """Two gateways, three backends on ports of their own, and storage."""

    storage: Azurite
    environment: dict[str, str]
    members: dict[str, Backend]
    instances: list[RunningGateway] = field(default_factory=list)

    def kill(self, name: str) -> None:
        """Nobody listens there any more."""
        self.members[name].__exit__(None, None, None)

    def revive(self, name: str, script: Script = PACE) -> Backend:
        """Another process takes the dead one's port."""
        self.members[name] = Backend(port=self.members[name].port, script=script).__enter__()
        return self.members[name]

    def status(self, instance: RunningGateway) -> dict[str, str]:
        """The states of the backends at one gateway."""
        shown = httpx.get(f"{instance.url}/_management/backends", timeout=10).json()
        return {one["id"]: one["state"] for one in shown["backends"]}


@dataclass
class Load:
    """Calls from the official SDK to all gateways, without its own retries: what came of them, by the moment they
    ended."""

    system: System
    api: str
    done: list[tuple[float, str]] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What was not a good answer."""
        return [what for _, what in self.done if what != "ok"]

    async def run(self, until: Callable[[], bool]) -> None:
        """Call all gateways, three calls at once each, until it holds."""
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for instance in self.system.instances:
                for number in range(3):
                    group.create_task(self._caller(instance, until, stream=number == 0))

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Call all gateways all the while."""
        over = False
        calls = asyncio.create_task(self.run(lambda: over))
        try:
            yield
        finally:
            over = True
            await calls

    async def _caller(self, instance: RunningGateway, until: Callable[[], bool], *, stream: bool) -> None:
        http = httpx.AsyncClient(trust_env=False)
        url = f"{instance.url}/{self.api}"
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, http_client=http) as client:
            while not until():
                self.done.append((time.monotonic(), await self._call(client, stream)))

    async def _call(self, client: openai.AsyncOpenAI, stream: bool) -> str:
        messages: Any = [{"role": "user", "content": "hello"}]
        try:
            answer: Any = await client.chat.completions.create(model="m", messages=messages, stream=stream)
            if stream:
                parts = [part async for part in answer]
                return "ok" if parts[-1].choices == [] or parts[-1].choices[0].finish_reason else "cut short"
            return "ok" if answer.choices[0].message.content else "empty"
        except openai.APIStatusError as error:
            return f"{error.status_code} retry-after {error.response.headers.get('retry-after')}"
        except openai.APIError as error:
            return f"{type(error).__name__}: {error}"


def asked(*members: Backend) -> int:
    """The requests these backends have had."""
    return sum(len(member.requests) for member in members)


@contextmanager
def running(folder: Path, *, storage: bool = True) -> Iterator[System]:
    """The system; without `storage` its account refuses connections."""
    with ExitStack() as stack:
        members = {name: Backend(script=PACE).__enter__() for name in ("one", "two", "three")}
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(**{name: backend.url for name, backend in members.items()}))
        azurite = stack.enter_context(Azurite(data=folder / "storage"))
        if not storage:
            azurite.kill()
        environment = {
            "GATEWAY_CONFIG": str(config),
            "GATEWAY_KEY_HASH_SECRET": "the key-hash secret of this test",
            "GATEWAY_ALL_ACCESS_KEY": KEY,
            "GATEWAY_TABLES_CONNECTION_STRING": azurite.connection_string,
        }
        system = System(azurite, environment, members)
        system.instances = stack.enter_context(gateways(config, 2, env=environment))
        try:
            yield system
        finally:
            for name in members:
                system.kill(name)


@pytest.mark.parametrize("storage", [True, False], ids=["shared", "storage down"])
def test_a_member_dies_and_comes_back(tmp_path: Path, storage: bool) -> None:
    async def story(system: System) -> None:
        load = Load(system, "pool")
        one, two, three = system.members.values()

        def states(name: str) -> list[str]:
            return [system.status(instance)[name] for instance in system.instances]

        await load.run(lambda: asked(one, two, three) >= 100)
        counts = [asked(member) for member in (one, two, three)]
        assert max(counts) - min(counts) <= 0.15 * sum(counts), counts

        async with load.going_on():
            await asyncio.to_thread(system.kill, "two")
            await asyncio.to_thread(wait_until, lambda: "open" in states("two"))
        before = [asked(one), asked(three)]
        await load.run(lambda: asked(one, three) >= sum(before) + 50)
        after = [asked(one) - before[0], asked(three) - before[1]]
        assert min(after) > 0.4 * sum(after), after
        assert load.failures == []
        assert states("two") != ["closed", "closed"]

        # It hesitates over its first answer: whoever comes in that time would be a stampede.
        revived = system.revive("two", Script(delay=5.0))
        async with load.going_on():
            await asyncio.to_thread(revived.wait_for_requests, 1, 30.0)
            await asyncio.sleep(1.2)
            assert asked(revived) <= 2  # a trial of each at most
            revived.script = PACE
            await asyncio.to_thread(wait_until, lambda: states("two") == ["closed", "closed"])
        late = asked(revived)
        await load.run(lambda: asked(revived) > late + 10)
        assert load.failures == []

    with running(tmp_path, storage=storage) as system:
        asyncio.run(story(system))


def test_provisioned_throughput_spills_at_once_and_is_back_on_time(tmp_path: Path) -> None:
    async def story(system: System) -> None:
        load = Load(system, "spill")
        ptu, other = system.members["one"], system.members["two"]
        await load.run(lambda: asked(ptu) > 20)
        assert not other.requests
        before = asked(ptu)
        ptu.script = Script(status=429, headers={"retry-after": "6"})
        throttled = time.monotonic()
        await load.run(lambda: asked(other) > 20)
        # Each gateway finds out by what was under way; from then on nobody asks.
        assert asked(ptu) - before <= 2 * 3 + 2
        assert time.monotonic() - throttled < 6, "too slow to tell"
        ptu.script = PACE
        before = asked(ptu)
        async with load.going_on():
            await asyncio.to_thread(ptu.wait_for_requests, before + 1, 30.0)
            assert time.monotonic() - throttled > 5.5
            await asyncio.to_thread(
                wait_until, lambda: all(system.status(instance)["ptu"] == "closed" for instance in system.instances)
            )
        before, spilled = asked(ptu), asked(other)
        await load.run(lambda: asked(ptu) > before + 20)
        assert asked(other) == spilled
        assert load.failures == []

    with running(tmp_path) as system:
        asyncio.run(story(system))


def test_all_down_is_one_503_and_nobody_is_hammered(tmp_path: Path) -> None:
    async def story(system: System) -> None:
        for backend in system.members.values():
            backend.script = Script(status=500)
        load = Load(system, "pool")
        begun = time.monotonic()
        await load.run(lambda: sum(what.startswith("503") for what in load.failures) > 20)
        took = time.monotonic() - begun
        # A trip lasts two seconds; who learned of it from the other waits up to six more for that one's trial.
        assert set(load.failures) <= {"500 retry-after None", *(f"503 retry-after {wait}" for wait in range(1, 9))}
        # Three failures trip a breaker, what was under way comes on top, and then it is one trial every two seconds.
        assert all(asked(backend) <= 2 * (3 + 3 + took // 2) for backend in system.members.values())

    with running(tmp_path) as system:
        asyncio.run(story(system))


def test_a_trip_at_one_gateway_is_known_at_the_other(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        first, second = system.instances
        ptu = system.members["one"]

        def call(instance: RunningGateway) -> httpx.Response:
            body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
            url = f"{instance.url}/spill/chat/completions"
            return httpx.post(url, json=body, headers={"api-key": KEY}, timeout=10)

        assert call(second).status_code == 200
        ptu.script = Script(status=429, headers={"retry-after": "10"})
        assert call(first).status_code == 200  # by the other member
        before = asked(ptu)
        wait_until(lambda: system.status(second)["ptu"] == "open")
        assert [call(second).status_code for _ in range(5)] == [200] * 5
        assert asked(ptu) == before

        command = [sys.executable, "-m", "shared", "backends", "status", "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **system.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        shown = {one["id"]: one for one in json.loads(done.stdout)["backends"]}
        assert (shown["ptu"]["trouble"], shown["two"]["state"]) == ("429", "closed")
        assert shown["ptu"]["state"] in ("open", "half-open")

        ptu.script = PACE
        # The one that wrote it tries first, and tells the other how it went.
        wait_until(lambda: call(first).status_code == 200 and system.status(first)["ptu"] == "closed")
        wait_until(lambda: call(second).status_code == 200 and system.status(second)["ptu"] == "closed")
