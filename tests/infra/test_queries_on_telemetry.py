"""What the queries ask for is what arrives: every name and value they mention, from a gateway that has seen it all."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.infra.log_tables import LogTables
from tests.infra.queries import LIKE_API_MANAGEMENT, QUERIES, VIEWS, by_hand, questions
from tests.infra.templates import ROOT
from tests.policies.semantic import STORE, document, lookup
from tests.support.app_insights import AppInsights, Item
from tests.support.backend import Backend, Script
from tests.support.running import running
from tests.support.waiting import wait_until

CONFIG = """
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
# What counts is what is deployed.
[METRIC] = re.findall(
    r"<llm-emit-token-metric.*</llm-emit-token-metric>", (ROOT / "policies" / "counted.xml").read_text(), re.S
)
FILES = {
    "models.xml": document(lookup('embeddings-timeout-ms="10000"', threshold=0.2), STORE, inbound=METRIC),
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
        wait_until(lambda: gateway.app.semantic_caching.cache.counts.stored == 1)
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
        # A call is told of after its caller has the last byte.
        wait_until(lambda: telemetry.flush(10) and len(insights.of("RequestData")) == 9)
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


def test_every_api_that_is_deployed_counts_the_same() -> None:
    for id, api in YAML(typ="safe").load((ROOT / "gateway.yaml").read_text())["apis"].items():
        assert METRIC in (ROOT / api["policy"]).read_text(), id


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


@pytest.fixture(scope="module")
def logs(arrived: AppInsights) -> LogTables:
    return LogTables(item for type in TABLES.values() for item in arrived.of(type))


def asked(logs: LogTables, name: str) -> list[dict[str, Any]]:
    """What a question is answered, as it is asked by hand."""
    return logs.ask(by_hand(questions()[name]))


def figures(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in names) for row in rows)


def test_every_question_is_answered(logs: LogTables) -> None:
    assert [name for name in questions() if not asked(logs, name)] == []


def test_totals_are_what_was_called(logs: LogTables) -> None:
    # Two answers of three hits; the stream that broke after one chunk has its prompt and nothing else.
    assert {row["Name"]: row["Value"] for row in asked(logs, "totals.kql")} == {
        "Calls": 9,
        "Prompt tokens": 10 + 4 + 30 + 14,
        "Completion tokens": 27 + 21 + 20,
        "From a cache": 3,
        "Refused": 1,
        "Failed": 1,
    }


def test_tokens_recorded_are_those_counted_and_logged(logs: LogTables) -> None:
    recorded = asked(logs, "tokens.kql")
    counted = asked(logs, "tokens-counted.kql")
    by = ("Subscription", "Product", "API", "Model")
    assert figures(counted, *by, "Prompt", "Completion") == figures(recorded, *by, "Prompt tokens", "Completion tokens")
    assert figures(counted, *by, "Calls", "Total", "Cached", "Reasoning") == [
        ("anna", "team", "models", "gpt-4o", 3, 76, 0, 0),
        ("anna", "team", "models", "gpt-4o-2024-11-20", 1, 50, 10, 5),
    ]
    assert sum(row["Tokens"] for row in asked(logs, "tokens-over-time.kql")) == 126
    assert sum(row["Prompt tokens"] + row["Completion tokens"] for row in asked(logs, "llm-log.kql")) == 126


def test_cost_is_told_by_who_is_charged(logs: LogTables) -> None:
    [charge] = asked(logs, "cost-over-time.kql")
    rows = asked(logs, "cost.kql")
    assert charge["Subscription"] == "anna (USD)"
    assert figures(rows, "Subscription", "Model", "Currency", "Calls") == [
        ("anna", "gpt-4o", "USD", 3),
        ("anna", "gpt-4o-2024-11-20", "USD", 1),
    ]
    # The list's prices for a million tokens: 2.50 asked, 1.25 of them from the provider's cache, 10 answered.
    expected = ((58 - 10) * 2.5 + 10 * 1.25 + 68 * 10) / 1e6
    assert charge["Cost"] == pytest.approx(expected) == pytest.approx(sum(row["Cost"] for row in rows))


