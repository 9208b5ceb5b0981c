"""Request traces: who gets one, what it tells, what it must not tell."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.gateway.tracing import DebugTokens
from tests.support.azure_platform import AzurePlatform
from tests.support.azurite import Azurite
from tests.support.backend import Backend
from tests.support.running import KEY, SECRET, Running, running, write
from tests.support.serve import gateways

ROOT = Path(__file__).parents[2]
CONFIG = """
named_values:
  backend-key: { env: BACKEND_KEY }
backends:
  it: { url: "@backend@/v1", credentials: { header: { api-key: "{{backend-key}}" } } }
apis:
  one: { path: one, kind: openai, backend: it, policy: policies/one.xml }
  two: { path: two, kind: openai, backend: it }
  named:
    path: named
    kind: openai
    backend: it
    subscription_key: { header: X-Team-Key }
    policy: policies/named.xml
"""
POLICY = """
<policies>
  <inbound>
    <base />
    <set-variable name="team" value="blue {{backend-key}}" />
    <set-header name="Authorization" exists-action="override"><value>Bearer token-of-the-policy</value></set-header>
    <choose>
      <when condition="true"><set-header name="x-seen" exists-action="override"><value>yes</value></set-header></when>
    </choose>
  </inbound>
  <backend><forward-request /></backend>
  <outbound><set-header name="x-out" exists-action="override"><value>1</value></set-header></outbound>
</policies>
"""
NAMED = """
<policies>
  <inbound>
    <base />
    <set-variable name="key" value='@("key=" + context.Subscription.Key)' />
    <trace source="it"><message>@(context.Request.Headers["X-Team-Key"][0])</message></trace>
  </inbound>
  <backend><forward-request /></backend>
  <outbound />
