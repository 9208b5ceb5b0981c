"""What the scripted backend says: Azure OpenAI, OpenAI, Azure AI inference and Anthropic answers, as plain data.

Pure: a parsed request in, an `Answer` out, without I/O. Shapes follow the providers' API references; token counts are
deterministic (one per word or punctuation mark), so that a test can say what a prompt costs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

CREATED = 1_760_000_000
MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "text-embedding-3-small", "dall-e-3", "whisper", "claude-haiku-5-5")
FILTERED = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}  # Azure's verdict on harmless text
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a 1x1 PNG


@dataclass(frozen=True)
class Answer:
    """One answer: `document` for plain JSON, `events` for a stream of server-sent events, `raw` for anything else."""

    status: int = 200
    document: Any = None
    events: list[bytes] | None = None
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request to the backend, parsed: `text` is what the script wants said (None: something about the prompt)."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    azure: bool
    text: str | None = None
    usage: bool = True

    @property
    def model(self) -> str:
        """The deployment in the path or the model in the body."""
        deployment = re.search(r"/deployments/([^/]+)/", self.path)
        return deployment[1] if deployment else str(self.body.get("model", "gpt-4o-mini"))


def count_tokens(text: str) -> int:
    """Words and punctuation marks in `text`: what this backend bills."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def text_of(content: Any) -> str:
    """The text in a message's content, a list of content parts, or a Responses input."""
    match content:
        case str():
            return content
        case list():
            return " ".join(text_of(part) for part in content)
        case {"text": str(text)}:
            return text
        case {"content": inner}:
            return text_of(inner)
    return ""


# --- chat completions (OpenAI, Azure OpenAI, Azure AI inference) --------------------------------------------------


