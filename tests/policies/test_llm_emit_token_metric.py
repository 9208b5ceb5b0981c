"""llm-emit-token-metric: every token of a call is counted once, by its dimensions, with what it costs."""

import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from shared.app import App
from shared.telemetry.metrics import Series, Total
from shared.telemetry.told import Told
from tests.policies.semantic import cached, lookup, status
from tests.policies.semantic import document as cached_document
from tests.support.app_insights import AppInsights
from tests.support.backend import Backend, Script
from tests.support.policies import Running, document, policies, problems
from tests.support.running import counting
from tests.support.waiting import wait_until

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
STREAM = {**CHAT, "stream": True}
PROMPT, COMPLETION = 2, 19  # what the scripted backend bills for CHAT: its words and those of its answer
TOTAL = "Total Tokens"
COUNTED = {TOTAL: PROMPT + COMPLETION, "Prompt Tokens": PROMPT, "Completion Tokens": COMPLETION}
METRIC = '<llm-emit-token-metric namespace="n"><dimension name="API ID" /></llm-emit-token-metric>'


def chat(gateway: Running, body: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
    return gateway.call("POST", "/v1/chat/completions", json=CHAT if body is None else body, **options)


class Counted:
    """The metrics of a gateway so far."""

    def __init__(self, app: App, client: httpx.Client) -> None:
        self.metrics = counting(app)
        self._client = client
        self.series: dict[Series, Total] = {}

    def sums(self, namespace: str = "n") -> dict[str, float]:
        """What a user sees who sums up each metric of a namespace, whatever its dimensions."""
        self._take()
        found: dict[str, float] = defaultdict(float)
        for (of, name, _), total in self.series.items():
            if of == namespace:
                found[name] += total.sum
        return dict(found)

    def tokens(self, namespace: str = "n") -> dict[str, float]:
        """The same without Cost."""
        return {name: value for name, value in self.sums(namespace).items() if name != "Cost"}

    def dimensions(self, name: str, namespace: str = "n") -> list[dict[str, str]]:
        """The dimensions of all series of a metric."""
        self._take()
        return [dict(pairs) for of, metric, pairs in self.series if (of, metric) == (namespace, name)]

    def wait(self, calls: int = 1, namespace: str = "n") -> None:
        """Wait until so many calls have been counted: an answer may be with its caller before that."""
        wait_until(lambda: self._calls(namespace) >= calls)
        self._client.get("/nowhere")  # once that is answered, all that is counted of the last one is there

    def _calls(self, namespace: str) -> int:
        self._take()
        totals = [total.count for (of, name, _), total in self.series.items() if (of, name) == (namespace, TOTAL)]
        return sum(totals)

    def _take(self) -> None:
        taken = self.metrics.take()
        for key, total in taken.items():
            self.series.setdefault(key, Total()).add(total)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", [Script(), Script(gzip=True), Script(chunk_every=0.002)], ids=["", "gzip", "slow"])
@pytest.mark.parametrize("element", ["llm", "azure-openai"])
def test_tokens_are_those_the_backend_tells(backend: Backend, element: str, script: Script, stream: bool) -> None:
    backend.script = script
    with policies(document(METRIC.replace("llm-", f"{element}-")), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        answer = chat(gateway, {**CHAT, "stream": stream})
        assert ('"usage":{' in answer.text.replace(" ", "")) is not stream  # who did not ask does not see it
        counted.wait()
        assert counted.tokens() == COUNTED
        assert counted.dimensions(TOTAL) == [{"API ID": "chat"}]


def test_without_telemetry_nothing_is_counted_nor_asked_for(backend: Backend) -> None:
    emit = '<emit-metric name="m" namespace="n"><dimension name="API ID" /></emit-metric>'
    with policies(document(METRIC + emit), backend.url) as gateway:
        assert "usage" not in chat(gateway, {**CHAT, "stream": True}).text
        assert "stream_options" not in backend.last.json()
        assert chat(gateway).status_code == 200
        assert counting(gateway.app).take() == {}


BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "gpt-4o", "prompt": "hello there"},
    "/v1/responses": {"model": "gpt-4o", "input": "hello there"},
    "/v1/messages": {**CHAT, "max_tokens": 100},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_every_schema_is_counted(backend: Backend, path: str, stream: bool) -> None:
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        body, headers = {**BODIES[path], "stream": stream}, {"anthropic-version": "2023-06-01"}
        assert gateway.call("POST", path, json=body, headers=headers).status_code == 200
        counted.wait()
        assert counted.tokens() == COUNTED


def test_what_the_backend_tells_in_detail_is_counted_apart(backend: Backend) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 20, "audio_tokens": 3, "image_tokens": 4},
        "completion_tokens_details": {
            "reasoning_tokens": 40,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 5,
            "rejected_prediction_tokens": 6,
        },
    }
    backend.script = Script(body=json.dumps({"model": "gpt-4o", "choices": [], "usage": usage}))
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway)
        counted.wait()
        assert counted.tokens() == {
            TOTAL: 150,
            "Prompt Tokens": 100,
            "Completion Tokens": 50,
            "Cached Tokens": 60,
            "Cache Creation Prompt Tokens": 20,
            "Reasoning Tokens": 40,
            "Prompt Audio Tokens": 3,
            "Completion Audio Tokens": 2,
            "Prompt Image Tokens": 4,
            "Accepted Prediction Tokens": 5,
            "Rejected Prediction Tokens": 6,
        }


