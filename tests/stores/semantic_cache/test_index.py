"""The index against brute force, and what it leaves out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.stores.semantic_cache.entry import as_vector, quantized
from shared.stores.semantic_cache.index import Index
from shared.stores.semantic_cache.namespace import Namespace


@pytest.mark.parametrize("size", [64, 100, 384])
def test_it_finds_what_brute_force_finds(size: int) -> None:
    chance = np.random.default_rng(size)
    known = chance.standard_normal((3000, size)).astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    index = Index(size)
    for vector in known:
        index.add(quantized(vector), 10.0, 1)
    right = 0
    for number in range(200):
        asked = known[number * 7] + chance.standard_normal(size).astype(np.float32) * np.float32(0.3 / size**0.5)
        asked /= np.linalg.norm(asked)
        found = index.nearest(asked, 1, 0.0)
        assert found is not None
        best = float((known @ asked).max())
        right += abs(float(known[found[0]] @ asked) - best) < 0.01
        assert found[1] == pytest.approx(float(known[found[0]] @ asked), abs=0.02)
    assert right >= 199


def test_other_scopes_the_expired_and_the_removed_are_not_found() -> None:
    chance = np.random.default_rng(1)
    index = Index(64)
    vectors = [as_vector(chance.standard_normal(64).astype("<f4").tobytes()) for _ in range(400)]
    for number, vector in enumerate(vectors):
        assert index.add(quantized(vector), 100.0 if number % 2 else 5.0, number % 4) == number
    assert index.nearest(vectors[3], 3, 50.0) == (3, pytest.approx(1.0, abs=0.01))
    assert (index.nearest(vectors[3], 1, 50.0) or (0,))[0] != 3
    assert index.nearest(vectors[2], 2, 50.0) is None, "all of the scope are over"
    index.remove(3)
    assert (index.nearest(vectors[3], 3, 50.0) or (0,))[0] != 3
    index.keep([7, 11])
    assert index.count == 2
    assert index.nearest(vectors[11], 3, 50.0) == (1, pytest.approx(1.0, abs=0.01))
    assert index.nearest(vectors[0][:32], 3, 0.0) is None
    with pytest.raises(ValueError):
        index.add(b"short", 1.0, 1)


def test_a_search_on_a_thread_sees_what_was_there() -> None:
    chance = np.random.default_rng(2)
    index = Index(64)
    vectors = [as_vector(chance.standard_normal(64).astype("<f4").tobytes()) for _ in range(200)]
    for vector in vectors:
        index.add(quantized(vector), 10.0, 0)
    search = index.search(vectors[150], 0, 0.0)
    index.keep([1])
    assert search() == (150, pytest.approx(1.0, abs=0.01))


parts = st.lists(st.text(max_size=12), max_size=6)


@given(parts, parts)
@settings(max_examples=500, deadline=None)
def test_different_tuples_never_share_a_partition(one: list[str], other: list[str]) -> None:
    a, b = Namespace(tuple(one)), Namespace(tuple(other))
    assert (a.partition == b.partition) == (one == other) == (a.check == b.check)


@given(st.text(min_size=1, max_size=30), st.data())
@settings(max_examples=300, deadline=None)
def test_no_text_cut_in_two_ways_shares_a_partition(text: str, data: st.DataObject) -> None:
    def cut() -> tuple[str, ...]:
        at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
        return tuple(text[i:j] for i, j in zip([0, *at], [*at, len(text)], strict=True))

    one, other = cut(), cut()
    assert (Namespace(one).partition == Namespace(other).partition) == (one == other)