def chat_completions(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/chat"""
    messages = call.body.get("messages")
    if not isinstance(messages, list) or not messages:
        return error(400, "'messages' is a required property", "invalid_request_error", azure=call.azure)
    prompt = text_of(messages)
    text = call.text if call.text is not None else spoken(text_of(messages[-1]))
    choices = int(call.body.get("n") or 1)
    usage = token_usage(count_tokens(prompt), choices * count_tokens(text))
    identity = {"id": _id("chatcmpl-", prompt), "created": CREATED, "model": call.model}
    if call.body.get("stream"):
        return Answer(events=_chat_events(call, identity, text, choices, usage), content_type="text/event-stream")
    document = {
        **identity,
        "object": "chat.completion",
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                **({"content_filter_results": FILTERED} if call.azure else {}),
            }
            for index in range(choices)
        ],
        **({"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FILTERED}]} if call.azure else {}),
        **({"usage": usage} if call.usage else {}),
        "system_fingerprint": "fp_scripted",
    }
    return Answer(document=document)


def _chat_events(call: Call, identity: dict[str, Any], text: str, choices: int, usage: dict[str, Any]) -> list[bytes]:
    wants_usage = call.usage and bool((call.body.get("stream_options") or {}).get("include_usage"))
    head = {**identity, "object": "chat.completion.chunk", "system_fingerprint": "fp_scripted"}
    tail = {"usage": None} if wants_usage else {}

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if call.azure:
            choice["content_filter_results"] = FILTERED if "content" in delta and delta["content"] else {}
        return sse({**head, "choices": [choice], **tail})

    events: list[bytes] = []
    if call.azure:  # the first chunk from Azure has no choices, only its verdict on the prompt
        verdict = [{"prompt_index": 0, "content_filter_results": FILTERED}]
        events.append(sse({**head, "id": "", "model": "", "choices": [], "prompt_filter_results": verdict, **tail}))
    for index in range(choices):
        events.append(chunk(index, {"role": "assistant", "content": "", "refusal": None}))
        events += [chunk(index, {"content": piece}) for piece in pieces(text)]
        events.append(chunk(index, {}, "stop"))
    if wants_usage:
        events.append(sse({**head, "choices": [], "usage": usage}))
    return [*events, b"data: [DONE]\n\n"]


def completions(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/completions"""
    prompt = text_of(call.body.get("prompt", ""))
    text = call.text if call.text is not None else spoken(prompt)
    head = {"id": _id("cmpl-", prompt), "object": "text_completion", "created": CREATED, "model": call.model}
    usage = token_usage(count_tokens(prompt), count_tokens(text))

    def choice(piece: str, finish: str | None) -> dict[str, Any]:
        return {"text": piece, "index": 0, "logprobs": None, "finish_reason": finish}

    if not call.body.get("stream"):
        return Answer(document={**head, "choices": [choice(text, "stop")], **({"usage": usage} if call.usage else {})})
    events = [sse({**head, "choices": [choice(piece, None)]}) for piece in pieces(text)]
    events.append(sse({**head, "choices": [choice("", "stop")]}))
    if call.usage and (call.body.get("stream_options") or {}).get("include_usage"):
        events.append(sse({**head, "choices": [], "usage": usage}))
    return Answer(events=[*events, b"data: [DONE]\n\n"], content_type="text/event-stream")


# --- Gemini ---------------------------------------------------------------------------------------------------------


def generate_content(call: Call) -> Answer:
    """https://ai.google.dev/api/generate-content; a stream is events with `alt=sse`, else an array"""
    prompt = " ".join(part["text"] for content in call.body["contents"] for part in content["parts"] if "text" in part)
    text = call.text if call.text is not None else spoken(prompt)

    def chunk(piece: str, said: int, finish: str | None) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": [{"text": piece}]}, "index": 0}
        asked = count_tokens(prompt)
        usage = {"promptTokenCount": asked, "candidatesTokenCount": said, "totalTokenCount": asked + said}
        return {
            "candidates": [candidate if finish is None else {**candidate, "finishReason": finish}],
            **({"usageMetadata": usage} if call.usage else {}),
            "modelVersion": call.path.rpartition("/")[2].partition(":")[0],
            "responseId": _id("gemini-", prompt),
        }

    if call.path.endswith(":generateContent"):
        return Answer(document=chunk(text, count_tokens(text), "STOP"))
    said, chunks = "", []
    for piece in pieces(text):
        said += piece
        chunks.append(chunk(piece, count_tokens(said), "STOP" if said == text else None))
    if call.query.get("alt") != "sse":
        return Answer(document=chunks)
    return Answer(events=[sse(one) for one in chunks], content_type="text/event-stream")


# --- responses ----------------------------------------------------------------------------------------------------


def responses(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/responses and .../responses-streaming"""
    prompt = f"{call.body.get('instructions') or ''} {text_of(call.body.get('input', ''))}"
    text = call.text if call.text is not None else spoken(text_of(call.body.get("input", "")))
    usage = {
        "input_tokens": count_tokens(prompt),
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": count_tokens(text),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": count_tokens(prompt) + count_tokens(text),
    }
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": _id("msg_", prompt), "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    document: dict[str, Any] = {
        "id": _id("resp_", prompt),
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": call.body.get("instructions"),
        "max_output_tokens": call.body.get("max_output_tokens"),
        "model": call.model,
        "output": [item],
        "parallel_tool_calls": True,
        "previous_response_id": call.body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": call.body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": call.body.get("tools", []),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if call.usage else None,
        "metadata": call.body.get("metadata") or {},
    }
    if not call.body.get("stream"):
        return Answer(document=document)
    return Answer(events=_response_events(document, item, part), content_type="text/event-stream")


def _response_events(document: dict[str, Any], item: dict[str, Any], part: dict[str, Any]) -> list[bytes]:
    begun = {**document, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {**part, "text": ""}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        ),
        ("response.content_part.added", {**place, "part": empty}),
        *(("response.output_text.delta", {**place, "delta": p, "logprobs": []}) for p in pieces(part["text"])),
        ("response.output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": document}),
    ]
    return [
        sse({"type": name, "sequence_number": number, **data}, event=name) for number, (name, data) in enumerate(steps)
    ]


# --- embeddings ---------------------------------------------------------------------------------------------------


def embeddings(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/embeddings; `encoding_format: base64` is little-endian float32."""
    given = call.body.get("input")
    if given is None or given == "" or given == []:
        return error(400, "'input' is a required property", "invalid_request_error", azure=call.azure)
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    texts = [text if isinstance(text, str) else " ".join(map(str, text)) for text in inputs]
    dimensions = int(call.body.get("dimensions") or 1536)
    as_base64 = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else list(vector)}
        for index, vector in enumerate(embed(text, dimensions) for text in texts)
    ]
    tokens = sum(count_tokens(text) for text in texts)
    usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if call.usage else {}
    return Answer(document={"object": "list", "data": data, "model": call.model, **usage})


