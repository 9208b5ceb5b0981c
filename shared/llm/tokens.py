"""Counts the tokens of prompts by the published rules: text, chat frames, Responses items, Anthropic messages."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.llm.tokens_images import anthropic_image, openai_image
from shared.llm.tokens_tools import functions_of, tools_tokens

Body = Mapping[str, Any]
Count = Callable[[str], int]

# https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken: each message is framed by 3 tokens, a name
# costs 1 more than its text, and the answer is primed with 3.
MESSAGE_FRAME = 3
NAME = 1
PRIMING = 3

# https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview#pricing: the system prompt that tools bring.
_ANTHROPIC_TOOLS = 346
# A file or a sound in a prompt is not looked into: what a page of text or some seconds of audio cost.
_OPAQUE_PART = 1_000


def rough_count(text: str) -> int:
    """Tokens of a text without a tokenizer: one for every four bytes, at least one for a text that is not empty."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def input_tokens(given: object, count: Count) -> int:
    """The `prompt` of completions or `input` of embeddings: text, token ids, or a list of either."""
    match given:
        case str():
            return count(given)
        case list() if all(isinstance(one, int) for one in given):
            return len(given)
        case list():
            return sum(input_tokens(one, count) for one in given)
    return 0


def chat_tokens(body: Body, model: str, count: Count) -> int:
    """A chat completions request: messages, tools and functions, a schema the answer has to follow."""
    messages = body.get("messages")
    total = PRIMING
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            total += MESSAGE_FRAME + _message(message, model, count)
    total += tools_tokens(functions_of(body), model, count)
    return total + _schema(body.get("response_format"), count)


def _message(message: Mapping[str, Any], model: str, count: Count) -> int:
    total = 0
    for name, value in message.items():
        if name == "name":
            total += NAME
        if isinstance(value, str):
            total += count(value)
        elif name == "content":
            total += _parts(value, model, count)
        elif name in ("tool_calls", "function_call"):
            total += _calls(value, count)
    return total


def _calls(value: object, count: Count) -> int:
    total = 0
    for call in value if isinstance(value, list) else [value]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, dict):
            total += MESSAGE_FRAME + sum(count(one) for one in function.values() if isinstance(one, str))
    return total


def _parts(value: object, model: str, count: Count) -> int:
    return sum(_part(one, model, count) for one in value) if isinstance(value, list) else 0


def _part(one: object, model: str, count: Count) -> int:
    match one:
        case {"type": "image_url", "image_url": {"url": str(url), **more}}:
            return openai_image(url, str(more.get("detail", "auto")), model)
        case {"type": "input_image", **more}:
            return openai_image(str(more.get("image_url", "")), str(more.get("detail", "auto")), model)
        case {"type": "input_audio" | "file" | "input_file"}:
            return _OPAQUE_PART
        case {"text": str(text)} | {"refusal": str(text)}:
            return count(text)
        case str():
            return count(one)
    return 0


def _schema(given: object, count: Count) -> int:
    match given:
        case {"type": "json_schema", "json_schema": schema} | {"type": "json_schema", "schema": schema}:
            return count(json.dumps(schema))
    return 0


def responses_tokens(body: Body, model: str, count: Count) -> int:
    """A Responses request: instructions, input (text or items), tools."""
    total = PRIMING
    instructions, given = body.get("instructions"), body.get("input")
    if isinstance(instructions, str):
        total += MESSAGE_FRAME + 1 + count(instructions)
    items: Iterable[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else given or ()
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            total += MESSAGE_FRAME + _item(item, model, count)
    text = body.get("text")
    total += _schema(text.get("format") if isinstance(text, dict) else None, count)
    return total + tools_tokens(functions_of(body), model, count)


def _item(item: Mapping[str, Any], model: str, count: Count) -> int:
    total = 0
    for name in ("role", "content", "name", "arguments", "output"):
        value = item.get(name)
        total += count(value) if isinstance(value, str) else _parts(value, model, count)
    return total


def anthropic_tokens(body: Body, count: Count) -> int:
    """An Anthropic messages request. Their tokenizer is not public, so the text is an estimate by another one."""
    total = PRIMING + _blocks(body.get("system"), count)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            total += MESSAGE_FRAME + 1 + _blocks(message.get("content"), count)
    tools = body.get("tools")
    if isinstance(tools, list) and tools:
        total += _ANTHROPIC_TOOLS + sum(count(json.dumps(tool)) for tool in tools)
    return total


def _blocks(given: object, count: Count) -> int:
    if isinstance(given, str):
        return count(given)
    return sum(_block(one, count) for one in given) if isinstance(given, list) else 0


def _block(one: object, count: Count) -> int:
    match one:
        case {"type": "image", "source": dict() as source}:
            return anthropic_image(source)
        case {"type": "document"}:
            return _OPAQUE_PART
        case {"type": "tool_result", "content": content}:
            return _blocks(content, count)
        case {"type": "tool_use", "name": str(name), "input": given}:
            return count(name) + count(json.dumps(given))
        case {"text": str(text)} | {"thinking": str(text)}:
            return count(text)
    return 0
