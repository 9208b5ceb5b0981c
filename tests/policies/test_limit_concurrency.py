"""limit-concurrency: who gets in at the same time, and that everybody comes out again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from shared.policies.limit_concurrency import Entered
from tests.support.backend import Backend, Script
from tests.support.policies import Running, document, policies, problems


def limited(key: str = "one", inner: str = "<forward-request />", most: int = 2) -> str:
    return f'<limit-concurrency key="{key}" max-count="{most}">{inner}</limit-concurrency>'


def inside(gateway: Running) -> dict[str, int]:
    entered: Entered = gateway.app.services.get(Entered)
    return entered.counts


def test_who_is_one_too_many_gets_a_429_at_once(backend: Backend) -> None:
    backend.script = Script(delay=1.0, body="ok")
    with policies(document(backend=limited()), backend.url) as gateway, ThreadPoolExecutor(2) as callers:
        held = [callers.submit(gateway.call) for _ in range(2)]
        backend.wait_for_requests(2)
        refused = gateway.call()
        assert not any(request.answered.is_set() for request in backend.requests)
        assert inside(gateway) == {"one": 2}
        assert [call.result().status_code for call in held] == [200, 200]
        assert inside(gateway) == {}
        assert gateway.call().status_code == 200
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"


def test_policies_share_a_keys_count_and_other_keys_do_not(backend: Backend) -> None:
    nested = limited("one", limited("two", limited("one", most=1), most=1), most=1)
    with policies(document(backend=nested), backend.url) as gateway:
        assert gateway.call().status_code == 429
        assert inside(gateway) == {}
    with policies(
        document(backend=nested.replace('"two"', '"three"', 1).replace('"one"', '"four"', 1)), backend.url
    ) as gateway:
        assert gateway.call().status_code == 200


def test_errors_answers_and_callers_who_leave_free_their_place(backend: Backend) -> None:
    backend.scripts.extend([Script(hang_up=True), Script(delay=30)])
    backend.script = Script(body="ok")
    with policies(
        document(limited("in", "<set-variable name='a' value='b' />"), limited(most=1)), backend.url
    ) as gateway:
        assert gateway.call("POST", json={}).status_code == 502
        assert inside(gateway) == {}
        try:
            gateway.call(timeout=1.0)
        except httpx.ReadTimeout:
            pass
        assert backend.last.client_left.wait(10)
        assert gateway.call().text == "ok"
        assert inside(gateway) == {}
    with policies(document(limited("in", "<return-response />", most=1)), backend.url) as gateway:
        assert [gateway.call().status_code for _ in range(3)] == [200, 200, 200]


def test_the_place_is_free_once_the_headers_are_there(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.2, text="one two three four")
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with policies(document(backend=limited(most=1)), backend.url) as gateway:
        started = threading.Event()

        def read() -> int:
            with gateway.client.stream("POST", "/api/v1/chat/completions", json=body) as answer:
                for _ in answer.iter_bytes():
                    started.set()
                return answer.status_code

        with ThreadPoolExecutor(1) as callers:
            streaming = callers.submit(read)
            assert started.wait(5)
            assert inside(gateway) == {}
            assert streaming.result() == 200


def test_wrong_attributes_do_not_load() -> None:
    assert "attribute max-count" in problems(document(limited(most=0)))[0]
    expression = limited().replace('max-count="2"', 'max-count="@(1)"')
    assert "inbound/limit-concurrency" in problems(document(expression))[0]


def test_the_key_may_be_an_expression_and_max_count_not(backend: Backend) -> None:
    key = '@(context.Request.Headers["x-key"][0])'
    nested = limited(key, limited("inner", most=1), most=1)
    with policies(document(backend=nested), backend.url) as gateway:
        assert gateway.call(headers={"x-key": "outer"}).status_code == 200
        assert gateway.call(headers={"x-key": "inner"}).status_code == 429
