"""set-query-parameter: what the backend's query looks like after each exists-action."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def set_parameter(name: str, action: str, *values: str) -> str:
    inner = "".join(f"<value>{value}</value>" for value in values)
    return f'<set-query-parameter name="{name}" exists-action="{action}">{inner}</set-query-parameter>'


@pytest.mark.parametrize(
    ("policy", "sent", "received"),
    [
        (set_parameter("api-version", "override", "2024-10-21"), "api-version=1&x=%2F", "x=%2F&api-version=2024-10-21"),
        (set_parameter("API-Version", "override", "2"), "api-version=1&api-version=0", "API-Version=2"),
        (set_parameter("a", "override", "1", "2"), "", "a=1&a=2"),
        (set_parameter("a", "skip", "new"), "A=old", "A=old"),
        (set_parameter("a", "skip", "new"), "b=1", "b=1&a=new"),
        (set_parameter("a", "append", "2"), "a=1", "a=1&a=2"),
        (set_parameter("a", "delete"), "b=x+y&a=1&a", "b=x+y"),
        (set_parameter("a b", "append", "c&amp;d=e"), "", "a%20b=c%26d%3De"),
    ],
)
def test_the_query_is_changed_and_the_rest_stays_as_sent(
    backend: Backend, policy: str, sent: str, received: str
) -> None:
    with policies(document(policy), backend.url) as gateway:
        gateway.call(path=f"/v1/models?{sent}")
    assert backend.last.target.partition("?")[2] == received


def test_it_works_in_backend_and_is_refused_elsewhere() -> None:
    policy = set_parameter("a", "override", "1")
    assert problems(document("", policy)) == []
    assert problems(document("", outbound=policy)) == [
        "operation.xml:1 outbound/set-query-parameter: "
        "set-query-parameter is not allowed in outbound (only in inbound, backend)"
    ]


def test_a_value_is_needed_unless_it_deletes() -> None:
    (problem,) = problems(document('<set-query-parameter name="a" />'))
    assert problem.endswith("a value is needed to override")
    assert problems(document(set_parameter("a", "delete"))) == []
    assert "exists-action" in problems(document(set_parameter("a", "overwrite", "1")))[0]
