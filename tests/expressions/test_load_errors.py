"""What is refused at load, with line and name, and that all problems come at once."""

import pytest

from shared.expressions import ExpressionErrors, compile_expression
from tests.expressions.support import compiled

REFUSED = [
    ("context.Request.Heders", "'IRequest' has no member 'Heders', did you mean Headers?"),
    ("context.Reqest.Method", "'IProxyRequestContext' has no member 'Reqest', did you mean Request?"),
    ("contxt.Request", "the name 'contxt' does not exist here, did you mean context?"),
    ('"a".ToUper()', "'string' has no member 'ToUper', did you mean ToUpper?"),
    ('JObject.Prase("{}")', "'JObject' has no static member 'Prase', did you mean Parse?"),
    ("new FileStream()", "the type 'FileStream' does not exist in policy expressions"),
    ("new SortedDictionary<string, int>()", "the type 'SortedDictionary' does not exist in policy expressions"),
    ('File.ReadAllText("/etc/passwd")', "the name 'File' does not exist here"),
    ('System.IO.File.ReadAllText("x")', "the name 'System' does not exist here"),
    ('Environment.GetEnvironmentVariable("PATH")', "'Environment' has no static member 'GetEnvironmentVariable'"),
    ("context.GetType().Assembly", "'Type' has no member 'Assembly'"),
    ("typeof(string).GetMethods()", "'Type' has no member 'GetMethods'"),
    ('context.Variables["x"].Frobnicate()', "no supported type has a member 'Frobnicate'"),
    ('context.Variables["a"] = 1', "'context.Variables[\"a\"]' cannot be assigned to -- it is read only"),
    ("{ int x = 1; }", "not all code paths return a value"),
    ("{ if (true) { return 1; } }", "not all code paths return a value"),
    ("{ int F(int n) { if (n > 1) return 1; } return F(1); }", "'F': not all code paths return a value"),
    ("{ return y; }", "the name 'y' does not exist here"),
    ("{ { var y = 1; } return y; }", "the name 'y' does not exist here"),
    ("{ const int c = 1; c = 2; return c; }", "'c' is a constant and cannot be assigned to"),
    ("{ var v; return v; }", "'v' needs a value when declared with var"),
    ("{ context.Request; return 1; }", "'context.Request' is a value, not a statement"),
    ("{ int F(params int[] n) { return 1; } return F(1, 2); }", "ref, out and params parameters are not supported"),
    ("{ goto end; end: return 1; }", "goto statement is not supported"),
    ("{ lock (context) { return 1; } }", "lock statement is not supported"),
    ("await Foo()", "await expression 'await Foo()' is not supported"),
    ("checked(1 + 1)", "checked arithmetic is not supported"),
    ('"a".Substring()', "'Substring' does not take 0 arguments, but 1"),
    ('"a".Substring(1, 2, 3)', "'Substring' does not take 3 arguments, but 2"),
    ("Math", "the type 'Math' is not a value"),
    ('context.Request.MatchedParameters("x")', "'IRequest.MatchedParameters' is no method"),
    ('new Uri("a") { Host = "b" }', "'Uri' has no member 'Host' that can be set"),
    ("{ try { return 1; } catch (string s) { return 2; } }", "'string' is not an exception type"),
    ("1 +", "is missing here"),
    ("'ab'", "this is not valid C#"),
    ("", "the expression is empty"),
    ("1; return 2", "this is not one expression"),
    ("99999999999999999999", "the number 99999999999999999999 is too large"),
    ("(" * 1000 + "1" + ")" * 1000, "the expression is nested too deeply"),
    ("{ " + "{" * 500 + "return 1;" + "}" * 500 + "}", "the expression is nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_unsupported_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ExpressionErrors) as caught:
        compiled(text)
    assert any(message in problem.message for problem in caught.value.problems), str(caught.value)


def test_all_problems_come_at_once_with_their_places() -> None:
    text = "\n  var a = context.Nope;\n  var b = Foo.Bar();\n  return a.ToString() + unknown;\n"
    with pytest.raises(ExpressionErrors) as caught:
        compile_expression(text, block=True, file="policies/chat.xml", line=10, column=5)
    places = [(problem.line, problem.column) for problem in caught.value.problems]
    assert places == [(11, 19), (12, 11), (13, 25)]
    assert str(caught.value).startswith("policies/chat.xml:11:19: 'IProxyRequestContext' has no member 'Nope'")


def test_first_line_counts_from_the_given_column() -> None:
    with pytest.raises(ExpressionErrors) as caught:
        compile_expression("context.Nope", block=False, file="a.xml", line=3, column=40)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (3, 48)
