"""llm-semantic-cache-lookup: who gets which answer, in which form, and what it takes to fail."""

import json
import threading
import time
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.policies.semantic import Cached, cached, document, lookup, status
from tests.support.azurite import Azurite
from tests.support.backend import Backend, Script
from tests.support.policies import document as bare_document
from tests.support.policies import problems
from tests.support.running import counting

BACKENDS = {
    "backends": {"embeddings": "http://127.0.0.1:9/embeddings", "pool": {"pool": {"services": [{"id": "main"}]}}}
}
LOOKUP = """<{0}-semantic-cache-lookup score-threshold="0.05" embeddings-backend-id="embeddings"
    embeddings-backend-auth="system-assigned" ignore-system-messages="true" max-message-count="10">
  <vary-by>@(context.Subscription.Id)</vary-by></{0}-semantic-cache-lookup>"""
QUESTION = "How do I reset the password of my account on the website?"
ALIKE = "How do I reset the password of my account on the web site?"
NOT_ALIKE = "What is the capital of France?"


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_without_a_word(name: str) -> None:
    assert problems(bare_document(inbound=LOOKUP.format(name)), warnings=True, **BACKENDS) == []


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (LOOKUP.format("llm").replace("0.05", "1.5"), "attribute score-threshold"),
        (LOOKUP.format("llm").replace("system-assigned", "key"), "attribute embeddings-backend-auth"),
        (LOOKUP.format("llm").replace('"embeddings"', '"none"'), "no backend none"),
        (LOOKUP.format("llm").replace('"embeddings"', '"pool"'), "backend pool is a pool"),
        (LOOKUP.format("llm") * 2, "can be used only once in inbound"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(bare_document(inbound=xml), **BACKENDS)
    assert len(found) == 1 and message in found[0], found


def test_a_doubtful_threshold_is_warned_of() -> None:
    xml = bare_document(inbound=LOOKUP.format("llm").replace("0.05", "0.8"))
    assert problems(xml, **BACKENDS) == []
    (warning,) = problems(xml, warnings=True, **BACKENDS)
    assert "0.8 is a distance: above 0.1 questions of another meaning are hits as well" in warning


@pytest.mark.parametrize("embeddings", ["embeddings", "openai-embeddings"])
def test_the_same_question_and_one_of_the_same_meaning(embeddings: str) -> None:
    with cached(document(lookup(embeddings=embeddings))) as gateway:
        gateway.says("Click on 'forgot password'.")
        first = gateway.chat(QUESTION)
        assert (first.status_code, status(first)) == (200, "miss")
        gateway.kept()
        gateway.says("something else")
        same = gateway.chat(QUESTION)
        assert (same.status_code, status(same)) == (200, "exact")
        assert same.headers["x-semantic-cache-similarity"] == "1.0000" and int(same.headers["age"]) >= 0
        assert same.json()["choices"] == first.json()["choices"]
        assert same.json()["usage"] == {**first.json()["usage"], "served_from_cache": True}
        alike = gateway.chat(ALIKE)
        assert status(alike) == "semantic" and alike.json()["choices"] == first.json()["choices"]
        assert 0.9 <= float(alike.headers["x-semantic-cache-similarity"]) < 1
        assert status(gateway.chat(NOT_ALIKE)) == "miss"
        assert len(gateway.backend.requests) == 2
        asked = [one.json()["input"] for one in gateway.embeddings.requests]
        assert sum(asked, []) == [QUESTION, ALIKE, NOT_ALIKE], "the exact hit needed no embedding, no text went twice"
        body = gateway.embeddings.last.json()
        assert body["encoding_format"] == "base64"


def test_a_miss_by_the_guards() -> None:
    pairs = [
        ("What is new in version 3.1 of the product for enterprise users?",
         "What is new in version 3.2 of the product for enterprise users?"),
        ("Which of the products on the website can I return in the first month?",
         "Which of the products on the website can I not return in the first month?"),
        ('What does the error message "disk full" mean for my backup job?',
         'What does the error message "disk fail" mean for my backup job?'),
    ]  # fmt: skip
    for guards, expected in (("true", "miss"), ("false", "semantic")):
        with cached(document(lookup(f'guards="{guards}"', threshold=0.3))) as gateway:
            for number, (one, other) in enumerate(pairs):
                gateway.chat(one)
                gateway.kept(number * (2 if guards == "true" else 1) + 1)
                assert status(gateway.chat(other)) == expected, other
                if guards == "true":
                    gateway.kept(number * 2 + 2)


def test_nobody_gets_what_was_made_for_somebody_else() -> None:
    system = {"role": "system", "content": "You are a pirate."}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    variants: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((QUESTION,), {}),
        ((QUESTION,), {"path": "/other"}),
        ((QUESTION,), {"model": "gpt-4o-mini"}),
        ((QUESTION,), {"temperature": 0}),
        ((QUESTION,), {"temperature": 1}),
        ((QUESTION,), {"max_tokens": 10}),
        ((QUESTION,), {"seed": 1}),
        ((QUESTION,), {"tools": [tool]}),
        ((QUESTION,), {"response_format": {"type": "json_object"}}),
        ((QUESTION,), {"unheard_of": True}),
        ((QUESTION,), {"headers": {"authorization": "Bearer one"}}),
        ((QUESTION,), {"headers": {"authorization": "Bearer two"}}),
        ((QUESTION,), {"headers": {"cookie": "session=one"}}),
        ((QUESTION,), {"headers": {"cookie": "session=two"}}),
        ((QUESTION,), {"headers": {"x-goog-api-key": "three"}}),
        ((QUESTION,), {"headers": {"ocp-apim-subscription-key": "nobody's"}}),
        ((system, QUESTION), {}),
        ((QUESTION, system), {}),
        (({"role": "system", "content": "You are a parrot."}, QUESTION), {}),
        (("Hello", {"role": "assistant", "content": "Yes?"}, QUESTION), {}),
        (("Hello", {"role": "assistant", "content": "No?"}, QUESTION), {}),
        (({"role": "user", "content": QUESTION, "name": "Ann"},), {}),
        (({"role": "user", "content": [{"type": "text", "text": QUESTION},
                                       {"type": "image_url", "image_url": {"url": "https://x/1.png"}}]},), {}),
        (({"role": "user", "content": [{"type": "text", "text": QUESTION},
                                       {"type": "image_url", "image_url": {"url": "https://x/2.png"}}]},), {}),
    ]  # fmt: skip
    looked_up = 0
    with cached(document(lookup(threshold=1.0))) as gateway:
        for number, (messages, fields) in enumerate(variants):
            gateway.says(f"answer {number}")
            answer = gateway.chat(*messages, **fields)
            assert answer.json()["choices"][0]["message"]["content"] == f"answer {number}", (messages, fields)
            looked_up += status(answer) == "miss"
            gateway.kept(looked_up)
        gateway.says("too late")
        for number, (messages, fields) in enumerate(variants):
            answer = gateway.chat(*messages, **fields)
            if status(answer) == "exact":
                assert answer.json()["choices"][0]["message"]["content"] == f"answer {number}"
        assert len(gateway.backend.requests) == len(variants) + 1, "all but the one that ends in a system message"


