"""rewrite-uri: which target the backend gets, and that none leaves its base path."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def rewrite(template: str, **attributes: str) -> str:
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return document(f'<rewrite-uri template="{template}"{more} />')


@pytest.mark.parametrize(
    ("policy", "sent", "received"),
    [
        (rewrite("/put"), "/found?q=b&c=d", "/base/put?c=d"),  # APIM's own example
        (rewrite("/put", copy_unmatched_params="false"), "/found?q=b&c=d", "/base/put"),
        (rewrite("/v2/{id}/x"), "/items/7?a=%20+", "/base/v2/7/x?a=%20+"),
        (rewrite("no-slash"), "/items/7", "/base/no-slash"),
        (rewrite("/a?id={id}&amp;api-version=2"), "/items/a%26b?api-version=1", "/base/a?id=a%26b&api-version=2"),
        (rewrite("/v2/{id}"), "/items/a%2Fb%20c", "/base/v2/a%2Fb%20c"),
        (rewrite("/ä b"), "/items/7", "/base/%C3%A4%20b"),
    ],
)
def test_path_and_query_are_rewritten(backend: Backend, policy: str, sent: str, received: str) -> None:
    with policies(policy, f"{backend.url}/base") as gateway:
        gateway.call(path=sent)
    assert backend.last.target == received


def test_a_parameter_the_operation_does_not_have_fails_the_request(backend: Backend) -> None:
    with policies(rewrite("/v2/{missing}"), backend.url) as gateway:
        answer = gateway.call()
    assert answer.status_code == 500
    assert "missing" not in answer.text
    assert backend.requests == []


@pytest.mark.parametrize("template", ["/../other", "/a/%2e%2e/b", "/a/..;x/b", "/a\\..\\b", "https://elsewhere/x"])
def test_a_template_that_leaves_the_base_path_does_not_load(template: str) -> None:
    (problem,) = problems(rewrite(template))
    assert "below the backend's URL" in problem


def test_a_parameter_cannot_leave_the_base_path(backend: Backend) -> None:
    with policies(rewrite("/{id}{id}/secret"), f"{backend.url}/base") as gateway:
        answer = gateway.call(path="/items/.")
        assert answer.status_code in (404, 500)
        assert gateway.call(path="/items/a").status_code == 404
    assert [request.target for request in backend.requests] == ["/base/aa/secret"]


def test_an_expression_gives_the_template_and_cannot_leave_the_base_path_either(backend: Backend) -> None:
    policy = document('<rewrite-uri template="@(context.Request.Headers.GetValueOrDefault("x-to", "/none/{id}"))" />')
    with policies(policy, f"{backend.url}/base") as gateway:
        gateway.call(path="/items/7?a=b")
        assert backend.last.target == "/base/none/7?a=b"
        for target in ("/../secret", "/%2e%2e/secret", "/a\\..\\secret", "/x/..%2fsecret", "/%252e%252e/secret"):
            answer = gateway.call(headers={"x-to": target})
            assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")
    assert len(backend.requests) == 1