@lru_cache(maxsize=1024)
def embed(text: str, dimensions: int = 1536) -> tuple[float, ...]:
    """A unit vector in which texts with words and word parts in common are near (a hashed bag of them)."""
    vector = [0.0] * dimensions
    for gram, weight in _grams(text.casefold()):
        digest = hashlib.blake2b(gram.encode(), digest_size=8).digest()
        place, sign = int.from_bytes(digest[:4], "little") % dimensions, 1 if digest[4] & 1 else -1
        vector[place] += sign * weight
    norm = math.sqrt(sum(value * value for value in vector)) or 1.0
    return tuple(value / norm for value in vector)


def _grams(text: str) -> Iterable[tuple[str, float]]:
    for word in re.findall(r"\w+", text) or [""]:
        yield f"={word}", 2.0
        padded = f"<{word}>"
        yield from ((padded[at : at + 3], 1.0) for at in range(len(padded) - 2))


def _packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# --- anthropic ----------------------------------------------------------------------------------------------------


def messages(call: Call) -> Answer:
    """https://docs.anthropic.com/en/api/messages and .../messages-streaming"""
    if not call.body.get("messages") or "max_tokens" not in call.body:
        return anthropic_error(400, "invalid_request_error", "messages and max_tokens: Field required")
    prompt = f"{text_of(call.body.get('system', ''))} {text_of(call.body['messages'])}"
    text = call.text if call.text is not None else spoken(text_of(call.body["messages"][-1]))
    spent = {"input_tokens": count_tokens(prompt), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    document: dict[str, Any] = {
        "id": _id("msg_", prompt),
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        **({"usage": {**spent, "output_tokens": count_tokens(text)}} if call.usage else {}),
    }
    if not call.body.get("stream"):
        return Answer(document=document)
    opening = {**document, "content": [], "stop_reason": None}
    closing: dict[str, Any] = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    if call.usage:
        opening["usage"] = {**spent, "output_tokens": 1}
        closing["usage"] = {"output_tokens": count_tokens(text)}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": opening}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        *(
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": piece}})
            for piece in pieces(text)
        ),
        ("content_block_stop", {"index": 0}),
        ("message_delta", closing),
        ("message_stop", {}),
    ]
    return Answer(
        events=[sse({"type": name, **data}, event=name) for name, data in steps], content_type="text/event-stream"
    )


def count_message_tokens(call: Call) -> Answer:
    """https://docs.anthropic.com/en/api/messages-count-tokens"""
    prompt = f"{text_of(call.body.get('system', ''))} {text_of(call.body.get('messages', []))}"
    return Answer(document={"input_tokens": count_tokens(prompt)})


# --- the rest -----------------------------------------------------------------------------------------------------


