"""set-variable: what later policies find in context.Variables."""

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def show(expression: str) -> str:
    return f'<set-header name="x-shown"><value>@({expression})</value></set-header>'


def test_a_literal_is_a_string_and_an_expression_keeps_its_type(backend: Backend) -> None:
    inbound = (
        '<set-variable name="text" value="1" /><set-variable name="number" value="@(1)" />'
        '<set-variable name="body" value="@(context.Request.Body.As<JObject>(preserveContent: true))" />'
    )
    shown = (
        'context.Variables["text"].GetType().Name + context.Variables["number"].GetType().Name'
        ' + (string)((JObject)context.Variables["body"])["a"] + context.Variables.GetValueOrDefault<int>("none", 7)'
    )
    with policies(document(inbound + show(shown)), backend.url) as gateway:
        gateway.call("POST", json={"a": "x"})
    assert backend.last.header("x-shown") == "StringInt32x7"


def test_it_lasts_for_the_request_and_no_longer(backend: Backend) -> None:
    posted = '@(context.Request.Method == "POST")'
    keep = f'<choose><when condition="{posted}"><set-variable name="v" value="kept" /></when></choose>'
    outbound = show('context.Variables.GetValueOrDefault("v", "none")')
    with policies(document(keep, outbound=outbound), backend.url) as gateway:
        assert gateway.call("POST", json={}).headers["x-shown"] == "kept"
        assert gateway.call().headers["x-shown"] == "none"


def test_name_and_value_are_required_and_the_name_is_no_expression() -> None:
    found = problems(document("<set-variable />"))
    assert [problem.rpartition("attribute ")[2] for problem in found] == ["name is required", "value is required"]
    assert len(problems(document('<set-variable name="@(1)" value="1" />'))) == 1
