"""Messages of calls: a stream tells, event by event, what the whole answer has."""

from typing import Any

import orjson
import pytest

from shared.llm.conversations import conversation_of
from shared.llm.recorded.chat_completions import CHAT_COMPLETIONS
from shared.llm.recorded.messages import MESSAGES
from shared.llm.recorded.responses import RESPONSES
from shared.llm.sse import data_of

CHAT = {
    "id": "c1",
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "One two three"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": "Uno due tre"}, "finish_reason": "stop"},
    ],
}
CLAUDE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "One two"}, {"type": "thinking", "thinking": "Hm, three"}],
    "stop_reason": "end_turn",
    "usage": {"output_tokens": 3},
}
ITEMS = {
    "id": "r1",
    "status": "completed",
    "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "Not two"}]},
        {"type": "function_call", "call_id": "t1", "name": "count", "arguments": '{"to":3}'},
        {"type": "web_search_call", "action": {"type": "search", "queries": ["three", "drei"]}},
    ],
}


@pytest.mark.parametrize(
    ("schema", "dialect", "document"),
    [("chat completions", CHAT_COMPLETIONS, CHAT), ("messages", MESSAGES, CLAUDE), ("responses", RESPONSES, ITEMS)],
)
def test_events_add_up_to_the_answer(schema: str, dialect: Any, document: dict[str, Any]) -> None:
    conversation = conversation_of(schema)
    growing = conversation.growing(10_000)
    for event in dialect.events(document, asks_for_usage=True):
        if (data := data_of(event)) != b"[DONE]":
            growing.add(orjson.loads(data))
    assert growing.messages() == conversation.answered(document) and not growing.cut


def events(*deltas: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": f"response.{name}", "output_index": 0, **data} for name, data in deltas]


def test_items_that_have_not_ended_are_told_by_their_deltas() -> None:
    growing = conversation_of("responses").growing(10_000)
    for event in events(
        ("output_item.added", {"item": {"type": "reasoning", "id": "i1", "status": "in_progress", "summary": []}}),
        ("reasoning_summary_text.delta", {"summary_index": 0, "delta": "I am "}),
        ("reasoning_summary_text.delta", {"summary_index": 0, "delta": "thinking"}),
        ("output_item.added", {"output_index": 1, "item": {"type": "function_call", "name": "go", "arguments": ""}}),
        ("function_call_arguments.delta", {"output_index": 1, "delta": '{"a'}),
    ):
        growing.add(event)
    assert growing.messages() == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I am thinking"}]},
        {"type": "function_call", "name": "go", "arguments": '{"a'},
    ]


@pytest.mark.parametrize("text", ["word", ""])
def test_a_stream_is_kept_up_to_the_limit(text: str) -> None:
    growing = conversation_of("chat completions").growing(1_000)
    for index in range(10_000):
        growing.add({"choices": [{"index": index % 300, "delta": {"content": text, f"x{index}": 1}}]})
    assert growing.cut and 100 < len(orjson.dumps(growing.messages())) < 6_000


def test_what_is_no_answer_has_no_messages() -> None:
    nested: Any = {}
    for _ in range(900):
        nested = {"a": nested}
    for schema in ("chat completions", "completions", "messages", "responses", "embeddings", "images", "unknown"):
        conversation = conversation_of(schema)
        growing = conversation.growing(100)
        for odd in (
            None,
            [],
            "text",
            {"error": {"message": "no"}},
            {"choices": [None, {"delta": 1}]},
            {"type": "ping"},
        ):
            assert conversation.answered(odd) == []
            growing.add(odd)
        growing.add({"choices": [{"index": "x", "delta": nested}, {"index": 0, "delta": nested}]})
        for body in ({}, {"messages": "x"}, {"input": [1, 2], "prompt": {}}):
            assert isinstance(conversation.asked(body), list)
