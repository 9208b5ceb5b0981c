"""Events come out of a stream whole and byte for byte, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from shared.llm.sse import Events, data_of

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    events=st.lists(st.lists(LINE, min_size=1, max_size=3), min_size=1, max_size=5),
    end=ENDS,
    cuts=st.sets(st.integers(0, 200), max_size=12),
    rest=LINE,
)
def test_any_pieces_give_the_same_events(events: list[list[str]], end: bytes, cuts: set[int], rest: str) -> None:
    raw = [b"".join(b"data: " + line.encode() + end for line in lines) + end for lines in events]
    stream = b"".join(raw) + b"data: " + rest.encode()
    marks = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    splitter = Events()
    found: list[bytes] = []
    for start, stop in zip(marks, marks[1:], strict=False):
        found += splitter.feed(stream[start:stop])
    last = splitter.end()
    assert b"".join(found) + last == stream
    assert [data_of(event) for event in found] == ["\n".join(lines).encode() for lines in events]
    assert data_of(last) == rest.encode()


def test_what_an_event_says() -> None:
    assert data_of(b"event: a\nid: 7\ndata: one\ndata:two\n\n") == b"one\ntwo"
    assert data_of(b": ping\n\n") == b""
    assert data_of(b"\ndata: after a stray line end\n\n") == b"after a stray line end"


def test_an_endless_event_is_not_kept() -> None:
    splitter = Events(longest=100)
    handed = [event for _ in range(50) for event in splitter.feed(b"x" * 30)]
    assert b"".join(handed) + splitter.end() == b"x" * 1500
    assert max(map(len, handed)) <= 130
