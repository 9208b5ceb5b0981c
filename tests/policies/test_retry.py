"""retry: how often, how long between, and what the attempts leave behind."""

import pytest

from shared.policies.retry import wait_before
from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

LARGE = b"x" * 2_000_000


def retrying(attributes: str, inner: str = "<forward-request />", condition: str = "true") -> str:
    return document(backend=f'<retry condition="{condition}" {attributes}>{inner}</retry>')


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ({"interval": 3, "delta": None, "max_interval": None}, [3, 3, 3, 3]),
        ({"interval": 3, "delta": None, "max_interval": 2}, [2, 2, 2, 2]),
        ({"interval": 3, "delta": 2, "max_interval": None}, [3, 5, 7, 9]),
        ({"interval": 10, "delta": 10, "max_interval": 100}, [10, 20, 40, 80, 100, 100]),  # APIM's own example
        ({"interval": 10, "delta": 10, "max_interval": 100, "spread": 1.2}, [10, 22, 46, 94, 100]),
    ],
)
def test_the_three_formulas(arguments: dict[str, float], waits: list[float]) -> None:
    assert [wait_before(retry, **arguments) for retry in range(1, len(waits) + 1)] == waits


def test_it_runs_once_and_then_count_times_more(backend: Backend) -> None:
    with policies(retrying('count="3" interval="0"'), backend.url) as gateway:
        gateway.call("POST", json={"a": 1})
    assert [request.json() for request in backend.requests] == [{"a": 1}] * 4


def test_it_stops_when_the_condition_does_not_hold(backend: Backend) -> None:
    with policies(retrying('count="3" interval="0"', condition="false"), backend.url) as gateway:
        gateway.call()
    assert len(backend.requests) == 1


def test_it_waits_between_attempts_but_not_before_a_fast_first(backend: Backend) -> None:
    with policies(retrying('count="2" interval="0.4"'), backend.url) as gateway:
        slow = gateway.call().elapsed.total_seconds()
    with policies(retrying('count="2" interval="0.4" first-fast-retry="true"'), backend.url) as gateway:
        fast = gateway.call().elapsed.total_seconds()
    assert 0.8 < slow < 1.2
    assert 0.4 < fast < 0.75


def test_the_last_answer_is_the_callers_and_the_others_let_go(backend: Backend) -> None:
    stream = Script(status=200, chunk_every=0.05, text="one two three four five six seven eight nine ten")
    backend.scripts.extend([stream, stream])
    backend.script = Script(body="the last")
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with policies(retrying('count="2" interval="1"'), backend.url) as gateway:
        answer = gateway.call("POST", "/v1/chat/completions", json=body)
        assert answer.text == "the last"
        assert all(request.client_left.wait(10) for request in backend.requests[:2])


def test_an_answer_inside_ends_it(backend: Backend) -> None:
    policy = retrying('count="5" interval="0"', "<forward-request /><return-response />")
    with policies(policy, backend.url) as gateway:
        assert gateway.call().content == b""
    assert len(backend.requests) == 1


def test_no_answer_is_a_null_response_and_can_be_retried(backend: Backend) -> None:
    backend.scripts.extend([Script(hang_up=True), Script(delay=20), Script(status=503)])
    backend.script = Script(body="ok")
    condition = "@(context.Response == null || context.Response.StatusCode == 503)"
    policy = retrying('count="5" interval="0"', '<forward-request timeout="1" />', condition)
    with policies(policy, backend.url) as gateway:
        assert gateway.call("POST", json={}).text == "ok"
    assert len(backend.requests) == 4


def test_the_last_error_goes_on_when_the_retries_are_used_up(backend: Backend) -> None:
    backend.script = Script(hang_up=True)
    condition = '@(context.LastError.Reason == "BackendConnectionFailure")'
    tell = '<set-header name="x-path"><value>@(context.LastError.Path)</value></set-header>'
    inner = f'<retry condition="{condition}" count="2" interval="0"><forward-request /></retry>'
    with policies(document(backend=inner, on_error=tell), backend.url) as gateway:
        answer = gateway.call("POST", json={})
    assert (answer.status_code, answer.headers["x-path"]) == (502, "retry[1]/forward-request[1]")
    assert len(backend.requests) == 3


