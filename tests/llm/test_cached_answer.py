"""Which answers are whole, and what they become in the other form."""

import json
from typing import Any

import pytest

from shared.llm.cached_answer import CachedAnswer, as_document, as_json_body, as_stream_body, complete, said
from shared.llm.usage import Usage

SAID = "Grüße\nund mehr"
CHAT: dict[str, Any] = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": SAID, "refusal": None},
                 "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}  # fmt: skip
RESPONSE: dict[str, Any] = {
    "id": "r1", "object": "response", "status": "completed", "model": "gpt-4o",
    "output": [
        {"id": "t", "type": "reasoning", "summary": []},
        {"id": "m", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": SAID, "annotations": []}]},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}  # fmt: skip
MESSAGE: dict[str, Any] = {
    "id": "a1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
    "stop_sequence": None,
    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": SAID}],
    "usage": {"input_tokens": 1, "output_tokens": 2},
}  # fmt: skip
ALL = {"chat completions": CHAT, "responses": RESPONSE, "messages": MESSAGE}


def kept(document: Any, form: Any = "json") -> CachedAnswer:
    return CachedAnswer(200, form, json.dumps(document).encode())


@pytest.mark.parametrize("schema", ALL)
def test_to_a_stream_and_back(schema: str) -> None:
    events = as_stream_body(schema, kept(ALL[schema]), asks_for_usage=True)
    assert events is not None
    stream = CachedAnswer(200, "sse", events)
    assert complete(schema, stream) and complete(schema, kept(ALL[schema]))
    document = as_document(schema, stream)
    assert document is not None and said(schema, stream).strip() == SAID == said(schema, kept(ALL[schema])).strip()
    marked = {**ALL[schema], "usage": {**ALL[schema]["usage"], "served_from_cache": True}}
    assert json.loads(as_json_body(schema, stream) or b"") == _without_nulls(marked, schema)
    assert json.loads(as_json_body(schema, kept(ALL[schema])) or b"") == marked


def _without_nulls(document: dict[str, Any], schema: str) -> dict[str, Any]:
    """Deltas do not tell members that are null."""
    if schema != "chat completions":
        return document
    choice = {"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
    return {**document, "choices": [choice]}


@pytest.mark.parametrize("schema", ALL)
def test_a_stream_cut_anywhere_is_not_whole(schema: str) -> None:
    events = as_stream_body(schema, kept(ALL[schema]), asks_for_usage=True)
    assert events is not None
    for cut in range(0, len(events) - 2):
        assert not complete(schema, CachedAnswer(200, "sse", events[:cut])), events[cut - 20 : cut]


@pytest.mark.parametrize(
    ("schema", "change"),
    [
        ("chat completions", {"choices": []}),
        ("chat completions", {"choices": [{**CHAT["choices"][0], "finish_reason": "length"}]}),
        ("chat completions", {"choices": [{**CHAT["choices"][0], "finish_reason": "content_filter"}]}),
        ("chat completions", {"choices": [{**CHAT["choices"][0], "finish_reason": None}]}),
        ("chat completions", {"choices": [CHAT["choices"][0], {"finish_reason": "stop"}]}),
        ("chat completions", {"choices": [{**CHAT["choices"][0], "message": {"content": "x", "tool_calls": [{}]}}]}),
        ("responses", {"status": "incomplete"}),
        ("responses", {"output": []}),
        ("responses", {"output": [*RESPONSE["output"], {"type": "function_call"}]}),
        ("messages", {"stop_reason": "max_tokens"}),
        ("messages", {"stop_reason": "refusal"}),
        ("messages", {"content": [*MESSAGE["content"], {"type": "tool_use"}]}),
        ("messages", {"content": []}),
    ],
)
def test_answers_that_are_not_whole(schema: str, change: dict[str, Any]) -> None:
    assert not complete(schema, kept({**ALL[schema], **change}))


def test_usage_is_left_out_added_and_marked() -> None:
    chunks = as_stream_body("chat completions", kept(CHAT), asks_for_usage=False)
    assert chunks is not None and b"usage" not in chunks
    silent = CachedAnswer(200, "sse", chunks, Usage(4, 5, 9))
    again = CachedAnswer.unpack(silent.pack())
    assert again == silent
    assert as_stream_body("chat completions", again, asks_for_usage=False) == chunks, "byte for byte"
    told = as_stream_body("chat completions", again, asks_for_usage=True) or b""
    last = json.loads(told.split(b"data: ")[-2])
    assert last["choices"] == [] and last["usage"]["total_tokens"] == 9 and last["usage"]["served_from_cache"]
    assert json.loads(as_json_body("chat completions", again) or b"")["usage"]["prompt_tokens"] == 4
    with_usage = CachedAnswer(200, "sse", told, Usage(4, 5, 9))
    assert as_stream_body("chat completions", with_usage, asks_for_usage=False) == chunks
    assert (as_stream_body("chat completions", with_usage, asks_for_usage=True) or b"").count(b'"total_tokens"') == 1


def test_azures_first_chunk_and_filter_results() -> None:
    chunk = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    safe = {"hate": {"severity": "safe"}}
    deltas = [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}, {}]
    choices = [
        {"index": 0, "delta": delta, "finish_reason": "stop" if delta == {} else None, "content_filter_results": safe}
        for delta in deltas
    ]
    parts = [chunk, *({"id": "1", "model": "gpt", "choices": [choice]} for choice in choices)]
    body = b"".join(b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts) + b"data: [DONE]\r\n\r\n"
    document = as_document("chat completions", CachedAnswer(200, "sse", body))
    assert document is not None and (document["id"], document["model"]) == ("1", "gpt")
    assert document["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop",
         "content_filter_results": safe}
    ]  # fmt: skip
    assert document["prompt_filter_results"]


def test_what_cannot_be_turned_is_none() -> None:
    assert as_stream_body("chat completions", kept([1]), asks_for_usage=False) is None
    assert as_stream_body("responses", kept({**RESPONSE, "output": [{"type": "message", "content": [{"type": "x"}]}]}),
                          asks_for_usage=False) is None  # fmt: skip
    assert as_json_body("images", kept(CHAT)) is None
    assert as_json_body("chat completions", CachedAnswer(200, "sse", b"data: {\n\n")) is None
    with pytest.raises(ValueError):
        CachedAnswer.unpack(b"something else")
