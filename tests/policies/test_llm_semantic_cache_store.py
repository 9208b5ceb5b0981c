"""llm-semantic-cache-store: what is kept, for how long, and what never is."""

import json
import time

import pytest

from tests.policies.semantic import cached, document, lookup, status
from tests.support.backend import Script
from tests.support.policies import document as bare_document
from tests.support.policies import problems

STORE = '<{0}-semantic-cache-store duration="120" />'
QUESTION = "How do I reset my password?"


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_without_a_word(name: str) -> None:
    assert problems(bare_document(outbound=STORE.format(name)), warnings=True) == []


def test_it_stands_in_outbound() -> None:
    (problem,) = problems(bare_document(inbound=STORE.format("llm")))
    assert "only in outbound" in problem


def _answer(reason: str = "stop", **message: object) -> str:
    said = {"role": "assistant", "content": "said", **message}
    choice = {"index": 0, "message": said, "finish_reason": reason}
    return json.dumps({"id": "1", "object": "chat.completion", "model": "gpt-4o", "choices": [choice]})


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
EVENT = 'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":%s}]}\n\n'


@pytest.mark.parametrize(
    "script",
    [
        Script(body=_answer("length")),
        Script(body=_answer("content_filter")),
        Script(body=_answer("tool_calls", content=None, tool_calls=CALL)),
        Script(body=_answer(content="")),
        Script(body='{"choices": []}'),
        Script(body='{"choices": "none"}'),
        Script(body="no JSON"),
        Script(status=429),
        Script(status=500),
    ],
    ids=str,
)
def test_answers_that_are_none_are_not_kept(script: Script) -> None:
    _asked_twice(script, stream=False)


@pytest.mark.parametrize(
    "script",
    [
        Script(body=EVENT % "null" + EVENT % '"stop"'),
        Script(body=EVENT % "null" + EVENT % '"length"' + "data: [DONE]\n\n"),
        Script(body=EVENT % "null" + EVENT % '"content_filter"' + "data: [DONE]\n\n"),
        Script(body=EVENT % "null" + "data: [DONE]\n\n"),
        Script(body=EVENT % "null" + 'data: {"error":{"message":"overloaded"}}\n\ndata: [DONE]\n\n'),
        Script(text="cut in the middle of it all", cut_after=3),
    ],
    ids=["no end", "length", "filter", "no reason", "error", "cut"],
)
def test_streams_without_their_proper_end_are_not_kept(script: Script) -> None:
    _asked_twice(script, stream=True)


def _asked_twice(script: Script, *, stream: bool) -> None:
    with cached(document(lookup())) as gateway:
        gateway.backend.script = script
        for _ in range(2):
            answer = gateway.chat(QUESTION, stream=stream)
            assert status(answer) == "miss"
            time.sleep(0.05)
        assert len(gateway.backend.requests) == 2
        gateway.says("at last")
        gateway.chat(QUESTION, stream=stream)
        gateway.kept()
        assert status(gateway.chat(QUESTION, stream=stream)) == "exact"


def test_cache_response_keeps_any_status() -> None:
    store = '<llm-semantic-cache-store duration="60" cache-response="true" />'
    with cached(document(lookup(), store)) as gateway:
        gateway.backend.script = Script(status=429)
        first = gateway.chat(QUESTION)
        gateway.kept()
        again = gateway.chat(QUESTION)
        assert (again.status_code, status(again), again.json()) == (429, "exact", first.json())


def test_duration_is_computed_and_kept_to() -> None:
    store = '<llm-semantic-cache-store duration="@(context.Response.StatusCode - 199)" />'
    with cached(document(lookup(), store)) as gateway:
        gateway.chat(QUESTION)
        gateway.kept()
        assert status(gateway.chat(QUESTION)) == "exact"
        time.sleep(1.05)
        assert status(gateway.chat(QUESTION)) == "miss"


def test_compressed_answers_and_answers_others_have_read_are_kept_whole() -> None:
    value = "@(context.Response.Body.As&lt;string&gt;(true).Length.ToString())"
    read = f'<set-header name="x"><value>{value}</value></set-header>'
    for before in ("", read):
        with cached(document(lookup(), before + '<llm-semantic-cache-store duration="60" />')) as gateway:
            gateway.backend.script = Script(text="grüße", gzip=True)
            gateway.chat(QUESTION)
            gateway.kept()
            answer = gateway.chat(QUESTION)
            assert status(answer) == "exact" and answer.json()["choices"][0]["message"]["content"] == "grüße"


def test_a_caller_who_leaves_ends_nothing_that_is_kept() -> None:
    with cached(document(lookup())) as gateway:
        gateway.backend.script = Script(text="word " * 50, chunk_every=0.02)
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        with gateway.client.stream("POST", "/llm/chat/completions", json=body) as answer:
            next(answer.iter_bytes())
        gateway.says("whole")
        assert status(gateway.chat(QUESTION)) == "miss"
