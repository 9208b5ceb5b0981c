"""What a request calls beside its backend: services, Content Safety, embeddings, caches. Each is a dependency."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.policies.guarded import policy as content_safety
from tests.policies.semantic import document, lookup
from tests.support.app_insights import AppInsights
from tests.support.azurite import Azurite
from tests.support.backend import Backend
from tests.support.content_safety import ContentSafetyService, Fault
from tests.support.running import running
from tests.support.service import Reply, Service
from tests.telemetry.traced import Traced, facts

CONFIG = """
backends:
  v1: { url: "@backend@/v1" }
  safety: { url: "@safety@", credentials: { header: { Ocp-Apim-Subscription-Key: safety-key } } }
  embeddings: { url: "@embeddings@/openai/deployments/ada/embeddings", credentials: { header: { api-key: emb-key } } }
apis:
  llm: { path: llm, kind: openai, backend: v1, subscription_required: false, policy: policies/api.xml }
"""
CHAT = "/llm/chat/completions"


@dataclass
class System(Traced):
    """With all that is behind the gateway."""

    backend: Backend = field(kw_only=True)
    service: Service = field(kw_only=True)
    safety: ContentSafetyService = field(kw_only=True)
    embeddings: Backend = field(kw_only=True)


@contextmanager
def system(xml: str, *, tables: str = "") -> Iterator[System]:
    """Run all of it with that policy document until the block ends."""
    with (
        Backend() as backend,
        Service() as service,
        ContentSafetyService(key="safety-key") as safety,
        Backend(key="emb-key") as embeddings,
        AppInsights() as insights,
    ):
        values = {
            "backend": backend.url,
            "service": service.url,
            "safety": safety.url,
            "embeddings": embeddings.url,
        }
        files = {"policies/api.xml": xml}
        environment = {**insights.environment, "GATEWAY_TABLES_CONNECTION_STRING": tables}
        with running(CONFIG, files=files, values=values, environment=environment) as gateway:
            yield System(gateway, insights, backend=backend, service=service, safety=safety, embeddings=embeddings)


def test_a_request_of_a_policys_own_is_a_call() -> None:
    send = """<send-request mode="new" response-variable-name="answer" ignore-error="true">
        <set-url>@service@/hook/secret-path?sig=secret</set-url></send-request>"""
    with system(document("", "", inbound=send)) as traced:
        traced.service.routes["/hook/secret-path"] = lambda request: Reply(404)
        answer, trace_id = traced.post(CHAT)
        assert answer.status_code == 200
        call, attempt = traced.calls(trace_id)
        assert facts(call) == ("GET 127.0.0.1", "404", False)
        assert "secret" not in json.dumps([call.data, dict(call.properties)])
        assert traced.service.requests[-1].header("traceparent") == f"00-{trace_id}-{call.data['id']}-01"
        assert call.parent_id == attempt.parent_id == traced.request(trace_id).data["id"]
        # A call of its own is no attempt to have the request answered.
        assert "apim.backend.attempt" not in call.properties
        assert attempt.properties["apim.backend.attempt"] == "1"


def test_a_call_that_outlives_its_request_is_told_later() -> None:
    send = "<send-one-way-request><set-url>@service@/slow</set-url></send-one-way-request>"
    with system(document("", "", inbound=send)) as traced:
        traced.service.routes["/slow"] = lambda request: Reply(200, delay=0.5)
        _, trace_id = traced.post(CHAT)
        assert [facts(call)[0] for call in traced.calls(trace_id)] == ["POST v1"]
        request = traced.request(trace_id)
        late = traced.wait_for(lambda: traced.calls(trace_id)[1:])
        assert [facts(call) for call in late] == [("GET 127.0.0.1", "200", True)]
        assert late[0].parent_id == request.data["id"]
        assert late[0].tags["ai.operation.name"] == request.name


def test_each_call_of_content_safety_is_one() -> None:
    with system(document(content_safety('shield-prompt="true"'))) as traced:
        traced.safety.faults.append(Fault(status=503))
        answer, trace_id = traced.post(CHAT)
        assert answer.status_code == 200
        *checks, attempt = traced.calls(trace_id)
        assert sorted(facts(check) for check in checks) == [
            ("POST safety", "200", True),
            ("POST safety", "200", True),
            ("POST safety", "503", False),
        ]
        assert {check.data["data"].removeprefix(traced.safety.url) for check in checks} == {
            "/contentsafety/text:analyze",
            "/contentsafety/text:shieldPrompt",
        }
        sent = {called.headers["traceparent"] for called in traced.safety.calls}
        assert sent == {f"00-{trace_id}-{check.data['id']}-01" for check in checks}
        assert facts(attempt) == ("POST v1", "200", True)


def test_a_semantic_hit_tells_where_it_comes_from() -> None:
    limit = 'counter-key="a" tokens-per-minute="9999" estimate-prompt-tokens="false" count-cached-answers="true"'
    inbound = f"<llm-token-limit {limit} />"
    with system(document(lookup('embeddings-timeout-ms="20000"'), inbound=inbound)) as traced:
        _, missed = traced.post(CHAT)
        cache = traced.gateway.app.semantic_caching.cache
        traced.wait_for(lambda: cache.counts.stored)
        answer, hit = traced.post(CHAT)
        assert answer.headers["x-semantic-cache"] == "exact"

        embedded, looked_up, attempt = traced.calls(missed)
        assert facts(embedded) == ("POST embeddings", "200", True)
        assert (looked_up.name, looked_up.data["type"]) == ("semantic cache", "Cache")
        assert looked_up.properties["apim.cache"] == "miss"
        assert attempt.name == "POST v1"
        assert "apim.cache" not in traced.request(missed).properties

        (found,) = traced.calls(hit)
        assert found.properties["apim.cache"] == "exact"
        item = traced.request(hit)
        assert item.properties["apim.cache"] == "exact"
        assert item.properties["gen_ai.request.model"] == "gpt-4o"
        # No model was asked: no tokens were used.
        assert not any(name.startswith("gen_ai.usage") for name in item.properties)


def test_a_look_into_a_shared_cache_is_a_call(azurite: Azurite) -> None:
    look_up = """<cache-lookup-value key="@(context.Request.Headers.GetValueOrDefault("traceparent",""))"
        variable-name="found" caching-type="@kind@" />"""
    for kind, count in (("external", 1), ("internal", 0)):
        with system(
            document("", "", inbound=look_up.replace("@kind@", kind)), tables=azurite.connection_string
        ) as traced:
            _, trace_id = traced.post(CHAT)
            lookups = [call for call in traced.calls(trace_id) if call.data["type"] == "Cache"]
            assert [(call.name, call.properties["apim.cache"]) for call in lookups] == [("cache", "miss")] * count