def images(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/images: one white pixel per image asked for."""
    count = int(call.body.get("n") or 1)
    data = [{"b64_json": PIXEL, "revised_prompt": call.body.get("prompt", "")} for _ in range(count)]
    return Answer(document={"created": CREATED, "data": data})


def transcription(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/audio/createTranscription"""
    return Answer(document={"text": call.text or "This is what was said."})


def speech(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/audio/createSpeech: bytes that are not JSON."""
    return Answer(raw=b"ID3\x04\x00" + bytes(range(256)) * 8, content_type="audio/mpeg")


def models(call: Call) -> Answer:
    """https://platform.openai.com/docs/api-reference/models: the list, or the one named last in the path."""
    entries = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in MODELS]
    wanted = call.path.rpartition("/models")[2].strip("/")
    if not wanted:
        return Answer(document={"object": "list", "data": entries})
    found = next((entry for entry in entries if entry["id"] == wanted), None)
    if found is None:
        return error(404, f"The model '{wanted}' does not exist", "invalid_request_error", azure=call.azure)
    return Answer(document=found)


def deployments(call: Call) -> Answer:
    """The deployments of an Azure OpenAI resource, as its former data-plane list gave them."""
    data = [
        {"id": name, "object": "deployment", "model": name, "status": "succeeded", "created_at": CREATED}
        for name in MODELS
    ]
    return Answer(document={"object": "list", "data": data})


def model_info(call: Call) -> Answer:
    """https://learn.microsoft.com/rest/api/aifoundry/model-inference/get-model-info"""
    return Answer(
        document={"model_name": "gpt-4o-mini", "model_type": "chat-completion", "model_provider_name": "scripted"}
    )


def error(status: int, message: str, kind: str, *, azure: bool = False) -> Answer:
    """An error as OpenAI words it, or Azure OpenAI (whose `code` is the status where it has no name of its own)."""
    if azure:
        return Answer(status=status, document={"error": {"code": str(status), "message": message}})
    return Answer(status=status, document={"error": {"message": message, "type": kind, "param": None, "code": None}})


def anthropic_error(status: int, kind: str, message: str) -> Answer:
    """https://docs.anthropic.com/en/api/errors"""
    return Answer(status=status, document={"type": "error", "error": {"type": kind, "message": message}})


def spoken(prompt: str) -> str:
    """What the backend says when no script tells it: enough words to see a stream."""
    return f"You said: {prompt[:200]} - and this is a scripted backend that answers in several small chunks."


def pieces(text: str) -> list[str]:
    """`text` in the pieces a stream sends: word by word, nothing lost."""
    return re.findall(r"\s*\S+|\s+$", text)


def sse(data: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def token_usage(prompt: int, completion: int) -> dict[str, Any]:
    """The `usage` object of chat completions."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _id(prefix: str, prompt: str) -> str:
    return prefix + hashlib.blake2b(prompt.encode(), digest_size=12).hexdigest()


# --- which answer a path gets -------------------------------------------------------------------------------------

_PREFIX = re.compile(r"(/openai/deployments/[^/]+|/openai/v1|/openai|/anthropic/v1|/v1|/models)(/.+)")


def answer(call: Call, headers: Mapping[str, str]) -> Answer:
    """The provider's answer to `call`; unknown paths, methods and missing versions get the provider's own error."""
    if call.path.startswith("/echo"):
        return Answer(document={"method": call.method, "path": call.path, "query": dict(call.query), "body": call.body})
    known = _PREFIX.fullmatch(call.path)
    prefix, operation = (known[1], known[2]) if known else ("", call.path)
    if call.azure and not prefix.startswith("/openai/v1") and "api-version" not in call.query:
        return error(404, "Resource not found", "invalid_request_error", azure=True)
    if operation.startswith("/messages") and "anthropic-version" not in headers:
        return anthropic_error(400, "invalid_request_error", "anthropic-version: header is required")
    match call.method, operation:
        case "POST", _ if not isinstance(call.body, dict):
            return error(400, "We could not parse the JSON body of your request.", "invalid_request_error")
        case "POST", "/chat/completions":
            return chat_completions(call)
        case "POST", "/completions":
            return completions(call)
        case "POST", "/responses":
            return responses(call)
        case "POST", "/embeddings":
            return embeddings(call)
        case "POST", "/images/generations" | "/images/edits":
            return images(call)
        case "POST", "/audio/transcriptions" | "/audio/translations":
            return transcription(call)
        case "POST", "/audio/speech":
            return speech(call)
        case "POST", "/messages":
            return messages(call)
        case "POST", "/messages/count_tokens":
            return count_message_tokens(call)
        case "POST", _ if operation.endswith((":generateContent", ":streamGenerateContent")):
            return generate_content(call)
        case "GET", "/deployments":
            return deployments(call)
        case "GET", "/info":
            return model_info(call)
        case "GET", _ if operation == "/models" or operation.startswith("/models/"):
            return models(call)
    if call.azure:
        return error(404, "Resource not found", "invalid_request_error", azure=True)
    return error(404, f"Invalid URL ({call.method} {call.path})", "invalid_request_error")
