"""Two gateway processes on one storage: what an administrator changes holds on both, also through an outage."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.azurite import Azurite
from tests.support.backend import Backend
from tests.support.processes import ROOT
from tests.support.serve import RunningGateway, gateways
from tests.support.waiting import wait_until

CONFIG = """
backends:
  model: {{url: "{backend}"}}
products:
  gold: {{}}
apis:
  chat: {{path: chat, kind: openai, backend: model, products: [gold]}}
  other: {{path: other, kind: openai, backend: model}}
"""
SECRET = "the key-hash secret of this test"


@dataclass
class System:
    """Two gateways, their storage, and the terminal of an administrator who knows the same settings."""

    storage: Azurite
    environment: dict[str, str]
    instances: list[RunningGateway] = field(default_factory=list)

    def administer(self, *arguments: str) -> Any:
        """The JSON a command prints."""
        command = [sys.executable, "-m", "shared", "subscriptions", *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, key: str, api: str = "chat") -> list[httpx.Response]:
        """One chat completion with this key on each gateway."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
        urls = [f"{instance.url}/{api}/chat/completions" for instance in self.instances]
        return [httpx.post(url, json=body, headers={"api-key": key}, timeout=10) for url in urls]

    def statuses(self, key: str, api: str = "chat") -> list[int]:
        """The status codes of `call`."""
        return [response.status_code for response in self.call(key, api)]


@pytest.fixture
def system(tmp_path: Path, backend: Backend) -> Iterator[System]:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(backend=backend.url))
    with Azurite(data=tmp_path / "storage") as storage:
        environment = {
            "GATEWAY_CONFIG": str(config),
            "GATEWAY_KEY_HASH_SECRET": SECRET,
            "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string,
        }
        with gateways(config, 2, env=environment) as instances:
            yield System(storage, environment, instances)


def test_what_is_changed_once_holds_on_both_gateways(system: System, backend: Backend) -> None:
    made = system.administer("create", "team", "--scope", "product:gold", "--owner", "ann")
    primary, secondary = made["primary_key"], made["secondary_key"]
    loud = system.administer("create", "loud", "--scope", "all-apis")["primary_key"]
    gone = system.administer("create", "gone", "--scope", "api:chat")["primary_key"]
    late = system.administer("create", "late", "--scope", "all-apis", "--state", "submitted")["primary_key"]
    assert [system.statuses(key) for key in (primary, secondary, loud, gone)] == [[200, 200]] * 4
    assert [system.statuses(key, "other") for key in (primary, loud, gone)] == [[401, 401], [200, 200], [401, 401]]
    assert system.statuses(late) == [401, 401]
    assert not any(primary in str(request.headers) for request in backend.requests)

    rotated = system.administer("rotate", "team", "primary")["primary_key"]
    system.administer("suspend", "loud")
    system.administer("delete", "gone")
    system.administer("activate", "late")

    keys = (primary, secondary, rotated, loud, gone, late)
    after = [[401, 401], [200, 200], [200, 200], [401, 401], [401, 401], [200, 200]]
    wait_until(lambda: [system.statuses(key) for key in keys] == after)
    assert "invalid subscription key" in system.call(loud)[0].text
    said = "\n".join(line for instance in system.instances for line in instance.process.lines)
    assert not any(secret in said for secret in (*keys, SECRET))


def test_an_outage_of_storage_is_none_for_keys_that_were_seen(system: System) -> None:
    seen, unseen, never = (
        system.administer("create", name, "--scope", "all-apis")["primary_key"] for name in ("seen", "unseen", "never")
    )
    assert system.statuses(seen) == [200, 200]
    began = time.monotonic()

    system.storage.pause()  # connections open, nothing answers
    for response in system.call(unseen):
        assert response.status_code == 503 and response.headers["retry-after"] == "5"
        assert "cannot be checked" in response.json()["error"]["message"]
        assert response.elapsed.total_seconds() < 10
    while time.monotonic() < began + 16:  # past the time an answer counts as fresh
        assert system.statuses(seen) == [200, 200]
        time.sleep(0.5)
    assert all(response.elapsed.total_seconds() < 0.9 for response in system.call(seen))
    assert system.statuses(unseen) == [503, 503]

    system.storage.resume()
    wait_until(lambda: system.statuses(unseen) == [200, 200])
    system.storage.kill()  # nobody listens
    assert system.statuses(never) == [503, 503]
    assert system.statuses(seen) == system.statuses(unseen) == [200, 200]

    said = [line for instance in system.instances for line in instance.process.lines]
    outages = [line for line in said if "seen keys keep working" in line]
    assert len(outages) == 4  # two on each gateway, however many requests fell into them
    assert not any(secret in line for line in said for secret in (seen, unseen, never, SECRET))
