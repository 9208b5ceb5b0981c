"""Expressions become Python text that is compiled: nothing a policy says is in that text."""

import ast
import builtins

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.expressions.compiler import Compiler
from shared.expressions.errors import ExpressionErrors
from shared.expressions.inline import Inline
from shared.expressions.syntax import Source
from tests.expressions.support import compiled, context, is_block
from tests.expressions.test_any_text import CASES

# The functions of Python's that templates speak of.
FUNCTIONS = {"type", "len", "str", "int", "bool", "float", "tuple"}


def python_of(source: str) -> Inline:
    """The text of an expression and what its names stand for."""
    parsed = Source(source, block=False, file="test.xml", line=1, column=1)
    return Compiler(parsed).expression(parsed.root).inline


def strange(made: Inline) -> list[str]:
    """What is in the text beside names with values, the frame and its places, and what templates speak of."""
    tree = ast.parse(made.text, mode="eval")
    kept = {node.target.id for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name not in {"frame", *FUNCTIONS, *kept, *made.names}:
                found.append(name)
            case ast.Constant(value=value) if value is not None and type(value) is not int:
                found.append(repr(value))
            case ast.Attribute(attr=name) if name.startswith("_"):
                found.append(name)
            case ast.Lambda() | ast.JoinedStr() | ast.ListComp() | ast.GeneratorExp() | ast.Await():
                found.append(type(node).__name__)
    assert not kept & (set(made.names) | set(vars(builtins)))
    return found


def test_the_text_of_every_case_is_made_of_templates() -> None:
    seen = 0
    for source in CASES:
        if not is_block(source):
            try:
                made = python_of(source)
            except ExpressionErrors:
                continue
            assert strange(made) == [], source
            seen += 1
    assert seen > 300


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@example('"+__import__("os").getcwd()+"')
@example("{t}{left}{{")
@example("\\u0022)\n'''")
def test_a_literal_stays_a_value(text: str) -> None:
    literal = '@"' + text.replace('"', '""') + '"'
    expected = {
        f"context.Variables.GetValueOrDefault({literal}, {literal})": text,
        f'({literal} + context.Request.Method).Replace("POST", "")': (text + "POST").replace("POST", ""),
        f'context.User?.Id ?? (context.Request.Method == {literal} ? "" : {literal})': "" if text == "POST" else text,
        f"new[] {{ {literal} }}.Select(one => one).First(one => one == {literal})": text,
    }
    for source, value in expected.items():
        assert strange(python_of(source)) == []
        assert compiled(source)(context(variables={})) == value
