"""Requests at a pool: shares, breakers, the recipes of public policies, sessions, models, signals."""

import asyncio
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.backends.pools import CHAT, RECIPE, breaker, failing, pooled
from tests.support.backend import Script


def test_members_share_by_weight_and_priority() -> None:
    with pooled(
        "abc", services={"a": {"weight": 3, "priority": 1}, "b": {"priority": 1}, "c": {"priority": 2}}
    ) as pool:
        assert Counter(pool.members(40)) == {"a": 30, "b": 10}


def test_without_a_breaker_a_failing_member_keeps_its_part_as_in_apim() -> None:
    with pooled() as pool:
        failing(pool, "a", status=500)
        answers = [pool.chat().status_code for _ in range(10)]
        assert Counter(answers) == {200: 5, 500: 5}


def test_a_tripped_member_is_left_alone_and_the_next_priority_takes_over() -> None:
    services = {"a": {"priority": 1}, "b": {"priority": 2}}
    with pooled(services=services, each={"circuit_breaker": breaker(count=2)}) as pool:
        failing(pool, "a", status=500)
        assert [pool.chat().status_code for _ in range(2)] == [500, 500]
        assert pool.members(5) == "bbbbb"
        assert pool.counts() == {"a": 2, "b": 5}
        assert pool.status("a")["state"] == "open"
        assert [error["what"] for error in pool.status("a")["recent_errors"]] == ["500", "500"]


def test_an_exhausted_pool_is_apims_503() -> None:
    with pooled(each={"circuit_breaker": breaker(trip="PT30S")}) as pool:
        for id in "ab":
            failing(pool, id, status=500)
        assert [pool.chat().status_code for _ in range(2)] == [500, 500]
        answer = pool.chat()
        assert answer.status_code == 503
        assert answer.headers["x-reason"] == "PoolIsInactive | Backend pool 'pool' is temporarily unavailable"
        assert 28 <= int(answer.headers["retry-after"]) <= 30
        assert "pool" not in answer.json()["message"]  # callers are not told names
        assert pool.counts() == {"a": 1, "b": 1}


def test_the_recipe_of_the_labs_tries_each_member_then_stops() -> None:
    with pooled("abc", each={"circuit_breaker": breaker(ranges="429")}, backend=RECIPE) as pool:
        failing(pool, "a", status=429)
        failing(pool, "b", status=429)
        assert pool.members(1) == "c"
        assert pool.counts() == {"a": 1, "b": 1, "c": 1}
        failing(pool, "c", status=429)
        answer = pool.chat()  # c throttles, then nobody is left: as an error, so that on-error can word it
        assert (answer.status_code, answer.headers["x-reason"].partition(" ")[0]) == (503, "PoolIsInactive")
        assert pool.counts() == {"a": 1, "b": 1, "c": 2}


OTHER_RECIPES = {
    "escaped": """
      <retry count="2" interval="0" first-fast-retry="true" condition="@(context.Response.StatusCode == 429 || \
(context.Response.StatusCode &gt;= 500 &amp;&amp; !context.Response.StatusReason.Contains(&quot;Backend pool&quot;) \
&amp;&amp; !context.Response.StatusReason.Contains(&quot;is temporarily unavailable&quot;)))">
        <forward-request buffer-request-body="true" />
      </retry>""",
    "choosing the pool anew": """
      <retry count="2" interval="0" first-fast-retry="true" \
condition="@(context.Response.StatusCode == 429 || context.Response.StatusCode == 503)">
        <set-backend-service backend-id="pool" />
        <forward-request buffer-request-body="true" />
      </retry>""",
    "asking for a response": """
      <retry count="2" interval="0" \
condition="@(context.Response != null && (context.Response.StatusCode == 429 || context.Response.StatusCode >= 500))">
        <forward-request buffer-request-body="true" />
      </retry>""",
    "by a variable": """
      <retry count="@(2)" interval="0" condition="@(context.Variables.GetValueOrDefault<bool>("again", false))">
        <forward-request timeout="@(120)" buffer-request-body="true" />
        <choose>
        <when condition="@(context.Response.StatusCode == 429 && context.Response.Headers.ContainsKey("Retry-After"))">
          <set-variable name="again" value="@(true)" />
        </when>
        <otherwise><set-variable name="again" value="@(false)" /></otherwise>
        </choose>
      </retry>""",
}
# Nobody outside is to learn of the pool: the labs put their own 503 in place of the gateway's.
NEUTRAL = """
<choose>
  <when condition="@(context.Response.StatusCode == 503)">
    <return-response><set-status code="503" reason="Service Unavailable" /></return-response>
  </when>
</choose>"""