def test_a_status_made_an_error_can_be_retried_elsewhere(backend: Backend) -> None:
    """As documents in use do: they look at the status before the first forward-request, too."""
    backend.scripts.append(Script(status=429))
    backend.script = Script(body="ok")
    throttled = "@(context.Response.StatusCode == 429)"
    inner = (
        f'<choose><when condition="{throttled}"><set-header name="x-to"><value>payg</value></set-header></when>'
        '<otherwise><set-header name="x-to"><value>ptu</value></set-header></otherwise></choose>'
        '<forward-request timeout="120" fail-on-error-status-code="true" buffer-response="false" />'
    )
    policy = retrying('count="3" interval="0" max-interval="10" delta="2"', inner, throttled)
    with policies(policy, backend.url) as gateway:
        assert gateway.call().text == "ok"
        assert [request.header("x-to") for request in backend.requests] == ["ptu", "payg"]
        backend.script = Script(status=400)
        assert gateway.call().status_code == 400
    assert len(backend.requests) == 3


def test_a_condition_that_throws_over_an_error_does_not_hold(backend: Backend) -> None:
    backend.script = Script(hang_up=True)
    condition = "@(context.Response.StatusCode == 429)"
    with policies(retrying('count="5" interval="0"', condition=condition), backend.url) as gateway:
        assert gateway.call("POST", json={}).status_code == 502
    assert len(backend.requests) == 1


def test_a_body_that_was_a_stream_is_not_sent_again(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    backend.script = Script(status=429)
    with policies(retrying('count="2" interval="0"'), backend.url) as gateway:
        assert gateway.call("POST", content=LARGE).status_code == 429
    assert len(backend.requests) == 1
    assert "not retried, its body was a stream" in caplog.text


def test_a_buffered_body_is_sent_again(backend: Backend) -> None:
    policy = retrying('count="2" interval="0"', '<forward-request buffer-request-body="true" />')
    with policies(policy, backend.url) as gateway:
        gateway.call("POST", content=LARGE)
    assert [len(request.body) for request in backend.requests] == [len(LARGE)] * 3


def test_it_holds_any_policy_in_any_section(backend: Backend) -> None:
    again = '<retry condition="true" count="2" interval="0"><find-and-replace from="a" to="ab" /></retry>'
    backend.script = Script(body="a")
    with policies(document(again, outbound=again), backend.url) as gateway:
        assert gateway.call("POST", content=b"a").text == "abbb"
    assert backend.last.body == b"abbb"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('count="0" interval="1"', "attribute count: input should be greater than or equal to 1"),
        ('count="51" interval="1"', "attribute count: input should be less than or equal to 50"),
        ('count="1" interval="-1"', "attribute interval: input should be greater than or equal to 0"),
        ('count="1"', "attribute interval is required"),
        ('count="1" interval="0" delta="x"', "attribute delta"),
    ],
)
def test_wrong_attributes_do_not_load(attributes: str, message: str) -> None:
    (problem,) = problems(retrying(attributes))
    assert problem.startswith(f"operation.xml:1 backend/retry: {message}")


def test_the_condition_sees_each_answer_and_policies_inside_the_one_before(backend: Backend) -> None:
    backend.scripts.extend([Script(status=429), Script(status=503)])
    backend.script = Script(body="third")
    seen = "@(context.Response.StatusCode.ToString())"
    inner = f'<set-header name="x-seen" exists-action="override"><value>{seen}</value></set-header><forward-request />'
    condition = "@(context.Response.StatusCode == 429 || context.Response.StatusCode >= 500)"
    with policies(retrying('count="@(1 + 4)" interval="@(0)"', inner, condition), backend.url) as gateway:
        answer = gateway.call("POST", json={})
    assert [request.header("x-seen") for request in backend.requests] == ["200", "429", "503"]
    assert answer.text == "third"


def test_attributes_out_of_bounds_fail_the_request_at_run_time_too(backend: Backend) -> None:
    with policies(retrying('count="@(51)" interval="0"'), backend.url) as gateway:
        assert gateway.call().status_code == 500
    assert len(backend.requests) == 1


def test_in_on_error_it_leaves_the_error_that_led_there(backend: Backend) -> None:
    condition = "@(context.LastError.Reason == &quot;ExpressionValueEvaluationFailure&quot;)"
    xml = document(
        inbound='<set-variable name="n" value="@((string)context.Variables[&quot;missing&quot;])" />',
        on_error=f"""<retry condition="{condition}" count="1" interval="0"><set-variable name="again"
            value='@(context.Variables.GetValueOrDefault("again", "") + "x")' />
            </retry><set-body>@(context.Variables["again"] + context.LastError.Reason)</set-body>""",
    )
    with policies(xml, backend.url) as gateway:
        assert gateway.call().text == "xxExpressionValueEvaluationFailure"
