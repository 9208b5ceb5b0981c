"""Calls by any key are counted in a sliding window, by what the response turns out to be."""

import asyncio
import time

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems


def rule(attributes: str) -> str:
    return document(inbound=f"<base /><rate-limit-by-key {attributes} />")


BY_HEADER = """counter-key="@(context.Request.Headers.GetValueOrDefault("x-who", "nobody"))" """


def test_each_key_has_so_many_calls(backend: Backend) -> None:
    tells = 'remaining-calls-variable-name="left" total-calls-header-name="total" remaining-calls-header-name="left"'
    with policies(rule(f'{BY_HEADER} calls="@(1 + 1)" renewal-period="60" {tells}'), backend.url) as gateway:
        statuses = [gateway.call(headers={"x-who": who}).status_code for who in ("a", "a", "a", "b")]
        assert statuses == [200, 200, 429, 200]
        refused = gateway.call(headers={"x-who": "a"})
        wait = refused.headers["retry-after"]
        assert refused.json()["message"] == f"Rate limit is exceeded. Try again in {wait} seconds."
        assert (refused.headers["left"], refused.headers["total"]) == ("0", "2")
        assert gateway.call(headers={"x-who": "b"}).headers["left"] == "0"


def test_the_window_slides(backend: Backend) -> None:
    with policies(rule('counter-key="k" calls="2" renewal-period="2"'), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(3)] == [200, 200, 429]
        wait = int(gateway.call().headers["retry-after"])
        assert 1 <= wait <= 2
        time.sleep(wait)
        if (early := gateway.call()).status_code == 429:  # by no more than a bucket of the window
            assert early.headers["retry-after"] == "1"
            time.sleep(1)
            assert gateway.call().status_code == 200


def test_a_condition_on_the_response_decides_what_counts(backend: Backend) -> None:
    condition = 'increment-condition="@(context.Response.StatusCode >= 400)"'
    with policies(rule(f'counter-key="k" calls="2" renewal-period="60" {condition}'), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(5)] == [200] * 5
        backend.script = Script(status=401)
        assert [gateway.call().status_code for _ in range(3)] == [401, 401, 429]


def test_a_call_may_count_more_than_one(backend: Backend) -> None:
    """The cost of a call out of its response, the recipe of APIM's page on flexible throttling."""
    tokens = """increment-count="@((int)context.Response.Body.As<JObject>(true)["usage"]["total_tokens"])" """
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
    with policies(rule(f'counter-key="k" calls="40" renewal-period="60" {tokens}'), backend.url) as gateway:
        answers = [gateway.call("POST", "/chat/completions", json=chat) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].json()["usage"]["total_tokens"] == 21
    with policies(rule('counter-key="k" calls="10" renewal-period="60" increment-count="4"'), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(3)] == [200, 200, 429]


def test_an_expression_that_fails_does_not_end_the_limit(backend: Backend) -> None:
    fails = """increment-count="@(int.Parse("x"))" """
    with policies(rule(f'counter-key="k" calls="2" renewal-period="60" {fails}'), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(3)] == [200, 200, 429]


def test_a_key_is_one_counter_wherever_it_stands(backend: Backend) -> None:
    twice = '<rate-limit-by-key counter-key="k" calls="3" renewal-period="60" />' * 2
    with policies(document(inbound=f"<base />{twice}"), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(4)][:2] == [200, 200]
        assert gateway.call().status_code == 429


def test_different_limits_of_a_key_share_its_count(backend: Backend) -> None:
    two = '<rate-limit-by-key counter-key="k" calls="{}" renewal-period="60" />'
    with policies(document(inbound=f"<base />{two.format(500)}{two.format(400)}"), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(5)] == [200] * 5
        app = gateway.app
    # What the instance leased it has given back when it was asked to end.
    (counter,) = asyncio.run(app.limiting.admin().show("k"))
    assert counter.windows[60].used == 5


def test_mistakes_are_told() -> None:
    assert any("300" in problem for problem in problems(rule('counter-key="k" calls="1" renewal-period="400"')))
    assert any("counter-key is required" in problem for problem in problems(rule('calls="1" renewal-period="4"')))
    for header in ("retry-after", "remaining-calls", "total-calls"):
        (problem,) = problems(rule(f'counter-key="k" calls="1" renewal-period="4" {header}-header-name="two words"'))
        assert f"{header}-header-name: not a header name" in problem
