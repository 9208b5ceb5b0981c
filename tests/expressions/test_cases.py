"""Every case: C# text evaluated, its value (and kind) or exception compared with .NET's."""

import math
from typing import Any

import pytest

from shared.expressions import ExpressionFailed
from tests.expressions import cases_collections, cases_context, cases_language, cases_text
from tests.expressions.support import Fails, evaluate

CASES = cases_language.CASES + cases_text.CASES + cases_collections.CASES + cases_context.CASES


def test_the_suite_is_as_large_as_promised() -> None:
    assert len(CASES) >= 300
    assert len({text for text, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_value_is_the_one_dotnet_gives(text: str, expected: Any) -> None:
    if isinstance(expected, Fails):
        with pytest.raises(ExpressionFailed) as caught:
            evaluate(text)
        assert caught.value.type_name == expected.type_name
        assert expected.message is None or caught.value.message == expected.message
        return
    value = evaluate(text)
    assert type(value) is type(expected), f"{value!r} is a {type(value).__name__}"
    assert value == expected or (isinstance(value, float) and math.isnan(value) and math.isnan(expected))
