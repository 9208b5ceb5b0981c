"""Failover inside one request: what moves it on, what it sends again, what the caller gets, and when it must not."""

import json
import socket
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.backends.pools import CHAT, RECIPE, breaker, failing, pooled
from tests.support.backend import Script
from tests.support.processes import free_port

FAILOVER = {"failover": True}
LARGE = b"x" * 2_000_000


@pytest.mark.parametrize(
    "script",
    [
        {"status": 429},
        {"status": 500},
        {"status": 503, "headers": {"retry-after": "1"}},
        {"hang_up": True},
        {"garbage": True},
        {"delay": 3},
    ],
    ids=lambda script: next(iter(script)) + str(next(iter(script.values()))),
)
def test_the_caller_does_not_notice(script: dict[str, Any]) -> None:
    credentials = {id: {"credentials": {"header": {"api-key": f"key of {id}"}}} for id in "ab"}
    own = {**credentials, "a": {**credentials["a"], "timeouts": {"headers": 0.5}}}
    with pooled(pool=FAILOVER, own=own) as pool:
        failing(pool, "a", **script)
        assert pool.members(1) == "b"
        first, second = pool.backends["a"].last, pool.backends["b"].last
        assert first.body == second.body and first.target == second.target
        assert (first.header("api-key"), second.header("api-key")) == ("key of a", "key of b")


def test_a_backend_nobody_listens_at_is_left_too() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with pooled(pool=FAILOVER, own={"a": {"url": dead}}) as pool:
        assert pool.members(4) == "bbbb"


def test_a_stream_is_whole_and_of_one_member() -> None:
    with pooled(pool=FAILOVER) as pool:
        failing(pool, "a", status=500)
        answer = pool.chat(json={**CHAT, "stream": True})
        assert answer.headers["x-member"] == "b"
        assert answer.text.endswith("data: [DONE]\n\n")


def test_the_last_answer_is_the_callers_when_all_fail() -> None:
    with pooled("abc", pool=FAILOVER) as pool:
        failing(pool, "a", status=500)
        failing(pool, "b", status=429, headers={"retry-after": "3"}, body='{"from": "b"}')
        failing(pool, "c", hang_up=True)
        answer = pool.chat()
        # c gave none, so it is b's, and whole.
        assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "3", {"from": "b"})
        assert answer.headers["x-member"] == "b"
        assert pool.counts() == {"a": 1, "b": 1, "c": 1}
        assert all(pool.status(id)["in_flight"] == 0 for id in "abc")


def test_an_error_is_the_callers_when_nobody_answers() -> None:
    with pooled(pool=FAILOVER) as pool:
        failing(pool, "a", hang_up=True)
        failing(pool, "b", hang_up=True)
        answer = pool.chat()
        assert (answer.status_code, answer.headers["x-reason"].partition(" ")[0]) == (502, "BackendConnectionFailure")


def test_when_all_are_open_nobody_is_hammered() -> None:
    with pooled("abc", pool=FAILOVER, each={"circuit_breaker": breaker(trip="PT20S")}) as pool:
        for id in "abc":
            failing(pool, id, status=500)
        assert pool.chat().status_code == 500
        answers = [pool.chat() for _ in range(20)]
        assert {answer.status_code for answer in answers} == {503}
        assert all(18 <= int(answer.headers["retry-after"]) <= 20 for answer in answers)
        assert pool.counts() == {"a": 1, "b": 1, "c": 1}


def test_other_answers_are_the_callers_at_once() -> None:
    with pooled(pool=FAILOVER) as pool:
        for status in (400, 401, 404, 408):
            failing(pool, "a", status=status)
            failing(pool, "b", status=status)
            assert pool.chat().status_code == status
        assert sum(pool.counts().values()) == 4


def test_what_moves_it_on_can_be_declared() -> None:
    with pooled(pool={**FAILOVER, "failover_on": [404, "500-502"]}) as pool:
        pool.backends["a"].scripts.extend([Script(status=404), Script(status=503), Script(hang_up=True)])
        assert pool.members(2) == "bb"
        assert [pool.chat().status_code for _ in range(4)] == [503, 200, 502, 200]


def test_a_streamed_upload_is_not_sent_again_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with pooled(pool=FAILOVER) as pool:
        failing(pool, "a", status=500)
        answer = pool.chat(json=None, content=LARGE, headers={"ocp-apim-trace": "true"})
        assert answer.status_code == 500
        assert pool.counts() == {"a": 1, "b": 0}
        trace = pool.client.get(f"/_management/traces/{answer.headers['apim-trace-id']}").text
    assert "no failover: the request body was a stream and has been sent" in trace
    assert "no failover, its body was a stream" in caplog.text


