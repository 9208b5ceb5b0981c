"""Chat completions: https://platform.openai.com/docs/api-reference/chat/streaming"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.llm.recorded.dialect import Dialect, Document, event, join
from shared.llm.sse import data_of
from shared.llm.usage import Usage

_OF_ALL_CHUNKS = ("id", "created", "model", "system_fingerprint", "service_tier")
_GROWS = ("index", "delta", "logprobs")


class ChatCompletions(Dialect):
    """Chunks have a `delta` where the document has a `message`; `[DONE]` ends a stream."""

    def finished(self, document: Mapping[str, Any]) -> bool:
        """Every choice must have stopped by itself."""
        choices = document["choices"]
        return bool(choices) and all(
            choice["finish_reason"] == "stop" and choice["message"].get("content") and not _calls(choice["message"])
            for choice in choices
        )

    def assembled(self, events: Sequence[Any]) -> Document | None:
        """One choice out of its deltas."""
        chunks = [chunk for chunk in events if isinstance(chunk, dict)]
        if "[DONE]" not in events or any("error" in chunk for chunk in chunks):
            return None
        document: Document = {"object": "chat.completion"}
        choices: dict[int, Document] = {}
        for chunk in chunks:
            document.update(
                {name: value for name, value in chunk.items() if name not in ("choices", "object") and value}
            )
            for choice in chunk.get("choices") or ():
                whole = choices.setdefault(choice["index"], {"index": choice["index"], "message": {}})
                message = whole["message"]
                role = message.get("role")
                join(message, choice.get("delta") or {})
                message["role"] = role or message.get("role", "assistant")  # some backends repeat it in every chunk
                join(whole, {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {})
                whole.update({name: choice[name] for name in choice if name not in _GROWS and choice[name] is not None})
        document["choices"] = [choices[index] for index in sorted(choices)]
        return document if choices else None

    def events(self, document: Document, *, asks_for_usage: bool) -> list[bytes]:
        """Role, content, end; the usage where it was asked for."""
        base: Document = {name: document[name] for name in _OF_ALL_CHUNKS if name in document}
        base["object"] = "chat.completion.chunk"
        chunks: list[Document] = []
        for choice in document["choices"]:
            message, index = choice["message"], choice["index"]
            said = {name: value for name, value in message.items() if name != "role" and value not in (None, [], {})}
            opening = {"role": message.get("role", "assistant"), "content": ""}
            middle = {"index": index, "delta": said, "logprobs": choice.get("logprobs"), "finish_reason": None}
            chunks.append({**base, "choices": [{"index": index, "delta": opening, "finish_reason": None}]})
            chunks.append({**base, "choices": [middle]})
            end = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
            chunks.append({**base, "choices": [end]})
        if asks_for_usage and document.get("usage"):
            chunks.append({**base, "choices": [], "usage": document["usage"]})
        return [*(event(chunk) for chunk in chunks), b"data: [DONE]\n\n"]

    def said(self, document: Mapping[str, Any]) -> str:
        """The content of all choices."""
        return "\n".join(str(choice["message"].get("content") or "") for choice in document["choices"])

    def only_usage(self, event: Mapping[str, Any]) -> bool:
        """The last chunk, which has no choices."""
        return event.get("choices") == [] and bool(event.get("usage"))

    def usage_events(self, before: Sequence[bytes], usage: Usage, mark: str) -> list[bytes]:
        """The chunk that `stream_options.include_usage` asks for."""
        chunk = next((data for one in reversed(before) if (data := data_of(one)).startswith(b"{")), None)
        if chunk is None:
            return []
        base = {name: value for name, value in json.loads(chunk).items() if name in (*_OF_ALL_CHUNKS, "object")}
        return [event({**base, "choices": [], "usage": {**self.usage(usage), mark: True}})]


def _calls(message: Mapping[str, Any]) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


CHAT_COMPLETIONS = ChatCompletions()
