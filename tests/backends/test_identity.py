"""The gateway shows its managed identity to backends, and reads secrets from Key Vault with it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from shared.app import App
from shared.backends.auth.managed_identity import IdentityTokens
from shared.errors import PolicyFailed
from shared.settings import from_environment
from tests.support.azure_platform import AzurePlatform
from tests.support.backend import Backend
from tests.support.running import KEY
from tests.support.serve import gateway, serving
from tests.support.waiting import wait_until

CONFIG = """
named_values:
  third-party-key: {{ key_vault: "{vault}/secrets/third-party" }}
backends:
  azure:
    url: "{backend}/v1"
    credentials: {{ managed_identity: {{ resource: "https://cognitiveservices.azure.com" }} }}
  foundry:
    url: "{backend}/v1"
    credentials: {{ managed_identity: {{ resource: "https://ai.azure.com/", client_id: "the-client" }} }}
  keyed:
    url: "{backend}/v1"
    credentials:
      header: {{ api-key: "{{{{third-party-key}}}}" }}
      managed_identity: {{ resource: "https://cognitiveservices.azure.com" }}
apis:
  azure: {{ path: azure, kind: openai, backend: azure }}
  foundry: {{ path: foundry, kind: openai, backend: foundry }}
  keyed: {{ path: keyed, kind: openai, backend: keyed }}
"""


def test_tokens_and_secrets_reach_the_backend_and_nobody_else(tmp_path: Path) -> None:
    with AzurePlatform(tmp_path) as azure, Backend() as backend:
        azure.secrets["third-party"] = "secret-of-the-vault"
        azure.delay = 0.2
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(vault=azure.vault_url, backend=backend.url))
        with gateway(config, env=azure.environment) as running, ThreadPoolExecutor(8) as threads:

            def call(api: str) -> int:
                headers = {"authorization": f"Bearer {KEY}"}
                return httpx.get(f"{running.url}/{api}/models", headers=headers).status_code

            assert call("keyed") == 200
            assert backend.last.header("api-key") == "secret-of-the-vault"
            assert backend.last.header("authorization") is None
            assert azure.tokens == [("https://vault.azure.net", None)]

            assert set(threads.map(call, ["azure"] * 8)) == {200}
            assert azure.tokens.count(("https://cognitiveservices.azure.com", None)) == 1
            expected = "Bearer token-2-for-https://cognitiveservices.azure.com"
            assert {request.header("authorization") for request in backend.requests[1:]} == {expected}

            assert call("foundry") == 200
            assert azure.tokens[-1][1] == "the-client"
            azure.failing = True
            assert call("azure") == 200  # the token at hand is still good
            log = "\n".join(running.process.lines)
            assert "secret-of-the-vault" not in log and "token-2" not in log and KEY not in log


def test_an_identity_that_gives_no_token_is_a_neutral_500(tmp_path: Path) -> None:
    with AzurePlatform(tmp_path) as azure, Backend() as backend:
        azure.secrets["third-party"] = "x"
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(vault=azure.vault_url, backend=backend.url))
        with gateway(config, env=azure.environment) as running:
            httpx.get(f"{running.url}/keyed/models", headers={"api-key": KEY})
            azure.failing = True
            answer = httpx.get(f"{running.url}/azure/models", headers={"api-key": KEY}, timeout=60)
            assert answer.status_code == 500 and answer.json()["message"] == "Internal server error"
            assert answer.json()["activityId"] == answer.headers["x-gateway-request-id"]


def test_while_key_vault_is_away_its_last_secrets_stay_and_it_is_asked_again_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    with AzurePlatform(tmp_path) as azure, Backend() as backend:
        azure.secrets["third-party"] = "first"
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(vault=azure.vault_url, backend=backend.url))
        for name, value in azure.environment.items():
            monkeypatch.setenv(name, value)  # azure-identity and TLS look there
        settings = from_environment(azure.environment, base=tmp_path, local=False)
        with serving(App(settings, local=False, monotonic=lambda: now)) as url:

            def secret() -> str | None:
                assert httpx.get(f"{url}/keyed/models", headers={"api-key": KEY}).status_code == 200
                return backend.last.header("api-key")

            def due(seconds: float) -> None:
                """See that the vault is asked after that many seconds more, and not one earlier."""
                nonlocal now
                before = len(azure.asked)
                now += seconds - 1
                assert secret() == "first" and len(azure.asked) == before
                now += 1
                wait_until(lambda: secret() is not None and len(azure.asked) == before + 1)

            assert secret() == "first" and len(azure.asked) == 1
            azure.vault_away = True
            for seconds in (4 * 3600, 30, 60, 120):
                due(seconds)
            azure.vault_away, azure.secrets["third-party"] = False, "second"
            due(240)
            wait_until(lambda: secret() == "second")
    told = [record.getMessage() for record in caplog.records if record.name == "gateway"]
    assert told == [
        f"the last good configuration stays:\ngateway.yaml:3 named_values.third-party-key: "
        f"Key Vault gave no secret for {azure.vault_url}/secrets/third-party: status 503",
        "the configuration loads again",
    ]


async def test_tokens_are_renewed_ahead_and_an_old_one_bridges_a_failure() -> None:
    now = 1_000.0
    fetched: list[float] = []

    async def fetch(resource: str, client_id: str | None) -> tuple[str, float]:
        await asyncio.sleep(0)
        fetched.append(now)
        if len(fetched) == 3:
            raise OSError("no answer")
        return f"token {len(fetched)}", now + 3600

    tokens = IdentityTokens(fetch, clock=lambda: now)
    assert await asyncio.gather(*(tokens.token("r") for _ in range(20))) == ["token 1"] * 20
    now += 3600 - 301
    assert await tokens.token("r") == "token 1" and len(fetched) == 1
    now += 2
    assert await tokens.token("r") == "token 1"  # nobody waits for the renewal
    await asyncio.sleep(0.01)
    assert await tokens.token("r") == "token 2" and len(fetched) == 2
    now += 3600 - 299
    assert await tokens.token("r") == "token 2"
    await asyncio.sleep(0.01)
    assert await tokens.token("r") == "token 2" and len(fetched) == 3  # failed; not asked again at once
    now += 11
    await tokens.token("r")
    await asyncio.sleep(0.01)
    assert await tokens.token("r") == "token 4"


async def test_many_who_wait_in_vain_log_the_ways_that_were_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    async def never(resource: str, client_id: str | None) -> tuple[str, float]:
        await asyncio.sleep(0)
        raise OSError("no login\nManagedIdentityCredential: no\nAzureCliCredential: no")

    tokens = IdentityTokens(never)
    failed = await asyncio.gather(*(tokens.token("r") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(one, PolicyFailed) and one.detail == "no token for r: OSError: no login" for one in failed)
    assert caplog.text.count("AzureCliCredential") == 1
