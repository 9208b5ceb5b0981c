"""Prompts counted by the published rules, against tiktoken itself and the counts OpenAI publishes."""

import base64
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from shared.llm.encodings import EncodingName, encoding_of, tokenizer, unpack
from shared.llm.max_tokens import longest_answer
from shared.llm.schemas import schema_of
from shared.llm.tokens import rough_count
from shared.llm.tokens_images import UNKNOWN, image_size, openai_image
from tests.support.encoding_tables import NAMES, file_in_cache, tiktoken_file

# The conversation of https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken and what OpenAI's API
# counted for it.
CONVERSATION = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
        "into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]
WEATHER = [
    {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                    "unit": {
                        "type": "string",
                        "description": "The unit of temperature to return",
                        "enum": ["celsius", "fahrenheit"],
                    },
                },
                "required": ["location"],
            },
        },
    }
]


def packed(name: EncodingName) -> bytes:
    return files("shared.llm.encodings").joinpath(f"{name}.xz").read_bytes()


@cache
def counter(name: EncodingName) -> Callable[[str], int]:
    encoding = tokenizer(name, packed(name))
    return lambda text: len(encoding.encode_ordinary(text))


def prompt(path: str, model: str, **body: Any) -> int:
    return schema_of(path, body).prompt_tokens(body, model, counter(encoding_of(model)))


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_are_the_published_ones(name: EncodingName, tmp_path: Path) -> None:
    """tiktoken itself loads them, which it does only when their hash is the one it publishes."""
    _, ranks = unpack(packed(name))
    file_in_cache(tmp_path, name).write_bytes(tiktoken_file(ranks))
    texts = ["tiktoken is great!", "Zwölf Boxkämpfer jagen Viktor", "お誕生日おめでとう 🎂", "a  b\r\n\tc<|endoftext|>"]
    script = (
        "import sys, json, tiktoken; encoding = tiktoken.get_encoding(sys.argv[1]); "
        "print(json.dumps([len(encoding.encode_ordinary(text)) for text in json.loads(sys.argv[2])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name, json.dumps(texts)],
        env={**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert json.loads(done.stdout) == [counter(name)(text) for text in texts]


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)])
def test_a_conversation_counts_as_openai_counts_it(model: str, tokens: int) -> None:
    assert prompt("/chat/completions", model, messages=CONVERSATION) == tokens


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4", 105), ("gpt-35-turbo", 105), ("gpt-4o", 101)])
def test_tools_count_as_openai_counts_them(model: str, tokens: int) -> None:
    assert prompt("/chat/completions", model, messages=WEATHER, tools=TOOLS) == tokens


def test_functions_and_responses_tools_are_the_same_tools() -> None:
    function = TOOLS[0]["function"]
    assert isinstance(function, dict)
    assert prompt("/chat/completions", "gpt-4o", messages=WEATHER, functions=[function]) == 101
    with_tools = prompt("/responses", "gpt-4o", input="hello", tools=[{"type": "function", **function}])
    without = prompt("/responses", "gpt-4o", input="hello")
    assert with_tools - without == 101 - prompt("/chat/completions", "gpt-4o", messages=WEATHER)


def test_plain_prompts_and_token_ids() -> None:
    assert prompt("/completions", "gpt-35-turbo", prompt="tiktoken is great!") == 6
    assert prompt("/completions", "gpt-35-turbo", prompt=["tiktoken is great!"] * 2) == 12
    assert prompt("/embeddings", "text-embedding-3-small", input="tiktoken is great!") == 6
    assert prompt("/embeddings", "text-embedding-3-small", input=[1, 2, 3]) == 3
    assert prompt("/embeddings", "text-embedding-3-small", input=[[1, 2], [3]]) == 3


