"""One request item per call, however it ends, its dependencies, and the trace context that ties them to both sides."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest

from tests.support.app_insights import AppInsights
from tests.support.backend import Backend, Script
from tests.support.running import KEY, Running, running
from tests.support.service import Reply, Service
from tests.telemetry.traced import PROMPT, Traced, facts, milliseconds

CONFIG = """
backends:
  main: { url: "@backend@/v1", timeouts: { headers: 1, idle: 1 } }
  azure: { url: "@backend@/openai", credentials: { header: { api-key: "the backend's key" } } }
  first: { url: "@backend@/v1" }  # what happens to main elsewhere is no reason to spare it
  other: { url: "@other@/v1" }
  nobody: { url: "http://127.0.0.1:9/v1", timeouts: { connect: 1 } }
  dead: { url: "http://127.0.0.1:9/v1", timeouts: { connect: 1 } }
  pool: { pool: { failover: true, services: [{ id: first, priority: 1 }, { id: other, priority: 2 }] } }
  broken: { pool: { failover: true, services: [{ id: dead, priority: 1 }, { id: other, priority: 2 }] } }
apis:
  chat: { path: llm/chat, kind: openai, backend: main, products: [team] }
  azure: { path: aoai, kind: azure-openai, backend: azure }
  open: { path: open, kind: openai, backend: main, subscription_required: false, policy: cors.xml }
  limited: { path: limited, kind: openai, backend: main, policy: limited.xml }
  leaving: { path: leaving, kind: openai, backend: main, policy: leaving.xml }
  nobody: { path: nobody, kind: openai, backend: nobody }
  pool: { path: pool, kind: openai, backend: pool }
  broken: { path: broken, kind: openai, backend: broken }
  renamed: { path: renamed, kind: openai, backend: main, policy: renamed.xml }
  moved: { path: moved, kind: openai, backend: main, policy: redirects.xml }
products:
  team: { display_name: Team }
subscriptions:
  anna: { scope: "product:team", owner: anna, keys: { primary: "{{anna}}" } }
named_values:
  anna: { env: ANNA_KEY }