@pytest.mark.parametrize("recipe", OTHER_RECIPES.values(), ids=OTHER_RECIPES.keys())
def test_other_recipes_do_the_same(recipe: str) -> None:
    each = {"circuit_breaker": breaker(ranges="429", accept_retry_after=True)}
    with pooled("abc", each=each, backend=recipe, on_error=NEUTRAL) as pool:
        for id in "ab":
            failing(pool, id, status=429, headers={"retry-after": "20"})
        assert pool.members(3) == "ccc"
        failing(pool, "c", status=429, headers={"retry-after": "20"})
        pool.chat()
        answer = pool.chat()
        assert (answer.status_code, answer.content) == (503, b"")
        assert pool.counts() == {"a": 1, "b": 1, "c": 4}


def test_what_is_known_of_a_backend_outlives_a_reload() -> None:
    with pooled("a", each={"circuit_breaker": breaker()}) as pool:
        failing(pool, "a", status=500)
        pool.chat()
        asyncio.run(pool.app.load())
        assert (pool.status("a")["state"], pool.chat().status_code) == ("open", 503)


def test_a_retry_asks_another_member_of_the_same_priority() -> None:
    retry = (
        '<retry condition="@(context.Response.StatusCode == 500)" count="2" interval="0"><forward-request /></retry>'
    )
    services = {"a": {"weight": 100, "priority": 1}, "b": {"priority": 1}, "c": {"priority": 2}}
    with pooled("abc", services=services, backend=retry) as pool:
        failing(pool, "a", status=500)
        assert pool.members(3) == "bbb"
        failing(pool, "b", status=500)
        assert pool.chat().status_code == 500  # without a breaker priority 1 is still there, as in APIM
        assert pool.counts()["c"] == 0


@pytest.mark.parametrize("condition", ["context.Response.StatusCode == 503", "context.Response.StatusCode >= 500"])
def test_a_retry_that_waits_finds_the_pool_back(condition: str) -> None:
    retry = f'<retry condition="@({condition})" count="5" interval="0.4"><forward-request /></retry>'
    with pooled("a", each={"circuit_breaker": breaker(trip="PT1S")}, backend=retry) as pool:
        pool.backends["a"].scripts.append(Script(status=503))
        assert pool.members(1) == "a"
        assert pool.counts() == {"a": 2}


def test_policies_after_forward_request_see_the_503_as_a_response() -> None:
    backend = """
      <retry condition="@(context.Response.StatusCode == 503)" count="1" interval="0">
        <forward-request />
        <choose><when condition="@(context.Response.StatusCode == 503)">
          <set-backend-service backend-id="b" />
        </when></choose>
      </retry>"""
    with pooled("ab", own={"a": {"circuit_breaker": breaker()}}, chosen="a", backend=backend) as pool:
        failing(pool, "a", status=500)
        assert pool.chat().status_code == 500
        assert pool.members(1) == "b"


def test_an_open_breaker_of_a_single_backend_answers_in_its_place() -> None:
    one = breaker(trip="PT30S", failure_response={"status_code": 429})
    with pooled("a", each={"circuit_breaker": one}, chosen="a") as pool:
        failing(pool, "a", status=500)
        assert pool.chat().status_code == 500
        answer = pool.chat()
        assert answer.status_code == 429
        assert answer.headers["x-reason"] == "BackendCircuitBreakerOpen | Backend 'a' is temporarily unavailable"
        assert pool.counts() == {"a": 1}


def test_fail_on_error_status_code_keeps_the_pools_own_error() -> None:
    backend = '<forward-request fail-on-error-status-code="true" />'
    with pooled("a", each={"circuit_breaker": breaker()}, backend=backend) as pool:
        failing(pool, "a", status=500)
        reasons = [pool.chat().headers["x-reason"].partition(" ")[0] for _ in range(2)]
        assert reasons == ["BackendErrorStatusCode", "PoolIsInactive"]


def test_retry_after_sets_the_trip_up_to_its_cap() -> None:
    one = breaker(trip="PT30S", accept_retry_after=True, max_retry_after="PT1S")
    with pooled("a", each={"circuit_breaker": one}) as pool:
        pool.backends["a"].scripts.append(Script(status=429, headers={"retry-after": "86400"}))
        assert pool.chat().status_code == 429
        assert pool.chat().headers["retry-after"] == "1"
        time.sleep(1.05)
        assert pool.members(1) == "a"


