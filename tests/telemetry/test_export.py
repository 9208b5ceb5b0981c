"""Telemetry on its way to Application Insights: what arrives, what is sent again, what is lost, and that it is told."""

import logging
import os
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared.settings import telemetry_settings
from shared.telemetry.metrics import MetricTotals
from shared.telemetry.reporter import LOG_ITEM_BYTES, MOST_LOG_BYTES, MOST_SPANS, Reporter
from shared.telemetry.sending import BATCH
from shared.telemetry.spans import RequestSpan, Span, Value
from shared.telemetry.telemetry import LogItem
from tests.support.app_insights import AppInsights, Fault
from tests.support.authority import Authority
from tests.support.azure_platform import AzurePlatform
from tests.support.backend import Backend
from tests.support.processes import ROOT, free_port
from tests.support.serve import gateway

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST: Mapping[str, Value] = {
    "http.request.method": "POST",
    "http.response.status_code": 200,
    "http.route": "/llm/chat/completions",
    "url.scheme": "https",
    "url.path": "/llm/chat/completions",
    "server.address": "gateway.example",
    "apim.api.id": "chat",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.request.stream": True,
}
CALL: Mapping[str, Value] = {
    "http.request.method": "POST",
    "http.response.status_code": 503,
    "url.scheme": "https",
    "url.path": "/openai/deployments/gpt-4o/chat/completions",
    "server.address": "aoai.example",
    "server.port": 8443,
    "apim.backend.id": "west",
    "error.type": "503",
}


@contextmanager
def reporting(insights: AppInsights, **settings: str) -> Iterator[Reporter]:
    """A reporter that sends to the endpoint, closed at the end."""
    found = telemetry_settings({**insights.environment, **settings})
    assert found is not None
    reporter = Reporter(found)
    try:
        yield reporter
    finally:
        reporter.close(5)


def record(reporter: Reporter, name: str = "POST /llm/chat/completions", *, calls: int = 0) -> RequestSpan:
    """One request with so many calls."""
    request, now = reporter.begin(PARENT, None), time.time()
    for number in range(calls):
        request.calls.append(Span("POST west", number + 1, now, 0.5, False, dict(CALL)))
    reporter.end(request, Span(name, request.span_id, now, 90_123.25, True, dict(REQUEST)))
    return request


def names(insights: AppInsights) -> list[str]:
    return [item.name for item in insights.of("RequestData")]


