"""The pipeline: what runs after what, what an error leads to, and what reading a body does to it."""

import time

import httpx
import pytest

from shared.gateway.tracing import DebugTokens
from tests.support.backend import Backend, Script
from tests.support.policies import Running, document, policies
from tests.support.running import SECRET

LAST_ERROR = ("Source", "Reason", "Message", "Scope", "Section", "Path", "PolicyId")
TELL = "".join(
    f'<set-header name="e-{member.lower()}"><value>@(context.LastError.{member})</value></set-header>'
    for member in LAST_ERROR
)
FAIL = '<set-variable id="mine" name="v" value="@((string)context.Variables["none"])" />'
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def mark(value: str, name: str = "x-trail") -> str:
    return f'<set-header name="{name}" exists-action="append"><value>{value}</value></set-header>'


def answering(text: str) -> str:
    return f"<return-response><set-body>{text}</set-body></return-response>"


def told(answer: httpx.Response) -> dict[str, str]:
    """The members of LastError that on-error has seen, those that are empty left out."""
    return {
        member: answer.headers[f"e-{member.lower()}"]
        for member in LAST_ERROR
        if answer.headers.get(f"e-{member.lower()}")
    }


def test_sections_run_in_order_and_each_changes_its_message(backend: Backend) -> None:
    backend.script = Script(body="ok")
    xml = document(mark("1"), f"{mark('2')}<forward-request />{mark('late')}", mark("3"), mark("never"))
    with policies(xml, backend.url) as gateway:
        answer = gateway.call()
    assert backend.last.header("x-trail") == "1, 2"
    assert answer.headers.get_list("x-trail") == ["3"]


@pytest.mark.parametrize("section", ["inbound", "backend", "outbound"])
def test_an_error_jumps_to_on_error_which_knows_where_it_was(backend: Backend, section: str) -> None:
    nested = f'<choose><when condition="false" /><when condition="true">{mark("a")}{FAIL}</when></choose>'
    sections = {"inbound": "", "backend": "<forward-request />", "outbound": mark("outbound", "x-outbound")}
    sections[section] = nested + sections[section]
    with policies(document(**sections, on_error=TELL), backend.url) as gateway:
        answer = gateway.call()
    found = told(answer)
    assert "none" in found.pop("Message")
    assert found == {
        "Source": "set-variable",
        "Reason": "ExpressionValueEvaluationFailure",
        "Scope": "operation",
        "Section": section,
        "Path": "choose[1]/when[2]/set-variable[1]",
        "PolicyId": "mine",
    }
    assert "x-outbound" not in answer.headers
    assert len(backend.requests) == (1 if section == "outbound" else 0)
    assert answer.status_code == 500
    assert answer.json().keys() >= {"statusCode", "message", "activityId"}
    assert answer.json()["message"] == "Internal server error"


def test_an_error_in_an_outer_document_or_a_fragment_tells_its_own_place(backend: Backend) -> None:
    config = "policy: global.xml\nfragments: {broken: broken.xml}\n"
    files = {
        "global.xml": document('<include-fragment fragment-id="broken" />', "<forward-request />"),
        "broken.xml": f"<fragment>{mark('x')}{FAIL}</fragment>",
    }
    with policies(document(f"{mark('y')}<base />", on_error=TELL), config=config, files=files) as gateway:
        found = told(gateway.call())
    assert (found["Scope"], found["Section"], found["Path"]) == ("global", "inbound", "set-variable[1]")


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        (Script(hang_up=True), 502, "BackendConnectionFailure"),
        (Script(delay=20), 504, "Timeout"),
        (Script(garbage=True), 502, "BackendConnectionFailure"),
    ],
)
def test_a_backend_that_does_not_answer_is_an_error_of_forward_request(
    backend: Backend, script: Script, status: int, reason: str
) -> None:
    backend.script = script
    xml = document(backend='<forward-request timeout="1" />', on_error=TELL)
    with policies(xml, backend.url) as gateway:
        answer = gateway.call("POST", json={})
    found = told(answer)
    assert answer.status_code == status
    assert (found["Source"], found["Reason"], found["Path"]) == ("forward-request", reason, "forward-request[1]")


