"""Asking a stream for its usage changes the body in that one field."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.llm.call import LlmCall, asking_for_usage, usage_can_be_asked
from shared.llm.max_tokens import longest_answer


def call(body: Any, path: str = "/chat/completions", deployment: str | None = None) -> LlmCall:
    return LlmCall(path, json.dumps(body).encode(), body, deployment)


BODIES = st.fixed_dictionaries(
    {"stream": st.just(True)},
    optional={
        "messages": st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=3), max_size=3),
        "stream_options": st.none() | st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
        "temperature": st.floats(allow_nan=False, allow_infinity=False),
        "seed": st.integers(),
    },
)


@given(body=BODIES, indent=st.none() | st.just(2))
def test_only_that_field_changes(body: dict[str, Any], indent: int | None) -> None:
    data = json.dumps(body, indent=indent).encode()
    asked = json.loads(asking_for_usage(call(body), data))
    assert asked.pop("stream_options")["include_usage"] is True
    body.pop("stream_options", None)
    assert asked == body


def test_the_bytes_stay_where_the_field_is_missing() -> None:
    data = b' {"stream": true, "seed": 1e2, "stop": "\\ud800"}'
    asked = asking_for_usage(call(json.loads(data)), data)
    assert asked == b' {"stream_options":{"include_usage":true},"stream": true, "seed": 1e2, "stop": "\\ud800"}'
    assert asking_for_usage(call({}), b"{}") == b'{"stream_options":{"include_usage":true}}'


def test_when_usage_is_asked_for() -> None:
    stream = {"stream": True}
    assert usage_can_be_asked(call(stream), None)
    assert usage_can_be_asked(call(stream, "/completions"), None)
    assert usage_can_be_asked(call({**stream, "stream_options": {"include_usage": False}}), None)
    assert not usage_can_be_asked(call({**stream, "stream_options": {"include_usage": True}}), None)
    assert not usage_can_be_asked(call({}), None)
    assert not usage_can_be_asked(call(stream, "/responses"), None)
    assert not usage_can_be_asked(call({**stream, "data_sources": []}), None)
    assert usage_can_be_asked(call(stream), "2024-10-21")
    assert usage_can_be_asked(call(stream), "2025-04-01-preview")
    assert not usage_can_be_asked(call(stream), "2024-06-01")
    assert not usage_can_be_asked(call(stream), "")


def test_the_model_is_the_deployment_or_the_one_in_the_body() -> None:
    assert call({"model": "gpt-4o"}).model == "gpt-4o"
    assert call({"model": "gpt-4o"}, deployment="mine").model == "mine"
    assert call({"model": 7}).model == ""


def test_the_longest_answers() -> None:
    assert [longest_answer(model) for model in ("gpt-4o", "gpt-4", "openai/o3", "gemini-2.5-pro", "x")] == [
        16_384,
        8_192,
        100_000,
        65_536,
        131_072,
    ]
