"""Pieces of long texts: short enough however characters are counted, complete, and never through a character."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.text_pieces import LONGEST, OVERLAP, length, pieces

WORDS = st.lists(
    st.sampled_from(["word", "Wörter", "日本語", "👩‍👩‍👧", "e\u0301", "👍🏽", "x" * 30, "\n"]), max_size=400
)


@given(WORDS.map(" ".join), st.integers(80, 300), st.integers(0, 40))
def test_pieces_fit_overlap_and_miss_nothing(text: str, longest: int, overlap: int) -> None:
    found = pieces(text, longest, overlap)
    assert all(length(piece) <= longest for piece in found)
    end = 0
    for piece in found:
        start = text.rfind(piece, 0, end + len(piece))
        assert start >= 0, "a gap between two pieces"
        end = max(end, start + len(piece))
    assert end == len(text)


def test_whatever_fits_the_overlap_is_whole_in_a_piece() -> None:
    text = " ".join(f"w{number:05}" for number in range(12_000))
    found = pieces(text)
    for start in range(0, len(text) - 300, 7):
        sought = text[start : start + 300]
        assert any(sought in piece for piece in found)


@pytest.mark.parametrize("character", ["👩‍👩‍👧‍👦", "e\u0301\u0323", "👍🏽", "🏴\U000e0067\U000e0062\U000e007f", "❤️"])
def test_no_character_is_cut(character: str) -> None:
    found = pieces(character * 9_000)
    assert len(found) > 1
    assert all(re.fullmatch(f"(?:{character})+", piece) for piece in found)


def test_words_are_not_cut() -> None:
    assert all(set(piece.split()) == {"lengthy"} for piece in pieces("lengthy " * 5_000))


def test_100_000_characters_are_eleven_pieces() -> None:
    assert len(pieces("word " * 20_000)) == 11 == -(-100_000 // (LONGEST - OVERLAP))
    assert pieces("x" * LONGEST) == ["x" * LONGEST]
