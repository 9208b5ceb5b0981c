"""What holds for every document: no input crashes the reader, expressions survive it, and XML reads as XML."""

import re
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policies.document import DocumentErrors, Element, Expression, read_document

# Enough examples to find each trap that was put in for trial, few enough for every run of the suite.
EXAMPLES = settings(max_examples=300, deadline=None)

PIECES = [
    "<", ">", "/>", "</", "<a", "</a>", "<policies>", "</policies>", "<fragment ", " a=", '"', "'", "@(", "@{", "(",
    ")", "{", "}", "[", "]", "@", "@@(", '@"', '$"', '$@"', "\\", "//", "/*", "*/", "<!--", "-->", "<![CDATA[", "]]>",
    "<?", "?>", "<!DOCTYPE", "&", "&amp;", "&quot;", "&#x41;", "&#0;", ":", "\n", "\r\n", "\t", " ", "a", "é", "\ud800",
    "\x00", "{{x}}", "=",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@EXAMPLES
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200), SOUP, SOUP.map(lambda soup: f"<policies>{soup}</policies>")
    )
)
def test_any_input_gives_a_document_or_its_problems(data: str | bytes) -> None:
    try:
        document = read_document(data, "x.xml")
    except DocumentErrors as errors:
        assert errors.problems
        assert all(problem.message and problem.line >= 1 for problem in errors.problems)
    else:
        assert document.name in ("policies", "fragment")


# C# made of tokens that are hard to tell apart from markup and from each other.
_TEXT = st.text(st.sampled_from("ab \"'\\(){}[]<>&@$/*:;=!?#é-"), max_size=8)


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _verbatim(text: str) -> str:
    return '@"' + text.replace('"', '""') + '"'


def _braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


_CHARACTER = st.sampled_from('ab"(){}[]<>&@$/*').map(lambda c: f"'{c}'")
_COMMENT = _TEXT.map(lambda text: "/*" + text.replace("*/", "").rstrip("*") + "*/")
_LINE_COMMENT = _TEXT.map(lambda text: f"//{text}\n")
_OPERATOR = st.sampled_from([" + ", " < ", " > ", " && ", " || ", " ?? ", " == ", ", ", " => ", "?.", "\n", "; "])
_ATOM = st.one_of(
    st.sampled_from(["a", "x.As<JObject>(true)", "{{named}}", "new List<string>()", "'\\''", "'\\\\'"]),
    _CHARACTER,
    _TEXT.map(_string),
    _TEXT.map(_verbatim),
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.lists(st.one_of(inner, _COMMENT, _LINE_COMMENT), min_size=1, max_size=3).flatmap(
        lambda parts: st.lists(_OPERATOR, min_size=len(parts), max_size=len(parts)).map(
            lambda operators: "".join(part + operator for part, operator in zip(parts, operators, strict=True))
        )
    )
    hole = inner.filter(lambda code: "\n" not in code and "{{" not in code).map(lambda code: f"({code})")
    interpolated = st.tuples(_TEXT, hole, _TEXT, st.sampled_from(["", ":N2", ":HH:mm"]))
    return st.one_of(
        joined.map(lambda code: f"({code})"),
        joined.map(lambda code: f"[{code}]"),
        joined.map(lambda code: "{" + code + "}"),
        joined,
        interpolated.map(
            lambda p: "$" + _string(_braces(p[0]))[:-1] + "{" + p[1] + p[3] + "}" + _string(_braces(p[2]))[1:]
        ),
        interpolated.map(
            lambda p: "$" + _verbatim(_braces(p[0]))[:-1] + "{" + p[1] + p[3] + "}" + _verbatim(_braces(p[2]))[2:]
        ),
    )


CODE = st.recursive(_ATOM, _grown, max_leaves=6)
FORMS = st.sampled_from([("single", "@(", ")"), ("block", "@{", "}")])


@EXAMPLES
@given(CODE, FORMS, st.sampled_from(["'", '"']))
def test_an_expression_survives_raw_and_escaped(code: str, form: tuple[str, str, str], quote: str) -> None:
    kind, opening, closing = form
    expression = f"{opening}{code}{closing}"
    written = {escape(expression, {'"': "&quot;", "'": "&apos;"})}
    if not re.search(r"&\w+;|&#\w+;", code):
        written.add(expression)
    for text in written:
        document = read_document(
            f"<policies><inbound><e a={quote}{text}{quote} b='1' /><f>\n {text} </f><g /></inbound></policies>", "x.xml"
        )
        (inbound,) = document.elements()
        with_attribute, with_text, _ = inbound.elements()
        attribute = with_attribute.attribute("a")
        assert attribute is not None
        assert attribute.split() == Expression(kind, code, 1)
        assert with_attribute.get("b") == "1"
        assert with_text.split() == Expression(kind, code, 2 + code.count("\n"))


_NAMES = st.sampled_from(["inbound", "set-body", "a", "x.y", "_z", "A1"])
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff@")
_VALUES = st.text(st.one_of(st.sampled_from("<>&\"' \n\t"), _CHARACTERS), max_size=10)


def _tree(name: str, attributes: dict[str, str], parts: list[str | ElementTree.Element]) -> ElementTree.Element:
    element = ElementTree.Element(name, attributes)
    for part in parts:
        if not isinstance(part, str):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + part
        else:
            element.text = (element.text or "") + part
    return element


def _grown_tree(inner: st.SearchStrategy[ElementTree.Element]) -> st.SearchStrategy[ElementTree.Element]:
    return st.builds(
        _tree, _NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3), st.lists(st.one_of(_VALUES, inner), max_size=4)
    )


TREES = st.recursive(st.builds(_tree, _NAMES, st.just({}), st.just([])), _grown_tree, max_leaves=8)


def _written(element: ElementTree.Element) -> str:
    """Plain XML with what ElementTree never writes: raw line breaks in attributes, comments and CDATA between text."""
    attributes = "".join(
        f" {name}={quoteattr(value).replace('&#10;', chr(10)).replace('&#9;', chr(9))}"
        for name, value in element.items()
    )
    inner = escape(element.text or "") + "<!-- & < -->"
    for child in element:
        inner += _written(child) + f"<![CDATA[{(child.tail or '').replace(']]>', '')}]]>"
    return f"<{element.tag}{attributes}\n>{inner}</{element.tag} >"


def _same(ours: Element, theirs: ElementTree.Element) -> bool:
    children = list(ours.elements())
    text = (theirs.text or "") + "".join(child.tail or "" for child in theirs)
    return (
        ours.name == theirs.tag
        and {a.name: a.value for a in ours.attributes} == dict(theirs.items())
        and ours.text() == text
        and len(children) == len(theirs)
        and all(_same(child, other) for child, other in zip(children, theirs, strict=True))
    )


@EXAMPLES
@given(st.lists(TREES, max_size=3))
def test_well_formed_xml_reads_as_an_xml_parser_reads_it(trees: list[ElementTree.Element]) -> None:
    text = f"<?xml version='1.0'?>\n<policies>{''.join(map(_written, trees))}</policies>\n"
    assert _same(read_document(text, "x.xml"), ElementTree.fromstring(text))
