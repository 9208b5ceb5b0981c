"""Gemini's generateContent: exchanges as the Gemini API and Vertex AI document them, whole, streamed, as an array."""

import json
from typing import Any

import pytest

from shared.llm.answer import WHOLE, DocumentReader, StreamReader
from shared.llm.call import LlmCall, usage_can_be_asked
from shared.llm.schemas import ANY_JSON, schema_of
from shared.llm.schemas.generate_content import GENERATE_CONTENT
from shared.llm.tokens import rough_count
from shared.llm.usage import Usage

PATH = "/v1beta/models/gemini-2.5-flash"
VERTEX = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-pro"
ASKED = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "What is the highest mountain?"}]}],
    "generationConfig": {"maxOutputTokens": 200, "candidateCount": 2},
}
THOUGHT = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Mount", "thought": False}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 1011,
        "candidatesTokenCount": 6,
        "totalTokenCount": 1062,
        "cachedContentTokenCount": 900,
        "thoughtsTokenCount": 45,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 753}, {"modality": "IMAGE", "tokenCount": 258}],
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
}
USED = Usage(1011, 51, 1062, 900, reasoning_tokens=45, image_prompt_tokens=258)


def chunk(said: str, usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    told = {} if usage is None else {"usageMetadata": usage}
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": said}]}, "index": 0, **more}],
        **told,
        "modelVersion": "gemini-2.5-pro-001",
        "responseId": "r2",
    }


def words(text: str) -> int:
    return len(text.split())


def streamed(events: list[dict[str, Any]], pieces: int) -> StreamReader:
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)
    reader = StreamReader(GENERATE_CONTENT, hide=False, count=words)
    assert b"".join(reader.feed(data[at : at + pieces]) for at in range(0, len(data), pieces)) == data
    reader.end()
    return reader


def whole(document: object) -> DocumentReader:
    reader = DocumentReader(GENERATE_CONTENT)
    reader.feed(json.dumps(document).encode())
    reader.end()
    return reader


def called(path: str, body: dict[str, Any] = ASKED) -> LlmCall:
    return LlmCall(path, json.dumps(body).encode(), body)


@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
def test_the_path_tells_schema_model_and_stream(colon: str) -> None:
    call = called(f"{PATH}{colon}generateContent")
    assert (call.schema, call.model, call.stream) == (GENERATE_CONTENT, "gemini-2.5-flash", False)
    call = called(f"{VERTEX}{colon}streamGenerateContent")
    assert (call.schema, call.model, call.stream) == (GENERATE_CONTENT, "gemini-2.5-pro", True)
    assert not usage_can_be_asked(call, None), "it tells its usage by itself"
    assert schema_of(f"{PATH}{colon}countTokens", {}) is ANY_JSON
    assert schema_of(f"{PATH}{colon}embedContent", {}) is ANY_JSON


def test_the_bounds_of_an_answer() -> None:
    assert called(f"{PATH}:generateContent").max_tokens == 400
    snake = {"contents": [], "generation_config": {"max_output_tokens": 50}}
    assert called(f"{PATH}:generateContent", snake).max_tokens == 50
    assert called(f"{PATH}:generateContent", {"contents": []}).max_tokens is None


def test_a_prompt_is_counted_with_its_media_and_tools() -> None:
    assert called(f"{PATH}:generateContent").prompt_tokens(words) == 2 + 5
    body = {
        "system_instruction": {"parts": {"text": "one two"}},
        "contents": [
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "A" * 9_000}}, {"text": "three four five"}]},
            {"parts": [{"fileData": {"mimeType": "audio/mp3", "fileUri": "gs://x"}}]},
            {"parts": [{"functionResponse": {"name": "f", "response": {"a": "b"}}, "thoughtSignature": "A" * 9_000}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "one"}]}],
    }
    plain = 2 + 3 + 258 + 1000
    assert plain < called(f"{PATH}:generateContent", body).prompt_tokens(words) < plain + 20