def test_a_request_and_its_calls_arrive_as_one_operation() -> None:
    with AppInsights() as insights, reporting(insights, OTEL_SERVICE_NAME="west", WEBSITE_POD_NAME="pod-7") as reporter:
        request = record(reporter, calls=1)
        assert reporter.flush()
    [item], [call] = insights.of("RequestData"), insights.of("RemoteDependencyData")
    assert (item.name, item.data["id"], item.data["duration"]) == (
        "POST /llm/chat/completions",
        f"{request.span_id:016x}",
        "1.01:02:03.250000",
    )
    assert (item.data["responseCode"], item.data["success"]) == ("200", True)
    assert item.data["url"] == "https://gateway.example/llm/chat/completions"
    assert abs(item.time.timestamp() - time.time()) < 60
    assert (item.operation_id, item.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert item.properties == {
        "apim.api.id": "chat",
        "gen_ai.usage.input_tokens": "12",
        "gen_ai.request.stream": "True",
    }
    assert item.sample_rate == 100
    assert (item.tags["ai.cloud.role"], item.tags["ai.cloud.roleInstance"]) == ("west", "pod-7")

    assert (call.name, call.data["type"], call.data["target"]) == ("POST west", "HTTP", "aoai.example:8443")
    assert (call.data["resultCode"], call.data["success"]) == ("503", False)
    assert call.data["data"] == "https://aoai.example:8443/openai/deployments/gpt-4o/chat/completions"
    assert (call.operation_id, call.parent_id) == (item.operation_id, item.data["id"])
    assert call.tags["ai.operation.name"] == item.name
    assert call.properties == {"apim.backend.id": "west", "error.type": "503"}
    assert insights.flaws == []


def test_log_items_arrive_unchanged_and_tied_to_their_request() -> None:
    piece = "  " + "x" * 32_764 + "\n "
    with AppInsights() as insights, reporting(insights) as reporter:
        request = reporter.begin(None, None)
        reporter.log(LogItem(piece, time.time(), request.trace_id, request.span_id, {"SequenceNumber": 2}))
        assert reporter.flush()
    [item] = insights.of("MessageData")
    assert item.name == piece
    assert (item.operation_id, item.parent_id) == (f"{request.trace_id:032x}", f"{request.span_id:016x}")
    assert item.properties == {"SequenceNumber": "2"}


def test_metrics_arrive_summed_up_under_their_namespace_and_are_never_sampled() -> None:
    with AppInsights() as insights, reporting(insights, OTEL_TRACES_SAMPLER="always_off") as reporter:
        record(reporter)
        for value in (5, 7, 30):
            reporter.metrics.emit("llm", "Total Tokens", value, {"API ID": "chat"})
        reporter.metrics.emit("llm", "Total Tokens", 1, {"API ID": "other"})
        assert reporter.flush()
        reporter.metrics.emit("llm", "Total Tokens", 2, {"API ID": "chat"})
    chat, other, later = insights.of("MetricData")
    assert (chat.name, chat.properties) == ("Total Tokens", {"API ID": "chat"})
    point = {"ns": "llm", "name": "Total Tokens", "value": 42, "count": 3, "min": 5, "max": 30}
    assert dict(chat.data) == point
    assert (other.data["value"], later.data["value"]) == (1, 2)
    assert insights.sums("Total Tokens") == 45
    assert insights.of("RequestData") == []


def test_metrics_are_sent_at_their_interval_and_as_soon_as_the_instance_is_idle() -> None:
    with AppInsights() as insights, reporting(insights, OTEL_METRIC_EXPORT_INTERVAL="500") as reporter:
        reporter.LOAD_AFTER_SECONDS = reporter.EVERY_SECONDS = 0.02  # type: ignore[misc]
        begun = time.monotonic()
        while not insights.of("MetricData"):  # busy all the time
            reporter.begin(None, None)
            reporter.metrics.emit("n", "m", 1, {})
            time.sleep(0.001)
        assert time.monotonic() - begun > 0.5
    with AppInsights() as insights, reporting(insights) as reporter:
        reporter.LOAD_AFTER_SECONDS = reporter.EVERY_SECONDS = 0.02  # type: ignore[misc]
        reporter.begin(None, None)
        reporter.metrics.emit("n", "m", 1, {})
        insights.wait_for("MetricData")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "30"}),
        Fault(status=503),
        Fault(status=403),
        Fault(hang_up=True),
    ],
    ids=["throttled", "unavailable", "no role yet", "hangs up"],
)
def test_what_was_not_taken_is_sent_again(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    with AppInsights() as insights, reporting(insights) as reporter:
        insights.fault = fault
        record(reporter, "one")
        record(reporter, "two")
        for number in range(BATCH + 1):
            reporter.metrics.emit("n", "m", 5, {"number": str(number)})
        reporter.flush()
        assert insights.batches == [BATCH]  # one failure is enough: the others wait
        told_wait = float(fault.headers.get("Retry-After", "2"))
        assert told_wait - 2 < reporter.sending.not_before - time.monotonic() <= told_wait
        insights.fault = Fault()
        reporter.metrics.emit("n", "m", 2, {"number": str(BATCH)})
        assert reporter.flush()
        assert names(insights) == ["one", "two"]
        assert insights.sums("m") == 5 * (BATCH + 1) + 2
        assert len(insights.of("MetricData")) == BATCH + 1
        assert reporter.sending.losses() == 0
    [warning] = [one.getMessage() for one in caplog.records if one.name == "gateway.telemetry"]
    assert ("cannot be reached" if fault.hang_up else f"answered {fault.status}") in warning


def test_while_the_service_is_away_nothing_is_tried_before_it_is_time() -> None:
    with AppInsights() as insights, reporting(insights, OTEL_TRACES_SAMPLER="always_on") as reporter:
        reporter.LOAD_AFTER_SECONDS = reporter.EVERY_SECONDS = 0.01  # type: ignore[misc]
        insights.fault = Fault(status=503, delay=0.5)
        record(reporter)
        insights.service.wait_for_requests(1)
        for _ in range(MOST_SPANS):  # a queue that fills up hurries it, but not now
            record(reporter)
        assert len(reporter.requests) == MOST_SPANS
        time.sleep(1.2)
        assert insights.batches == [1]


def test_of_a_batch_that_was_taken_partly_only_the_rest_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    with AppInsights() as insights, reporting(insights) as reporter:
        insights.faults.append(Fault(refuse={1: 500, 2: 400}))
        for name in ("one", "two", "three", "four"):
            record(reporter, name)
        reporter.flush()
        assert names(insights) == ["one", "four"]
        assert reporter.flush()
        assert names(insights) == ["one", "four", "two"]
        assert reporter.sending.losses() == 1
    assert "answered 206; 1 items lost" in caplog.text


def test_what_the_service_refuses_for_good_is_dropped_counted_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with AppInsights() as insights, reporting(insights) as reporter:
        insights.faults.append(Fault(status=400))
        insights.faults.append(Fault(refuse={0: 400}))
        reporter.begin(None, None)
        for _ in range(2):
            reporter.log(LogItem("what somebody asked a model", time.time(), 1, 2))
            reporter.flush()
        reporter.log(LogItem("the next one", time.time(), 1, 2))
        assert reporter.flush()
        assert [item.name for item in insights.of("MessageData")] == ["the next one"]
        assert reporter.sending.losses() == 2
    assert "the endpoint answered 400; 1 items lost" in caplog.text
    assert "somebody asked" not in caplog.text
    assert insights.service.url not in caplog.text  # the transport's own lines


def test_an_item_that_cannot_be_made_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    with AppInsights() as insights, reporting(insights) as reporter:
        reporter.begin(None, None)
        reporter.log(LogItem("no such time", float("inf"), 1, 2))
        reporter.flush()
        reporter.log(LogItem("the next one", time.time(), 1, 2))
        assert reporter.flush()
        assert [item.name for item in insights.of("MessageData")] == ["the next one"]
    assert "a batch of 1 log items could not be made" in caplog.text


def test_a_long_outage_costs_bounded_memory_and_no_time() -> None:
    text = "x" * 8_000
    found = telemetry_settings(
        {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=00000000-0000-4000-8000-000000000001;"
            f"IngestionEndpoint=http://127.0.0.1:{free_port()}/",
            "OTEL_TRACES_SAMPLER": "always_on",
        }
    )
    assert found is not None
    reporter = Reporter(found)
    reporter.LOAD_AFTER_SECONDS = reporter.EVERY_SECONDS = 0.05  # type: ignore[misc]

    def push(count: int) -> float:
        begun = time.thread_time()
        for _ in range(count):
            request = reporter.begin(None, None)
            request.calls.append(Span("POST west", 1, 0.0, 0.1, True, {}))
            reporter.end(request, Span("POST /chat", request.span_id, 0.0, 0.1, True, {}))
            reporter.log(LogItem(text + "!", 0.0, 1, 2))
        return (time.thread_time() - begun) / count

    push(100_000)
    full = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    per_request = push(100_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - full < 64 * 1024  # not 800 MB
    assert 0 < reporter.requests.weight <= MOST_SPANS and len(reporter.requests) <= MOST_SPANS // 2
    item_bytes = LOG_ITEM_BYTES + sys.getsizeof(text + "!")
    assert len(reporter.items) == reporter.items.weight // item_bytes <= MOST_LOG_BYTES // item_bytes
    waiting = len(reporter.requests) + len(reporter.items)
    assert 400_000 - 2 * BATCH <= waiting + reporter.requests.dropped + reporter.items.dropped <= 400_000
    assert per_request < 200e-6
    begun = time.monotonic()
    reporter.close(0.5)
    assert time.monotonic() - begun < 10


def test_values_put_back_are_counted_with_those_that_came_meanwhile() -> None:
    metrics = MetricTotals(most_series=2)
    metrics.emit("n", "m", 5, {"a": "1"})
    taken = metrics.take()
    metrics.emit("n", "m", 9, {"a": "1"})
    metrics.emit("n", "m", 1, {"a": "2"})
    metrics.put_back(taken)
    [total, _] = metrics.take().values()
    assert (total.count, total.sum, total.min, total.max) == (2, 14, 5, 9)
    metrics.emit("n", "m", 1, {"a": "3"})
    metrics.emit("n", "m", 1, {"a": "4"})
    metrics.put_back(taken)
    assert metrics.dropped == 1


def test_a_connection_string_that_is_none_is_told_once_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = telemetry_settings({"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=mine"})
    assert found is not None
    reporter = Reporter(found)
    record(reporter)
    begun = time.monotonic()
    assert [reporter.flush(20), reporter.flush(20)] == [False, False]
    assert time.monotonic() - begun < 10
    reporter.close(5)
    assert reporter.begin(None, None).sample_rate is None
    reporter.log(LogItem("x", 0.0, 1, 2))
    reporter.metrics.emit("n", "m", 1, {"a": "1"})
    assert len(reporter.items) == len(reporter.metrics.take()) == 0
    assert caplog.text.count("no telemetry is sent: APPLICATIONINSIGHTS_CONNECTION_STRING: Invalid") == 1


def test_batches_are_signed_with_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.pem(tmp_path / "ca.pem")))
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "ClientId=the-client;Authorization=AAD")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.issue("127.0.0.1").pem(tmp_path / "server.pem"))
    with (
        AzurePlatform(tmp_path) as azure,
        AppInsights(tls=tls, token="token-1-for-https://monitor.azure.com/") as insights,
    ):
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.setenv(name, azure.environment[name])
        with reporting(insights) as reporter:
            record(reporter, "one")
            assert reporter.flush(10)
        assert names(insights) == ["one"]
        assert azure.tokens == [("https://monitor.azure.com/", "the-client")]


