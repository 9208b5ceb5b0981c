"""set-header: the request's headers before the backend answers, the response's after."""

from urllib.parse import quote

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems


def set_header(action: str, *values: str, name: str = "X-Many") -> str:
    inner = "".join(f"<value>{value}</value>" for value in values)
    return f'<set-header name="{name}" exists-action="{action}">{inner}</set-header>'


@pytest.mark.parametrize(
    ("policy", "received"),
    [
        (set_header("override", "new"), ["new"]),
        (set_header("override", "1", "2"), ["1", "2"]),
        (set_header("skip", "new"), ["a", "b"]),
        (set_header("append", "c"), ["a", "b", "c"]),
        (set_header("delete"), []),
        (set_header("skip", "new", name="X-Other"), ["a", "b"]),
        (set_header("override", '@(context.Request.Headers["x-many"][0] + "!")'), ["a!"]),
        (set_header('@("app" + "end")', "c"), ["a", "b", "c"]),
        (set_header("append", "c", name='@("x-" + "many")'), ["a", "b", "c"]),
    ],
)
def test_each_exists_action_does_what_it_says(backend: Backend, policy: str, received: list[str]) -> None:
    with policies(document(policy), backend.url) as gateway:
        gateway.call(headers=[("x-many", "a"), ("x-many", "b")])
    found = [value for name, value in backend.last.headers if name.lower() == "x-many"]
    assert found == received


def test_in_outbound_and_on_error_it_is_the_responses(backend: Backend) -> None:
    backend.scripts.append(Script(headers={"x-many": "a", "x-secret": "s"}))
    backend.script = Script(hang_up=True)
    policy = set_header("append", "b") + set_header("delete", name="x-secret")
    with policies(document(outbound=policy, on_error=policy), backend.url) as gateway:
        answer = gateway.call()
        assert answer.headers.get_list("x-many") == ["a", "b"]
        assert "x-secret" not in answer.headers
        assert gateway.call("POST", json={}).headers.get_list("x-many") == ["b"]


def test_a_value_cannot_become_a_second_header(backend: Backend) -> None:
    policy = set_header("override", '@("a" + (char)13 + (char)10 + "x-evil: 1")', name="x-many")
    with policies(document(policy, outbound=policy), backend.url) as gateway:
        answer = gateway.call()
    assert backend.last.header("x-evil") is None and "x-evil" not in answer.headers
    assert backend.last.header("x-many") == "a  x-evil: 1"


def test_a_control_character_ends_no_answer(backend: Backend) -> None:
    policy = set_header("override", '@("a" + (char)1 + (char)127 + (char)0xD800 + "b")', name="x-many")
    with policies(document(policy, outbound=policy), backend.url) as gateway:
        assert gateway.call().headers["x-many"] == backend.last.header("x-many") == "a  ?b"


@pytest.mark.parametrize("name", ["", "x many", "x:1", "x\r\nx-evil: 1\r\nx", "caf\u00e9"])
def test_a_name_that_is_none_fails_the_request(backend: Backend, name: str) -> None:
    policy = set_header("override", "1", name='@(Uri.UnescapeDataString(context.Request.Headers["x-name"][0]))')
    with policies(document(outbound=policy), backend.url) as gateway:
        answer = gateway.call(headers={"x-name": quote(name)})
    assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")


def test_wrong_attributes_do_not_load() -> None:
    assert "not a header name: x many" in problems(document(set_header("override", "1", name="x many")))[0]
    assert "exists-action" in problems(document(set_header("replace", "x")))[0]
    assert "attribute name is required" in problems(document("<set-header />"))[0]
    assert "unknown element vale" in problems(document('<set-header name="a"><vale /></set-header>'))[0]
    # Without a value element an override takes the header away.
    assert "unexpected text: text" in problems(document('<set-header name="a">text</set-header>'))[0]