def test_one_request_tries_a_tripped_backend_while_the_others_go_elsewhere() -> None:
    services = {"a": {"priority": 1}, "b": {"priority": 2}}
    with pooled(services=services, each={"circuit_breaker": breaker(trip="PT0.5S")}) as pool:
        failing(pool, "a", status=500)
        assert pool.chat().status_code == 500
        failing(pool, "a", delay=0.5)
        time.sleep(0.55)
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: pool.chat(), range(20)))
        assert Counter(answer.headers["x-member"] for answer in answers) == {"a": 1, "b": 19}
        failing(pool, "a")
        assert pool.members(3) == "aaa"


def test_a_trial_whose_caller_leaves_leaves_the_trial_to_the_next() -> None:
    with pooled("a", each={"circuit_breaker": breaker(trip="PT0.3S")}) as pool:
        pool.backends["a"].scripts.append(Script(status=500))
        assert pool.chat().status_code == 500
        time.sleep(0.35)
        pool.backends["a"].scripts.append(Script(delay=5))
        with pytest.raises(httpx.ReadTimeout):
            pool.chat(timeout=0.6)
        assert pool.backends["a"].last.client_left.wait(10)
        assert pool.members(1) == "a"
        assert pool.status("a")["in_flight"] == 0


def test_a_trial_that_gets_no_answer_fails_whatever_the_rule_counts() -> None:
    with pooled("a", each={"circuit_breaker": breaker(ranges="429", trip="PT0.5S")}) as pool:
        pool.backends["a"].scripts.extend([Script(status=429), Script(hang_up=True)])
        assert pool.chat().status_code == 429
        time.sleep(1.05)
        assert [pool.chat().status_code for _ in range(2)] == [502, 503]


def test_a_body_that_breaks_off_counts() -> None:
    with pooled("a", each={"circuit_breaker": breaker()}) as pool:
        failing(pool, "a", cut_after=2)
        with pytest.raises(httpx.RemoteProtocolError):
            pool.chat()
        assert pool.status("a")["state"] == "open"


def test_a_request_that_cannot_be_sent_says_nothing_of_the_backend() -> None:
    header = '<set-header name="transfer-encoding" exists-action="override"><value>gzip</value></set-header>'
    with pooled("a", each={"circuit_breaker": breaker()}, backend=f"{header}<forward-request />") as pool:
        assert pool.chat().status_code == 502
        assert pool.status("a")["state"] == "closed"


def test_a_session_stays_on_its_member_and_moves_when_that_is_gone() -> None:
    affinity = {"session_affinity": {"cookie": "SessionId"}}
    with pooled("abc", pool=affinity, each={"circuit_breaker": breaker()}) as pool:
        first = pool.chat()
        cookie = first.headers["set-cookie"].partition(";")[0]
        member = first.headers["x-member"]
        assert cookie.startswith("SessionId=")
        again = [pool.chat(headers={"cookie": f"other=1; {cookie}"}) for _ in range(5)]
        assert {answer.headers["x-member"] for answer in again} == {member}
        assert not any("set-cookie" in answer.headers for answer in again)
        pool.client.cookies.clear()
        failing(pool, member, status=500)
        pool.chat(headers={"cookie": cookie})
        moved = pool.chat(headers={"cookie": cookie})
        assert moved.headers["x-member"] != member
        assert moved.headers["set-cookie"].startswith("SessionId=") and cookie not in moved.headers["set-cookie"]


def test_a_member_that_says_it_is_empty_is_not_asked_before_its_time() -> None:
    services = {"a": {"priority": 1}, "b": {"priority": 2}}
    with pooled(services=services) as pool:
        empty = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}
        pool.backends["a"].scripts.append(Script(headers=empty))
        assert pool.members(4) == "abbb"
        assert pool.status("a")["limits"][0]["header"] == "x-ratelimit-remaining-requests"
        other = {**CHAT, "model": "another deployment's limit is its own"}
        assert pool.chat(json=other).headers["x-member"] == "a"
        time.sleep(1.05)
        assert pool.members(1) == "a"


def test_all_empty_is_a_503_until_the_first_is_back() -> None:
    with pooled() as pool:
        for id, seconds in (("a", "20"), ("b", "10")):
            pool.backends[id].scripts.append(Script(status=429, headers={"retry-after": seconds}))
        assert [pool.chat().status_code for _ in range(2)] == [429, 429]
        answer = pool.chat()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert pool.counts() == {"a": 1, "b": 1}