def test_a_gateway_process_sends_what_waits_when_it_ends(tmp_path: Path, backend: Backend) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"backends: {{ it: {{ url: '{backend.url}/v1' }} }}\n"
        "apis: { chat: { path: chat, kind: openai, backend: it, subscription_required: false } }\n"
    )
    with AppInsights() as insights:
        with gateway(config, env={**insights.environment, "GATEWAY_KEY_HASH_SECRET": "x"}) as process:
            for _ in range(3):
                assert httpx.get(f"{process.url}/chat/models").status_code == 200
            assert insights.items == []
        assert len(insights.of("RequestData")) == 3
        output = "\n".join(process.process.lines)
    assert "instrumentationkey" not in output.lower() and "azure.core" not in output


SCRIPT = """
import sys, time
import httpx
from tests.support.backend import Backend
from tests.support.running import running
from tests.support.app_insights import AppInsights

CONFIG = '''
backends: { it: { url: "@backend@/v1" } }
apis: { one: { path: one, kind: openai, backend: it } }
'''
with Backend() as backend, AppInsights() as insights:
    environment = insights.environment if sys.argv[1] == "on" else {}
    with running(CONFIG, values={"backend": backend.url}, environment=environment) as gateway:
        httpx.get(f"{gateway.url}/one/models", headers=gateway.key).raise_for_status()
        time.sleep(0.5)
        answered = set(sys.modules)
threads = {"telemetry"} & {one.name for one in __import__("threading").enumerate()}
print(sum("opentelemetry" in name for name in answered), sum("opentelemetry" in name for name in sys.modules), threads)
"""


