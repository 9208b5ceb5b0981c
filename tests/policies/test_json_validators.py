"""JSON Schema validators: keywords that standard ones check in a time a caller can choose."""

import time
from typing import Any

import pytest

from shared.policies.json_validators import checked, registry_of, validator

OPEN = {"properties": {"a": {}}, "patternProperties": {"^x-": {"type": "string"}, "(b+)+$": {}}}
CLOSED = {**OPEN, "additionalProperties": False}
TYPED = {**OPEN, "additionalProperties": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1, "b": [2]}, None], True),
        ({"uniqueItems": True}, [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], False),
        ({"uniqueItems": True}, [0, False, [0], [False], {"a": 0}, {"a": False}], True),
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"uniqueItems": False}, [1, 1], True),
        (OPEN, {"x-y": 1}, False),
        (OPEN, {"x-y": "1", "other": 1}, True),
        (CLOSED, {"a": 1, "x-y": "1", "bbb": 1}, True),
        (CLOSED, {"a": 1, "c": 1}, False),
        (TYPED, {"a": "", "x-y": "1", "c": 1}, True),
        (TYPED, {"c": "1"}, False),
    ],
)
def test_what_is_valid(schema: Any, value: Any, valid: bool) -> None:
    assert validator(schema, registry_of({})).is_valid(value) is valid


def test_a_schema_that_is_nested_too_deep_is_told() -> None:
    schema: dict[str, Any] = {}
    for _ in range(600):
        schema = {"not": schema}
    with pytest.raises(ValueError, match="nested too deep"):
        checked(schema)


def test_all_items_are_told_apart_in_one_go() -> None:
    began = time.process_time()
    assert validator({"uniqueItems": True}, registry_of({})).is_valid([{"a": number} for number in range(50_000)])
    assert time.process_time() - began < 3


@pytest.mark.parametrize("schema", [OPEN, CLOSED, TYPED])
def test_a_pattern_of_names_has_its_time_too(schema: Any) -> None:
    began = time.process_time()
    with pytest.raises(TimeoutError):
        validator(schema, registry_of({})).is_valid({f"{'b' * 5_000}!": 1})
    assert time.process_time() - began < 3