@pytest.mark.parametrize("stream", [False, True])
def test_counts_of_a_tokenizer_are_marked_and_part_of_the_sum(backend: Backend, stream: bool) -> None:
    backend.scripts.append(Script(usage=False))
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway, {**CHAT, "stream": stream})
        counted.wait()
        estimated = counted.sums()[TOTAL]
        assert estimated > PROMPT
        chat(gateway)
        counted.wait(2)
        assert counted.sums()[TOTAL] == estimated + PROMPT + COMPLETION
        assert counted.dimensions("Prompt Tokens") == [{"API ID": "chat", "Estimated": "true"}, {"API ID": "chat"}]


def test_a_client_that_leaves_is_counted_for_what_was_delivered(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.05, text="word " * 400)
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        with gateway.client.stream("POST", "/api/v1/chat/completions", json=STREAM) as answer:
            chunks = answer.iter_text()
            for _ in range(10):
                next(chunks)
        assert backend.last.client_left.wait(5)
        counted.wait()
        assert 0 < counted.sums()["Completion Tokens"] < 40
        assert counted.dimensions("Completion Tokens") == [{"API ID": "chat", "Estimated": "true"}]


RETRY = '<retry condition="@(context.Response.StatusCode >= 500)" count="3" interval="0"><forward-request /></retry>'


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_counted_once_whatever_attempts_it_took(backend: Backend, stream: bool) -> None:
    pool = {"pool": {"services": [{"id": "bad", "priority": 1}, {"id": "good", "priority": 2}], "failover": True}}
    inbound = METRIC.replace("API ID", "Backend ID") + '<set-backend-service backend-id="both" />'
    backend.scripts.extend([Script(status=503), Script(status=500)])
    with Backend(script=Script(status=500)) as bad:
        backends = {"bad": bad.url, "good": backend.url, "both": pool}
        with policies(document(inbound, backend=RETRY), backend.url, backends=backends) as gateway:
            counted = Counted(gateway.app, gateway.client)
            assert chat(gateway, {**CHAT, "stream": stream}).status_code == 200
            assert len(backend.requests) == 3
            counted.wait()
            assert counted.tokens() == COUNTED
            assert counted.dimensions(TOTAL) == [{"Backend ID": "good"}]


def test_what_is_no_call_to_a_model_or_fails_counts_nothing(backend: Backend) -> None:
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        assert gateway.call("GET", "/v1/models").status_code == 200
        for script in (Script(status=500), Script(status=429), Script(hang_up=True)):
            backend.script = script
            assert chat(gateway).status_code >= 429
        assert counted.sums() == {}
        backend.script = Script()
        chat(gateway)
        counted.wait()
        assert counted.tokens() == COUNTED


def test_a_refused_call_counts_nothing(backend: Backend) -> None:
    limit = '<rate-limit-by-key calls="1" renewal-period="60" counter-key="k" />'
    with policies(document(METRIC + limit), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        assert [chat(gateway).status_code for _ in range(2)] == [200, 429]
        counted.wait()
        assert counted.tokens() == COUNTED


@pytest.mark.parametrize("limit", ["", 'count-cached-answers="true"'], ids=["", "cached answers count for the limit"])
def test_an_answer_of_the_cache_has_used_nothing(limit: str) -> None:
    limited = f'<llm-token-limit counter-key="k" tokens-per-minute="1000" estimate-prompt-tokens="false" {limit} />'
    with cached(cached_document(lookup(), inbound=METRIC + limited)) as gateway:
        counted = Counted(gateway.gateway.app, gateway.client)
        gateway.chat("What is it?")
        gateway.kept()
        counted.wait()
        before = counted.tokens()
        assert before[TOTAL] > 0
        assert status(gateway.chat("What is it?")) == "exact"
        gateway.chat("Something else?")
        counted.wait(2)
        more = counted.tokens()[TOTAL] - before[TOTAL]
        assert more == pytest.approx(before[TOTAL], abs=2)  # two calls have used something, not three


def test_every_policy_of_a_request_counts(backend: Backend) -> None:
    """One at the scope of the API and one of the operation, and a namespace of its own."""
    own = METRIC.replace('"n"', '"own"')
    files = {"api.xml": document(METRIC)}
    with policies(document(f"<base />{METRIC}{own}"), backend.url, files=files, api={"policy": "api.xml"}) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway)
        counted.wait(2)
        counted.wait(1, "own")
        assert counted.tokens("n") == {name: 2 * value for name, value in COUNTED.items()}
        assert counted.tokens("own") == COUNTED


