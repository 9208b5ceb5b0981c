"""Streams held back: never more unchecked than declared, the same bytes whatever the chunking, violations in time."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BackendError, Refusal
from shared.llm.inspected_content import Content, event_content
from shared.llm.sse import Events, data_of
from shared.policies.held_stream import HeldStream

SAID = "".join(f"{number:04}." for number in range(120))  # every place in it is like no other
MARK = "#VIOLENCE#"


def chat(part: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': part}}]})}\n\n".encode()


def anthropic(part: str) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
    return f"event: content_block_delta\r\ndata: {json.dumps(delta)}\r\n\r\n".encode()


def responses(part: str) -> bytes:
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": part}
    return f"event: response.output_text.delta\ndata: {json.dumps(delta)}\n\n: ping\n\n".encode()


def unknown(part: str) -> bytes:
    return f"data: {json.dumps({'candidates': [{'content': {'parts': [{'text': part}]}}]})}\n\n".encode()


def plain(part: str) -> bytes:
    return f"data: {part}\n\n".encode()


DIALECTS: list[Callable[[str], bytes]] = [chat, anthropic, responses, unknown, plain]


@dataclass
class Checks:
    """Checks that take a while and end out of order; they begin in order, each where the one before ended."""

    text: str
    chance: random.Random
    overlap: int
    begun: int = 0
    clean_parts: list[tuple[int, int]] = field(default_factory=list)

    async def __call__(self, content: Content) -> None:
        start = max(0, self.begun - self.overlap)
        (said,) = content.texts
        assert self.text.startswith(said.text, start)
        part = (self.begun, start + len(said.text))
        self.begun = part[1]
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        if MARK in said.text:
            raise Refusal("Request failed content safety check.", code="content_filter")
        self.clean_parts.append(part)

    @property
    def clean(self) -> int:
        """Characters from the beginning on that were found clean."""
        end = 0
        for start, stop in sorted(self.clean_parts):
            end = stop if start == end else end
        return end


class Client:
    """What a client has read: bytes, and the characters of the whole events in them."""

    def __init__(self) -> None:
        self.data = b""
        self.characters = 0
        self._events = Events()

    def take(self, data: bytes) -> None:
        self.data += data
        for event in self._events.feed(data):
            self.characters += sum(len(text) for _, text in event_content(data_of(event), Content()))


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The same bytes in chunks of any size."""
    places = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.choice([0, 3, 200])))})
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]


def parts(text: str, chance: random.Random) -> Iterable[str]:
    at = 0
    while at < len(text):
        size = chance.choice([1, 4, 30, 90])
        yield text[at : at + size]
        at += size


async def arriving(chunks: Iterable[bytes], chance: random.Random) -> AsyncIterator[bytes]:
    for chunk in chunks:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        yield chunk


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(DIALECTS),
    st.integers(1, 400),
    st.integers(0, 50),
    st.sampled_from([0, 0, 1, 37, 500, 10_000]),
    st.integers(0, len(SAID)),
)
def test_a_clean_stream_arrives_as_it_came_and_never_too_early(
    seed: int, dialect: Callable[[str], bytes], window: int, overlap: int, unchecked: int, length: int
) -> None:
    chance, text = random.Random(seed), SAID[:length]
    stream = b"".join(dialect(part) for part in parts(text, chance)) + b"data: [DONE]\n\n"
    checks = Checks(text, chance, overlap)

    async def run() -> bytes:
        client = Client()
        held = HeldStream(
            arriving(cut(stream, chance), chance), checks, window=window, overlap=overlap, unchecked=unchecked
        )
        async for free in held.released():
            client.take(free)
            assert client.characters <= checks.clean + unchecked
        return client.data

    assert asyncio.run(run()) == stream
    assert checks.clean == len(text)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(DIALECTS),
    st.integers(1, 300),
    st.sampled_from([0, 25]),
    st.integers(0, len(SAID)),
)
def test_a_violation_ends_the_stream_before_it_is_told(
    seed: int, dialect: Callable[[str], bytes], window: int, unchecked: int, at: int
) -> None:
    chance, text = random.Random(seed), SAID[:at] + MARK + SAID[at:]
    stream = b"".join(dialect(part) for part in parts(text, chance))

    client = Client()

    async def run() -> None:
        held = HeldStream(
            arriving(cut(stream, chance), chance),
            Checks(text, chance, 20),
            window=window,
            overlap=20,
            unchecked=unchecked,
        )
        with pytest.raises(Refusal):
            async for free in held.released():
                client.take(free)

    asyncio.run(run())
    assert stream.startswith(client.data)
    # A window may end inside the mark: what is before its end can have gone, the whole of it never.
    assert client.characters < at + len(MARK) + unchecked


