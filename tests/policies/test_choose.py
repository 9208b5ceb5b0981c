"""choose: which branch runs."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def mark(value: str) -> str:
    return f'<set-header name="x-trail" exists-action="append"><value>{value}</value></set-header>'


CHOOSE = f"""<choose>
  <when condition="@(context.Request.Url.Query.GetValueOrDefault("a", "") == "1")">{mark("first")}</when>
  <when condition="@(context.Request.Url.Query.ContainsKey("a") && context.Request.Method == "GET")">{mark("second")}
    <choose><when condition="true">{mark("nested")}</when></choose></when>
  <otherwise>{mark("otherwise")}</otherwise>
</choose>{mark("after")}"""


@pytest.mark.parametrize(
    ("path", "trail"),
    [("/x?a=1", "first, after"), ("/x?a=2", "second, nested, after"), ("/x", "otherwise, after")],
)
def test_only_the_first_branch_that_holds_runs(backend: Backend, path: str, trail: str) -> None:
    with policies(document(CHOOSE), backend.url) as gateway:
        gateway.call(path=path)
    assert backend.last.header("x-trail") == trail


def test_without_otherwise_nothing_may_run(backend: Backend) -> None:
    with policies(document(f'<choose><when condition="false">{mark("no")}</when></choose>'), backend.url) as gateway:
        gateway.call()
    assert backend.last.header("x-trail") is None


def test_a_condition_that_is_no_bool_fails_the_request(backend: Backend) -> None:
    with policies(document('<choose><when condition="@(1 + 1)" /></choose>'), backend.url) as gateway:
        assert gateway.call().status_code == 500
    assert backend.requests == []


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("", "choose needs at least one when"),
        ("<when />", "attribute condition is required"),
        ('<when condition="maybe" />', "attribute condition: input should be a valid boolean"),
        ('<otherwise /><when condition="true" />', "otherwise must be the last element of choose"),
        ('<when condition="true"><set-heade /></when>', "unknown policy set-heade, did you mean set-header?"),
        ('<whem condition="true" /><when condition="true" />', "unknown element whem in choose, did you mean when?"),
    ],
)
def test_a_wrong_choose_does_not_load(inner: str, message: str) -> None:
    (problem,) = problems(document(f"<choose>{inner}</choose>"))
    assert message in problem
