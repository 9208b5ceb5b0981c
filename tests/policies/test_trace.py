"""trace: what reaches the log, and what is not even evaluated."""

import logging

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems

TRACE = """<trace source="Shop" severity="{}"><message>@("Order " + context.Request.Method)</message>
    <metadata name="Step" value="@(context.Api.Id)" /></trace>"""


def test_the_message_is_a_log_record_with_its_properties(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.trace"):
        with policies(document(inbound=TRACE.format("information")), backend.url) as gateway:
            request_id = gateway.call().headers["x-gateway-request-id"]
    (record,) = [record for record in caplog.records if record.name == "gateway.trace"]
    assert (record.levelno, record.__dict__["source"]) == (logging.INFO, "Shop")
    assert record.__dict__["metadata"] == {"Step": "chat"} and record.__dict__["request_id"] == request_id
    assert "Order GET" in record.getMessage()


def test_text_without_a_message_element_is_the_message(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    xml = """<trace source="@(context.Api.Id)" severity="error">@("Plain " + context.Request.Method)</trace>"""
    with policies(document(inbound=xml), backend.url) as gateway:
        gateway.call()
    assert "chat: Plain GET" in caplog.text


def test_nobody_pays_for_what_nobody_reads(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    failing = '<trace source="a" severity="verbose"><message>@((string)context.Variables["none"])</message></trace>'
    with caplog.at_level(logging.INFO, "gateway.trace"), policies(document(inbound=failing), backend.url) as gateway:
        assert gateway.call().status_code == 200
    with caplog.at_level(logging.DEBUG, "gateway.trace"), policies(document(inbound=failing), backend.url) as gateway:
        assert gateway.call().status_code == 500


def test_what_is_wrong_is_told_at_load() -> None:
    found = problems(document(inbound='<trace severity="fatal"><metadata name="a" /></trace>'))
    text = "\n".join(found)
    for message in ("one message, not 0", "attribute source is required", "attribute severity", "value is required"):
        assert message in text