def test_a_policy_sees_the_key_that_came(backend: Backend) -> None:
    config = """
        named_values: { key: { env: TEAM_KEY }, other: { env: TEAM_OTHER_KEY } }
        subscriptions:
          team: { display_name: Team, scope: all-apis, keys: { primary: "{{key}}", secondary: "{{other}}" } }
    """
    who = '@(context.Subscription.Id + " " + context.Subscription.Key)'
    shown = f'<set-header name="x-who"><value>{who}</value></set-header>'
    keys = {"TEAM_KEY": "primary-key-of-the-team", "TEAM_OTHER_KEY": "other-key-of-the-team"}
    needed = {"subscription_required": True}
    with policies(document(shown), backend.url, config=config, environment=keys, api=needed) as gateway:
        seen = []
        for key in keys.values():
            gateway.call(headers={"Ocp-Apim-Subscription-Key": key})
            seen.append(backend.last.header("x-who"))
    assert seen == [f"team {key}" for key in keys.values()]


def test_errors_before_any_policy_reach_on_error_of_the_scopes_known_by_then(backend: Backend) -> None:
    config = "policy: global.xml\n"
    files = {"global.xml": document(backend="<forward-request />", on_error=TELL + mark("global"))}
    xml = document(on_error=f"{mark('operation')}<base />")
    with policies(xml, backend.url, config=config, files=files, api={"subscription_required": True}) as gateway:
        no_key = gateway.call()
        wrong_key = gateway.call(headers={"Ocp-Apim-Subscription-Key": "nonsense"})
        no_operation = gateway.call("DELETE")
        no_api = gateway.client.get("/elsewhere")
    assert backend.requests == []
    denied = (
        "Access denied due to missing subscription key. Make sure to include subscription key when making requests to "
    )
    assert told(no_key) == {
        "Source": "authorization",
        "Reason": "SubscriptionKeyNotFound",
        "Message": f"{denied}this API.",
        "Section": "inbound",
    }
    assert no_key.headers.get_list("x-trail") == ["operation", "global"]
    assert no_key.headers["www-authenticate"].startswith('AzureApiManagementKey realm="https://')
    assert (no_key.status_code, no_key.json()["message"]) == (401, f"{denied}an API.")
    assert told(wrong_key)["Reason"] == "SubscriptionKeyInvalid"
    for answer in (no_operation, no_api):
        assert told(answer)["Message"] == "Unable to match incoming request to an operation."
        assert (told(answer)["Source"], told(answer)["Reason"]) == ("configuration", "OperationNotFound")
        assert answer.headers.get_list("x-trail") == ["global"]
        assert {"statusCode": 404, "message": "Resource not found"}.items() <= answer.json().items()


def test_an_error_in_on_error_is_answered_without_more_policies() -> None:
    xml = document(FAIL, on_error=f"{mark('before')}{FAIL}{mark('after')}")
    with policies(xml) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")
    assert "x-trail" not in answer.headers


def test_on_error_can_replace_the_answer(backend: Backend) -> None:
    backend.script = Script(hang_up=True)
    when = f'<choose><when condition="@(context.Response.StatusCode == 502)">{answering("sorry")}</when></choose>'
    with policies(document(on_error=f"{when}{mark('never')}"), backend.url) as gateway:
        answer = gateway.call("POST", json={})
    assert (answer.status_code, answer.text) == (200, "sorry")
    assert "x-trail" not in answer.headers


@pytest.mark.parametrize("section", ["inbound", "backend", "outbound"])
def test_return_response_ends_everything_in_each_section(backend: Backend, section: str) -> None:
    sections = {"inbound": mark("in"), "backend": "<forward-request />", "outbound": mark("out")}
    sections[section] += answering(section) + FAIL
    with policies(document(**sections, on_error=mark("error")), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.text) == (200, section)
    assert "x-trail" not in answer.headers
    assert len(backend.requests) == (0 if section == "inbound" else 1)


def arrivals(gateway: Running) -> list[float]:
    """When the chunks of a streamed answer arrive, in seconds after the first."""
    times: list[float] = []
    with gateway.client.stream("POST", "/api/v1/chat/completions", json=CHAT) as answer:
        for _ in answer.iter_raw():
            times.append(time.monotonic())
    return [at - times[0] for at in times]


MENTION = "@(context.Response.Body.As<string>(preserveContent: true).Length)"


@pytest.mark.parametrize("taken", [False, True])
def test_a_stream_stays_a_stream_unless_a_policy_really_reads_it(backend: Backend, taken: bool) -> None:
    backend.script = Script(chunk_every=0.1, text="one two three four five six seven eight")
    status = 200 if taken else 418
    reads = f'<set-header name="x-length"><value>{MENTION}</value></set-header>'
    outbound = f'<choose><when condition="@(context.Response.StatusCode == {status})">{reads}</when></choose>'
    with policies(document(outbound=outbound), backend.url) as gateway:
        times = arrivals(gateway)
    if taken:
        assert times[-1] < 0.1
    else:
        assert len(times) >= 8
        assert times[-1] > 0.6
        gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
        assert sum(gap > 0.05 for gap in gaps) >= 6