def test_a_document_tells_its_usage() -> None:
    reader = whole(THOUGHT)
    assert reader.usage == USED
    assert (reader.model, reader.facts.id, reader.facts.finish_reasons) == ("gemini-2.5-flash", "r1", ["STOP"])


def test_what_tools_brought_into_the_prompt_counts() -> None:
    used = {"promptTokenCount": 10, "candidatesTokenCount": 5, "toolUsePromptTokenCount": 70, "totalTokenCount": 85}
    assert whole({"usageMetadata": used}).usage == Usage(80, 5, 85)


@pytest.mark.parametrize("pieces", [1, 50, 100_000])
def test_the_last_event_tells_the_usage_of_a_stream(pieces: int) -> None:
    events = [
        chunk("The highest", {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}),
        chunk(" mountain", {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}),
        chunk(".", {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}, finishReason="STOP"),
    ]
    reader = streamed(events, pieces)
    assert reader.usage == Usage(9, 4, 13)
    assert reader.facts.finish_reasons == ["STOP"]
    assert reader.model == "gemini-2.5-pro-001"
    assert streamed(events[:2], pieces).usage == Usage(9, 3, 12), "who hangs up has used that much"


def test_events_of_vertex_count_only_at_the_end() -> None:
    begun = chunk("The highest mountain", {"trafficType": "ON_DEMAND"})
    reader = streamed([begun], 100)
    assert reader.usage is None
    assert reader.text_tokens(words) == 3
    counted = chunk(".", {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}, finishReason="STOP")
    assert streamed([begun, counted], 100).usage == Usage(9, 4, 13)


def test_a_stream_without_events_is_an_array() -> None:
    reader = whole([chunk("The", None), chunk(" end", {"promptTokenCount": 9, "totalTokenCount": 9}), chunk(".", None)])
    assert reader.usage == Usage(9, 0, 9)
    assert reader.text_tokens(words) == 2


@pytest.mark.parametrize("told", [False, True])
def test_of_an_array_that_was_cut_off_counts_what_had_come(told: bool) -> None:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11} if told else None
    text = json.dumps([chunk("The highest", usage), chunk(" mountain", usage), chunk(" is", usage)], indent=1)
    reader = DocumentReader(GENERATE_CONTENT, text[: text.index(" is")].encode())
    reader.end()
    assert reader.usage == (Usage(9, 2, 11) if told else None)
    assert reader.text_tokens(words) == 3


def test_without_usage_all_that_was_said_is_there_to_be_counted() -> None:
    said = [{"text": "a thought", "thought": True}, {"functionCall": {"name": "find", "args": {"city": "Ulm"}}}]
    reader = whole({"candidates": [{"content": {"parts": [*said, {"executableCode": {"code": "print(1)"}}]}}]})
    assert reader.usage is None
    assert reader.text_tokens(str.__len__) == len('a thoughtfind{"city": "Ulm"}print(1)')


def test_the_usage_of_a_large_document_is_found() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * (2 * WHOLE)}}
    reader = DocumentReader(GENERATE_CONTENT)
    data = json.dumps({**THOUGHT, "candidates": [{"content": {"parts": [image]}}]}).encode()
    for at in range(0, len(data), 65_536):
        reader.feed(data[at : at + 65_536])
    reader.end()
    assert (reader.usage, reader.model) == (USED, "gemini-2.5-flash")


def test_nothing_malformed_is_an_error() -> None:
    for odd in (3, [], [None], {"usageMetadata": 3}, {"candidates": [{"content": [1]}, 2], "modelVersion": 4}):
        reader = whole(odd)
        assert (reader.usage, reader.text_tokens(rough_count), reader.facts.finish_reasons) == (None, 0, [])
    for odd_body in ({"contents": {"parts": 3}}, {"contents": [3, {"parts": [4, {"text": 5}]}], "generationConfig": 1}):
        call = called(f"{PATH}:generateContent", odd_body)
        assert (call.max_tokens, call.prompt_tokens(words)) == (None, 0)