async def test_the_next_window_fills_while_one_is_checked() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()
    taken = 0

    async def check(content: Content) -> None:
        asked.set()
        await answer.wait()

    async def stream() -> AsyncIterator[bytes]:
        nonlocal taken
        for number in range(20):
            taken = number + 1
            yield chat(f"{number:010}")
            await asyncio.sleep(0)

    held = HeldStream(stream(), check, window=50, overlap=0, unchecked=0)
    first = asyncio.ensure_future(anext(held.released()))
    await asked.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    assert not first.done() and taken == 20
    answer.set()
    assert chat(f"{0:010}") in await first
    held.stop()


async def test_what_came_before_a_break_is_checked_and_delivered() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield chat("one")
        raise BackendError("The connection to the backend broke.")

    received = b""
    with pytest.raises(BackendError):
        held = HeldStream(stream(), Checks("one", random.Random(1), 0), window=1000, overlap=0, unchecked=0)
        async for free in held.released():
            received += free
    assert received == chat("one")


async def test_texts_that_repeat_a_stream_are_not_checked_again() -> None:
    texts: list[str] = []

    async def check(content: Content) -> None:
        texts.extend(text.text for text in content.texts)

    done = {
        "type": "response.completed",
        "response": {"output": [{"content": [{"type": "output_text", "text": SAID}]}]},
    }
    other = {"type": "response.output_text.done", "output_index": 1, "text": "never said before"}

    async def stream() -> AsyncIterator[bytes]:
        for part in parts(SAID, random.Random(2)):
            yield responses(part)
        for event in (done, other):
            yield f"data: {json.dumps(event)}\n\n".encode()

    held = HeldStream(stream(), check, window=10_000, overlap=0, unchecked=0)
    async for _ in held.released():
        pass
    assert texts == [f"{SAID}\nnever said before"]


async def test_two_answers_that_begin_alike_are_both_checked() -> None:
    texts: list[str] = []

    async def check(content: Content) -> None:
        texts.extend(text.text for text in content.texts)

    async def stream() -> AsyncIterator[bytes]:
        for index, part in ((0, "ki"), (1, "ki"), (1, "ll"), (0, "nd")):
            yield f"data: {json.dumps({'choices': [{'index': index, 'delta': {'content': part}}]})}\n\n".encode()

    async for _ in HeldStream(stream(), check, window=10_000, overlap=0, unchecked=0).released():
        pass
    assert texts == ["kind\nkill"]


async def test_events_of_many_bytes_and_few_words_do_not_pile_up() -> None:
    checks = 0

    async def check(content: Content) -> None:
        nonlocal checks
        checks += 1

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b": " + b"x" * 1_000_000 + b"\n" + chat("a")

    async for _ in HeldStream(stream(), check, window=10_000, overlap=0, unchecked=0).released():
        pass
    assert checks >= 3


async def test_an_image_never_goes_unchecked() -> None:
    seen: list[int] = []

    async def check(content: Content) -> None:
        await asyncio.sleep(0)
        seen.append(len(content.images))

    event = b'data: {"type": "image_generation.partial_image", "b64_json": "aW1hZ2U="}\n\n'

    async def stream() -> AsyncIterator[bytes]:
        yield event

    held = HeldStream(stream(), check, window=10_000, overlap=0, unchecked=5_000)
    async for free in held.released():
        assert (free, seen) == (event, [1])


async def test_leaving_ends_reading_and_checks() -> None:
    cancelled: list[str] = []

    async def check(content: Content) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("check")
            raise

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield chat("x" * 20)
            await asyncio.sleep(60)
        finally:
            cancelled.append("stream")

    held = HeldStream(stream(), check, window=10, overlap=0, unchecked=0)
    reading = asyncio.create_task(anext(held.released()))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    await asyncio.sleep(0.01)
    assert sorted(cancelled) == ["check", "stream"]