def test_no_body_breaks_the_count() -> None:
    for body in ({}, {"messages": None}, {"messages": [1, {"content": [None, {"type": "x"}]}]}, {"input": {"a": 1}}):
        for path in ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages"):
            assert prompt(path, "gpt-4o", **body) >= 0
    assert prompt("/chat/completions", "gpt-4o", messages=[{"role": "user", "content": "\ud800"}]) > 3


def test_encodings_by_model() -> None:
    older = ["gpt-4", "gpt-4-turbo", "gpt-35-turbo-16k", "gpt-3.5-turbo", "text-embedding-ada-002"]
    assert {encoding_of(model) for model in older} == {"cl100k_base"}
    newer = ["gpt-4o", "gpt-4.1-mini", "gpt-5", "o3", "claude-sonnet-4", "openai/gpt-oss-120b", "my-deployment", ""]
    assert {encoding_of(model) for model in newer} == {"o200k_base"}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("gpt-4-0613", ["GPT-4-0613", "openai/gpt-4-0613", "ft:gpt-4-0613:contoso::abc"]),
        ("gpt-4o-mini", ["GPT-4o-mini", "openai/gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18:contoso::abc"]),
    ],
)
def test_a_model_counts_as_itself_whatever_it_is_asked_for_by(model: str, named: list[str]) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}
    messages = [*WEATHER, {"role": "user", "content": [image]}]

    def counted(model: str) -> tuple[str, int, int]:
        tokens = prompt("/chat/completions", model, messages=messages, tools=TOOLS)
        return encoding_of(model), tokens, longest_answer(model)

    assert [counted(name) for name in named] == [counted(model)] * len(named)


def test_a_rough_count_is_in_the_right_region() -> None:
    for text in ("The quick brown fox jumps over the lazy dog. " * 20, json.dumps(TOOLS), "Zwölf Boxkämpfer " * 20):
        assert 0.5 < rough_count(text) / counter("o200k_base")(text) < 2
    assert rough_count("") == 0 and rough_count("a") == 1


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))


def jpeg(width: int, height: int) -> bytes:
    app = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    tables = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    return (
        b"\xff\xd8" + app + tables + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    )


def test_sizes_of_images() -> None:
    assert image_size(png(640, 480)) == (640, 480)
    assert image_size(jpeg(640, 480)) == (640, 480)
    assert image_size(b"GIF89a" + struct.pack("<HH", 640, 480)) == (640, 480)
    extended = b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")
    assert image_size(extended) == (640, 480)
    assert image_size(jpeg(640, 480)[:30]) is None
    assert image_size(png(0, 480)) is None
    assert image_size(b"BM") is None


# The examples of https://platform.openai.com/docs/guides/images-vision#calculating-costs
@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (1024, 1024), "high", 25501),
        ("gpt-4.1-mini", (1024, 1024), "auto", 1659),
        ("gpt-4.1-mini", (1800, 2400), "high", 2353),
        ("o1", (1024, 1024), "high", 675),
    ],
)
def test_images_cost_what_openai_says(model: str, size: tuple[int, int], detail: str, tokens: int) -> None:
    url = "data:image/png;base64," + base64.b64encode(png(*size)).decode()
    assert openai_image(url, detail, model) == tokens


def test_an_image_behind_a_url_counts_as_in_api_management() -> None:
    url = "https://example.com/cat.png"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    empty = prompt("/chat/completions", "gpt-4o", messages=[{"role": "user", "content": []}])
    with_image = prompt("/chat/completions", "gpt-4o", messages=[{"role": "user", "content": content}])
    assert with_image - empty == UNKNOWN == 1_200
    broken = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,????"}}]
    assert prompt("/chat/completions", "gpt-4o", messages=[{"role": "user", "content": broken}]) - empty == UNKNOWN


def test_anthropic_images_cost_their_area() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(1000, 750)).decode()}
    content = [{"type": "image", "source": source}]
    empty = prompt("/messages", "claude", messages=[{"role": "user", "content": []}])
    assert prompt("/messages", "claude", messages=[{"role": "user", "content": content}]) - empty == 1000
