"""Bodies that are not in memory, bodies read away, and what an evaluation leaves behind."""

import gc

import pytest

from shared.expressions import BodyNotBuffered, ExpressionFailed
from shared.expressions.json_tokens import JObject, write
from shared.expressions.lists import NetList
from tests.expressions.support import CHAT, compiled, context, evaluate, request


def test_an_unread_body_asks_the_caller_to_read_it() -> None:
    expression = compiled('(string)context.Request.Body.As<JObject>(preserveContent: true)["model"]')
    ctx = context(body=None)
    with pytest.raises(BodyNotBuffered) as caught:
        expression(ctx)
    assert caught.value.message is ctx.request
    ctx.request.body = CHAT
    assert expression(ctx) == "gpt-4o"


def test_an_unread_body_not_asked_for_stays_unread() -> None:
    ctx = context(body=None)
    assert compiled('context.Request.Method == "GET" ? context.Request.Body.As<string>() : "none"')(ctx) == "none"
    assert ctx.request.body is None


def test_c_sharp_cannot_catch_an_unread_body() -> None:
    expression = compiled('{ try { return context.Request.Body.As<string>(true); } catch { return "x"; } }')
    with pytest.raises(BodyNotBuffered):
        expression(context(body=None))


def test_nothing_happens_twice_when_the_body_has_to_be_read_first() -> None:
    expression = compiled(
        '{ context.Trace("seen"); var o = (JObject)context.Variables["o"]; o["n"] = (int)o["n"] + 1;'
        ' ((JObject)o["deep"])["x"] = 1; var l = (List<int>)context.Variables["l"]; l.Add(1);'
        " return context.Request.Body.As<string>().Length; }"
    )
    ctx = context(body=None, variables={"o": JObject({"n": 1, "deep": {}}), "l": NetList()})
    with pytest.raises(BodyNotBuffered):
        expression(ctx)
    assert write(ctx.variables["o"]) == '{"n":1,"deep":{}}'
    assert list(ctx.variables["l"]) == []
    assert ctx.traces == []
    ctx.request.body = CHAT
    assert expression(ctx) == len(CHAT)
    assert write(ctx.variables["o"]) == '{"n":2,"deep":{"x":1}}'
    assert list(ctx.variables["l"]) == [1]
    assert ctx.traces == [("seen",)]


def test_a_first_body_is_not_read_away_when_the_second_is_unread() -> None:
    expression = compiled("context.Request.Body.As<string>() + context.Response.Body.As<string>(true)")
    ctx = context()
    ctx.response.body = None
    with pytest.raises(BodyNotBuffered) as caught:
        expression(ctx)
    assert caught.value.message is ctx.response
    assert not ctx.request.consumed
    ctx.response.body = b"!"
    assert expression(ctx) == CHAT.decode() + "!"
    assert ctx.request.consumed


def test_reading_without_preserve_content_takes_the_body_away() -> None:
    ctx = context()
    assert evaluate('(string)context.Request.Body.As<JObject>()["model"]', ctx) == "gpt-4o"
    assert ctx.request.consumed
    assert evaluate("context.Request.Body.As<JObject>(true) == null", ctx) is True


def test_a_body_read_away_before_a_failure_stays_away() -> None:
    ctx = context()
    with pytest.raises(ExpressionFailed):
        evaluate("context.Request.Body.As<string>().Substring(99999)", ctx)
    assert ctx.request.consumed


def test_preserve_content_leaves_the_body() -> None:
    ctx = context()
    evaluate("context.Request.Body.As<JArray>(preserveContent: true) == null ? 1 : 2", context(body=b"[]"))
    evaluate("context.Request.Body.As<JObject>(true)", ctx)
    assert ctx.request.body == CHAT and not ctx.request.consumed


def test_a_body_of_millions_of_values_is_not_parsed() -> None:
    ctx = context(body=b'{"a": [%b0]}' % (b"{}," * 2_000_000))
    with pytest.raises(ExpressionFailed, match="too many values"):
        evaluate("context.Request.Body.As<JObject>(true)", ctx)
    assert evaluate("context.Request.Body.As<string>(true).Length", ctx) == 6_000_010


@pytest.mark.parametrize("part", [b"<a/>", b'<a b="" c=""/>', b"x\n", b"&lt;"])
def test_a_body_of_millions_of_elements_is_not_parsed(part: bytes) -> None:
    ctx = context(body=b"<r>%b</r>" % (part * 1_100_000))
    with pytest.raises(ExpressionFailed, match="XML has too many elements"):
        evaluate("context.Request.Body.As<XElement>(true)", ctx)
    few = context(body=b"<r>%b</r>" % (part * 9))
    assert evaluate("context.Request.Body.As<XElement>(true).Name.LocalName", few) == "r"


