"""What of a request's body a semantic cache compares: what must be the same, and what need only mean the same."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.llm.call import LlmCall
from shared.llm.prompt_signature import signature

# What the answer does not depend on: how it is delivered, who asked, for whose books. All else is compared, known or
# not.
_NO_MATTER = frozenset(
    {"stream", "stream_options", "user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention",
     "service_tier", "messages", "input", "model"}
)  # fmt: skip
_SYSTEM_MEMBERS = ("instructions", "system")
_SYSTEM_ROLES = ("system", "developer")
# The conversation is, or will be, at the backend: the body does not say all that the answer depends on.
_ELSEWHERE = ("previous_response_id", "conversation", "background")
_TURNS = {"chat completions": "messages", "messages": "messages", "responses": "input"}
_PLAIN_PARTS = frozenset({"text", "input_text"})

LONGEST = 24_000
"""Characters of a question that are embedded: models take about 8,000 tokens. Longer ones are matched exactly."""


class NotCacheable(Exception):
    """The text says why such a request has no place in a cache."""


@dataclass(frozen=True, slots=True)
class CacheablePrompt:
    """`parameters` and `system` must be the same, byte for byte, and so must the conversation before the last question
    (`scope`, with what else must agree). The last question, `text`, is what is embedded; `digest` is of the
    whole conversation."""

    parameters: str
    system: str
    scope: int
    text: str
    digest: str

    @property
    def embeddable(self) -> bool:
        """Whether the question can be compared by meaning."""
        return 0 < len(self.text) <= LONGEST


def cacheable_prompt(
    call: LlmCall, *, ignore_system: bool, max_messages: int | None = None, guards: bool = True
) -> CacheablePrompt:
    """The prompt of a call; NotCacheable for requests that want several answers, end in something else than a user's
    question (tool results, say), depend on state at the backend, or have more than `max_messages` messages beside
    those of the system."""
    body = call.body
    turns = body.get(_TURNS.get(call.schema.name, ""))
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise NotCacheable("not a conversation")
    if any(body.get(name) for name in _ELSEWHERE):
        raise NotCacheable("the answer depends on state at the backend")
    if body.get("n") not in (None, 1):
        raise NotCacheable("several answers are asked for")
    dialogue = [turn for turn in turns if turn.get("role") not in _SYSTEM_ROLES]
    if max_messages is not None and len(dialogue) > max_messages:
        raise NotCacheable(f"more than {max_messages} messages")
    if not dialogue or turns[-1].get("role") != "user":
        raise NotCacheable("the last message is no question of a user")
    system: list[Any] = [turn for turn in turns if turn.get("role") in _SYSTEM_ROLES]
    system += [[name, body[name]] for name in _SYSTEM_MEMBERS if body.get(name)]
    # Where a system message stands matters as well, unless none of them does.
    spoken = dialogue if ignore_system else turns
    text, rest = _question(spoken[-1])
    before = canonical([*spoken[:-1], rest])
    return CacheablePrompt(
        parameters=canonical({name: body[name] for name in body if name not in (*_NO_MATTER, *_SYSTEM_MEMBERS)}),
        system="" if ignore_system else canonical(system),
        scope=_number(before, signature(text) if guards else ""),
        text=text,
        digest=_digest(before, text)[:32],
    )


def canonical(value: Any) -> str:
    """JSON in which equal values are equal texts. NotCacheable when it is nested too deeply to be written."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    except RecursionError as error:
        raise NotCacheable("nested too deeply") from error


def _question(turn: Mapping[str, Any]) -> tuple[str, Any]:
    """The text of a message, and the message without it: images and whatever else it has are part of the rest."""
    content = turn.get("content")
    if isinstance(content, str):
        return content.strip(), {**turn, "content": ""}
    if not isinstance(content, list):
        raise NotCacheable("the last message has no content")
    texts: list[str] = []
    rest: list[Any] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "tool_result":
            raise NotCacheable("the last message brings results of tools")
        if kind in _PLAIN_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
            rest.append({name: value for name, value in part.items() if name not in ("text", "cache_control")})
        else:
            rest.append(part)
    # One plain part says what a string says.
    plain = len(rest) == 1 and set(rest[0]) == {"type"} if all(isinstance(one, Mapping) for one in rest) else False
    return "\n".join(texts).strip(), {**turn, "content": "" if plain and texts else rest}


def _digest(*parts: str) -> str:
    return sha256(length_prefixed(parts)).hexdigest()


def _number(*parts: str) -> int:
    return int.from_bytes(sha256(length_prefixed(parts)).digest()[:8], "big") >> 1


def length_prefixed(parts: Iterable[str]) -> bytes:
    """The parts in one string, each behind its length: no two lists give the same, as plain joining would allow."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