def test_names_of_models_are_each_members_own() -> None:
    services = {"b": {"models": {"gpt-5": "my-gpt-5"}}}
    with pooled(services=services) as pool:
        pool.members(2)
        assert [pool.backends[id].last.json()["model"] for id in "ab"] == ["gpt-5", "my-gpt-5"]
        for _ in range(2):
            pool.client.post("/api/openai/deployments/gpt-5/chat/completions?api-version=1", json=CHAT)
        targets = [pool.backends[id].last.target for id in "ab"]
        assert targets == [
            "/openai/deployments/gpt-5/chat/completions?api-version=1",
            "/openai/deployments/my-gpt-5/chat/completions?api-version=1",
        ]
        pool.members(2)
        assert pool.chat(json={**CHAT, "model": "other"}).status_code == 200
        assert pool.backends["b"].last.json()["messages"] == CHAT["messages"]


def test_a_large_upload_is_read_where_its_model_decides() -> None:
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 2_000_000}]}
    with pooled("a", services={"a": {"models": {"gpt-5": "mine"}}}) as pool:
        assert pool.chat(json=large).status_code == 200
        sent = pool.backends["a"].last
        assert sent.json() == {**large, "model": "mine"} and int(sent.header("content-length") or 0) == len(sent.body)


def test_a_model_spills_to_another_when_nobody_is_left_for_it() -> None:
    services = {"a": {"serves": ["gpt-5"]}, "b": {"serves": ["gpt-5-mini"], "models": {"gpt-5-mini": "mini-eu"}}}
    with pooled(services=services, pool={"spill": {"gpt-5": "gpt-5-mini"}}) as pool:
        assert pool.members(3) == "aaa"
        pool.backends["a"].scripts.append(Script(status=429, headers={"retry-after": "60"}))
        assert pool.chat().status_code == 429
        assert pool.members(2) == "bb"
        assert pool.backends["b"].last.json()["model"] == "mini-eu"
        assert pool.chat(json={**CHAT, "model": "gpt-5-mini"}).headers["x-member"] == "b"


def test_a_model_no_member_serves_is_not_found() -> None:
    with pooled(services={"a": {"serves": ["x"]}, "b": {"serves": ["y"]}}) as pool:
        answer = pool.chat()
        assert (answer.status_code, answer.headers["x-reason"].partition(" ")[0]) == (404, "ModelNotFound")
        assert answer.json()["error"]["code"] == "model_not_found"


def test_least_outstanding_goes_where_nothing_waits() -> None:
    with pooled(pool={"selection": "least-outstanding"}) as pool:
        failing(pool, "a", delay=1.5)
        busy = threading.Thread(target=pool.chat)
        busy.start()
        pool.backends["a"].wait_for_requests()  # the first of equals
        assert pool.members(6) == "bbbbbb"
        assert pool.status("a")["in_flight"] == 1
        busy.join()


def test_lowest_latency_goes_where_the_first_token_comes_soonest() -> None:
    with pooled(pool={"selection": "lowest-latency"}) as pool:
        stream: dict[str, Any] = {**CHAT, "stream": True}
        failing(pool, "a", delay=0.5)
        for _ in range(4):
            pool.chat(json=stream)
        before = pool.counts()
        for _ in range(10):
            pool.chat(json=stream)
        assert pool.counts()["b"] - before["b"] == 10
        assert pool.status("a")["first_token_seconds"] > 0.5 > pool.status("b")["first_token_seconds"]


def test_lowest_latency_does_not_send_a_burst_to_one_member() -> None:
    with pooled(pool={"selection": "lowest-latency"}) as pool:
        failing(pool, "a", delay=0.2)
        failing(pool, "b", delay=0.22)
        pool.members(4)
        before = pool.counts()
        with ThreadPoolExecutor(10) as threads:
            list(threads.map(lambda _: pool.chat(), range(10)))
        assert min(pool.counts()[id] - before[id] for id in "ab") >= 3


def test_the_live_view_is_guarded_like_traces() -> None:
    with pooled() as pool:
        shown = pool.client.get("/_management/backends").json()
        assert shown["pools"][0]["members"][1] == {"id": "b", "priority": 0, "weight": 1, "state": "none"}
        for path in ("/_management/backends/a", "/_management/other"):
            assert pool.client.get(path).status_code == 404
        wrong = pool.client.get("/_management/backends", headers={"apim-debug-authorization": "no.token"})
        assert wrong.status_code == 401
        tokens = pool.app.tracing.tokens
        one_api = pool.client.get("/_management/backends", headers={"apim-debug-authorization": tokens.issue("chat")})
        assert one_api.status_code == 401
        every = pool.client.get("/_management/backends", headers={"apim-debug-authorization": tokens.issue()})
        assert json.loads(every.text)["backends"]
