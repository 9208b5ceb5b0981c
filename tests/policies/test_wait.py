"""wait: its policies run at the same time."""

from collections.abc import Iterator

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems


@pytest.fixture
def slow() -> Iterator[Backend]:
    """A service that takes its time."""
    with Backend(script=Script(delay=0.6, body="slow")) as service:
        yield service


def when(*inner: str) -> str:
    return f'<choose><when condition="true">{"".join(inner)}</when></choose>'


def pause(seconds: float) -> str:
    """A policy that takes its time and does nothing."""
    return f'<retry condition="true" count="1" interval="{seconds}"><set-variable name="a" value="b" /></retry>'


def send(url: str, variable: str = "answer", more: str = "") -> str:
    return (
        f'<send-request mode="new" response-variable-name="{variable}" timeout="5" {more}>'
        f"<set-url>{url}</set-url><set-method>GET</set-method></send-request>"
    )


def test_all_run_at_the_same_time(backend: Backend) -> None:
    backend.script = Script(body="ok")
    children = "".join(when(pause(seconds)) for seconds in (0.6, 0.5, 0.6))
    with policies(document(f"<wait>{children}</wait>"), backend.url) as gateway:
        answer = gateway.call()
    assert answer.text == "ok"
    assert 0.6 <= answer.elapsed.total_seconds() < 1.7


def test_any_goes_on_with_the_first_and_cancels_the_others(backend: Backend, slow: Backend) -> None:
    slow.script = Script(delay=30)
    backend.script = Script(body="quick", delay=0.1)
    children = send(slow.url) + when(send(backend.url, "first"))
    inbound = f'<wait for="any">{children}</wait><return-response response-variable-name="first" />'
    with policies(document(inbound)) as gateway:
        answer = gateway.call()
    assert answer.text == "quick"
    assert answer.elapsed.total_seconds() < 10
    assert slow.last.client_left.wait(10)


def test_an_error_of_one_ends_all() -> None:
    fails = when(
        '<check-header name="x" failed-check-httpcode="418" failed-check-error-message="" ignore-case="true" />'
    )
    for kind in ("all", "any"):
        with policies(document(f'<wait for="{kind}">{when(pause(10))}{fails}</wait>')) as gateway:
            answer = gateway.call()
        assert answer.status_code == 418
        assert answer.elapsed.total_seconds() < 8


def test_the_first_answer_in_document_order_is_sent() -> None:
    late = when(pause(0.3), "<return-response><set-body>late</set-body></return-response>")
    early = when("<return-response><set-body>early</set-body></return-response>")
    for kind, text in (("all", "late"), ("any", "early")):
        with policies(document(f'<wait for="{kind}">{late}{early}</wait>')) as gateway:
            assert gateway.call().text == text


def test_other_policies_and_sections_do_not_load() -> None:
    (problem,) = problems(document("<wait><set-body>x</set-body>" + when() + "</wait>"))
    assert "unknown element set-body in wait" in problem
    assert "wait needs at least one of" in problems(document("<wait />"))[0]
    assert "attribute for" in problems(document(f'<wait for="some">{when()}</wait>'))[0]
    assert "not allowed in on-error" in problems(document(on_error=f"<wait>{when()}</wait>"))[0]
