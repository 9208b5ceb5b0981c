"""Cached values: whatever can be written comes back the same, whatever else is no value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.expressions.json_tokens import JToken, wrapped
from shared.policies.cached_value import NotCacheable, decode, encode

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
json_values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(plain | st.binary())
def test_simple_values_come_back(value: Any) -> None:
    found = decode(encode(value))
    assert found == value and isinstance(found, bytearray if isinstance(value, bytes) else type(value))


@given(json_values)
def test_json_comes_back_as_json(value: Any) -> None:
    found = decode(encode(wrapped(value)))
    assert isinstance(found, JToken) and found.plain() == wrapped(value).plain()


@given(st.binary())
def test_other_bytes_are_no_value(data: bytes) -> None:
    try:
        decode(data)
    except ValueError:
        return


@pytest.mark.parametrize("text", ["[]", '["DateTime",[-1,0]]', '["decimal","x"]', '["guid",1]', '["object",1]', "{"])
def test_what_another_version_has_written_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="not a cached value"):
        decode(b"j" + text.encode())


def test_what_cannot_be_written_is_told_by_its_type() -> None:
    with pytest.raises(NotCacheable, match="a value of type object cannot be cached"):
        encode(object())