limits: { max_request_body: 2048 }
"""
FILES = {
    "limited.xml": """<policies><inbound><base /><rate-limit calls="1" renewal-period="300" /></inbound>
        <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>""",
    "leaving.xml": """<policies><inbound><base /></inbound><backend><base /></backend><outbound><base /></outbound>
        <on-error><send-request mode="new" response-variable-name="said" timeout="3" ignore-error="true">
            <set-url>@other@/v1/models</set-url></send-request><base /></on-error></policies>""",
    "cors.xml": """<policies><inbound><base /><cors><allowed-origins><origin>https://app.example</origin>
        </allowed-origins><allowed-methods><method>*</method></allowed-methods></cors></inbound>
        <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>""",
    "renamed.xml": """<policies><inbound><base />
        <set-method>PUT</set-method>
        <set-header name="x-caller" exists-action="override">
            <value>@(context.Request.Headers.GetValueOrDefault("traceparent","none"))</value></set-header>
        <set-header name="traceparent" exists-action="override">
            <value>00-0000000000000000000000000000000a-000000000000000b-01</value></set-header>
        </inbound>
        <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>""",
    "redirects.xml": """<policies><inbound><base /></inbound>
        <backend><forward-request follow-redirects="true" /></backend>
        <outbound><base /></outbound><on-error><base /></on-error></policies>""",
}
ANNA = "the key of anna"
ABSENT = object()


@dataclass
class System(Traced):
    """With two backends."""

    backend: Backend = field(kw_only=True)
    other: Backend = field(kw_only=True)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with Backend() as backend, Backend() as other, AppInsights() as insights:
        values = {"backend": backend.url, "other": other.url}
        environment = {**insights.environment, "ANNA_KEY": ANNA}
        with running(CONFIG, files=FILES, values=values, environment=environment) as gateway:
            yield System(gateway, insights, backend=backend, other=other)


def key(name: str = KEY) -> dict[str, str]:
    return {"ocp-apim-subscription-key": name}


CHAT = "/llm/chat/chat/completions"


# however it ends


@pytest.mark.parametrize(
    ("path", "headers", "body", "script", "told", "reason"),
    [
        (CHAT, key(), PROMPT, {}, ("POST /llm/chat/chat/completions", "200", True), ABSENT),
        (CHAT, key(), PROMPT, {"status": 429}, ("POST /llm/chat/chat/completions", "429", False), ABSENT),
        (CHAT, {}, PROMPT, {}, ("POST /llm/chat/chat/completions", "401", False), "SubscriptionKeyNotFound"),
        (CHAT, key("x"), PROMPT, {}, ("POST /llm/chat/chat/completions", "401", False), "SubscriptionKeyInvalid"),
        ("/llm/chat/none", key(), PROMPT, {}, ("POST", "404", False), "OperationNotFound"),
        ("/nowhere", key(), PROMPT, {}, ("POST", "404", False), "OperationNotFound"),
        ("/llm/%2e%2e/chat", key(), PROMPT, {}, ("POST", "404", False), "OperationNotFound"),
        (CHAT, key(), {"x": "y" * 3000}, {}, ("POST", "413", False), "RequestTooLarge"),
        (CHAT, key(), PROMPT, {"hang_up": True}, ("POST /llm/chat/chat/completions", "502", False),
         "BackendConnectionFailure"),
        (CHAT, key(), PROMPT, {"delay": 3.0}, ("POST /llm/chat/chat/completions", "504", False), "Timeout"),
        ("/nobody/chat/completions", key(), PROMPT, {}, ("POST /nobody/chat/completions", "502", False),
         "BackendConnectionFailure"),
        ("/aoai/deployments/d-1/chat/completions?api-version=2024-10-21&code=secret", key(), PROMPT, {},
         ("POST /aoai/deployments/{deployment-id}/chat/completions", "200", True), ABSENT),
    ],
)  # fmt: skip
def test_each_answer_is_one_request(
    system: System,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    script: dict[str, Any],
    told: tuple[str, str, bool],
    reason: object,
) -> None:
    system.backend.scripts.extend([Script(**script)] if script else [])
    answer, trace_id = system.post(path, headers=headers, json=body)
    item = system.request(trace_id)
    assert facts(item) == told
    assert item.data["responseCode"] == str(answer.status_code)
    assert item.properties["apim.request_id"] == answer.headers["x-gateway-request-id"]
    assert item.properties.get("apim.last_error.reason", ABSENT) == reason


def test_a_limit_that_refuses_is_a_request(system: System) -> None:
    answers = [system.post("/limited/chat/completions", headers=key()) for _ in range(2)]
    assert [answer.status_code for answer, _ in answers] == [200, 429]
    item = system.request(answers[1][1])
    assert facts(item) == ("POST /limited/chat/completions", "429", False)
    assert item.properties["apim.last_error.reason"] == "RateLimitExceeded"
    assert item.properties["gen_ai.request.model"] == "gpt-4o"
    assert system.calls(answers[1][1]) == []


def test_a_preflight_is_a_request(system: System) -> None:
    trace_id, traced = system.trace()
    asked = {**traced, "origin": "https://app.example", "access-control-request-method": "POST"}
    answer = httpx.options(f"{system.gateway.url}/open/chat/completions", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert facts(system.request(trace_id)) == ("OPTIONS /open/chat/completions", "200", True)


def test_health_and_management_are_none(system: System) -> None:
    for path in ("/status-0123456789abcdef", "/_management/backends"):
        trace_id, traced = system.trace()
        assert httpx.get(system.gateway.url + path, headers=traced).status_code == 200
        assert system.items("RequestData", trace_id) == []


def test_without_a_configuration_it_is_a_request(tmp_path: Any) -> None:
    with AppInsights() as insights, running("apis: 1", environment=insights.environment) as gateway:
        assert httpx.get(gateway.url + "/any/where").status_code == 503
        (item,) = insights.wait_for("RequestData")
        assert facts(item) == ("GET", "503", False)
        assert item.data["url"].endswith("/any/where")


def test_what_waits_of_a_request_is_short_however_long_its_head_is() -> None:
    config = "apis: { any: { path: any, kind: openai, backend: main, subscription_required: false } }\n"
    config += 'backends: { main: { url: "@backend@/v1" } }'
    state = ",".join(f"k{number}={'v' * 200}" for number in range(32))
    long = {"host": "h" * 9_000, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": state}
    with Backend() as backend, AppInsights() as insights:
        values = {"backend": backend.url}
        with running(config, values=values, environment=insights.environment) as gateway:
            assert httpx.get(gateway.url + "/any/models?" + "q" * 9_000, headers=long).status_code == 200
            assert httpx.get(gateway.url + "/any/models/" + "m" * 9_000, headers=long).status_code == 404
            telemetry: Any = gateway.app.services.telemetry
            while len(telemetry.requests) < 2:  # an answer is there a moment before it is told
                time.sleep(0.01)
            waiting = telemetry.requests.take(9, 9)  # before anything is loaded that sends it
    assert backend.last.header("tracestate") == state
    assert len(waiting) == 2
    for request, span in waiting:
        assert request.trace_state == ""
        for one in (span, *request.calls):
            assert len(one.name) <= 1_024
            assert all(len(str(value)) <= 2_048 for value in one.attributes.values())


# callers and backends that leave


def hanging_up(system: System, path: str, *, after: bytes, body: dict[str, Any]) -> str:
    """Call by a bare socket and close it once `after` has come; the trace id."""
    trace_id, traced = system.trace()
    host, port = system.gateway.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = {"host": host, "content-length": str(len(content)), "content-type": "application/json", **key(), **traced}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        seen = b""
        while after not in seen:
            seen += connection.recv(65536)
        time.sleep(0.4 if not after else 0)
    return trace_id


def test_a_caller_who_leaves_the_stream_is_499(system: System) -> None:
    system.backend.scripts.append(Script(chunk_every=0.05, text="word " * 200))
    trace_id = hanging_up(system, CHAT, after=b"word", body={**PROMPT, "stream": True})
    item = system.request(trace_id)
    assert facts(item) == ("POST /llm/chat/chat/completions", "499", False)
    assert item.properties["apim.outcome"] == "client-gone"
    (call,) = system.calls(trace_id)
    assert facts(call) == ("POST main", "200", True)


def test_a_caller_who_leaves_before_the_answer_is_499(system: System) -> None:
    system.backend.scripts.append(Script(delay=0.9))
    trace_id = hanging_up(system, CHAT, after=b"", body=PROMPT)
    assert facts(system.request(trace_id)) == ("POST /llm/chat/chat/completions", "499", False)
    (call,) = system.calls(trace_id)
    assert facts(call) == ("POST main", "0", False)
    assert call.properties["apim.backend.error"] == "Canceled"


def test_a_caller_who_leaves_while_a_refusal_is_made_is_499(system: System) -> None:
    system.other.scripts.append(Script(delay=0.9))
    trace_id = hanging_up(system, "/leaving/no/such/operation", after=b"", body=PROMPT)
    assert facts(system.request(trace_id)) == ("POST", "499", False)
    (call,) = system.calls(trace_id)
    assert call.properties["apim.backend.error"] == "Canceled"


def test_a_caller_who_leaves_with_half_a_body_is_499(system: System) -> None:
    trace_id, traced = system.trace()
    host, port = system.gateway.url.removeprefix("http://").split(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in traced.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n{lines}\r\n{{".encode())
        time.sleep(0.2)
    item = system.request(trace_id)
    assert facts(item) == ("POST", "499", False)
    assert 100 < milliseconds(item) < 5000


def test_a_backend_that_breaks_off_is_no_success(system: System) -> None:
    system.backend.scripts.append(Script(cut_after=3, chunk_every=0.02))
    answer, trace_id = system.post(CHAT, headers=key(), json={**PROMPT, "stream": True})
    assert "error" in answer.text
    item = system.request(trace_id)
    assert facts(item) == ("POST /llm/chat/chat/completions", "200", False)
    assert item.properties["apim.outcome"] == "backend-broken"
    assert item.properties["apim.last_error.reason"] == "BackendConnectionFailure"
    (call,) = system.calls(trace_id)
    assert facts(call) == ("POST main", "200", False)
    assert call.properties["apim.backend.error"] == "BackendConnectionFailure"


# what is told


def test_who_asked_what_of_which_model(system: System) -> None:
    client = openai.OpenAI(base_url=f"{system.gateway.url}/llm/chat", api_key=ANNA)
    trace_id, traced = system.trace()
    answer = client.chat.completions.create(model="gpt-4o", messages=PROMPT["messages"], extra_headers=traced)  # type: ignore[call-overload]
    item = system.request(trace_id)
    told = {name: value for name, value in item.properties.items() if name != "apim.request_id"}
    assert told == {
        "apim.api.id": "chat",
        "apim.operation.id": "create-chat-completion",
        "apim.product.id": "team",
        "apim.user.id": "anna",
        "apim.subscription.id": "anna",
        "apim.backend.id": "main",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": "stop",
        "gen_ai.usage.input_tokens": str(answer.usage.prompt_tokens),
        "gen_ai.usage.output_tokens": str(answer.usage.completion_tokens),
    }
    assert item.data["url"] == f"{system.gateway.url}/llm/chat/chat/completions"
    assert item.tags["ai.user.userAgent"].startswith("OpenAI/Python")
    assert item.tags["ai.operation.name"] == item.name
    assert item.parent_id == "00000000000000aa"
    (call,) = system.calls(trace_id)
    assert call.tags["ai.operation.name"] == item.name
    assert call.parent_id == item.data["id"]
    assert (call.data["type"], call.data["target"]) == ("HTTP", system.backend.url.removeprefix("http://"))
    assert call.data["data"] == f"{system.backend.url}/v1/chat/completions"
    assert {name: value for name, value in call.properties.items() if name != "apim.backend.time_to_headers"} == {
        "apim.backend.id": "main",
        "apim.backend.attempt": "1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
    }


def test_a_stream_lasts_to_its_last_byte_and_tells_its_tokens(system: System) -> None:
    system.backend.scripts.append(Script(chunk_every=0.05, text="one two three"))
    answer, trace_id = system.post(CHAT, headers=key(), json={**PROMPT, "stream": True})
    assert '"total_tokens"' not in answer.text  # nobody asked for it but the gateway
    item = system.request(trace_id)
    assert (item.properties["gen_ai.usage.input_tokens"], item.properties["gen_ai.usage.output_tokens"]) == ("2", "3")
    assert item.properties["gen_ai.response.finish_reasons"] == "stop"
    first = float(item.properties["gen_ai.response.time_to_first_chunk"])
    (call,) = system.calls(trace_id)
    for duration in (milliseconds(item), milliseconds(call)):
        assert duration > 1000 * first + 100
    assert float(call.properties["apim.backend.time_to_headers"]) < 0.1


def test_no_key_and_no_query_is_told(system: System) -> None:
    path = "/aoai/deployments/d-1/chat/completions?api-version=2024-10-21&subscription-key=" + KEY
    answer, trace_id = system.post(path, headers={"authorization": "Bearer token-of-somebody"})
    assert answer.status_code == 200
    sent = [system.request(trace_id), *system.calls(trace_id)]
    assert len(sent) == 2
    for item in sent:
        everything = json.dumps([item.name, item.data, dict(item.properties), dict(item.tags)])
        for secret in (KEY, "token-of-somebody", "the backend's key", "api-version"):
            assert secret not in everything


# attempts


def test_a_failover_is_two_calls(system: System) -> None:
    system.backend.scripts.append(Script(status=429))
    answer, trace_id = system.post("/pool/chat/completions", headers=key())
    assert answer.status_code == 200
    item, calls = system.request(trace_id), system.attempts(trace_id)
    assert [facts(call) for call in calls] == [("POST first", "429", False), ("POST other", "200", True)]
    assert [call.properties["apim.backend.attempt"] for call in calls] == ["1", "2"]
    assert [call.properties.get("apim.backend.failover") for call in calls] == [None, "429"]
    assert {call.properties["apim.backend.pool"] for call in calls} == {"pool"}
    assert item.properties["apim.backend.id"] == "other"
    for call, backend in zip(calls, (system.backend, system.other), strict=True):
        assert backend.last.header("traceparent") == f"00-{trace_id}-{call.data['id']}-01"


def test_a_failed_connection_is_a_call_with_its_reason(system: System) -> None:
    answer, trace_id = system.post("/broken/chat/completions", headers=key())
    assert answer.status_code == 200
    failed, good = system.attempts(trace_id)
    assert facts(failed) == ("POST dead", "0", False)
    assert failed.properties["apim.backend.error"] == "BackendConnectionFailure"
    assert good.properties["apim.backend.failover"] == "BackendConnectionFailure"
    assert facts(system.request(trace_id))[2] is True


def test_each_hop_of_a_redirect_is_a_call(system: System) -> None:
    with Service() as elsewhere:
        elsewhere.routes["/signed/secret"] = lambda request: Reply(200, b"{}", {"content-type": "application/json"})
        location = f"{elsewhere.url}/signed/secret?sig=secret"
        system.backend.scripts.append(Script(status=307, headers={"location": location}))
        answer, trace_id = system.post("/moved/chat/completions", headers=key())
        assert answer.status_code == 200
        seen = elsewhere.requests[-1].header("traceparent")
    first, second = system.attempts(trace_id)
    assert facts(first) == ("POST main", "307", True)
    assert facts(second) == ("POST 127.0.0.1", "200", True)
    assert system.backend.last.header("traceparent") == f"00-{trace_id}-{first.data['id']}-01"
    assert seen == f"00-{trace_id}-{second.data['id']}-01"
    assert "secret" not in json.dumps(second.data)


# trace context


def test_a_call_without_a_trace_begins_one(system: System) -> None:
    for given in ({}, {"traceparent": "00-bad-01", "tracestate": "a=1"}):
        httpx.post(system.gateway.url + CHAT, json=PROMPT, headers={**key(), **given})
        version, trace_id, span_id, flags = (system.backend.last.header("traceparent") or "").split("-")
        assert (version, flags, len(trace_id), len(span_id)) == ("00", "01", 32, 16)
        assert system.backend.last.header("tracestate") is None
        assert system.request(trace_id).parent_id is None
        assert system.calls(trace_id)[0].data["id"] == span_id


def test_the_state_of_others_is_handed_down(system: System) -> None:
    trace_id, traced = system.trace()
    state = "vendor@tenant=value,other=1"
    httpx.post(system.gateway.url + CHAT, json=PROMPT, headers={**key(), **traced, "tracestate": state})
    assert system.backend.last.header("tracestate") == state
    httpx.post(system.gateway.url + CHAT, json=PROMPT, headers={**key(), **traced, "tracestate": "=broken="})
    assert system.backend.last.header("tracestate") is None
    assert (system.backend.last.header("traceparent") or "").startswith(f"00-{trace_id}-")


def test_policies_see_the_callers_trace_and_can_say_another(system: System) -> None:
    answer, trace_id = system.post("/renamed/chat/completions", headers=key())
    assert system.backend.last.header("x-caller") == f"00-{trace_id}-00000000000000aa-01"
    assert system.backend.last.header("traceparent") == "00-0000000000000000000000000000000a-000000000000000b-01"
    # Nor does what a policy makes of the request change what the caller asked.
    assert facts(system.request(trace_id))[0] == "POST /renamed/chat/completions"
    assert facts(system.calls(trace_id)[0])[0] == "PUT main"


@contextmanager
def gateway_with(sampler: str | None) -> Iterator[tuple[Running, Backend, AppInsights]]:
    """A gateway with telemetry and that sampler, or (None) without telemetry."""
    with Backend() as backend, AppInsights() as insights:
        told = {**insights.environment, "OTEL_TRACES_SAMPLER": sampler} if sampler else {}
        values = {"backend": backend.url, "other": backend.url}
        with running(CONFIG, files=FILES, values=values, environment={**told, "ANNA_KEY": ANNA}) as gateway:
            yield gateway, backend, insights


def test_a_request_that_is_not_recorded_hands_its_trace_down() -> None:
    with gateway_with("always_off") as (gateway, backend, insights):
        traced = {"traceparent": f"00-{7:032x}-00000000000000aa-01", "tracestate": "a=1"}
        answer = httpx.post(gateway.url + CHAT, json={**PROMPT, "stream": True}, headers={**key(), **traced})
        assert answer.status_code == 200
        version, trace_id, span_id, flags = (backend.last.header("traceparent") or "").split("-")
        assert (int(trace_id, 16), flags, backend.last.header("tracestate")) == (7, "00", "a=1")
        assert span_id != "00000000000000aa"
        assert "stream_options" not in backend.last.json()
        gateway.app.services.telemetry.flush(10)  # type: ignore[union-attr]
        assert insights.items == []


def test_without_telemetry_trace_headers_pass_as_they_came() -> None:
    with gateway_with(None) as (gateway, backend, insights):
        given = {"traceparent": "whatever", "tracestate": "=this="}
        assert httpx.post(gateway.url + CHAT, json=PROMPT, headers={**key(), **given}).status_code == 200
        assert {name: backend.last.header(name) for name in given} == given
        assert gateway.app.services.telemetry is None
