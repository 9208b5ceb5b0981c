"""return-response: what the caller gets, and that nothing else runs."""

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

RETURN = """<return-response>
  <set-status code="401" reason="Unauthorized" />
  <set-header name="WWW-Authenticate" exists-action="override"><value>Bearer error="invalid_token"</value></set-header>
  <set-header name="x-many"><value>1</value><value>2</value></set-header>
  <set-body>{"why": "because"}</set-body>
</return-response>"""


def test_without_content_it_is_an_empty_200(backend: Backend) -> None:
    with policies(document("<return-response />"), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.content) == (200, b"")
    assert backend.requests == []


def test_its_children_make_the_response(backend: Backend) -> None:
    with policies(document(RETURN), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.json()) == (401, {"why": "because"})
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers.get_list("x-many") == ["1", "2"]


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(backend: Backend, status: int) -> None:
    xml = f'<return-response><set-status code="{status}" /><set-body>no place for this</set-body></return-response>'
    with policies(document(xml), backend.url) as gateway:
        answers = [gateway.call() for _ in range(2)]  # over one connection: a body would be the next answer's head
    assert [(answer.status_code, answer.content) for answer in answers] == [(status, b"")] * 2


def test_nothing_of_the_backends_response_is_left_in_outbound(backend: Backend) -> None:
    after = '<set-header name="x-after"><value>ran</value></set-header>'
    with policies(document(outbound=f"{RETURN}{after}"), backend.url) as gateway:
        answer = gateway.call()
    assert answer.status_code == 401
    assert "openai-version" not in answer.headers and "x-after" not in answer.headers
    assert len(backend.requests) == 1


def test_a_liquid_template_sees_an_empty_body(backend: Backend) -> None:
    inner = '<set-body template="liquid">[{{body.a}}]</set-body>'
    with policies(document(f"<return-response>{inner}</return-response>"), backend.url) as gateway:
        assert gateway.call("POST", json={"a": 1}).text == "[]"


def test_a_variables_response_is_sent_with_the_changes(backend: Backend) -> None:
    backend.script = Script(status=200, body="kept", headers={"x-kept": "1", "x-gone": "1"})
    send = (
        '<send-request mode="new" response-variable-name="r" timeout="5">'
        f"<set-url>{backend.url}/v1/models</set-url><set-method>GET</set-method></send-request>"
    )
    gone = '<set-header name="x-gone" exists-action="delete" />'
    changed = (
        f'<return-response response-variable-name="r"><set-status code="203" reason="x" />{gone}</return-response>'
    )
    with policies(document(f"{send}{changed}"), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.text, answer.headers["x-kept"]) == (203, "kept", "1")
    assert "x-gone" not in answer.headers


def test_expressions_in_it_see_the_response_there_was(backend: Backend) -> None:
    backend.script = Script(status=429, headers={"retry-after": "7"})
    code = "@(context.Response.StatusCode + 74)"
    wait = '@(context.Response.Headers.GetValueOrDefault("retry-after", "none"))'
    body = '@(context.Response.Body.As<JObject>()["error"].Type.ToString())'
    returned = (
        f'<return-response><set-status code="{code}" reason="x" />'
        f'<set-header name="x-wait"><value>{wait}</value></set-header>'
        f"<set-body>{body}</set-body></return-response>"
    )
    with policies(document(outbound=returned), backend.url) as gateway:
        answer = gateway.call("POST", "/v1/chat/completions", json={})
    assert (answer.status_code, answer.headers["x-wait"], answer.text) == (503, "7", "Object")


def test_a_variable_that_holds_no_response_fails_the_request() -> None:
    with policies(document('<return-response response-variable-name="kept" />')) as gateway:
        assert gateway.call().status_code == 500


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("<set-method>GET</set-method>", "return-response/set-method: unknown element set-method in return-response"),
        ("<set-header />", "return-response/set-header: attribute name is required"),
        ("text", "return-response: unexpected text: text"),
    ],
)
def test_other_content_does_not_load(inner: str, message: str) -> None:
    (problem,) = problems(document(f"<return-response>{inner}</return-response>"))
    assert message in problem


def test_the_variables_name_is_no_expression() -> None:
    xml = document('<return-response response-variable-name="@(1)" />')
    assert len(problems(xml)) == 1