</policies>
"""
FILES = {"policies/one.xml": POLICY, "policies/named.xml": NAMED}
ENVIRONMENT = {"BACKEND_KEY": "backend-secret"}
TOKENS = DebugTokens(SECRET.encode())


@pytest.fixture(scope="module")
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend):
    with running(CONFIG, files=FILES, values={"backend": backend.url}, environment=ENVIRONMENT) as gateway:
        yield gateway


def traced(gateway: Running, path: str, token: str) -> httpx.Response:
    headers = {**gateway.key, "Apim-Debug-Authorization": token}
    return httpx.get(f"{gateway.url}{path}?a=1&subscription-key={KEY}", headers=headers)


def fetched(gateway: Running, id: str, token: str) -> httpx.Response:
    return httpx.get(f"{gateway.url}/_management/traces/{id}", headers={"Apim-Debug-Authorization": token})


def test_a_trace_tells_each_policy_in_order_and_no_secret(gateway: Running, backend: Backend) -> None:
    token = TOKENS.issue()
    answer = traced(gateway, "/one/models", token)
    assert answer.status_code == 200 and backend.last.header("apim-debug-authorization") is None
    shown = fetched(gateway, answer.headers["apim-trace-id"], token)
    trace: dict[str, Any] = shown.json()
    assert trace["requestId"] == answer.headers["x-gateway-request-id"]
    assert (trace["api"], trace["operation"], trace["backend"]) == ("one", "list-models", "it")
    policies = {
        section: [entry["source"] for entry in entries if "seconds" in entry["data"]]
        for section, entries in trace["traceEntries"].items()
    }
    assert policies == {
        "inbound": ["set-variable", "set-header", "set-header", "choose"],
        "backend": ["forward-request"],
        "outbound": ["set-header"],
    }
    assert {"name": "team", "value": "blue ***"} in [e["data"] for e in trace["traceEntries"]["inbound"]]
    assert trace["response"]["statusCode"] == 200 and trace["response"]["outcome"] == "completed"
    for secret in (KEY, "backend-secret", "token-of-the-policy", token):
        assert secret not in shown.text


def test_the_callers_key_is_in_no_trace_whatever_its_header_is_called(gateway: Running) -> None:
    token = TOKENS.issue()
    headers = {"X-Team-Key": KEY, "x-goog-api-key": "a-google-key", "Apim-Debug-Authorization": token}
    answer = httpx.get(f"{gateway.url}/named/models", headers=headers)
    shown = fetched(gateway, answer.headers["apim-trace-id"], token)
    assert shown.json()["request"]["headers"]["x-team-key"] == "***"
    assert "key=***" in shown.text
    assert KEY not in shown.text and "a-google-key" not in shown.text


def test_no_token_no_trace(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/one/models", headers=gateway.key)
    assert "apim-trace-id" not in answer.headers
    other = DebugTokens(b"another secret").issue()
    expired = DebugTokens(SECRET.encode(), clock=lambda: 1_000_000).issue()
    for token, header in {
        other: "apim-debug-authorization-invalid",
        "rubbish": "apim-debug-authorization-invalid",
        expired: "apim-debug-authorization-expired",
        TOKENS.issue("two"): "apim-debug-authorization-wrongapi",
    }.items():
        answer = traced(gateway, "/one/models", token)
        assert answer.status_code == 200 and answer.headers[header] == "true" and "apim-trace-id" not in answer.headers
    assert "apim-trace-id" in traced(gateway, "/two/models", TOKENS.issue("two")).headers
    with pytest.raises(ValueError, match="an hour at most"):
        TOKENS.issue(lifetime=timedelta(hours=2))


def test_a_token_reads_the_traces_of_its_own_api(gateway: Running) -> None:
    id = traced(gateway, "/one/models", TOKENS.issue()).headers["apim-trace-id"]
    assert fetched(gateway, id, TOKENS.issue("one")).status_code == 200
    assert fetched(gateway, id, TOKENS.issue("two")).status_code == 404
    assert fetched(gateway, id, "rubbish").status_code == 401
    assert fetched(gateway, "no-such-trace", TOKENS.issue()).status_code == 404
    assert httpx.get(f"{gateway.url}/_management/anything").status_code == 404


def test_refusals_are_traced_too(gateway: Running) -> None:
    token = TOKENS.issue()
    headers = {"Apim-Debug-Authorization": token, "api-key": "wrong"}
    answer = httpx.get(f"{gateway.url}/one/models", headers=headers)
    assert answer.status_code == 401
    entries = fetched(gateway, answer.headers["apim-trace-id"], token).json()["traceEntries"]
    assert entries["gateway"][0]["data"]["reason"] == "SubscriptionKeyInvalid"


def test_on_the_local_server_the_old_header_is_enough(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/one/models", headers={**gateway.key, "Ocp-Apim-Trace": "true"})
    id = answer.headers["apim-trace-id"]
    assert httpx.get(f"{gateway.url}/_management/traces/{id}").status_code == 200


def test_any_instance_shows_a_trace(tmp_path: Path, backend: Backend) -> None:
    for name, text in {"gateway.yaml": CONFIG, **FILES}.items():
        write(tmp_path / name, text, {"backend": backend.url})
    with AzurePlatform(tmp_path) as azure, Azurite("table") as storage:
        env = {**azure.environment, **ENVIRONMENT, "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string}
        command = [sys.executable, "-m", "shared", "debug-token", "--minutes", "5"]

        token = subprocess.check_output(command, cwd=ROOT, env={**os.environ, **env}, text=True).strip()
        with gateways(tmp_path / "gateway.yaml", 2, env=env) as (one, two):
            headers = {"api-key": KEY, "Apim-Debug-Authorization": token}
            id = httpx.get(f"{one.url}/one/models", headers=headers).headers["apim-trace-id"]
            for instance in (one, two):
                shown = httpx.get(f"{instance.url}/_management/traces/{id}", headers=headers)
                assert shown.status_code == 200 and shown.json()["requestId"] == id
            without = {"api-key": KEY, "Ocp-Apim-Trace": "true"}
            assert "apim-trace-id" not in httpx.get(f"{one.url}/one/models", headers=without).headers
            assert httpx.get(f"{two.url}/_management/traces/{id}").status_code == 401