@pytest.mark.parametrize(
    ("path", "member", "turns"),
    [("/claude/v1/messages", "system", "messages"), ("/llm/responses", "instructions", "input")],
)
def test_system_prompts_beside_the_messages_count_as_well(path: str, member: str, turns: str) -> None:
    with cached(document(lookup(threshold=1.0))) as gateway:
        said = [{"role": "user", "content": QUESTION}]
        body = {"model": "m", "max_tokens": 9, turns: said}
        headers = {"anthropic-version": "2023-06-01"}
        for number, prompt in enumerate(({}, {member: "You are a pirate."}, {member: "You are a parrot."})):
            for expected in ("miss", "exact"):
                answer = gateway.client.post(path, json={**body, **prompt}, headers=headers)
                assert (answer.status_code, status(answer)) == (200, expected), answer.text
                gateway.kept(number + 1)


def test_fifty_tenants_ask_the_same() -> None:
    vary = '<vary-by>@(context.Request.Headers.GetValueOrDefault("tenant", ""))</vary-by>'
    also = '<vary-by>@(context.Request.Headers.GetValueOrDefault("region", ""))</vary-by>'
    with cached(document(lookup(inside=vary + also, threshold=1.0))) as gateway:
        # Joined without lengths, many of these would be the same.
        tenants = [("a" * i, "a" * j) for i in range(7) for j in range(7)] + [("1", "23"), ("12", "3")]
        for number, (tenant, region) in enumerate(tenants):
            gateway.says(f"for {tenant}-{region}")
            assert status(gateway.chat(QUESTION, headers={"tenant": tenant, "region": region})) == "miss"
            gateway.kept(number + 1)
        for text in (QUESTION, ALIKE):
            for tenant, region in tenants:
                answer = gateway.chat(text, headers={"tenant": tenant, "region": region})
                assert answer.json()["choices"][0]["message"]["content"] == f"for {tenant}-{region}"
        assert len(gateway.backend.requests) == len(tenants)


