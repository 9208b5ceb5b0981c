"""Usage as each schema reports it, out of whole answers and streams in any pieces."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.llm.answer import UNREAD, WHOLE, DocumentReader, StreamReader, decoder, members_from
from shared.llm.json_members import Members
from shared.llm.schemas import ANY_JSON, SCHEMAS, schema_of
from shared.llm.schemas.chat_completions import CHAT_COMPLETIONS
from shared.llm.schemas.schema import Schema
from shared.llm.tokens import rough_count
from shared.llm.usage import Usage
from tests.support.dialects import Answer, Call, answer

PROMPT = "one two three"
SAID = "This is what the model says, no more."


def words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def asked(path: str, body: dict[str, Any], *, usage: bool = True) -> Answer:
    headers = {"anthropic-version": "2023-06-01"}
    return answer(Call("POST", path, {}, {"model": "gpt-4o", **body}, False, SAID, usage), headers)


CHAT = {"messages": [{"role": "user", "content": PROMPT}]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": PROMPT},
    "/v1/responses": {"input": PROMPT},
    "/v1/embeddings": {"input": PROMPT},
    "/v1/messages": {**CHAT, "max_tokens": 100},
}
STREAMS = [path for path in BODIES if path != "/v1/embeddings"]
ASKING = {"stream": True, "stream_options": {"include_usage": True}}


def read_document(schema: Schema, data: bytes, size: int = 7) -> DocumentReader:
    reader = DocumentReader(schema)
    for at in range(0, len(data), size):
        assert reader.feed(data[at : at + size]) == data[at : at + size]
    reader.end()
    return reader


def read_stream(schema: Schema, chunks: list[bytes], *, hide: bool = False) -> tuple[StreamReader, bytes]:
    reader = StreamReader(schema, hide=hide, count=rough_count)
    passed = b"".join([*(reader.feed(chunk) for chunk in chunks), reader.end()])
    return reader, passed


@pytest.mark.parametrize("path", BODIES)
def test_a_document_tells_its_usage(path: str) -> None:
    reader = read_document(schema_of(path, BODIES[path]), json.dumps(asked(path, BODIES[path]).document).encode())
    completion = 0 if path == "/v1/embeddings" else words(SAID)
    assert reader.usage == Usage(3, completion, 3 + completion)
    assert reader.facts.model == "gpt-4o"


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("pieces", [1, 50, 100_000])
def test_a_stream_tells_its_usage_in_any_pieces(path: str, pieces: int) -> None:
    body = {**BODIES[path], **ASKING}
    data = b"".join(asked(path, body).events or ())
    chunks = [data[at : at + pieces] for at in range(0, len(data), pieces)]
    reader, passed = read_stream(schema_of(path, body), chunks)
    assert reader.usage == Usage(3, words(SAID), 3 + words(SAID))
    assert reader.facts.model == "gpt-4o"
    assert reader.facts.finish_reasons in (["stop"], ["completed"], ["end_turn"])


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("stream", [False, True])
def test_without_usage_the_text_is_there_to_be_counted(path: str, stream: bool) -> None:
    given = asked(path, {**BODIES[path], "stream": stream}, usage=False)
    schema = schema_of(path, BODIES[path])
    reader: DocumentReader | StreamReader
    if stream:
        reader, _ = read_stream(schema, list(given.events or ()))
    else:
        reader = read_document(schema, json.dumps(given.document).encode())
    assert reader.usage is None
    assert reader.text_tokens(words) == words(SAID)


@pytest.mark.parametrize("usage", [b"null", b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'])
def test_the_text_of_a_long_stream_is_counted_and_forgotten(usage: bytes) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}],"usage":' + usage + b"}\n\n"
    reader = StreamReader(CHAT_COMPLETIONS, hide=False, count=words)
    count = 5 * UNREAD // len(event)
    most = 0
    for _ in range(count):
        reader.feed(event)
        most = max(most, sum(map(len, (*reader._unread, *reader._text))))
    assert reader.text_tokens(words) == count
    assert most <= UNREAD + len(event)


@given(data=st.data(), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]), null=st.booleans())
@settings(max_examples=150, deadline=None)
def test_only_the_usage_chunk_is_hidden_whatever_the_pieces(data: st.DataObject, ends: bytes, null: bool) -> None:
    events = asked("/v1/chat/completions", {**CHAT, **ASKING, "n": 2}).events or []
    if not null:
        events = [event.replace(b',"usage":null', b"") for event in events]
    events = [b": a comment\n\n", *events]
    events = [event.replace(b"\n", ends) for event in events]
    expected = b"".join(event for event in events if b'"usage":{' not in event)
    assert len(expected) < len(b"".join(events))
    whole = b"".join(events)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=20)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reader, passed = read_stream(CHAT_COMPLETIONS, chunks, hide=True)
    assert passed.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip() == (
        expected.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip()
    )
    if ends != b"\r\n":
        assert passed == expected
    assert reader.usage == Usage(3, 2 * words(SAID), 3 + 2 * words(SAID))


@pytest.mark.parametrize("schema", [*SCHEMAS, ANY_JSON], ids=lambda schema: schema.name)
@pytest.mark.parametrize("member", ["type", "choices", "usage", "usageMetadata", "response", "delta", "message"])
def test_no_event_is_so_odd_that_the_stream_breaks(schema: Schema, member: str) -> None:
    for odd in (None, 3, "x", [], {}, [[]], [{}], {"usage": 3}, {"type": []}):
        for type in ("message_start", "content_block_delta", "response.completed", "x.delta"):
            event = b"data: " + json.dumps({"type": type, "usage": 7, member: odd}).encode() + b"\n\n"
            reader, passed = read_stream(schema, [event, event[:-1]])
            assert passed == event + event[:-1]
            assert reader.text_tokens(words) <= 2


def test_a_last_chunk_with_text_and_usage_is_not_hidden() -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,'
    event += b'"completion_tokens":1,"total_tokens":5}}\n\n'
    reader, passed = read_stream(CHAT_COMPLETIONS, [event, b"data: [DONE]\n\n"], hide=True)
    assert passed == event + b"data: [DONE]\n\n"
    assert reader.usage == Usage(4, 1, 5)


def test_anthropic_counts_what_was_read_from_and_written_to_the_cache() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 5,
    }
    whole = read_document(schema_of("/v1/messages", {}), json.dumps({"type": "message", "usage": usage}).encode())
    assert whole.usage == Usage(3210, 5, 3215, cached_tokens=3000, cache_creation_tokens=200)
    begun = {"type": "message_start", "message": {"model": "claude", "usage": {**usage, "output_tokens": 1}}}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}
    chunks = [f"event: x\ndata: {json.dumps(event)}\n\n".encode() for event in (begun, ended)]
    reader, _ = read_stream(schema_of("/v1/messages", {}), chunks)
    assert reader.usage == Usage(3210, 42, 3252, cached_tokens=3000, cache_creation_tokens=200)


def test_anthropic_tells_thoughts_and_what_it_keeps_for_an_hour() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
        "output_tokens": 1,
    }
    begun = {"type": "message_start", "message": {"model": "claude", "usage": usage}}
    last = {"output_tokens": 42, "output_tokens_details": {"thinking_tokens": 30}}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    reader, _ = read_stream(
        schema_of("/v1/messages", {}), [f"data: {json.dumps(event)}\n\n".encode() for event in (begun, ended)]
    )
    assert reader.usage == Usage(
        210, 42, 252, cache_creation_tokens=200, reasoning_tokens=30, long_cache_creation_tokens=150
    )


def test_anthropic_has_not_told_all_before_the_end() -> None:
    begun = {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}}
    said = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "one two three four"}}
    ended = {"type": "message_delta", "usage": {"output_tokens": 5}}
    events = [f"data: {json.dumps(event)}\n\n".encode() for event in (begun, said, ended)]
    cut, _ = read_stream(schema_of("/v1/messages", {}), events[:2])
    assert cut.facts.model == ""
    assert cut.usage is None
    assert cut.begun == Usage(10, 1, 11, estimated=True)
    assert cut.begun.cut_off_at(cut.text_tokens(words)) == Usage(10, 4, 14, estimated=True)
    whole, _ = read_stream(schema_of("/v1/messages", {}), events)
    assert (whole.usage, whole.begun) == (Usage(10, 5, 15), None)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 2**70}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(3, 0, 3)),
        ({"total_tokens": 7}, Usage(7, 0, 7)),
        ({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, "cacheReadInputTokens": 2}, Usage(5, 4, 9, 2)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1}, None),
        ({"prompt_tokens": 3, "completion_tokens": "4"}, None),
        ({"prompt_tokens": 3.5, "completion_tokens": 4}, None),
        ({"prompt_tokens": 2**63, "completion_tokens": 4, "total_tokens": 2**63 + 4}, None),
        ({"prompt_tokens": 2**70, "completion_tokens": 4}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("padding", [0, 10_000, 2 * WHOLE])
def test_what_cannot_be_a_count_is_no_usage(usage: dict[str, Any], expected: Usage | None, padding: int) -> None:
    data = json.dumps({"padding": " " * padding, "usage": usage}).encode()
    assert read_document(CHAT_COMPLETIONS, data, 65_536).usage == expected


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: data[:-1] + b', "logprob": NaN}',
        lambda data: data[:-1] + b', "id": "\\ud83d"}',
    ],
    ids=["mark", "utf-16", "NaN", "half a pair"],
)
def test_what_only_a_lenient_client_reads_is_read(changed: Callable[[bytes], bytes]) -> None:
    document = asked("/v1/chat/completions", CHAT).document
    reader = read_document(CHAT_COMPLETIONS, changed(json.dumps(document).encode()))
    assert reader.usage == Usage(3, words(SAID), 3 + words(SAID))
    assert reader.facts.id.encode()


def test_events_with_half_a_pair_are_read() -> None:
    halves = [b'{"choices":[{"index":0,"delta":{"content":"a \\ud83d"}}]}', b'{"usage":{"prompt_tokens":3},"x":NaN}']
    reader, _ = read_stream(CHAT_COMPLETIONS, [b"data: " + half + b"\n\n" for half in halves])
    assert reader.text_tokens(str.__len__) == 3
    assert reader.usage == Usage(3, 0, 3)


@pytest.mark.parametrize(("path", "tokens"), [("/v1/chat/completions", 10), ("/v1/embeddings", 0)])
def test_what_was_cut_off_counts_by_its_size(path: str, tokens: int) -> None:
    reader = read_document(schema_of(path, {}), b'{"data": [{"embedding": [0.25, 0.25, 0.2')
    assert reader.usage is None
    assert reader.text_tokens(words) == tokens
    for other in (b"<html>log in</html>", b'{"message": "a line"}\n{"message": "of many"}\n{"mess', b"null", b""):
        assert read_document(schema_of(path, {}), other).text_tokens(words) == 0


def test_pictures_without_usage_cost_no_tokens() -> None:
    data = json.dumps({"data": [{"b64_json": "A" * (2 * WHOLE)}]}).encode()
    assert read_document(schema_of("/v1/images/generations", {}), data, 65_536).text_tokens(words) == 0


def test_details_are_read() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 170,
        "prompt_tokens_details": {
            "cached_tokens": 60,
            "cache_write_tokens": 20,
            "cache_write_tokens_details": {"ttl_30m_tokens": 5, "ttl_12h_tokens": 15},
            "audio_tokens": 3,
        },
        "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 2, "accepted_prediction_tokens": 1},
    }
    found = read_document(CHAT_COMPLETIONS, json.dumps({"usage": usage}).encode()).usage
    assert found == Usage(100, 50, 170, 60, 20, 40, 3, 2, 0, 1, 0, long_cache_creation_tokens=15)


def test_images_tell_usage_where_the_model_reports_it() -> None:
    schema = schema_of("/v1/images/generations", {})
    details = {"text_tokens": 10, "image_tokens": 40}
    usage = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210, "input_tokens_details": details}
    data = json.dumps({"created": 1, "data": [{"b64_json": "A" * (2 * WHOLE)}], "usage": usage}).encode()
    assert read_document(schema, data, 65_536).usage == Usage(50, 4160, 4210, image_prompt_tokens=40)
    streamed = {"type": "image_generation.completed", "b64_json": "A" * 200_000, "usage": usage}
    whole = b"event: x\ndata: " + json.dumps(streamed).encode() + b"\n\n"
    reader, _ = read_stream(schema, [whole[at : at + 60_000] for at in range(0, len(whole), 60_000)])
    assert reader.usage == Usage(50, 4160, 4210, image_prompt_tokens=40)


def test_a_large_document_is_not_kept() -> None:
    vector = [0.25] * 300_000
    data = json.dumps({"object": "list", "data": [{"embedding": vector}], "model": "m", "usage": {"prompt_tokens": 7}})
    assert len(data) > WHOLE
    reader = DocumentReader(schema_of("/v1/embeddings", {}))
    for at in range(0, len(data), 60_000):
        reader.feed(data[at : at + 60_000].encode())
    assert sum(map(len, reader._kept)) == 0
    reader.end()
    assert reader.usage == Usage(7, 0, 7)


def test_names_in_a_large_document_can_be_written() -> None:
    data = b'{"padding": "%b", "model": "m\\ud83d", "id": "\\ude00"}' % (b" " * 2 * WHOLE)
    facts = read_document(CHAT_COMPLETIONS, data, 65_536).facts
    assert (facts.model.encode(), facts.id.encode()) == (b"m?", b"?")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(document=st.dictionaries(st.text(max_size=6), JSON, max_size=6), usage=JSON, size=st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_members_of_any_document_are_found_in_any_pieces(document: dict[str, Any], usage: Any, size: int) -> None:
    document = {**document, "usage": usage, "inner": {"usage": "not this one"}}
    data = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    members = Members(frozenset({"usage"}))
    for at in range(0, len(data), size):
        members.feed(data[at : at + size])
    assert members.values == ({"usage": usage} if usage is not None else {})


QUOTED = st.sampled_from(['"usage"', '"usage":{}', 'a"usage', '\\"usage":1', "\\", '\\"', ',"usage":{"a":1}}', "usage"])
NESTED = st.recursive(
    QUOTED | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(QUOTED, inner, max_size=3),
    max_leaves=8,
)


@given(before=st.dictionaries(QUOTED, NESTED, max_size=4), usage=NESTED, after=st.dictionaries(QUOTED, NESTED))
@settings(max_examples=400, deadline=None)
def test_the_end_of_a_document_tells_what_the_whole_tells(
    before: dict[str, Any], usage: Any, after: dict[str, Any]
) -> None:
    after.pop("usage", None)
    for document in ({**before, "usage": usage}, {**before, "usage": usage, **after}, before, [{"usage": usage}]):
        for indent in (None, 1):
            data = json.dumps(document, indent=indent).encode()
            found = members_from(data, b'"usage"')
            if found is not None:
                whole = orjson.loads(data)
                assert isinstance(whole, dict)
                assert found == {name: whole[name] for name in found}
    before.pop("usage", None)
    assert members_from(json.dumps({**before, "usage": 1}).encode(), b'"usage"') == {"usage": 1}


def test_a_long_document_is_parsed_for_more_than_its_usage_only_when_somebody_asks() -> None:
    schema = schema_of("/v1/embeddings", {})
    document = {"object": "list", "data": [{"embedding": [0.25] * 5_000}], "model": "m", "usage": {"prompt_tokens": 7}}
    reader = DocumentReader(schema, json.dumps(document).encode())
    reader.end()
    assert reader.usage == Usage(7, 0, 7)
    assert reader.model == "m"
    for broken in (json.dumps(document)[:-1], json.dumps(document) + "}", "[" + json.dumps(document) + "]"):
        reader = DocumentReader(schema, broken.encode())
        reader.end()
        assert (reader.usage, reader.model) == (None, "")


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_a_compressed_copy_can_be_read(coding: str, encode: Callable[[bytes], bytes]) -> None:
    data = json.dumps(asked("/v1/chat/completions", CHAT).document).encode()
    decode = decoder(coding)
    assert decode is not None
    packed = encode(data)
    assert b"".join(piece for at in range(0, len(packed), 5) for piece in decode(packed[at : at + 5])) == data
    again = b"".join(piece for at in range(0, len(packed), 5) for piece in decode(packed[at : at + 5]))
    assert again == data, "another member"
    assert list(decode(b"rubbish after the end")) == []
    broken = decoder(coding)
    assert broken is not None and list(broken(b"no such thing")) == []
    assert decoder("br") is None
    bomb = decoder(coding)
    assert bomb is not None
    sizes = [len(piece) for piece in bomb(encode(bytes(5_000_000)))]
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 1_048_576


def test_the_schema_is_told_by_path_and_else_by_body() -> None:
    for schema in SCHEMAS:
        for path in schema.paths:
            assert schema_of(f"/deployments/x/{path}", {}) is schema
            assert schema_of(f"/v1/{path}/", {}) is schema
            assert schema_of(f"/v1/{path.upper()}", {}) is schema
    assert schema_of("/model/x/invoke", {"messages": []}) is CHAT_COMPLETIONS
    assert schema_of("/model/x/invoke", {"messages": [], "anthropic_version": "x"}).name == "messages"
    assert schema_of("/anything", {"inputs": ""}) is ANY_JSON
    assert schema_of("/v1/messages/count_tokens", {"messages": []}) is ANY_JSON


def test_the_bounds_of_an_answer() -> None:
    def most(path: str, **body: Any) -> int | None:
        return schema_of(path, body).max_tokens(body)

    assert most("/chat/completions", max_tokens=10) == 10
    assert most("/chat/completions", max_tokens=10, max_completion_tokens=7, n=3) == 21
    assert most("/chat/completions") is None
    assert most("/completions") == 16
    assert most("/completions", max_tokens=5, best_of=4, prompt=["a", "b"]) == 40
    assert most("/responses", max_output_tokens=9) == 9
    assert most("/embeddings") == 0
    assert most("/messages", max_tokens=3) == 3
    assert most("/images/generations", n=2) == 12_480
