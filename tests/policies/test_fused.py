"""Runs of policies as one function: they do what the same policies do one by one, whatever happens between them."""

import httpx
import pytest

from tests.support.backend import Backend
from tests.support.policies import Running, document, policies

INBOUND = """
<set-variable name="model" value="@((string)context.Request.Body.As<JObject>(true)["model"])" />
<set-variable name="plain" value="text" />
<set-header name="x-model" exists-action="override">
  <value>@(context.Variables.GetValueOrDefault<string>("model", "none") + "/" + context.Variables["plain"])</value>
</set-header>
<choose>
  <when condition="@(context.Request.Headers.GetValueOrDefault("x-case", "") == "fail")">
    <set-variable name="wrong" value="@(int.Parse("no number"))" />
  </when>
  <when condition="@(context.Request.Headers.GetValueOrDefault("x-case", "") == "answer")">
    <set-variable name="status" value="@(418)" />
    <return-response><set-status code="418" /></return-response>
  </when>
  <otherwise>
    <set-header name="x-otherwise" exists-action="override"><value>@((1 + 1).ToString())</value></set-header>
  </otherwise>
</choose>
<set-header name="x-last" exists-action="override"><value>@("seen")</value></set-header>
"""
WHERE = """
<set-header name="x-error" exists-action="override">
  <value>@(context.LastError.Source + " " + context.LastError.Path + " " + context.LastError.Reason)</value>
</set-header>
"""
# Waits in the middle, which no function does.
WAITS = '<cache-lookup-value key="none" variable-name="cached" default-value="nothing" />'


def call(gateway: Running, case: str = "", body: bytes = b'{"model": "gpt"}', **headers: str) -> httpx.Response:
    return gateway.call(
        "POST", "/x", content=body, headers={"content-type": "application/json", "x-case": case, **headers}
    )


@pytest.mark.parametrize("inbound", [INBOUND, WAITS + INBOUND, INBOUND + WAITS], ids=["alone", "after", "before"])
@pytest.mark.parametrize("traced", [{}, {"ocp-apim-trace": "true"}], ids=["", "traced"])
def test_each_policy_sees_what_those_before_it_did(backend: Backend, inbound: str, traced: dict[str, str]) -> None:
    with policies(document(inbound), backend.url) as gateway:
        call(gateway, **traced)
    assert [backend.last.header(name) for name in ("x-model", "x-otherwise", "x-last")] == ["gpt/text", "2", "seen"]


def test_an_answer_in_the_middle_ends_the_run(backend: Backend) -> None:
    with policies(document(INBOUND), backend.url) as gateway:
        assert call(gateway, "answer").status_code == 418
    assert not backend.requests


def test_an_error_tells_of_the_policy_that_threw(backend: Backend) -> None:
    with policies(document(INBOUND, on_error=WHERE), backend.url) as gateway:
        within, of_the_run = call(gateway, "fail"), call(gateway, body=b"[]")
    threw = "ExpressionValueEvaluationFailure"
    assert (within.status_code, of_the_run.status_code) == (500, 500)
    assert within.headers["x-error"] == f"set-variable choose[1]/when[1]/set-variable[1] {threw}"
    assert of_the_run.headers["x-error"] == f"set-variable set-variable[1] {threw}"


def test_a_body_that_is_still_a_stream_is_read_for_the_run(backend: Backend) -> None:
    long = b'{"model": "gpt", "filler": "' + b"x" * 1_100_000 + b'"}'
    with policies(document(INBOUND), backend.url) as gateway:
        call(gateway, body=long)
    assert backend.last.header("x-model") == "gpt/text"
    assert backend.last.body == long


def test_what_an_expression_leaves_behind_is_left_behind(backend: Backend) -> None:
    twice = (
        '<set-variable name="first" value="@(context.Request.Body.As<string>())" />'
        '<set-header name="x-read" exists-action="override">'
        '<value>@(context.Request.Body.As<string>() ?? "read away")</value></set-header>'
    )
    with policies(document(twice), backend.url) as gateway:
        call(gateway)
    assert (backend.last.header("x-read"), backend.last.body) == ("read away", b"")