@pytest.mark.parametrize(
    ("inside", "sharing"),
    [("", {}), ("<vary-by>product</vary-by>", {"b": "c"}), ("<vary-by>api</vary-by>", dict.fromkeys("abcd", "abcd"))],
)
def test_subscriptions_share_only_when_words_say_so(inside: str, sharing: dict[str, str]) -> None:
    with cached(document(lookup(inside=inside))) as gateway:
        asked = 0
        for number, name in enumerate("abcd"):
            headers = {"api-key": f"key-of-{name}-0123456789abcdef"}
            answer = gateway.chat(QUESTION, path="/keyed", headers=headers)
            assert answer.status_code == 200, answer.text
            first = number == 0 or (name == "c" and "b" not in sharing)
            shared = any(name in others and number for one, others in sharing.items() if one != name)
            assert status(answer) == ("exact" if shared and not first else "miss"), name
            asked += status(answer) == "miss"
            gateway.kept(asked)


def test_what_is_not_looked_up() -> None:
    tool = [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    long = ["one", {"role": "assistant", "content": "two"}, QUESTION]
    cases: list[tuple[list[Any], dict[str, Any]]] = [
        ([QUESTION], {"n": 2}),
        (tool, {}),
        (long, {}),
        ([QUESTION], {"headers": {"cache-control": "no-store"}}),
        ([{"role": "assistant", "content": QUESTION}], {}),
    ]
    with cached(document(lookup('max-message-count="2"'))) as gateway:
        for messages, fields in cases:
            for _ in range(2):
                answer = gateway.chat(*messages, **fields)
                assert answer.status_code == 200 and status(answer) == ""
        assert len(gateway.backend.requests) == 2 * len(cases) and not gateway.embeddings.requests
        assert gateway.client.get("/llm/models").status_code == 200


def test_no_cache_asks_again_and_keeps_the_new_answer() -> None:
    with cached(document(lookup())) as gateway:
        for number, text in enumerate(("old", "new")):
            gateway.says(text)
            assert status(gateway.chat(QUESTION, headers={"cache-control": "no-cache"})) == "miss"
            gateway.kept(number + 1)
        assert gateway.chat(QUESTION).json()["choices"][0]["message"]["content"] == "new"


def test_ignored_system_messages_make_no_difference() -> None:
    with cached(document(lookup('ignore-system-messages="true"'))) as gateway:
        gateway.chat({"role": "system", "content": "one"}, QUESTION)
        gateway.kept()
        assert status(gateway.chat({"role": "developer", "content": "two"}, QUESTION)) == "exact"
        assert status(gateway.chat({"role": "system", "content": "three"}, ALIKE)) == "semantic"


def _texts(gateway: Cached, kind: str, stream: bool) -> str:
    """What an official SDK makes of the answer."""
    root = gateway.gateway.url
    if kind == "claude":
        claude = anthropic.Anthropic(base_url=f"{root}/claude", api_key="k", max_retries=0)
        messages: Any = [{"role": "user", "content": QUESTION}]
        with claude:
            if stream:
                with claude.messages.stream(model="claude", max_tokens=99, messages=messages) as events:
                    return events.get_final_text()
            return str(claude.messages.create(model="claude", max_tokens=99, messages=messages).content[0].text)  # type: ignore[union-attr]
    with openai.OpenAI(base_url=f"{root}/llm", api_key="k", max_retries=0) as client:
        if kind == "responses":
            if stream:
                with client.responses.stream(model="gpt-4o", input=QUESTION) as stream_of_events:
                    return stream_of_events.get_final_response().output_text
            return client.responses.create(model="gpt-4o", input=QUESTION).output_text
        chat: Any = [{"role": "user", "content": QUESTION}]
        if stream:
            options: Any = {"include_usage": True}
            parts = list(
                client.chat.completions.create(model="gpt-4o", messages=chat, stream=True, stream_options=options)
            )
            assert parts[-1].usage is not None and parts[-1].usage.total_tokens > 0
            return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        whole = client.chat.completions.create(model="gpt-4o", messages=chat)
        assert whole.usage is not None and whole.usage.total_tokens > 0
        return whole.choices[0].message.content or ""


@pytest.mark.parametrize("kind", ["chat", "responses", "claude"])
@pytest.mark.parametrize("first", [True, False], ids=["kept as stream", "kept as JSON"])
def test_streams_and_documents_stand_for_each_other(kind: str, first: bool) -> None:
    said = "Grüße! 1. Go to the page\n2. Click “reset”."
    with cached(document(lookup())) as gateway:
        gateway.says(said)
        assert _texts(gateway, kind, first) == said
        gateway.kept()
        gateway.says("something else")
        assert [_texts(gateway, kind, stream) for stream in (True, False)] == [said, said]
        assert len(gateway.backend.requests) == 1


def test_usage_is_in_a_stream_when_it_is_asked_for() -> None:
    with cached(document(lookup())) as gateway:
        first = gateway.chat(QUESTION, stream=True)
        assert '"usage":{' not in first.text.replace(" ", "")
        gateway.kept()
        again = gateway.chat(QUESTION, stream=True)
        assert again.headers["content-type"].startswith("text/event-stream") and again.text == first.text
        asked = gateway.chat(QUESTION, stream=True, stream_options={"include_usage": True})
        events = [json.loads(line[6:]) for line in asked.text.splitlines() if line.startswith("data: {")]
        assert events[-1]["usage"]["total_tokens"] > 0 and events[-1]["usage"]["served_from_cache"] is True
        assert status(asked) == "exact" and asked.text.endswith("data: [DONE]\n\n")


def test_what_follows_the_store_runs_and_the_rest_of_inbound_does_not() -> None:
    after = '<set-header name="after"><value>yes</value></set-header>'
    xml = document(lookup() + '<set-header name="inbound"><value>yes</value></set-header>', outbound=after)
    with cached(xml) as gateway:
        for expected in ("miss", "exact"):
            answer = gateway.chat(QUESTION)
            assert (status(answer), answer.headers["after"]) == (expected, "yes")
            gateway.kept()


@pytest.mark.parametrize("coalesce", [False, True])
def test_concurrent_questions_are_asked_once_where_that_is_wanted(coalesce: bool) -> None:
    with cached(document(lookup(f'coalesce="{str(coalesce).lower()}"'))) as gateway:
        gateway.chat(NOT_ALIKE)  # whatever is slow the first time
        gateway.kept()
        gateway.backend.script = Script(text="an answer", delay=0.4)
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(gateway.chat(QUESTION))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.json()["choices"][0]["message"]["content"] for answer in answers} == {"an answer"}
        assert len(gateway.backend.requests) == (2 if coalesce else 7)
        gateway.backend.script = Script(status=500, delay=0.2)
        answers.clear()
        threads = [threading.Thread(target=lambda: answers.append(gateway.chat("Fail!"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [500] * 3, "an error is nobody else's answer"


def test_without_embeddings_the_model_is_asked_and_only_words_are_found() -> None:
    with cached(document(lookup('embeddings-timeout-ms="1000"'))) as gateway:
        gateway.chat(NOT_ALIKE)
        gateway.kept()
        gateway.embeddings.script = Script(delay=3600)
        times = []
        for number in range(8):
            began = time.monotonic()
            answer = gateway.chat(f"{QUESTION} {number}")
            times.append(time.monotonic() - began)
            assert (answer.status_code, status(answer)) == (200, "miss")
        assert times[0] >= 1.0 and sum(seconds >= 1.0 for seconds in times) <= 2, times
        gateway.kept(9)
        assert status(gateway.chat(f"{QUESTION} 7")) == "exact"
        assert status(gateway.chat(NOT_ALIKE)) == "exact"


def test_a_broken_embeddings_backend_changes_no_answer() -> None:
    with cached(document(lookup())) as gateway:
        for script in (Script(status=500), Script(status=400), Script(hang_up=True), Script(body='{"data": []}')):
            gateway.embeddings.script = script
            answer = gateway.chat(f"{QUESTION} {script.status} {script.hang_up}")
            assert (answer.status_code, status(answer)) == (200, "miss")


def test_storage_that_stops_changes_no_answer(backend: Backend) -> None:
    with Azurite() as storage, cached(document(lookup()), tables=storage.connection_string) as gateway:
        gateway.says("kept")
        gateway.chat(QUESTION)
        gateway.kept()
        time.sleep(1.1)
        storage.pause()
        times = []
        for number in range(8):
            began = time.monotonic()
            answer = gateway.chat(f"What is {number}?")
            times.append(time.monotonic() - began)
            assert (answer.status_code, status(answer)) == (200, "miss")
            assert status(gateway.chat(QUESTION)) == "exact"
        storage.resume()
        assert times[0] >= 0.25 and sum(seconds >= 0.25 for seconds in times) <= 4, times


def test_instances_share_what_they_keep() -> None:
    with Azurite() as storage:
        xml = document(lookup())
        with cached(xml, tables=storage.connection_string) as one:
            one.says("from the one")
            one.chat(QUESTION)
            one.kept()
            key = one.backend.port, one.embeddings.port
            with one_more(xml, storage.connection_string, key) as other:
                answer = other.post("/llm/chat/completions", json=_body(QUESTION))
                assert (status(answer), answer.json()["choices"][0]["message"]["content"]) == ("exact", "from the one")
                answer = other.post("/llm/chat/completions", json=_body(ALIKE))
                assert status(answer) == "semantic"


def _body(text: str) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}


def one_more(xml: str, tables: str, ports: tuple[int, int]) -> Any:
    """A second gateway with the same backends."""
    from contextlib import contextmanager

    from tests.policies.semantic import CONFIG
    from tests.support.running import running

    @contextmanager
    def run() -> Any:
        values = {"backend": f"http://127.0.0.1:{ports[0]}", "embeddings": f"http://127.0.0.1:{ports[1]}"}
        files = {"policies/cache.xml": xml}
        environment = {"GATEWAY_TABLES_CONNECTION_STRING": tables}
        with running(CONFIG, files=files, values=values, environment=environment) as gateway:
            yield gateway.client

    return run()


def test_a_sample_shows_the_backend_no_credentials() -> None:
    with cached(document(lookup('sample-hits="100"'))) as gateway:
        secrets = {"authorization": "Bearer of-the-caller", "api-key": "a-key-of-the-caller", "x-forwarded-for": "::1"}
        gateway.chat(QUESTION, headers=secrets)
        gateway.kept()
        assert status(gateway.chat(ALIKE, headers=secrets)) == "semantic"
        for request in gateway.backend.wait_for_requests(2):
            assert {name: request.header(name) for name in secrets} == dict.fromkeys(secrets)


def test_samples_tell_how_often_hits_are_false() -> None:
    with cached(document(lookup('sample-hits="100"'))) as gateway:
        metrics = counting(gateway.gateway.app)
        gateway.says("Paris is the capital.")
        gateway.chat(QUESTION)
        gateway.kept()
        totals: dict[str, tuple[int, float]] = {}
        results: dict[str, int] = {}

        def sampled(count: int) -> None:
            deadline = time.monotonic() + 20
            while totals.get("Sampled hits", (0, 0))[0] + totals.get("Failed samples", (0, 0))[0] < count:
                assert time.monotonic() < deadline
                for (namespace, name, dimensions), total in metrics.take().items():
                    assert namespace == "Semantic cache"
                    if name == "Lookups":
                        results[dict(dimensions)["Result"]] = results.get(dict(dimensions)["Result"], 0) + total.count
                        continue
                    assert dict(dimensions) == {"API": "llm", "Threshold": "0.1"}
                    known = totals.get(name, (0, 0.0))
                    totals[name] = (known[0] + total.count, known[1] + total.sum)
                time.sleep(0.01)
            time.sleep(0.02)

        assert status(gateway.chat(ALIKE)) == "semantic"
        sampled(1)
        gateway.says("An entirely different thing is said about bananas")
        assert status(gateway.chat(ALIKE)) == "semantic"
        sampled(2)
        gateway.backend.script = Script(status=500)
        assert status(gateway.chat(ALIKE)) == "semantic"
        sampled(3)
        assert totals["Sampled hits"] == (2, 2.0) and totals["Failed samples"][0] == 1
        assert totals["False hits"] == (2, 1.0)
        assert results == {"miss": 1, "semantic": 3}
        assert status(gateway.chat(QUESTION)) == "exact"
