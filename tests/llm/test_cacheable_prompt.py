"""What must be equal between two requests, what need only mean the same, and what is no request for a cache."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.cacheable_prompt import CacheablePrompt, NotCacheable, cacheable_prompt, canonical
from shared.llm.call import LlmCall
from shared.llm.prompt_signature import signature

Q = "What is it?"


def prompt(body: dict[str, Any], path: str = "/chat/completions", **options: Any) -> CacheablePrompt:
    return cacheable_prompt(LlmCall(path, b"", body), **{"ignore_system": False, **options})


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    return {"model": "m", "messages": said, **fields}


def test_ways_to_say_the_same_request() -> None:
    plain = prompt(chat(Q))
    assert plain.text == Q and plain.embeddable
    part = {"role": "user", "content": [{"type": "text", "text": Q}]}
    for other in (chat(part), chat(Q, stream=True, stream_options={"include_usage": True}), chat(Q, user="ann")):
        assert prompt(other) == plain
    assert prompt({"model": "m", "input": Q}, "/responses") == prompt(
        {"model": "m", "input": [{"role": "user", "content": Q}]}, "/responses"
    )
    assert prompt(chat(Q, tools=[{"b": 1, "a": 2}])) == prompt(chat(Q, tools=[{"a": 2, "b": 1}]))


def test_what_goes_before_must_be_equal() -> None:
    said = {"role": "assistant", "content": "Yes"}
    one, other = prompt(chat("Hello", said, Q)), prompt(chat("Hello!", said, Q))
    assert one.text == other.text == Q
    assert one.scope != other.scope and one.digest != other.digest
    image = {"type": "image_url", "image_url": {"url": "data:1"}}
    pictured = [
        prompt(chat({"role": "user", "content": [{"type": "text", "text": Q}, {**image, "n": number}]}))
        for number in range(2)
    ]
    assert len({found.scope for found in (*pictured, prompt(chat(Q)))}) == 3


def test_system_messages_count_unless_ignored() -> None:
    pirate, parrot = ({"role": "system", "content": who} for who in ("pirate", "parrot"))
    assert prompt(chat(pirate, Q)).system != prompt(chat(parrot, Q)).system != prompt(chat(Q)).system
    ignoring = [prompt(body, ignore_system=True) for body in (chat(pirate, Q), chat(parrot, Q), chat(Q))]
    assert ignoring[0] == ignoring[1] == ignoring[2]
    for path, name in (("/responses", "instructions"), ("/messages", "system")):
        turns = {"input": Q} if name == "instructions" else {"messages": [{"role": "user", "content": Q}]}
        assert prompt({**turns, name: "a"}, path).system != prompt({**turns, name: "b"}, path).system
        assert prompt({**turns, name: "a"}, path, ignore_system=True) == prompt(turns, path, ignore_system=True)


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5) | st.booleans(), max_size=4))
def test_every_other_field_counts(fields: dict[str, Any]) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": Q}]}
    no_matter = {"stream", "user", "n", "model", "messages", "input"}
    changed = {name: value for name, value in fields.items() if name not in (*no_matter, "prompt", "instructions")}
    assert (prompt({**plain, **changed}).parameters == prompt(plain).parameters) == (not changed)


@pytest.mark.parametrize(
    ("body", "path", "options"),
    [
        (chat(Q, n=2), "/chat/completions", {}),
        (chat(), "/chat/completions", {}),
        (chat({"role": "assistant", "content": "a"}), "/chat/completions", {}),
        (chat(Q, {"role": "tool", "content": "1", "tool_call_id": "x"}), "/chat/completions", {}),
        (chat({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}), "/messages", {}),
        (chat({"role": "user"}), "/chat/completions", {}),
        ({"messages": "text"}, "/responses", {}),
        ({"input": Q, "previous_response_id": "r"}, "/responses", {}),
        ({"input": Q, "background": True}, "/responses", {}),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "/responses", {}),
        ({"prompt": Q}, "/completions", {}),
        ({"input": Q}, "/embeddings", {}),
        (chat(Q, {"role": "assistant", "content": "a"}, Q), "/chat/completions", {"max_messages": 2}),
    ],
)
def test_what_is_not_cacheable(body: dict[str, Any], path: str, options: dict[str, Any]) -> None:
    with pytest.raises(NotCacheable):
        prompt(body, path, **options)


def test_max_messages_leaves_system_messages_out() -> None:
    system = {"role": "system", "content": "x"}
    assert prompt(chat(system, system, Q), max_messages=1).text == Q
    assert not prompt(chat("x" * 30_000)).embeddable and not prompt(chat("")).embeddable


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("Is 1,000 more than 5?", "Are 5 fewer than 1000?", True),
        ("Version 1.5 of it", "Version 15 of it", False),
        ("In 2024?", "In 2025?", False),
        ("Can I?", "Can I not?", False),
        ("It works", "It doesn’t work", False),
        ("Never ever", "It is not so", True),
        ("Kann ich das?", "Kann ich das nicht?", False),
        ('Who wrote "Emma"?', 'Who wrote "Dune"?', False),
        ('Who wrote "Emma"?', "Who wrote “emma”?", True),
        ("What's Ann's dog's name?", "What is Ann's cat's name?", True),
        ("Run 'ls' now", "Run 'rm' now", False),
        ("The `a` key", "The `b` key", False),
        ("anything", "something else", True),
    ],
)
def test_signatures(one: str, other: str, agree: bool) -> None:
    assert (signature(one) == signature(other)) is agree


@pytest.mark.parametrize("mark", ["“", "„", "«", '"', "`", "'"])
def test_a_signature_takes_a_time_that_grows_with_the_text(mark: str) -> None:
    began = time.process_time()
    signature(mark * 100_000)
    signature(f"{mark}a" * 50_000)
    assert time.process_time() - began < 2


def test_what_is_nested_too_deeply_is_not_cacheable() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCacheable, match="deeply"):
        prompt(chat(Q, extra=deep))


def test_guards_are_part_of_the_scope() -> None:
    one, other = chat("In 2024?"), chat("In 2025?")
    assert prompt(one).scope != prompt(other).scope
    assert prompt(one, guards=False).scope == prompt(other, guards=False).scope
    assert canonical({"b": "ü", "a": [1]}) == '{"a":[1],"b":"\\u00fc"}'
