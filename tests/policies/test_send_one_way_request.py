"""send-one-way-request: it holds nothing up, and is not lost."""

import time
from collections.abc import Iterator

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies
from tests.support.service import Reply, Service
from tests.support.waiting import wait_until


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        service.default = lambda request: Reply(204)
        yield service


def test_a_one_way_request_does_not_hold_up_the_answer(backend: Backend, service: Service) -> None:
    service.default = lambda request: Reply(200, delay=1)
    xml = document(
        outbound=f"""<send-one-way-request timeout="5"><set-url>{service.url}/hook</set-url>
            <set-method>POST</set-method>
            <set-body>@(context.Response.StatusCode + " " + context.RequestId.ToString().Length)</set-body>
        </send-one-way-request>"""
    )
    with policies(xml, backend.url) as gateway:
        started = time.monotonic()
        for _ in range(3):
            assert gateway.call().status_code == 200
        assert time.monotonic() - started < 2.7  # not three times 1 s
        sent = service.wait_for_requests(3)
    assert {request.body for request in sent} == {b"200 36"}


def test_a_one_way_request_that_fails_is_logged_only(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    xml = document(inbound="<send-one-way-request><set-url>http://127.0.0.1:1/</set-url></send-one-way-request>")
    with policies(xml, backend.url) as gateway:
        assert gateway.call().status_code == 200
        wait_until(lambda: "send-one-way-request failed" in caplog.text)
    assert "send-one-way-request failed: BackendError: 127.0.0.1: ConnectError" in caplog.text


def test_one_way_requests_under_way_are_sent_before_the_gateway_ends(backend: Backend, service: Service) -> None:
    service.default = lambda request: Reply(200, delay=0.3)
    xml = document(inbound=f"<send-one-way-request><set-url>{service.url}/hook</set-url></send-one-way-request>")
    with policies(xml, backend.url) as gateway:
        for _ in range(5):
            gateway.call()
    assert len(service.requests) == 5
