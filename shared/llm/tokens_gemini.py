"""Counts the tokens of prompts to Gemini. Its tokenizer is not public, so the text is an estimate by another one."""

import json
from collections.abc import Callable, Mapping
from typing import Any

Count = Callable[[str], int]

# https://ai.google.dev/gemini-api/docs/tokens: a small image, or one tile of a larger one; sound and film are counted
# by the second, which nobody can tell without decoding them.
IMAGE = 258
OTHER_MEDIA = 1_000


def gemini_tokens(body: Mapping[str, Any], count: Count) -> int:
    """A generateContent request. Google takes each name in camelCase and in snake_case."""
    system = _either(body, "systemInstruction", "system_instruction")
    contents = body.get("contents")
    total = sum(_content(content, count) for content in (system, *(contents if isinstance(contents, list) else ())))
    tools = body.get("tools")
    return total + (count(json.dumps(tools)) if tools else 0)


def _content(content: object, count: Count) -> int:
    parts = content.get("parts") if isinstance(content, dict) else None
    # A single part may stand without its list.
    return sum(_part(one, count) for one in (parts if isinstance(parts, list) else [parts]) if isinstance(one, dict))


def _part(one: Mapping[str, Any], count: Count) -> int:
    media = _either(one, "inlineData", "inline_data") or _either(one, "fileData", "file_data")
    if isinstance(media, dict):
        return IMAGE if str(_either(media, "mimeType", "mime_type")).startswith("image/") else OTHER_MEDIA
    if isinstance(one.get("text"), str):
        return count(one["text"])
    # Calls, their results, code.
    return sum(count(json.dumps(value)) for value in one.values() if isinstance(value, dict))


def _either(given: Mapping[str, Any], camel: str, snake: str) -> Any:
    return given.get(camel, given.get(snake))
