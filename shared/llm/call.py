"""What a request to a model asks for: read from its body, and the way to ask for the usage of a stream."""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.llm.lenient_json import read_leniently
from shared.llm.schemas import schema_of
from shared.llm.schemas.schema import Count
from shared.message import parsed_json

LONGEST_MODEL = 256
"""Characters of a model's name that are kept: callers and backends name models as they like, and names are remembered.
"""
_OPENING = re.compile(rb"\s*\{")
# The first api-version of Azure OpenAI that knows stream_options; older ones refuse unknown fields with 400.
# https://learn.microsoft.com/azure/ai-foundry/openai/reference-preview
_AZURE_SINCE = "2024-09-01"


class LlmCall:
    """A request to a model. `model` is the deployment in the path where there is one, else the one the schema tells;
    `max_tokens` is the most the answer may have, None where the request sets no bound. `data` is the body, `document`
    what has been parsed of it: it takes several times as much memory, so it is let go of while a backend works."""

    __slots__ = ("data", "document", "max_tokens", "model", "schema", "stream")

    def __init__(self, path: str, data: bytes, body: Mapping[str, Any], deployment: str | None = None) -> None:
        """What a POST to `path` asks for; `body` is its parsed `data`, `deployment` the one in its path."""
        self.schema = schema = schema_of(path, body)
        self.data = data
        self.document: Mapping[str, Any] | None = body
        self.max_tokens = schema.max_tokens(body)
        model: Any = deployment or body.get("model")
        self.stream = body.get("stream") is True
        if schema.path_tells:
            model, self.stream = schema.asked_by(path)
        self.model = model[:LONGEST_MODEL] if isinstance(model, str) else ""

    @property
    def body(self) -> Mapping[str, Any]:
        """The body; empty when it cannot be read."""
        if self.document is None:
            try:
                self.document = object_in(self.data) or {}
            except ValueError:
                self.document = {}
        return self.document

    @property
    def asks_for_usage(self) -> bool:
        """Whether the caller wants the usage in the stream."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def is_plain_text(self) -> bool:
        """Whether all messages are plain text, so that the size of the body tells their tokens."""
        messages = self.body.get("messages")
        return type(messages) is list and all(type(one) is dict and type(one.get("content")) is str for one in messages)

    def prompt_tokens(self, count: Count) -> int:
        """Tokens of the prompt, by the rules of its schema; what cannot be counted goes by its size."""
        if not self.schema.counted or not self.body:
            return (len(self.data) + 3) // 4
        return self.schema.prompt_tokens(self.body, self.model, count)


def object_in(data: bytes) -> dict[str, Any] | None:
    """The JSON object a request's body is, also for a parser that takes more than JSON (`read_leniently`). None when it
    is something else, ValueError when it cannot be read. Refusal (413) as `parsed_json`."""
    try:
        document = parsed_json(data)
    except ValueError:
        document = read_leniently(data)
    return document if isinstance(document, dict) else None


def usage_can_be_asked(call: LlmCall, azure_version: str | None) -> bool:
    """Whether a stream should be made to tell its usage: it would not by itself, and the backend knows how.

    `azure_version` is Azure OpenAI's api-version, None elsewhere. "On your data" knows no stream_options.
    """
    if not call.stream or not call.schema.asks_for_usage or call.asks_for_usage:
        return False
    return "data_sources" not in call.body and (azure_version is None or azure_version >= _AZURE_SINCE)


def asking_for_usage(call: LlmCall, body: bytes) -> bytes:
    """The body with `stream_options.include_usage` set: inserted into the bytes where the field is missing."""
    options = call.body.get("stream_options")
    opening = _OPENING.match(body)
    if opening is not None and "stream_options" not in call.body:
        comma = b"," if call.body else b""
        return b'%b"stream_options":{"include_usage":true}%b%b' % (opening[0], comma, body[opening.end() :])
    asked = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps({**call.body, "stream_options": asked}, separators=(",", ":")).encode()