def test_hits_refusals_and_failures_are_told_by_kind(logs: LogTables) -> None:
    kinds = ("API", "Answers", "Exact hits", "Semantic hits", "Response cache hits", "Hit rate")
    assert figures(asked(logs, "cache.kql"), *kinds) == [("files", 2, 0, 0, 1, 50.0), ("models", 5, 1, 1, 0, 40.0)]
    assert figures(asked(logs, "refusals.kql"), "Status", "Reason", "API", "Calls") == [
        (401, "SubscriptionKeyInvalid", "files", 1)
    ]
    assert figures(asked(logs, "failures.kql"), "Status", "Outcome", "Reason", "Calls") == [
        (200, "backend-broken", "BackendConnectionFailure", 1)
    ]


def test_backends_are_told_with_who_stood_in_for_whom(logs: LogTables) -> None:
    rows = [row for row in asked(logs, "backends.kql") if row["Pool"]]
    told = ("Backend", "Pool", "Calls", "Success rate", "No answer", "Taken over")
    assert figures(rows, *told) == [("away", "pool", 4, 0.0, 4, 0), ("main", "pool", 4, 75.0, 1, 4)]
    assert figures(asked(logs, "failovers.kql"), "Pool", "Because", "Moved to", "Calls") == [
        ("pool", "BackendConnectionFailure", "main", 4)
    ]


def test_times_are_milliseconds(logs: LogTables, arrived: AppInsights) -> None:
    [streamed] = [
        item.properties
        for item in arrived.of("RequestData")
        if "gen_ai.request.stream" in item.properties and "apim.outcome" not in item.properties
    ]
    [first_chunk] = [row["First chunk, median"] for row in asked(logs, "latency.kql") if row["First chunk, median"]]
    assert first_chunk == pytest.approx(1000 * float(streamed["gen_ai.response.time_to_first_chunk"]))


def test_messages_are_whole_again(logs: LogTables) -> None:
    said = {row["Asked"]: row["Answered"] for row in asked(logs, "llm-log.kql")}
    answer = json.loads(said['[{"role":"user","content":"What is seventeen times four?"}]'])
    assert answer == [{"role": "assistant", "content": "Thought over."}]
    assert len(said) == 4, "hits of a cache are no calls to a model"


def test_a_sampled_record_weighs_as_much_as_the_calls_it_stands_for(arrived: AppInsights) -> None:
    sampled = [
        replace(item, sample_rate=25.0) for type in ("RequestData", "RemoteDependencyData") for item in arrived.of(type)
    ]
    logs = LogTables(sampled)
    assert asked(logs, "totals.kql")[0] == {"Name": "Calls", "Value": 36}
    assert figures(asked(logs, "failovers.kql"), "Calls") == [(16,)]
    assert figures(asked(logs, "tokens.kql"), "Calls", "Prompt tokens") == [(4, 120), (20, 112)]


def test_only_what_is_looked_at_counts(logs: LogTables) -> None:
    for name, chosen, calls in (("apis", "files", 3), ("products", "team", 8), ("subscriptions", "anna", 8)):
        query = by_hand(questions()["totals.kql"]).replace(
            f"let {name} = dynamic([]);", f'let {name} = dynamic(["{chosen}"]);'
        )
        assert logs.ask(query)[0] == {"Name": "Calls", "Value": calls}


def test_queries_for_api_managements_tables_are_answered(logs: LogTables) -> None:
    tables = (VIEWS / "api-management.kql").read_text()
    rows = logs.ask(tables + LIKE_API_MANAGEMENT["tokens by subscription and model"])
    assert figures(rows, "SubscriptionId", "DeploymentName", "ModelName", "Tokens", "Requests") == [
        ("anna", "gpt-4o", "gpt-4o", 76, 3),
        ("anna", "gpt-4o", "gpt-4o-2024-11-20", 50, 1),
    ]
    rows = logs.ask(tables + LIKE_API_MANAGEMENT["slow and failed calls by API"])
    assert figures(rows, "ApiId", "BackendId", "Method", "ResponseCode", "Calls", "Failed", "Hits") == [
        ("files", "", "GET", 200, 1, 0, 1),
        ("files", "", "GET", 401, 1, 1, 0),
        ("files", "main", "GET", 200, 1, 0, 0),
        ("models", "", "POST", 200, 2, 0, 2),
        ("models", "main", "POST", 200, 4, 1, 0),
    ]
    assert all(row["Backends"] <= row["All"] for row in rows if row["BackendId"])
    said = logs.ask(tables + LIKE_API_MANAGEMENT["prompts and completions"])
    assert ("What is seventeen times four?", "Thought over.") in figures(said, "Input", "Output")