def test_dimensions(backend: Backend) -> None:
    inbound = """<llm-emit-token-metric>
        <dimension name="api id" /><dimension name="Operation ID" /><dimension name="Product ID" />
        <dimension name="User ID" /><dimension name="Subscription ID" value="mine" /><dimension name="Location" />
        <dimension name="Gateway ID" /><dimension name="Backend ID" /><dimension name="Model" />
        <dimension name='@("Caller")' value='@(context.Request.Headers.GetValueOrDefault("x-caller", "nobody"))' />
        <dimension name="Empty" value="@((string)null)" />
    </llm-emit-token-metric><set-header name="x-caller"><value>somebody else</value></set-header>"""
    with policies(document(inbound), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway, headers={"x-caller": "me"})
        counted.wait(1, "API Management")
        assert counted.dimensions(TOTAL, "API Management") == [
            {
                "api id": "chat",
                "Operation ID": "post",
                "Product ID": "N/A",
                "User ID": "N/A",
                "Subscription ID": "mine",
                "Location": "local",
                "Gateway ID": "managed",
                "Backend ID": "main",
                "Model": "gpt-4o",
                "Caller": "me",
                "Empty": "N/A",
            }
        ]


def test_a_dimension_that_fails_is_told_and_fails_no_request(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    inbound = """<llm-emit-token-metric namespace="n"><dimension name="API ID" />
        <dimension name="Bad" value='@((string)context.Variables["missing"])' />
        <dimension name='@((string)context.Variables["missing"])' value="x" /></llm-emit-token-metric>"""
    with policies(document(inbound), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        assert [chat(gateway).status_code for _ in range(3)] == [200] * 3
        counted.wait(3)
        assert counted.sums()[TOTAL] == 3 * (PROMPT + COMPLETION)
        assert counted.dimensions(TOTAL) == [{"API ID": "chat", "Bad": "N/A"}]
    told = [record.getMessage() for record in caplog.records if "is N/A" in record.getMessage()]
    assert len(told) == 2 and told[0].startswith("operation.xml:1: dimension Bad of llm-emit-token-metric is N/A: ")


def test_application_insights_has_every_token_of_a_mixed_run(backend: Backend) -> None:
    """Plain, streamed, failed over, refused, failed, and left alone by the client, several at once."""
    pool = {"pool": {"services": [{"id": "bad", "priority": 1}, {"id": "good", "priority": 2}], "failover": True}}
    inbound = f"""{METRIC.replace("API ID", "Backend ID")}
        <check-header name="x-caller" failed-check-httpcode="403" failed-check-error-message="no" ignore-case="true">
            <value>known</value></check-header>
        <choose><when condition="@(context.Request.Headers.ContainsKey(&quot;x-pool&quot;))">
            <set-backend-service backend-id="both" /></when></choose>"""
    known = {"x-caller": "known"}
    leave = json.dumps({"chunk_every": 0.05, "text": "word " * 400})
    with Backend(script=Script(status=500)) as bad, AppInsights() as insights:
        backends = {"bad": bad.url, "good": backend.url, "both": pool}
        with policies(document(inbound), backend.url, backends=backends, environment=insights.environment) as gateway:

            def call(number: int) -> int:
                match number % 6:
                    case 0:
                        return chat(gateway, headers=known).status_code
                    case 1:
                        return chat(gateway, STREAM, headers=known).status_code
                    case 2:
                        return chat(gateway, STREAM, headers={**known, "x-pool": "1"}).status_code
                    case 3:
                        return chat(gateway, headers={**known, "x-script": '{"status": 429}'}).status_code
                    case 4:
                        return chat(gateway).status_code
                headers = {**known, "x-script": leave}
                with gateway.client.stream("POST", "/api/v1/chat/completions", json=STREAM, headers=headers) as answer:
                    next(answer.iter_text())
                    return answer.status_code

            with ThreadPoolExecutor(8) as callers:
                statuses = Counter(callers.map(call, range(120)))
            assert statuses == {200: 80, 429: 20, 403: 20}
        told = [item for item in insights.of("MetricData") if item.data["ns"] == "n"]
        exact = [item for item in told if "Estimated" not in item.properties]
        for name, value in COUNTED.items():
            assert sum(item.data["value"] for item in exact if item.name == name) == 60 * value
        backends_of = {item.properties["Backend ID"] for item in exact}
        assert backends_of == {"main", "good"}
        left = [item for item in told if item.properties.get("Estimated") == "true" and item.name == TOTAL]
        assert sum(item.data["count"] for item in left) == 20
        costs = [item.properties["apim.cost"] for item in insights.of("RequestData") if "apim.cost" in item.properties]
        assert len(costs) == 80 and sum(map(float, costs)) == pytest.approx(insights.sums("Cost", "n"))
        assert insights.sums("Cost", "n") > 60 * (PROMPT * 2.5 + COMPLETION * 10) / 1e6
        assert insights.flaws == []


# what it costs


def test_a_call_costs_what_its_model_costs(backend: Backend) -> None:
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway)
        chat(gateway, {**CHAT, "model": "gpt-4o-mini-2024-07-18"})
        counted.wait(2)
        mini = (PROMPT * 0.15 + COMPLETION * 0.6) / 1e6
        assert counted.sums()["Cost"] == pytest.approx((PROMPT * 2.5 + COMPLETION * 10) / 1e6 + mini)
        assert counted.dimensions("Cost") == [
            {"API ID": "chat", "Currency": "USD", "Model": "gpt-4o"},
            {"API ID": "chat", "Currency": "USD", "Model": "gpt-4o-mini-2024-07-18"},
        ]


def test_the_configuration_has_the_last_word_on_prices(backend: Backend) -> None:
    config = """
    prices:
      - { model: gpt-4o, input: 1000000, output: 1000, currency: EUR }
      - { model: "*", backend: ptu, input: 0, output: 0, currency: EUR }
    """
    inbound = METRIC + (
        '<choose><when condition="@(context.Request.Headers.ContainsKey(&quot;x-ptu&quot;))">'
        '<set-backend-service backend-id="ptu" /></when></choose>'
    )
    with policies(document(inbound), backend.url, config=config, backends={"ptu": backend.url}) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway)
        counted.wait()
        assert counted.sums()["Cost"] == pytest.approx(PROMPT + COMPLETION / 1000)
        chat(gateway, headers={"x-ptu": "1"})
        counted.wait(2)
        assert counted.sums()["Cost"] == pytest.approx(PROMPT + COMPLETION / 1000)
        assert counted.sums()[TOTAL] == 2 * (PROMPT + COMPLETION)
        assert counted.dimensions("Cost") == [{"API ID": "chat", "Currency": "EUR", "Model": "gpt-4o"}]