def test_nothing_is_loaded_without_a_connection_string_nor_with_the_first_answer() -> None:
    def modules(switch: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, switch], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    assert modules("off") == "0 0 set()"
    first, then, threads = modules("on").split(" ", 2)
    assert (first, threads) == ("0", "set()") and int(then) > 50


ENDING = """
import os, sys, time
from shared.settings import telemetry_settings
from shared.telemetry.reporter import Reporter
from shared.telemetry.spans import Span

def record(name):
    request = reporter.begin(None, None)
    reporter.end(request, Span(name, request.span_id, time.time(), 0.1, True, {}))

reporter = Reporter(telemetry_settings(os.environ))
record("the first")
if sys.argv[1] == "later":
    assert reporter.flush(10)
    record("the last")
    reporter.metrics.emit("n", "m", 3, {})
"""


@pytest.mark.parametrize(
    ("when", "arrive", "told"), [("later", ["the first", "the last"], ""), ("at once", [], "1 requests are lost")]
)
def test_what_waits_is_sent_when_an_interpreter_ends_that_told_nobody(when: str, arrive: list[str], told: str) -> None:
    with AppInsights() as insights:
        environment = {**os.environ, **insights.environment}
        command = [sys.executable, "-c", ENDING, when]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (0, True, False), done.stderr
        assert (names(insights), insights.sums("m")) == (arrive, 3 if arrive else 0)
