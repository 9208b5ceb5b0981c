"""What is wrong with a policy document is said at once: every problem with its line, its element and the reason."""

import time

import pytest

from shared.policies.document import DocumentErrors, Limits, read_document


def problems(text: str | bytes) -> list[tuple[int, str, str]]:
    with pytest.raises(DocumentErrors) as caught:
        read_document(text, "chat.xml")
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


def test_five_mistakes_give_five_messages() -> None:
    found = problems(
        """\
<policies>
    <inbound>
        <set-header name="x" exists-action=override>
            <value>@(context.Request.Headers["a")</value>
        </set-header>
        <choose>
            <when condition="@(context.Response.StatusCode == (429">
                <set-variable name="u" value="https://x/?a=1&b=2" />
            </when>
        </chose>
    </inbound>
    <backend>
        <forward-request timeout="60" timeout="90" />
    </backend>
</policies>
"""
    )
    assert found == [
        (3, "inbound/set-header", "the attribute exists-action must have its value in quotes (column 30)"),
        (4, "inbound/set-header/value", "the expression is not closed: ) where ] is expected (column 49)"),
        (
            7,
            "inbound/choose/when",
            "the expression in the attribute condition is not closed: "
            "a bracket is open at the closing quote (column 67)",
        ),
        (8, "inbound/choose/when/set-variable", "a raw & or an unknown entity; write &amp; (column 61)"),
        (10, "inbound/choose", "</chose> does not match <choose> of line 6 (column 9)"),
        (13, "backend/forward-request", "the attribute timeout is given twice (column 39)"),
    ]


@pytest.mark.parametrize(
    ("body", "line", "path", "reason"),
    [
        ("<inbound>\n<base>\n</inbound>", 2, "inbound/base", "<base> is not closed before </inbound>"),
        ("<inbound/>\n</when>", 2, "policies", "</when> closes nothing"),
        (
            "<inbound>\n<e a=\"1 b='2'>\n</e><base /></inbound>",
            2,
            "inbound/e",
            "the value of the attribute a is not closed",
        ),
        ('<e a="1\n b=\'2\'>\n</e>\n<f c="3" />', 1, "e", "the value of the attribute a is not closed"),
        ("<e a='1 b='2'>\n</e>", 1, "e", "unexpected 2 in the tag <e>"),
        ('<e a="1 b="c">\n</e>', 1, "e", "unexpected c after a closing quote"),
        ('<e a=@(b == "GET > 1")>\n</e>', 1, "e", "the attribute a must have its value in quotes"),
        ('<e a="b == "GET"">\n</e>', 1, "e", "unexpected GET after a closing quote"),
        ("<e a='1'b='2' />", 1, "e", "white space is missing before the attribute b"),
        ("<e a />", 1, "e", "the attribute a has no value"),
        ("<e = />\n<f />", 1, "e", "unexpected = in the tag <e>"),
        ("<e a='<b>' />", 1, "e", "a raw < in the attribute a"),
        ("<e>1 < 2</e>", 1, "e", "a raw < in text"),
        ("<e>a & b</e>", 1, "e", "a raw & or an unknown entity"),
        ("<e>&nbsp;</e>", 1, "e", "a raw & or an unknown entity"),
        ("<e>&#x110000;</e>", 1, "e", "a raw & or an unknown entity"),
        ("<e a='&#9999999;' />", 1, "e", "a raw & or an unknown entity"),
        ("<e>&#0;</e>", 1, "e", "a raw & or an unknown entity"),
        ("<e>@(1) and</e>", 1, "e", "text beside an expression"),
        ("<e>@(a) @(b)</e>", 1, "e", "text beside an expression"),
        ("<e a='@(1) and' />", 1, "e", "something follows the closing bracket"),
        ("<e>@{ return (1; }</e>", 1, "e", "} where ) is expected"),
        ("<e>@(new { a = 1 )</e>", 1, "e", ") where } is expected"),
        ('<e>@("a)</e>\n<f />', 1, "e", "the string that starts here does not end on its line"),
        ("<e>@(')</e>\n<f />", 1, "e", "the character that starts here does not end on its line"),
        ("<e>@(a /* )</e>", 1, "e", "the comment opened with /* is not closed"),
        ('<e>@($"{a")</e>\n<f />', 1, "e", "does not end"),
        ("<e>@(a <b /> c)</e>", 1, "e", "no ) before />"),
        ("<e>@(a</e><f>@(b)</f>", 1, "e", "no ) before </e"),
        ("<e a='@(a' />\n<f>@(b)</f>", 1, "e", "a bracket is open at the closing quote"),
        ("<e>\x07</e>", 1, "", "the character U+0007 is not allowed"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><e />", 1, "policies", "a document type declaration is not allowed"),
    ],
)
def test_a_mistake_is_reported_once_where_it_is(body: str, line: int, path: str, reason: str) -> None:
    (found,) = problems(f"<policies>{body}</policies>")
    assert found[:2] == (line, path)
    assert reason in found[2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the document is empty"),
        ("  \n ", "the document is empty"),
        ("<!-- only -->", "the document is empty"),
        ("inbound", "text outside the document's root element"),
        ("<inbound />", "the root element must be <policies> or <fragment>"),
        ("<policies /><policies />", "<policies> after the end of the document"),
        ("<policies />and more", "text outside the document's root element"),
        ("<policies><!-- open", "the comment is not closed"),
        ("<policies><e><![CDATA[ open", "the CDATA section is not closed"),
        ("<policies><? open", "the processing instruction is not closed"),
        ("<policies><e a='1'", "the tag <e is not closed"),
        (b"<policies>\xff</policies>", "byte 10 is not valid utf-8"),
        (b"\xff\xfe<", "is not valid utf-16"),
    ],
)
def test_a_document_that_is_none_is_refused(text: str | bytes, reason: str) -> None:
    assert any(reason in message for _, _, message in problems(text))