def test_a_model_without_a_price_has_no_cost_and_is_told_of_once(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with policies(document(METRIC), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        for _ in range(3):
            chat(gateway, {**CHAT, "model": "home-made"})
        chat(gateway, {**CHAT, "model": "x" * 1_000_000})
        counted.wait(4)
        assert "Cost" not in counted.sums()
        assert counted.sums()[TOTAL] == 4 * (PROMPT + COMPLETION)
        told = gateway.app.services.extras[Told]
        assert sum(map(len, told)) < 2_000, "what a caller says of the model waits in memory"
    assert caplog.text.count("no price is known for model 'home-made'") == 1
    assert len(caplog.text) < 5_000


def test_a_document_may_call_a_dimension_as_it_likes(backend: Backend) -> None:
    """Documents have a dimension for the model already, since API Management adds none."""
    inbound = METRIC.replace('"API ID"', '"model" value="the deployment"')
    with policies(document(inbound), backend.url) as gateway:
        counted = Counted(gateway.app, gateway.client)
        chat(gateway)
        counted.wait()
        assert counted.dimensions("Cost") == [{"Currency": "USD", "model": "the deployment"}]


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (METRIC.replace("<dimension", '<dimension name="Mine" /><dimension'), "dimension Mine needs a value"),
        (METRIC.replace('namespace="n"', 'value="2"'), "attribute value: only 1: these metrics have the counts of"),
        (METRIC.replace('namespace="n"', 'value="@(1)"'), "attribute value: policy expressions are not allowed here"),
        (METRIC.replace('"n"', '"@(1)"'), "attribute namespace: policy expressions are not allowed here"),
        (METRIC.replace("<dimension", "text<dimension"), "unexpected text: text"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml))
    assert len(found) == 1 and message in found[0], found


def test_what_is_odd_is_told_and_loads() -> None:
    twice = METRIC.replace("</llm", '<dimension name="api id" value="x" /></llm')
    (found,) = problems(document(inbound=twice.replace('namespace="n"', 'value="1.0"')), warnings=True)
    assert "dimension api id is there twice: the last one counts" in found
