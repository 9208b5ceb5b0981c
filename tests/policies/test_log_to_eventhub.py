"""log-to-eventhub: batches to a scripted event hub, its partitions, and what is lost when it does not answer."""

import time
from collections.abc import Iterator

import pytest

from tests.support.backend import Backend
from tests.support.identity import Identity
from tests.support.policies import document, policies, problems
from tests.support.service import Reply, Service
from tests.support.waiting import wait_until

CONFIG = "loggers: {{ usage: {{ endpoint: '{}', event_hub: llm-usage, client_id: logger }} }}"
LOG = '<log-to-eventhub logger-id="usage" %s>%s</log-to-eventhub>'


@pytest.fixture
def hub() -> Iterator[Service]:
    with Service() as hub:
        hub.default = lambda request: Reply(201)
        yield hub


def bodies(hub: Service) -> list[str]:
    return [message["Body"] for request in hub.requests for message in request.json()]


def test_messages_are_sent_in_the_background_with_the_identity(backend: Backend, hub: Service) -> None:
    hub.default = lambda request: Reply(201, delay=0.8)
    xml = document(outbound=LOG % ("", '@(context.Request.Url.Path + " " + context.Response.StatusCode)'))
    with policies(xml, backend.url, config=CONFIG.format(hub.url)) as gateway:
        Identity().serve(gateway.app)
        started = time.monotonic()
        for _ in range(5):
            assert gateway.call().status_code == 200
        assert time.monotonic() - started < 3.5  # not five times 0.8 s
    assert bodies(hub) == ["/v1/models 200"] * 5  # the last ones are sent while the gateway ends
    first = hub.requests[0]
    assert (first.method, first.path) == ("POST", "/llm-usage/messages")
    assert first.header("authorization") == "Bearer token-for-https://eventhubs.azure.net-by-logger"
    assert first.header("content-type") == "application/vnd.microsoft.servicebus.json"
    assert len(hub.requests) < 5  # what came meanwhile went together


def test_partitions(backend: Backend, hub: Service) -> None:
    keyed = LOG % ("partition-key='@(context.Request.Headers.GetValueOrDefault(\"x\"))'", "a")
    xml = document(inbound=keyed + LOG % ('partition-id="3"', "b"))
    with policies(xml, backend.url, config=CONFIG.format(hub.url)) as gateway:
        Identity().serve(gateway.app)
        gateway.call(headers={"x": "user-1"})
    assert [request.path for request in hub.requests] == ["/llm-usage/messages", "/llm-usage/partitions/3/messages"]
    assert hub.requests[0].json() == [{"Body": "a", "BrokerProperties": {"PartitionKey": "user-1"}}]
    assert hub.requests[1].json() == [{"Body": "b"}]


def test_a_message_over_200_kb_is_cut(backend: Backend, hub: Service) -> None:
    xml = document(inbound=LOG % ("", "@(new String('ü', 150000))"))
    with policies(xml, backend.url, config=CONFIG.format(hub.url)) as gateway:
        Identity().serve(gateway.app)
        gateway.call()
    assert bodies(hub) == ["ü" * 102_400]


def test_a_hub_that_recovers_gets_the_message_and_one_that_refuses_does_not(
    backend: Backend, hub: Service, caplog: pytest.LogCaptureFixture
) -> None:
    xml = document(inbound=LOG % ("", "a"))
    with policies(xml, backend.url, config=CONFIG.format(hub.url)) as gateway:
        Identity().serve(gateway.app)
        gateway.app.outside.event_hubs.retry_seconds = 0.05
        hub.default = lambda request: Reply(503 if len(hub.requests) < 3 else 201)
        gateway.call()
        hub.wait_for_requests(3)
        hub.default = lambda request: Reply(404)
        gateway.call()
        hub.wait_for_requests(4)
        wait_until(lambda: gateway.app.outside.event_hubs.dropped > 0)
        assert gateway.app.outside.event_hubs.dropped == 1
        assert len(hub.requests) == 4
    assert "1 messages for event hub llm-usage were dropped: status 404" in caplog.text
    assert "token-for" not in caplog.text


def test_what_is_wrong_is_told_at_load() -> None:
    config = CONFIG.format("https://contoso.servicebus.windows.net")
    cases = {
        LOG.replace("usage", "other") % ("", "a"): "no logger other",
        LOG % ('partition-id="1" partition-key="a"', "a"): "exclude each other",
        "<log-to-eventhub>a</log-to-eventhub>": "attribute logger-id is required",
    }
    for xml, message in cases.items():
        found = problems(document(inbound=xml), config=config)
        assert len(found) == 1 and message in found[0], found
    assert "must be https://<host>" in problems(document(), config=CONFIG.format("http://contoso.example"))[0]