@pytest.mark.parametrize(("preserve", "left"), [("true", b'{"a": 1}'), ("", b"")])
def test_a_request_body_is_gone_once_read_unless_preserved(backend: Backend, preserve: str, left: bytes) -> None:
    read = f'<set-variable name="first" value="@(context.Request.Body.As<JObject>({preserve}))" />'
    shown = '<set-header name="x-a"><value>@((string)((JObject)context.Variables["first"])["a"])</value></set-header>'
    with policies(document(read + shown), backend.url) as gateway:
        gateway.call("POST", content=b'{"a": 1}')
    assert backend.last.header("x-a") == "1"
    assert backend.last.body == left
    assert backend.last.header("content-length") == str(len(left))


@pytest.mark.parametrize(("preserve", "left"), [("true", '{"a": 1}'), ("", "")])
def test_a_response_body_is_gone_once_read_unless_preserved(backend: Backend, preserve: str, left: str) -> None:
    backend.script = Script(body='{"a": 1}', chunk_every=0.02)
    read = f'@((string)context.Response.Body.As<JObject>({preserve})["a"])'
    shown = f'<set-header name="x-a"><value>{read}</value></set-header>'
    with policies(document(outbound=shown), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.headers["x-a"], answer.text) == ("1", left)


def test_a_body_taken_away_can_be_set_again_and_sent_by_every_attempt(backend: Backend) -> None:
    edit = '@{ var b = context.Request.Body.As<JObject>(); b["n"] = (int)b["n"] + 1; return b.ToString(); }'
    attempt = f"<set-body>{edit}</set-body><forward-request />"
    retry = f'<retry condition="@(context.Response.StatusCode == 429)" count="5" interval="0">{attempt}</retry>'
    backend.scripts.extend([Script(status=429), Script(status=429)])
    backend.script = Script(body="ok")
    with policies(document("", retry), backend.url) as gateway:
        assert gateway.call("POST", json={"n": 0}).text == "ok"
    assert [request.json()["n"] for request in backend.requests] == [1, 2, 3]


def test_a_large_body_is_read_when_an_expression_needs_it(backend: Backend) -> None:
    large = b'{"a": "' + b"x" * 2_000_000 + b'"}'
    length = "@(context.Request.Body.As<string>(true).Length.ToString())"
    shown = f'<set-header name="x-l"><value>{length}</value></set-header>'
    with policies(document(shown), backend.url) as gateway:
        gateway.call("POST", content=large)
    assert backend.last.header("x-l") == str(len(large))
    assert backend.last.body == large


def test_a_trace_tells_what_each_policy_decided(backend: Backend) -> None:
    inbound = (
        f'<set-backend-service base-url="{backend.url}" /><rewrite-uri template="/v2?code=secret" />'
        '<set-query-parameter name="key"><value>secret</value></set-query-parameter>'
        '<json-to-xml apply="always" /><find-and-replace from="a" to="b" />'
    )
    attempt = '<limit-concurrency key="k" max-count="1"><forward-request /></limit-concurrency>'
    again = f'<retry condition="@(context.Response.StatusCode == 429)" count="1" interval="0">{attempt}</retry>'
    xml = document(inbound, again, '<set-status code="202" reason="Fine" />')
    backend.scripts.append(Script(status=429))
    with policies(xml) as gateway:
        token = {"Apim-Debug-Authorization": DebugTokens(SECRET.encode()).issue()}
        answer = gateway.call("POST", content=b"aa", headers=token)
        trace = gateway.client.get(f"/_management/traces/{answer.headers['apim-trace-id']}", headers=token)
    entries = [entry for section in trace.json()["traceEntries"].values() for entry in section]
    assert [(entry["source"], entry["data"]) for entry in entries if "seconds" not in entry["data"]] == [
        ("set-backend-service", {"base-url": backend.url}),
        ("rewrite-uri", {"path": "/v2", "parameters": ["code"]}),
        ("set-query-parameter", {"name": "key", "exists-action": "override"}),
        ("json-to-xml", "not converted: the caller does not accept XML"),
        ("find-and-replace", {"replaced": 2}),
        ("limit-concurrency", {"key": "k", "inside": 1}),
        ("expression", {"expression": "context.Response.StatusCode == 429", "value": True}),
        ("retry", {"retry": 1, "wait": 0.0}),
        ("limit-concurrency", {"key": "k", "inside": 1}),
        ("expression", {"expression": "context.Response.StatusCode == 429", "value": False}),
        ("set-status", {"code": 202, "reason": "Fine"}),
    ]
    assert "secret" not in trace.text
