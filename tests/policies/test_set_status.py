"""set-status: another status for the backend's answer, or for an answer nobody gave."""

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems


def test_the_backends_answer_gets_another_status(backend: Backend) -> None:
    backend.script = Script(body="kept", headers={"x-kept": "yes"})
    policy = document(outbound='<set-status code="202" reason="Accepted" />')
    with policies(policy, backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.text, answer.headers["x-kept"]) == (202, "kept", "yes")


def test_without_a_backend_call_it_is_the_status_of_the_empty_answer() -> None:
    with policies(document('<set-status code="204" reason="None" />', backend="")) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.content) == (204, b"")


def test_in_on_error_the_error_gets_another_status_and_keeps_its_body(backend: Backend) -> None:
    backend.script = Script(hang_up=True)
    policy = document(on_error='<set-status code="503" reason="Service Unavailable" />')
    with policies(policy, backend.url) as gateway:
        answer = gateway.call()
    assert answer.status_code == 503
    assert answer.json()["statusCode"] == 502


@pytest.mark.parametrize("code", ["99", "600", "two", ""])
def test_a_code_no_server_can_send_is_a_problem(code: str) -> None:
    (problem,) = problems(document(outbound=f'<set-status code="{code}" />'))
    assert problem.startswith("operation.xml:1 outbound/set-status: attribute code:")


def test_an_expression_gives_the_code_which_must_be_one(backend: Backend) -> None:
    backend.script = Script(body="kept")
    policy = document(
        outbound='<set-status code="@(int.Parse(context.Request.Headers["x-code"][0]))" reason="@("x")" />'
    )
    with policies(policy, backend.url) as gateway:
        assert gateway.call(headers={"x-code": "203"}).status_code == 203
        assert gateway.call(headers={"x-code": "199"}).status_code == 500


def test_later_policies_see_code_and_reason(backend: Backend) -> None:
    shown = "<value>@(context.Response.StatusCode + context.Response.StatusReason)</value>"
    outbound = f'<set-status code="299" reason="Odd" /><set-header name="x-seen">{shown}</set-header>'
    with policies(document(outbound=outbound), backend.url) as gateway:
        assert gateway.call().headers["x-seen"] == "299Odd"
