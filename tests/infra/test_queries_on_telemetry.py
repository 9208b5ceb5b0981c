"""What the queries ask for is what arrives: every name and value they mention, from a gateway that has seen it all."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.infra.templates import ROOT
from tests.infra.test_workbook import QUERIES
from tests.policies.semantic import STORE, document, lookup
from tests.support.app_insights import AppInsights, Item
from tests.support.backend import Backend, Script
from tests.support.running import Running, running

CONFIG = """
policy: all-apis.xml
backends:
  away: { url: "http://127.0.0.1:9/v1", timeouts: { connect: 1 } }
  main: { url: "@backend@/v1" }
  embeddings: { url: "@embeddings@/openai/deployments/ada/embeddings", credentials: { header: { api-key: "e" } } }
  pool: { pool: { failover: true, services: [{ id: away, priority: 1 }, { id: main, priority: 2 }] } }
apis:
  models: { path: models, kind: openai, backend: pool, products: [team], policy: models.xml }
  files: { path: files, kind: passthrough, backend: main, products: [team], policy: files.xml }
products:
  team: { display_name: Team }
named_values:
  anna: { env: ANNA }
subscriptions:
  anna: { scope: "product:team", owner: anna, keys: { primary: "{{anna}}" } }
diagnostics:
  large_language_model: { logs: enabled, requests: { messages: all }, responses: { messages: all } }
"""
FILES = {
    # What counts is the policy that is deployed.
    "all-apis.xml": (ROOT / "policies" / "all-apis.xml").read_text(),
    "models.xml": document(lookup('embeddings-timeout-ms="10000"', threshold=0.2), STORE),
    "files.xml": document(
        '<cache-lookup vary-by-developer="false" vary-by-developer-groups="false" caching-type="internal" />',
        '<cache-store duration="60" />',
    ),
}
KEY = {"ocp-apim-subscription-key": "the key of anna"}
QUESTION, ALIKE = "How do I reset the password of my account?", "How do I reset the password of my account please?"
# Which kind of item becomes which table.
TABLES = {
    "requests": "RequestData",
    "dependencies": "RemoteDependencyData",
    "customMetrics": "MetricData",
    "traces": "MessageData",
}


def chat(client: httpx.Client, text: str, **fields: object) -> httpx.Response:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}
    return client.post("/models/chat/completions", json=body)


def usage_told() -> Script:
    """An answer with all details of its usage."""
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    message = {"role": "assistant", "content": "Thought over."}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-11-20", "choices": choices}
    return Script(body=json.dumps({**answer, "usage": usage}))


def kept(gateway: Running, count: int) -> None:
    deadline = time.monotonic() + 5
    while gateway.app.semantic_caching.cache.counts.stored < count:
        assert time.monotonic() < deadline, "the answer was not kept"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def arrived() -> Iterator[AppInsights]:
    """What a gateway told: of answers, streams, both kinds of semantic hits and a cached response, a refusal, a failure
    and a stream that broke."""
    with ExitStack() as stack:
        backend, embeddings = stack.enter_context(Backend()), stack.enter_context(Backend())
        insights = stack.enter_context(AppInsights())
        environment = {**insights.environment, "ANNA": KEY["ocp-apim-subscription-key"]}
        values = {"backend": backend.url, "embeddings": embeddings.url}
        gateway = stack.enter_context(running(CONFIG, files=FILES, values=values, environment=environment))
        client = stack.enter_context(httpx.Client(base_url=gateway.url, headers=KEY, trust_env=False, timeout=20))
        assert chat(client, QUESTION).status_code == 200
        kept(gateway, 1)
        assert chat(client, QUESTION).headers["x-semantic-cache"] == "exact"
        assert chat(client, ALIKE).headers["x-semantic-cache"] == "semantic"
        assert chat(client, "Tell me about telemetry", stream=True).status_code == 200
        assert [client.get("/files/models").status_code for _ in range(2)] == [200, 200]
        assert client.get("/files/models", headers={"ocp-apim-subscription-key": "none"}).status_code == 401
        backend.script = usage_told()
        assert chat(client, "What is seventeen times four?").status_code == 200
        backend.script = Script(cut_after=1)
        assert '"error"' in chat(client, "Compose an opera on gateways", stream=True).text
        telemetry: Any = gateway.app.services.telemetry
        assert telemetry.flush(10)
        yield insights
        assert insights.flaws == []


def values_of(item: Item) -> set[str]:
    return {item.name, *item.properties.values()}


@pytest.mark.parametrize("table", TABLES)
def test_properties_that_are_asked_for_arrive(arrived: AppInsights, table: str) -> None:
    sent = {name for item in arrived.of(TABLES[table]) for name in item.properties}
    asked = properties_asked()[table]
    assert asked and asked - sent == set()


def properties_asked() -> dict[str, set[str]]:
    """The names of customDimensions in the queries, by the table they are asked of: the last one that was named."""
    asked: dict[str, set[str]] = {table: set() for table in TABLES}
    for path in QUERIES.rglob("*.kql"):
        table = ""
        for name, property in re.findall(
            rf"^(?:let \w+ = | *)({'|'.join(TABLES)})$|customDimensions(.{{0,60}})", path.read_text(), re.M
        ):
            if name:
                table = name
                continue
            match = re.match(r'\["([^"]+)"\]', property)
            assert match, f"{path.name}: customDimensions{property}"
            asked[table].add(match[1])
    return asked


def test_the_policy_that_is_deployed_counts_by_what_charges_are_told_by(arrived: AppInsights) -> None:
    asked = properties_asked()["customMetrics"] - {"Currency"}  # of Cost alone
    counted = [item for item in arrived.of("MetricData") if item.name.endswith(" Tokens")]
    assert counted and all(asked <= item.properties.keys() for item in counted)


def test_values_that_are_asked_for_arrive(arrived: AppInsights) -> None:
    code = "".join(re.sub(r"//.*", "", path.read_text()) for path in QUERIES.rglob("*.kql"))
    asked = set(re.findall(r'==\s*"([^"]+)"', code))
    assert {"exact", "semantic", "response", "Cost", "Prompt Tokens", "GatewayLlmLogs", "RequestMessages"} <= asked
    sent = {value for type in TABLES.values() for item in arrived.of(type) for value in values_of(item)}
    assert asked - sent == set()


def test_attempts_are_found_by_the_call_they_were_made_for(arrived: AppInsights) -> None:
    calls = {item.data["id"] for item in arrived.of("RequestData")}
    assert {item.parent_id for item in arrived.of("RemoteDependencyData")} <= calls
    assert {item.parent_id for item in arrived.of("MessageData")} <= calls


def test_log_and_call_are_found_by_the_same_id(arrived: AppInsights) -> None:
    logged = {item.properties["CorrelationId"] for item in arrived.of("MessageData")}
    assert logged and logged <= {item.properties["apim.request_id"] for item in arrived.of("RequestData")}