def test_a_form_body_gives_its_fields() -> None:
    ctx = context(body=b"a=1&a=2&b=x%20y")
    assert evaluate('context.Request.Body.AsFormUrlEncodedContent(true)["a"].Last()', ctx) == "2"
    assert evaluate('context.Request.Body.AsFormUrlEncodedContent()["b"].Single()', ctx) == "x y"


def test_an_xml_body_reads_as_elements() -> None:
    ctx = context(body=b"<a><b>t</b></a>")
    assert evaluate('context.Request.Body.As<XElement>(true).Element("b").Value', ctx) == "t"
    assert evaluate("context.Request.Body.As<XDocument>(true).Root.Name.LocalName", ctx) == "a"


def test_a_request_without_a_body_has_null_there_and_reads_as_an_empty_one() -> None:
    assert evaluate("context.Request.Body == null", context(body=b""))
    assert not evaluate("context.Request.Body == null", context())
    assert evaluate('context.Request.Body?.As<string>(true) ?? "none"', context(body=b"")) == "none"
    assert evaluate("context.Request.Body.As<string>(true).Length", context(body=b"")) == 0
    read = "{ var all = context.Request.Body.As<string>(); return context.Request.Body == null; }"
    assert not evaluate(read)


def test_changing_json_does_not_change_the_body() -> None:
    ctx = context()
    evaluate('{ var b = context.Request.Body.As<JObject>(true); b["model"] = "x"; return b.ToString(); }', ctx)
    assert ctx.request.body == CHAT


def test_mentions_tell_which_bodies_an_expression_speaks_of() -> None:
    assert compiled("context.Request.Body.As<string>()").mentions_request_body
    assert not compiled("context.Request.Body.As<string>()").mentions_response_body
    assert compiled("{ var r = context.Response; return r.Body.As<string>(); }").mentions_response_body
    assert not compiled("context.Request.Method").mentions_request_body


def test_a_response_in_a_variable_reads_like_the_response() -> None:
    ctx = context()
    ctx.variables["reply"] = request(b'{"a": 1}')
    ctx.variables["reply"] = ctx.response
    text = '(string)((IResponse)context.Variables["reply"]).Body.As<JObject>(true)["error"]["code"]'
    assert evaluate(text, ctx) == "429"
    assert evaluate('context.Variables.GetValueOrDefault<IResponse>("reply")?.StatusCode ?? 0', ctx) == 429
    assert (
        evaluate(
            '((IResponse)context.Variables.GetValueOrDefault<IResponse>("none"))?.StatusCode.ToString() ?? "n"', ctx
        )
        == "n"
    )


def test_traces_come_in_order_with_source_and_severity() -> None:
    ctx = context()
    evaluate('{ context.Trace("a"); context.Trace("b " + 1); return null; }', ctx)
    assert ctx.traces == [("a",), ("b 1",)]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("context.Response == null", True),
        ("context.Response.StatusCode == 429 || context.Response.StatusCode >= 500", False),
        ('context.Response.Headers.GetValueOrDefault("Retry-After", "none")', "none"),
        ("{ var response = context.Response; return response.StatusCode; }", 0),
        ("context.Response?.StatusCode ?? -1", -1),
        ("context.Response.Body == null", True),
    ],
)
def test_before_there_is_a_response_it_is_null_and_its_status_is_0(text: str, result: object) -> None:
    ctx = context()
    ctx.response = None
    assert evaluate(text, ctx) == result
    with pytest.raises(ExpressionFailed, match="NullReferenceException"):
        evaluate("((IResponse)context.Response).StatusCode", ctx)


@pytest.mark.parametrize(
    "text",
    [
        '(string)context.Request.Body.As<JObject>(true)["model"]',
        '(string)context.Request.Body.As<JObject>(true)["messages"][0]["content"]',
        '{ var n = 0; foreach (var m in (JArray)context.Request.Body.As<JObject>(true)["messages"])'
        ' { n += ((string)m["role"]).Length; } return n; }',
        'context.Request.Body.As<JObject>(true)["messages"].Last["content"].Path',
    ],
)
def test_a_read_body_leaves_nothing_for_the_garbage_collector(text: str) -> None:
    expression, ctx = compiled(text), context()

    def left() -> int:
        gc.collect()
        expression(ctx)
        return gc.collect()

    gc.disable()
    try:
        # What other tests and threads left can fall due in any one of these; what the call leaves does so in each.
        assert min(left() for _ in range(10)) == 0
    finally:
        gc.enable()
