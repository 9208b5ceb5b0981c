"""Tokens are limited, counted to the last one, and told as API Management tells them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx
import openai
import pytest

from shared.stores.limiter import Limiter
from shared.stores.limits import Limit, OnStorageError, Window
from tests.support.backend import Backend, Script
from tests.support.policies import Running, document, policies, problems
from tests.support.service import Reply, Service
from tests.support.waiting import wait_until

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
STREAM = {**CHAT, "stream": True}
COST = 2 + 19  # what the scripted backend bills for CHAT: its words and those of its answer
PLENTY = 100_000


@contextmanager
def limited(model: Backend, attributes: str, *, more: str = "", **sections: str) -> Iterator[Running]:
    """A gateway with one llm-token-limit."""
    xml = document(inbound=f'<base /><llm-token-limit counter-key="k" {attributes} />{more}', **sections)
    with policies(xml, model.url) as gateway:
        yield gateway


def used(gateway: Running, tokens: int = PLENTY, key: str = "k", mode: OnStorageError = "bounded") -> int:
    """What the limiter has counted, once the last exchange has settled."""
    limiter = gateway.app.services.get(Limiter)
    limit = Limit(Window(tokens, 60), on_storage_error=mode)
    left = gateway.settled(lambda: limiter.remaining(key, limit).window)
    assert left is not None
    return tokens - left


def chat(gateway: Running, body: dict[str, Any] | None = None, path: str = "/chat/completions") -> httpx.Response:
    return gateway.call("POST", path, json=CHAT if body is None else body)


PER_MINUTE = f'tokens-per-minute="{PLENTY}" estimate-prompt-tokens="false"'

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "gpt-4o", "prompt": "hello there"},
    "/v1/responses": {"model": "gpt-4o", "input": "hello there"},
    "/v1/messages": {**CHAT, "max_tokens": 100},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", [Script(), Script(chunk_every=0.002), Script(gzip=True)], ids=["", "slow", "gzip"])
def test_every_schema_is_counted_to_the_token(backend: Backend, path: str, stream: bool, script: Script) -> None:
    backend.script = script
    with limited(backend, PER_MINUTE) as gateway:
        answer = gateway.call(
            "POST", path, json={**BODIES[path], "stream": stream}, headers={"anthropic-version": "2023-06-01"}
        )
        assert answer.status_code == 200
        assert "scripted" in answer.text
        assert used(gateway) == COST


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"])
@pytest.mark.parametrize("script", [Script(), Script(chunk_every=0.002), Script(gzip=True)], ids=["", "slow", "gzip"])
def test_gemini_is_counted_to_the_token(backend: Backend, method: str, script: Script) -> None:
    backend.script = script
    asked = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
    with limited(backend, PER_MINUTE) as gateway:
        answer = gateway.call("POST", f"/v1beta/models/gemini-2.5-flash:{method}", json=asked)
        assert answer.status_code == 200
        assert "scripted" in answer.text
        assert used(gateway) == COST


def test_embeddings_count_their_prompt(backend: Backend) -> None:
    with limited(backend, PER_MINUTE) as gateway:
        chat(gateway, {"model": "text-embedding-3-small", "input": ["one two", "three"]}, "/v1/embeddings")
        assert used(gateway) == 3


def test_what_is_no_call_to_a_model_counts_nothing(backend: Backend) -> None:
    with limited(backend, PER_MINUTE) as gateway:
        assert gateway.call("GET", "/v1/models").status_code == 200
        answer = gateway.call(
            "POST", "/v1/messages/count_tokens", json=CHAT, headers={"anthropic-version": "2023-06-01"}
        )
        assert answer.json() == {"input_tokens": 2}
        assert used(gateway) == 0


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("media", ["text/plain", "application/octet-stream", ""])
def test_a_call_counts_whatever_its_media_type_says(backend: Backend, media: str, size: int) -> None:
    asked = {**CHAT, "user": "u" * size}
    with limited(backend, PER_MINUTE) as gateway:
        headers = {"content-type": media} if media else {}
        answer = gateway.call("POST", content=json.dumps(asked).encode(), headers=headers, path="/chat/completions")
        assert answer.status_code == 200
        assert used(gateway) == COST


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.decode().encode("utf-16"),
        lambda body: body[:-1] + b', "x": NaN}',
        lambda body: body[:-1] + b', "temperature": 1e999}',
        lambda body: body[:-1] + b', "user": "\\ud800"}',
    ],
    ids=["mark", "utf-16", "NaN", "infinite", "half a pair"],
)
def test_what_a_lenient_backend_reads_is_counted(
    backend: Backend, changed: Callable[[bytes], bytes], stream: bool
) -> None:
    with limited(backend, PER_MINUTE) as gateway:
        body = changed(json.dumps({**CHAT, "stream": stream}).encode())
        answer = gateway.call(
            "POST", "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 200
        assert used(gateway) == COST


def test_what_only_the_backend_can_read_is_counted_by_its_answer() -> None:
    body = json.dumps(CHAT).encode()[:-1] + b", /* Newtonsoft reads this */}"
    estimated = f'tokens-per-minute="{PLENTY}" estimate-prompt-tokens="true"'
    with Service() as service:
        service.default = lambda request: Reply(200, b'{"usage": {"prompt_tokens": 30, "completion_tokens": 12}}')
        xml = [
            document(inbound=f'<base /><llm-token-limit counter-key="k" {more} />') for more in (PER_MINUTE, estimated)
        ]
        with policies(xml[0], service.url) as gateway:
            assert gateway.call("POST", "/chat/completions", content=body).status_code == 200
            assert used(gateway) == 42
        with policies(xml[1], service.url) as gateway:
            assert gateway.call("POST", "/chat/completions", content=body).status_code == 400


@pytest.mark.parametrize("every", [0, 0.002])
def test_the_usage_chunk_is_hidden_from_who_did_not_ask(backend: Backend, every: float) -> None:
    backend.script = Script(chunk_every=every)
    plain = httpx.post(f"{backend.url}/v1/chat/completions", json=STREAM).content
    with limited(backend, PER_MINUTE) as gateway:
        seen = chat(gateway, STREAM, "/v1/chat/completions")
        assert json.loads(backend.last.body)["stream_options"] == {"include_usage": True}
        assert backend.last.header("accept-encoding") == "identity"
        assert seen.content.replace(b',"usage":null', b"") == plain
        asking = {**STREAM, "stream_options": {"include_usage": True}}
        asked = httpx.post(f"{backend.url}/v1/chat/completions", json=asking).content
        assert chat(gateway, asking, "/v1/chat/completions").content == asked
        assert b'"usage":{' in asked
        assert used(gateway) == 2 * COST


@pytest.mark.parametrize("events", [1, 20_000])
def test_a_stream_that_told_its_length_is_shorter_without_the_usage_chunk(events: int) -> None:
    said = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n' * events
    told = b'data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12}}\n\n'
    with Service() as service:
        service.default = lambda request: Reply(200, said + told, {"content-type": "text/event-stream"})
        xml = document(inbound=f'<base /><llm-token-limit counter-key="k" {PER_MINUTE} />')
        with policies(xml, service.url) as gateway:
            assert chat(gateway, STREAM).content == said
            assert used(gateway) == 42


@pytest.mark.parametrize("media", ["Text/Event-Stream; charset=UTF-8", "text/plain", ""])
def test_a_stream_is_read_whatever_its_media_type_says(media: str) -> None:
    said = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    told = b'data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12}}\n\n'
    with Service() as service:
        service.default = lambda request: Reply(200, said + told, {"content-type": media} if media else {})
        xml = document(inbound=f'<base /><llm-token-limit counter-key="k" {PER_MINUTE} />')
        with policies(xml, service.url) as gateway:
            assert chat(gateway, STREAM).content == said
            assert used(gateway) == 42


def test_a_backend_that_does_not_know_the_field_is_asked_without(backend: Backend) -> None:
    refusal = Script(
        status=400, body='{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'
    )
    backend.scripts.append(refusal)
    with limited(backend, PER_MINUTE) as gateway:
        assert "[DONE]" in chat(gateway, STREAM).text
        assert "stream_options" not in json.loads(backend.last.body)
        assert chat(gateway, STREAM).status_code == 200
        assert [b"stream_options" in request.body for request in backend.requests] == [True, False, False]
        assert used(gateway) > 0
        backend.scripts.append(Script(status=400))
        assert chat(gateway).status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_without_usage_a_tokenizer_counts(backend: Backend, stream: bool) -> None:
    backend.script = Script(usage=False, text="word " * 200)
    with limited(backend, PER_MINUTE) as gateway:

        def cost() -> int:
            before = used(gateway)
            chat(gateway, {**CHAT, "stream": stream})
            return used(gateway) - before

        assert cost() > 0
        # The first counts are rough: the tokenizer is loaded while nobody waits.
        wait_until(lambda: cost() == pytest.approx(9 + 201, abs=2))


def test_a_client_that_leaves_pays_for_what_was_delivered(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.05, text="word " * 400)
    with limited(backend, PER_MINUTE) as gateway:
        with gateway.client.stream("POST", "/api/chat/completions", json=STREAM) as answer:
            chunks = answer.iter_text()
            for _ in range(10):
                next(chunks)
        assert backend.last.client_left.wait(10)
        assert 9 < used(gateway) < 9 + 200


def test_a_client_of_anthropic_that_leaves_pays_for_what_was_delivered(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.05, text="word " * 400)
    headers = {"anthropic-version": "2023-06-01"}
    asked = {**STREAM, "max_tokens": 500}
    with limited(backend, PER_MINUTE) as gateway:
        with gateway.client.stream("POST", "/api/v1/messages", json=asked, headers=headers) as answer:
            seen = ""
            for text in answer.iter_text():
                seen += text
                if seen.count("text_delta") >= 12:
                    break
        assert backend.last.client_left.wait(10)
        assert 2 + 6 < used(gateway) < 2 + 400


def test_a_client_that_leaves_before_the_answer_pays_for_the_prompt(backend: Backend) -> None:
    backend.script = Script(delay=5)
    with limited(backend, PER_MINUTE) as gateway:
        with pytest.raises(httpx.ReadTimeout):
            gateway.call("POST", "/chat/completions", json=CHAT, timeout=0.6)
        assert backend.last.client_left.wait(10)
        assert 0 < used(gateway) < 20


def test_a_stream_that_breaks_counts_what_came(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.01, cut_after=12, text="word " * 400)
    with limited(backend, PER_MINUTE) as gateway:
        chat(gateway, STREAM)
        assert 9 < used(gateway) < 9 + 30


def test_a_failed_call_counts_nothing(backend: Backend) -> None:
    with limited(backend, PER_MINUTE) as gateway:
        for script in (Script(status=500), Script(status=429), Script(hang_up=True)):
            backend.script = script
            assert chat(gateway).status_code >= 429
        assert used(gateway) == 0


def test_only_the_attempt_that_is_delivered_counts(backend: Backend) -> None:
    retry = (
        '<retry condition="@(context.Response.StatusCode >= 500)" count="3" interval="0"><forward-request /></retry>'
    )
    for stream in (False, True):
        backend.scripts.extend([Script(status=503), Script(status=500)])
        with limited(backend, PER_MINUTE, backend=retry) as gateway:
            assert chat(gateway, {**CHAT, "stream": stream}).status_code == 200
            assert used(gateway) == COST


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_a_path_rewritten_behind_the_limit_tells_what_is_asked(backend: Backend, path: str, stream: bool) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    with limited(backend, PER_MINUTE, more=f'<rewrite-uri template="{path}" />') as gateway:
        answer = gateway.call("POST", "/ask", json={**BODIES[path], "stream": stream}, headers=headers)
        assert answer.status_code == 200
        assert used(gateway) == COST


@pytest.mark.parametrize("stream", [False, True])
def test_a_failover_counts_once(backend: Backend, stream: bool) -> None:
    pool = {"pool": {"services": [{"id": "bad", "priority": 1}, {"id": "good", "priority": 2}], "failover": True}}
    xml = document(
        inbound=f'<base /><llm-token-limit counter-key="k" {PER_MINUTE} /><set-backend-service backend-id="both" />'
    )
    with Backend(script=Script(status=500)) as bad:
        backends = {"bad": bad.url, "good": backend.url, "both": pool}
        with policies(xml, backend.url, backends=backends) as gateway:
            answer = chat(gateway, {**CHAT, "stream": stream})
            assert answer.status_code == 200
            assert (len(bad.requests), len(backend.requests)) == (1, 1)
            assert '"usage":{' not in answer.text or not stream
            assert used(gateway) == COST


@pytest.mark.parametrize(("attribute", "counted"), [("", 0), ('count-cached-answers="true"', 12)])
def test_an_answer_of_the_gateway_itself_counts_if_asked_for(backend: Backend, attribute: str, counted: int) -> None:
    body = '{"usage": {"prompt_tokens": 5, "completion_tokens": 7}}'
    answer = f"<return-response><set-body>{body}</set-body></return-response>"
    with limited(backend, f"{PER_MINUTE} {attribute}", more=answer) as gateway:
        assert chat(gateway).status_code == 200
        assert used(gateway) == counted


def test_one_request_is_counted_once_under_a_key(backend: Backend) -> None:
    again = f'<azure-openai-token-limit counter-key="k" {PER_MINUTE} /><llm-token-limit counter-key="l" {PER_MINUTE} />'
    with limited(backend, PER_MINUTE, more=again) as gateway:
        chat(gateway)
        chat(gateway, STREAM)
        assert (used(gateway), used(gateway, key="l")) == (2 * COST, 2 * COST)


A_MINUTE, A_DAY, A_MONTH = (
    'tokens-per-minute="{0}"',
    'token-quota="900000" token-quota-period="Daily"',
    'token-quota="900000" token-quota-period="Monthly"',
)


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        ([A_MINUTE, f"{A_MINUTE} {A_DAY}"], {60, "q_daily"}),
        ([f"{A_MINUTE} {A_DAY}", A_MINUTE], {60, "q_daily"}),
        ([A_DAY, A_MINUTE, f"{A_MINUTE} {A_DAY}"], {60, "q_daily"}),
        ([A_DAY, f"{A_MINUTE} {A_DAY}"], {60, "q_daily"}),
        ([f"{A_MINUTE} {A_DAY}", f"{A_MINUTE} {A_MONTH}"], {60, "q_daily", "q_monthly"}),
    ],
)
@pytest.mark.parametrize("reservation", ["none", "predict"])  # settled with more and with less than was reserved
def test_limits_that_share_a_window_or_a_period_count_once(
    backend: Backend, limits: list[str], counts: set[int | str], reservation: str
) -> None:
    each = [
        f'<llm-token-limit counter-key="k" reservation="{reservation}" {limit.format(80_000 + number)} />'
        for number, limit in enumerate(limits)
    ]
    with policies(document(inbound="<base />" + "".join(each)), backend.url) as gateway:
        for body in (CHAT, STREAM):
            assert chat(gateway, body).status_code == 200
    (counted,) = asyncio.run(gateway.app.limiting.admin().show("k"))
    uses = {**counted.windows, **counted.quotas}
    assert {name: use.used for name, use in uses.items()} == dict.fromkeys(counts, 2 * COST)


def test_shards_are_counters_of_their_own(backend: Backend) -> None:
    sharded = '<llm-token-limit counter-key="k" tokens-per-minute="100" reservation="none" shards="2" />'
    with limited(backend, PER_MINUTE, more=sharded) as gateway:
        statuses = {chat(gateway).status_code for _ in range(20)}
        assert statuses == {200, 429}


def test_a_used_up_limit_answers_429(backend: Backend) -> None:
    tells = (
        'tokens-per-minute="40" reservation="none" retry-after-variable-name="wait" remaining-tokens-header-name="left"'
    )
    on_error = (
        '<set-header name="x-error"><value>@(context.LastError.Source + "/" + context.LastError.Reason + "/" + '
        '(int)context.Variables["wait"])</value></set-header>'
    )
    with limited(backend, tells, on_error=on_error) as gateway:
        first, second, third = (chat(gateway) for _ in range(3))
        assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
        wait = int(third.headers["retry-after"])
        assert 1 <= wait <= 62  # the window, the second in which it was used, and what clocks may differ by
        assert third.json()["statusCode"] == 429
        assert third.json()["message"] == f"Token limit is exceeded. Try again in {wait} seconds."
        assert third.json()["error"]["code"] == "rate_limit_exceeded"
        assert third.headers["x-error"] == f"llm-token-limit/OpenAITokenLimitExceeded/{wait}"
        assert third.headers["left"] == "0"
        assert len(backend.requests) == 2


def test_a_prompt_that_does_not_fit_is_refused_before_the_call(backend: Backend) -> None:
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 400}]}
    with limited(backend, 'tokens-per-minute="300" estimate-prompt-tokens="true"') as gateway:
        answer = chat(gateway, long)
        assert answer.status_code == 429
        assert answer.json()["message"] == "Token limit will exceed based on estimated request tokens."
        assert chat(gateway).status_code == 200
        middling = {**CHAT, "messages": [{"role": "user", "content": "word " * 270}]}

        def told() -> str:
            answer = chat(gateway, middling)
            return str(answer.json()["message"]).replace(f" {answer.headers['retry-after']} ", " n ")

        # Counted roughly it is too long for the limit; counted exactly, once the tokenizer is loaded, only for now.
        wait_until(lambda: told().endswith(" Try again in n seconds."))
        assert told() == "Token limit will exceed based on estimated request tokens. Try again in n seconds."
        assert len(backend.requests) == 1


def test_a_used_up_quota_answers_403(backend: Backend) -> None:
    quota = 'token-quota="{0}" token-quota-period="@({0} > 0 ? "Yearly" : "Hourly")" reservation="none"'
    tells = 'remaining-quota-tokens-header-name="left" remaining-quota-tokens-variable-name="v"'
    shown = '<set-header name="v"><value>@(context.Variables["v"].ToString())</value></set-header>'
    with limited(backend, f"{quota.format(30)} {tells}", outbound=shown) as gateway:
        first = chat(gateway)
        assert (first.status_code, first.headers["left"], first.headers["v"]) == (200, str(30 - COST), str(30 - COST))
        assert chat(gateway).status_code == 200
        refused = chat(gateway)
        assert refused.status_code == 403
        assert int(refused.headers["retry-after"]) > 3600
        assert refused.json()["message"].startswith("Token quota is exceeded. Try again in ")
        assert refused.json()["error"]["code"] == "insufficient_quota"


def test_what_cannot_be_estimated_is_refused_where_estimates_are_asked_for(backend: Backend) -> None:
    with limited(backend, f'tokens-per-minute="{PLENTY}" estimate-prompt-tokens="true"') as gateway:
        for options in ({"json": {"inputs": "x"}}, {"content": b"not json"}, {"files": {"image": b"x"}}):
            answer = gateway.call("POST", "/echo", **options)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(
                "Unable to parse and estimate tokens from incoming request. Please ensure incoming request is of one "
                "of the following types: 'Chat Completion', 'Completion', 'Embeddings'"
            )
        assert gateway.call("GET", "/v1/models").status_code == 200
    with limited(backend, PER_MINUTE) as gateway:
        assert gateway.call("POST", "/echo", json={"inputs": "x"}).status_code == 200


def test_headers_and_variables(backend: Backend) -> None:
    attributes = (
        f'{PER_MINUTE} remaining-tokens-header-name="left" remaining-tokens-variable-name="left" '
        'tokens-consumed-header-name="consumed" tokens-consumed-variable-name="consumed" '
        f'token-quota="{PLENTY}" token-quota-period="Monthly" remaining-quota-tokens-header-name="quota"'
    )
    values = '@(context.Variables["left"] + "/" + context.Variables["consumed"])'
    show = '<set-header name="{0}"><value>' + values + "</value></set-header>"
    with limited(backend, attributes, more=show.format("x-before"), outbound=show.format("x-after")) as gateway:
        answer = chat(gateway)
        left = str(PLENTY - COST)
        assert (answer.headers["left"], answer.headers["consumed"], answer.headers["quota"]) == (left, str(COST), left)
        assert answer.headers["x-after"] == f"{left}/{COST}"
        before = backend.last.header("x-before") or ""
        assert before.endswith("/0") and int(before.split("/")[0]) < PLENTY - COST
        streamed = chat(gateway, STREAM)  # told before its end, so it is the estimate
        assert int(streamed.headers["consumed"]) == pytest.approx(9, abs=3)
        assert int(streamed.headers["left"]) < PLENTY - COST
        backend.script = Script(hang_up=True)
        assert "consumed" not in chat(gateway).headers


@pytest.mark.parametrize("body", [CHAT, STREAM])
def test_all_is_left_where_nothing_was_used(body: dict[str, Any]) -> None:
    asked = '@(context.Request.Headers.ContainsKey("x-own"))'
    own = f'<choose><when condition="{asked}"><return-response /></when></choose>'
    limit = f'<llm-token-limit counter-key="k" {PER_MINUTE} remaining-tokens-header-name="left" />'
    with Service() as service:
        service.default = lambda request: Reply(400, b'{"error": {"message": "no such model"}}')
        with policies(document(inbound=f"<base />{limit}{own}"), service.url) as gateway:
            for headers in ({"x-own": "1"}, {}):
                answer = gateway.call("POST", "/chat/completions", json=body, headers=headers)
                assert answer.headers["left"] == str(PLENTY)
        assert len(service.requests) == 1


def test_what_an_attempt_told_is_void_when_the_next_one_fails(backend: Backend) -> None:
    again = '<retry condition="@(true)" count="1" interval="0"><forward-request /></retry>'
    tells = 'remaining-tokens-header-name="left" tokens-consumed-header-name="consumed"'
    backend.scripts.extend([Script(), Script(hang_up=True)])
    with limited(backend, f"{PER_MINUTE} {tells}", backend=again) as gateway:
        answer = chat(gateway)
        assert answer.status_code == 502
        assert (answer.headers["left"], answer.headers.get("consumed")) == (str(PLENTY), None)
        assert used(gateway) == 0


def test_usage_is_read_before_a_slow_plain_answer_leaves(backend: Backend) -> None:
    backend.script = Script(text="word " * 30_000)
    with limited(backend, PER_MINUTE + ' tokens-consumed-header-name="consumed"') as gateway:
        assert chat(gateway).headers["consumed"] == str(2 + 30_000)


def test_only_a_prompt_that_was_counted_can_be_too_large(backend: Backend) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 400_000}"}}
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": [image]}]}
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 9_000}]}
    with limited(backend, 'tokens-per-minute="5000" estimate-prompt-tokens="false"') as gateway:
        assert chat(gateway, asked).status_code == 200
    with limited(backend, 'tokens-per-minute="5000" estimate-prompt-tokens="false"') as gateway:
        assert chat(gateway, long).status_code == 200
        assert chat(gateway).status_code == 429


@pytest.mark.parametrize("stream", [False, True])
def test_strict_never_goes_above_the_limit(backend: Backend, stream: bool) -> None:
    body = {**CHAT, "stream": stream, "max_tokens": 150}
    backend.script = Script(text="word " * 150, chunk_every=0.001)
    with limited(backend, 'tokens-per-minute="2000" reservation="strict"') as gateway:

        async def call(client: httpx.AsyncClient) -> int:
            return (await client.post(f"{gateway.url}/api/chat/completions", json=body)).status_code

        async def burst() -> list[int]:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                return list(await asyncio.gather(*(call(client) for _ in range(20))))

        statuses = [status for _ in range(2) for status in asyncio.run(burst())]
        delivered = statuses.count(200) * (2 + 150)
        assert set(statuses) == {200, 429}
        assert 1500 < delivered <= 2000
        assert used(gateway, 2000) == delivered


def test_strict_refuses_what_could_never_fit(backend: Backend) -> None:
    with limited(backend, 'tokens-per-minute="2000" reservation="strict"') as gateway:
        answer = chat(gateway)  # without max_tokens gpt-4o may say 16,384
        assert answer.status_code == 429
        assert answer.json()["message"] == "Token limit will exceed based on estimated request tokens."
        assert chat(gateway, {**CHAT, "max_tokens": 100}).status_code == 200


def test_both_sdks_read_the_refusals(backend: Backend) -> None:
    xml = document(inbound='<base /><llm-token-limit counter-key="k" tokens-per-minute="10" reservation="none" />')
    with policies(xml, backend.url + "/v1") as gateway:
        with openai.OpenAI(base_url=f"{gateway.url}/api", api_key="x", max_retries=0) as client:
            client.chat.completions.create(**CHAT)  # type: ignore[call-overload]
            with pytest.raises(openai.RateLimitError) as limit:
                client.chat.completions.create(**CHAT)  # type: ignore[call-overload]
        assert "Token limit is exceeded. Try again in" in limit.value.message
        assert limit.value.code == "rate_limit_exceeded"
        assert int(limit.value.response.headers["retry-after"]) >= 1
        with anthropic.Anthropic(base_url=f"{gateway.url}/api", api_key="x", max_retries=0) as claude:
            with pytest.raises(anthropic.RateLimitError, match="Token limit is exceeded"):
                claude.messages.create(model="claude", max_tokens=5, messages=[{"role": "user", "content": "hi"}])


def test_an_sdk_waits_as_long_as_it_is_told(backend: Backend) -> None:
    """A quota that begins anew with the hour is too long to wait for; storage that must be asked again says 1 s."""
    xml = document(inbound='<base /><rate-limit-by-key counter-key="k" calls="1" renewal-period="2" />')
    with policies(xml, backend.url + "/v1") as gateway:
        with openai.OpenAI(base_url=f"{gateway.url}/api", api_key="x", max_retries=3) as client:
            begun = time.monotonic()
            for _ in range(2):
                assert client.chat.completions.create(**CHAT).choices  # type: ignore[call-overload]
            assert 1.0 <= time.monotonic() - begun < 6


def test_an_unreadable_answer_counts_by_its_size(backend: Backend) -> None:
    backend.script = Script(body="x" * 400, headers={"content-encoding": "br"})
    with limited(backend, PER_MINUTE) as gateway:
        with gateway.client.stream("POST", "/api/chat/completions", json=CHAT) as got:
            assert b"".join(got.iter_raw()) == b"x" * 400
        assert 100 < used(gateway) < 120


def test_mistakes_in_the_document_are_told() -> None:
    def wrong(attributes: str) -> str:
        (problem,) = problems(document(inbound=f'<base /><llm-token-limit counter-key="k" {attributes} />'))
        return problem.partition("llm-token-limit: ")[2]

    assert wrong('estimate-prompt-tokens="true"') == (
        "tokens-per-minute, or token-quota and token-quota-period, must be there"
    )
    assert wrong('token-quota="5"') == "token-quota and token-quota-period go together"
    for number in ("0", "-1", "many", "1e3", "99999999999999999999"):
        assert "tokens-per-minute" in wrong(f'tokens-per-minute="{number}"')
    for name in ("retry-after", "remaining-tokens", "remaining-quota-tokens", "tokens-consumed"):
        for header in ("", "two words", "broken&#10;line"):
            found = wrong(f'tokens-per-minute="1" {name}-header-name="{header}"')
            assert f"{name}-header-name: not a header name" in found
    assert "Hourly" in wrong('token-quota="5" token-quota-period="day"')
    assert "reservation" in wrong('tokens-per-minute="1" reservation="sometimes"')
    assert "policy expressions are not allowed here" in wrong('tokens-per-minute="1" shards="@(context.Api.Id.Length)"')
    assert "did you mean estimate-prompt-tokens" in wrong('tokens-per-minute="1" estimate-prompt-token="true"')
