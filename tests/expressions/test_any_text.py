"""Any text is either refused or compiled, and what is compiled ends: never a crash, never a hang."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.expressions import ExpressionErrors, ExpressionFailed, Limits, compile_expression
from tests.expressions import cases_collections, cases_context, cases_language, cases_text
from tests.expressions.support import context, is_block

LIMITS = Limits(steps=5_000, size=1_000_000, depth=40, seconds=0.5)
CASES = [text for text, _ in cases_language.CASES + cases_text.CASES + cases_collections.CASES + cases_context.CASES]
WORDS = (
    "context . Request Response Body As<JObject> ( ) [ ] { } < > => ; , ? ?. ?? = == + - * / % ! && || "
    '" \' $" @" 1 2.5 x y '
    "var int string return if else for foreach in while switch case default try catch finally throw new JObject is as "
    "not null true false ToString Length Select Where /* */ // \n from select where out ref lambda 0x ^ .. ~ <<"
).split(" ")


def check(text: str, *, block: bool) -> None:
    try:
        expression = compile_expression(text, block=block, file="any.xml", line=1, limits=LIMITS)
    except ExpressionErrors as errors:
        assert errors.problems
        return
    try:
        expression(context())
    except ExpressionFailed as failure:
        assert failure.type_name


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.booleans())
def test_any_text(text: str, block: bool) -> None:
    check(text, block=block)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.booleans())
def test_any_words_of_the_language(words: list[str], block: bool) -> None:
    check(" ".join(words), block=block)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), st.integers(0, 200), st.integers(0, 12), st.sampled_from(["", *WORDS]))
def test_any_damaged_case(text: str, at: int, cut: int, put: str) -> None:
    block = is_block(text)
    inner = text.strip()[1:-1] if block else text
    check(inner[:at] + put + inner[at + cut :], block=block)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(CASES), st.sampled_from(CASES), st.sampled_from(["+", "==", "??", "&&", "<", "is", "as", "?.", "["])
)
def test_any_two_cases_joined(first: str, second: str, operator: str) -> None:
    if not is_block(first) and not is_block(second):
        check(f"({first}) {operator} ({second})", block=False)
