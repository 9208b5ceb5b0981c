"""Calls and bandwidth by any key per period, each request counted once."""

from datetime import UTC, datetime

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems


def rule(attributes: str) -> str:
    return document(inbound=f"<base /><quota-by-key {attributes} />")


def test_each_key_has_so_many_calls(backend: Backend) -> None:
    by = """counter-key="@(context.Request.Headers.GetValueOrDefault("x-who", "nobody"))" """
    with policies(rule(f'{by} calls="2" renewal-period="86400"'), backend.url) as gateway:
        answers = [gateway.call(headers={"x-who": who}) for who in ("a", "a", "a", "b")]
        assert [answer.status_code for answer in answers] == [200, 200, 403, 200]
        now = datetime.now(UTC)
        left = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
        assert abs(int(answers[2].headers["retry-after"]) - left) <= 2  # days, as counted from the year 1
        assert answers[2].json()["message"].startswith("Out of call volume quota. Quota will be replenished in ")


def test_the_first_period_sets_the_rhythm(backend: Backend) -> None:
    start = datetime.fromtimestamp(datetime.now(UTC).timestamp() // 1 - 100, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    attributes = f'counter-key="k" calls="1" renewal-period="300" first-period-start="{start}"'
    with policies(rule(attributes), backend.url) as gateway:
        assert gateway.call().status_code == 200
        assert 195 <= int(gateway.call().headers["retry-after"]) <= 201


def test_several_policies_of_a_key_count_a_request_once(backend: Backend) -> None:
    twice = '<quota-by-key counter-key="k" calls="9" renewal-period="300" />' * 3
    with policies(document(inbound=f"<base />{twice}"), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(7)] == [200] * 7


def test_what_the_condition_leaves_out_counts_neither_as_call_nor_as_bandwidth(backend: Backend) -> None:
    condition = 'increment-condition="@(context.Response.StatusCode < 400)"'
    with policies(rule(f'counter-key="k" calls="2" renewal-period="300" {condition}'), backend.url) as gateway:
        backend.script = Script(status=500)
        assert [gateway.call().status_code for _ in range(4)] == [500] * 4
        backend.script = Script()
        assert [gateway.call().status_code for _ in range(3)] == [200, 200, 403]
    with policies(rule(f'counter-key="k" bandwidth="8" renewal-period="300" {condition}'), backend.url) as gateway:
        backend.script = Script(status=500, body="x" * 9000)
        assert [gateway.call().status_code for _ in range(3)] == [500] * 3
        backend.script = Script(body="x" * 9000)
        assert [gateway.call().status_code for _ in range(2)] == [200, 403]


def test_an_upload_counts_as_it_comes(backend: Backend) -> None:
    def upload() -> object:
        yield from (b"x" * 1024 for _ in range(20))

    with policies(rule('counter-key="k" bandwidth="15" renewal-period="300"'), backend.url) as gateway:
        assert gateway.call("POST", "/echo", content=upload()).status_code in (200, 400)
        assert gateway.call("POST", "/echo", json={}).status_code == 403


def test_mistakes_are_told() -> None:
    assert any("300 seconds" in one for one in problems(rule('counter-key="k" calls="1" renewal-period="299"')))
    assert problems(rule('counter-key="k" calls="1" renewal-period="0"')) == []
    assert any("must be there" in one for one in problems(rule('counter-key="k" renewal-period="0"')))