def test_a_buffered_upload_is_sent_again() -> None:
    forward = '<forward-request buffer-request-body="true" />'
    with pooled(pool=FAILOVER, backend=forward) as pool:
        failing(pool, "a", status=500)
        assert pool.chat(json=None, content=LARGE).headers["x-member"] == "b"
        assert [len(pool.backends[id].last.body) for id in "ab"] == [len(LARGE)] * 2


def test_a_request_that_cannot_be_sent_is_not_sent_elsewhere() -> None:
    header = '<set-header name="transfer-encoding" exists-action="override"><value>gzip</value></set-header>'
    with pooled(pool=FAILOVER, backend=f"{header}<forward-request />") as pool:
        answer = pool.chat(headers={"ocp-apim-trace": "true"})
        assert answer.status_code == 502
        trace = pool.client.get(f"/_management/traces/{answer.headers['apim-trace-id']}").json()
    assert [entry["data"]["left"] for entry in trace["traceEntries"]["backend"] if "pool" in entry["data"]] == [""]


def test_a_slow_upload_does_not_blame_the_backend() -> None:
    each = {"circuit_breaker": breaker(), "timeouts": {"headers": 0.4, "idle": 0.4}}

    def slowly() -> Any:
        for _ in range(4):
            yield b"x" * 500_000
            time.sleep(0.3)

    with pooled("a", each=each) as pool:
        failing(pool, "a", read_every=0.1)
        pool.chat(json=None, content=slowly())
        assert pool.status("a")["state"] == "closed"


def test_a_used_up_deployment_spills_on_the_same_backend() -> None:
    pool_fields = {**FAILOVER, "spill": {"gpt-5": "gpt-5-mini"}}
    with pooled("a", pool=pool_fields) as pool:
        pool.backends["a"].scripts.append(Script(status=429))
        assert pool.members(1) == "a"
        assert [request.json()["model"] for request in pool.backends["a"].requests] == ["gpt-5", "gpt-5-mini"]
        failing(pool, "a", status=500)  # not for its trouble
        assert pool.chat().status_code == 500
        assert pool.counts() == {"a": 3}


def test_all_attempts_together_have_the_time_of_forward_request() -> None:
    with pooled("abc", pool=FAILOVER, backend='<forward-request timeout="2" />') as pool:
        failing(pool, "a", delay=1.5, status=500)
        failing(pool, "b", delay=30)
        answer = pool.chat()
        # a used 1.5 s, b the rest; a's answer is the only one there is.
        assert answer.status_code == 500
        assert 1.9 < answer.elapsed.total_seconds() < 3.4
        assert pool.counts() == {"a": 1, "b": 1, "c": 0}


def test_connecting_counts_to_that_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        address = full.getsockname()
        for _ in range(3):  # nobody accepts: what comes after them waits in vain
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        with pooled("a", own={"a": {"url": url}}, backend='<forward-request timeout="1" />') as pool:
            answer = pool.chat()
            assert answer.status_code == 504
            assert 0.9 < answer.elapsed.total_seconds() < 10


def test_a_caller_who_leaves_ends_the_attempt_and_no_other_follows() -> None:
    with pooled(pool=FAILOVER) as pool:
        failing(pool, "a", delay=10, status=500)
        with pytest.raises(httpx.ReadTimeout):
            pool.chat(timeout=0.7)
        assert pool.backends["a"].last.client_left.wait(10)
        assert pool.counts() == {"a": 1, "b": 0}
        assert pool.status("a")["in_flight"] == 0


def test_with_the_recipe_around_it_failover_comes_first() -> None:
    with pooled("abc", pool=FAILOVER, each={"circuit_breaker": breaker(ranges="429")}, backend=RECIPE) as pool:
        failing(pool, "a", status=429)
        failing(pool, "b", status=429)
        assert pool.members(3) == "ccc"
        assert pool.counts() == {"a": 1, "b": 1, "c": 3}


def test_every_attempt_is_in_the_trace() -> None:
    services = {"b": {"models": {"gpt-5": "my-gpt-5"}}}
    with pooled("abc", pool=FAILOVER, services=services) as pool:
        failing(pool, "a", status=429)
        failing(pool, "b", hang_up=True)
        answer = pool.chat(headers={"ocp-apim-trace": "true"})
        url = f"/_management/traces/{answer.headers['apim-trace-id']}"
        trace = json.loads(pool.client.get(url).text)
    entries = [entry["data"] for entry in trace["traceEntries"]["backend"] if "pool" in entry["data"]]
    assert [(one["backend"], one["model"], one["outcome"], one["left"]) for one in entries] == [
        ("a", "gpt-5", 429, "failover"),
        ("b", "my-gpt-5", "BackendConnectionFailure", "failover"),
        ("c", "gpt-5", 200, ""),
    ]
    assert all(0 <= one["seconds"] < 5 for one in entries)
    assert trace["backend"] == "c"