def test_a_problem_names_file_line_and_element() -> None:
    with pytest.raises(DocumentErrors) as caught:
        read_document("<policies>\n<inbound>\n  <e a=1 /></inbound></policies>", "policies/chat.xml")
    assert str(caught.value) == (
        "policies/chat.xml:3 inbound/e: the attribute a must have its value in quotes (column 6)"
    )


def test_nesting_has_a_limit() -> None:
    def nested(depth: int) -> str:
        return "<policies>" + "<e>" * (depth - 1) + "</e>" * (depth - 1) + "</policies>"

    read_document(nested(7), "x.xml", limits=Limits(depth=7))
    with pytest.raises(DocumentErrors, match="nested more than 7 deep"):
        read_document(nested(8), "x.xml", limits=Limits(depth=7))
    with pytest.raises(DocumentErrors, match="nested more than 100 deep"):
        read_document("<policies>" + "<e>" * 80_000, "x.xml")


def test_reading_is_given_up_when_expression_after_expression_does_not_end() -> None:
    assert 1 < len(problems("<policies>" + "<a>@(" * 20_000)) < 10


def test_no_more_than_a_hundred_problems_are_listed() -> None:
    assert len(problems("<policies>" + "<a b=1 />" * 1_000)) == 100


# Each of these, repeated, makes some simpler way of reading quadratic.
UNITS = [
    "<a>@(</a>", "<a>@(", "@(", "(", '"', '@"', '""', '$"{', '$"{a:', ":", "&", "&amp;", "< ", "<!--", "<!--->-->",
    "/*", '<a b="x@(" />', '<a b="x@("c', '<a b="@((" ', "a='1' ", " ", "> ", "^", "p", "@(a)", "@(a", "</a>",
    "<a/>", "]", "<![CDATA[", "\r", "{{", "@{", "'", "<a b='@(<a>", 'x@(a"', "<?", "=", "a=", "<a b=@(<",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "head", ["", "<policies>", "<policies><a>@(", "<policies><a>x", '<policies a="x', "<policies ^"]
)
def test_the_time_to_read_a_document_grows_with_its_length(head: str, unit: str) -> None:
    """A quarter of the size limit takes 0.1 s at worst; a quadratic reader needs several seconds."""
    size = 64 * 1024 - len(head)
    start = time.process_time()
    with pytest.raises(DocumentErrors):
        read_document(head + unit * (size // len(unit)), "x.xml")
    assert time.process_time() - start < 1.5
