"""What tools and functions add to a prompt, by the rules of OpenAI's cookbook.

https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken, "Counting tokens for chat completions with tool
calls": the schema is rendered as lines of `name:description` and `name:type:description`, each with a frame.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.llm.encodings import encoding_of

Count = Callable[[str], int]

_FUNCTION = 7  # gpt-4o and newer
_FUNCTION_BEFORE = 10  # gpt-4, gpt-3.5: the models with the older encoding
_PROPERTIES = 3
_PROPERTY = 3
_ENUM = -3
_ENUM_ITEM = 3
_END = 12


def functions_of(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The functions a request declares: `tools` of chat completions or Responses, and the older `functions`."""
    tools = body.get("tools")
    found: list[Mapping[str, Any]] = []
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            function = tool.get("function")
            found.append(function if isinstance(function, dict) else tool)
    functions = body.get("functions")
    found += [one for one in functions if isinstance(one, dict)] if isinstance(functions, list) else []
    return found


def tools_tokens(functions: Iterable[Mapping[str, Any]], model: str, count: Count) -> int:
    """Tokens of function declarations; 0 without any."""
    begin = _FUNCTION_BEFORE if encoding_of(model) == "cl100k_base" else _FUNCTION
    total = 0
    for function in functions:
        total += begin + count(f"{_text(function, 'name')}:{_sentence(function)}")
        total += _properties(function.get("parameters"), count)
    return total + _END if total else 0


def _properties(schema: object, count: Count) -> int:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        return 0
    return _PROPERTIES + sum(_property(str(name), one, count) for name, one in properties.items())


def _property(name: str, schema: object, count: Count) -> int:
    if not isinstance(schema, dict):
        return _PROPERTY + count(name)
    kind = schema.get("type")
    total = _PROPERTY
    values = schema.get("enum")
    if isinstance(values, list):
        total += _ENUM + sum(_ENUM_ITEM + count(one if isinstance(one, str) else json.dumps(one)) for one in values)
    total += count(f"{name}:{kind if isinstance(kind, str) else json.dumps(kind)}:{_sentence(schema)}")
    return total + _properties(schema, count) + _properties(schema.get("items"), count)


def _sentence(of: Mapping[str, Any]) -> str:
    return _text(of, "description").removesuffix(".")


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""
