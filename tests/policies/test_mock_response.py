"""mock-response: an answer without a backend."""

from tests.policies.running import document, policies, problems
from tests.support.backend import Backend


def test_the_caller_gets_status_and_content_type_and_no_content(backend: Backend) -> None:
    mock = '<mock-response status-code="201" content-type="application/json" />'
    with policies(document(mock, outbound="<set-body>ran</set-body>"), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (201, "application/json", b"")
    assert backend.requests == []


def test_it_takes_the_place_of_an_error() -> None:
    with policies(document(on_error="<mock-response />")) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.content) == (200, b"")


def test_it_is_refused_in_backend() -> None:
    assert "not allowed in backend" in problems(document(backend="<mock-response />"))[0]
    assert "status-code" in problems(document('<mock-response status-code="1000" />'))[0]


def test_attributes_are_no_expressions() -> None:
    (problem,) = problems(document('<mock-response status-code="@(200)" />'))
    assert "attribute status-code: policy expressions are not allowed here" in problem
