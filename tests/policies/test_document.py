"""Policy documents as people write them: each trap of raw expressions and lax XML once."""

import pytest

from shared.policies.document import (
    DocumentErrors,
    Element,
    Expression,
    Limits,
    Literal,
    Text,
    read_document,
    split_value,
)


def fragment(body: str) -> Element:
    return read_document(f"<fragment>{body}</fragment>", "fragment.xml")


def only(body: str) -> Element:
    (element,) = fragment(body).elements()
    return element


def source(value: Literal | Expression) -> str:
    assert isinstance(value, Expression), f"not an expression: {value}"
    return value.source


DOCUMENT = """\
<!-- everything about chat -->
<policies>
    <inbound>
        <base />
        <choose>
            <when condition="@(context.Request.Headers.GetValueOrDefault("x-user", "") != "" && 1 < 2)">
                <set-variable name="body" value="@(context.Request.Body.As<JObject>(preserveContent: true))" />
            </when>
        </choose>
    </inbound>
    <backend><forward-request timeout="60" /></backend>
    <outbound />
    <on-error>
        <set-body>@{
            return new JObject(new JProperty("a", 1 > 0 && 2 > 1)).ToString();
        }</set-body>
    </on-error>
</policies>
"""


def test_a_document_is_read_with_names_paths_and_places() -> None:
    document = read_document(DOCUMENT, "chat.xml")
    assert [section.name for section in document.elements()] == ["inbound", "backend", "outbound", "on-error"]
    inbound, backend, outbound, on_error = document.elements()
    base, choose = inbound.elements()
    assert (base.self_closing, choose.self_closing) == (True, False)
    (when,) = choose.elements("when")
    assert (when.path, when.line, when.column) == ("inbound/choose/when", 6, 13)
    condition = when.attribute("condition")
    assert condition is not None
    assert (condition.line, condition.column, condition.value_line, condition.value_column) == (6, 19, 6, 30)
    assert condition.split() == Expression(
        "single", 'context.Request.Headers.GetValueOrDefault("x-user", "") != "" && 1 < 2', 6
    )
    (set_variable,) = when.elements()
    assert set_variable.get("name") == "body"
    assert set_variable.get("value") == "@(context.Request.Body.As<JObject>(preserveContent: true))"
    assert set_variable.get("missing") is None
    (forward,) = backend.elements()
    assert forward.get("timeout") == "60"
    assert outbound.children == ()
    (set_body,) = on_error.elements()
    block = set_body.split()
    assert isinstance(block, Expression)
    assert (block.kind, block.line) == ("block", 14)
    assert block.source.strip() == 'return new JObject(new JProperty("a", 1 > 0 && 2 > 1)).ToString();'


# C# in which brackets, quotes and markup characters do not mean what they seem to.
EXPRESSIONS = [
    r'"a" + "b\")" + "\\"',
    r'@"c:\" + @"two "" quotes )" + "x"',
    r'$"{context.Variables["a"]} and {(1 > 0 ? ")" : "}")} {{literal}} {DateTime.UtcNow:HH:mm}"',
    r'$@"{context.RequestId} ""quoted"" \" + @$"{1}\"',
    r'$"outer {$"inner {context.Variables[")"]}"} end"',
    """$"{t:HH' (} {d:yyyy-MM-dd'T'HH:mm}" + ')'""",
    "'\"' + ')'.ToString() + '\\'' + '\\u0041' + '<'",
    "a /* \" ) ' */ + b // it's \") the end\n + c",
    "context.Response.Body.As<List<Dictionary<string, JObject>>>(true).Where(x => x.Count < 3 && x.Count > 1).Any()",
    'new [] { "</value>", "/>", "<set-body>" }.Contains(body)',
    "a < b || c << 2 >= d && e",
    'Regex.Match(x, @"max-age=(?<maxAge>\\d+)").Groups["maxAge"]?.Value',
    '"{{named-value}}" + {{number}} + "@(not an expression)"',
    "x?[0]?.ToString() ?? (y as string)",
]


@pytest.mark.parametrize("code", EXPRESSIONS)
@pytest.mark.parametrize(
    "body",
    [
        '<e v="@({})" w="1" />',
        "<e v='@({})' w='1' />",
        '<e v = "\n  @({})\t" w="1"></e>',
        '<e v="\u00a0@({})\u00a0" w="1"></e>',
        "<e w='1'>@({})</e>",
        "<e w='1'>\n   <!-- why -->\n @({})  </e>",
        "<e w='1'><![CDATA[@({})]]></e>",
    ],
)
def test_an_expression_comes_back_verbatim_however_it_is_embedded(code: str, body: str) -> None:
    element = only(body.replace("{}", code))
    attribute = element.attribute("v")
    assert source(attribute.split() if attribute else element.split()) == code
    assert element.get("w") == "1"


@pytest.mark.parametrize("code", EXPRESSIONS)
def test_a_block_comes_back_verbatim(code: str) -> None:
    block = f'\n    var x = {code};\n    if (x) {{ return "}}"; }} // it\'s over }}\n    return x;\n'
    for body in (f'<e v="@{{{block}}}" />', f"<e><v>@{{{block}}}</v></e>"):
        element = only(body)
        value = element.attribute("v") or next(element.elements("v"))
        assert value.split() == Expression("block", block, 1)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("@(context.Variables[&quot;x&quot;])", 'context.Variables["x"]'),
        ("@(&quot;)&quot; + &#34;}&#x22; + a)", '")" + "}" + a'),
        ("@(a &lt; b &amp;&amp; c &gt; d)", "a < b && c > d"),
        ("@(&quot;&amp;amp;&quot;)", '"&amp;"'),
        # Escaped in one place and raw in the next, as published documents are.
        ('@(m != "GET" &amp;&amp; m != "HEAD" && x)', 'm != "GET" && m != "HEAD" && x'),
        ('@(v.GetValueOrDefault&lt;string&gt;("a"))', 'v.GetValueOrDefault<string>("a")'),
        ('@("type=aad&amp;ver=1.0&sig=" + token)', '"type=aad&ver=1.0&sig=" + token'),
        # Raw C# about entities: decoding would break the string, so the text stays as it is.
        ('@(text.Replace("&quot;", "\'"))', 'text.Replace("&quot;", "\'")'),
    ],
)
def test_entities_in_expressions_are_decoded_before_csharp_is_read(raw: str, code: str) -> None:
    for body in (f'<e v="{raw}" w="1" />', f'<e w="1"><v>{raw}</v></e>'):
        element = only(body)
        value = element.attribute("v") or next(element.elements("v"))
        assert source(value.split()) == code
        assert element.get("w") == "1"


def test_xml_comments_between_statements_are_no_code() -> None:
    element = only("<set-body>@{\n<!-- we don't keep\n it } -->\nreturn 1;}</set-body>")
    assert element.split() == Expression("block", "\n\n\nreturn 1;", 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", Literal("plain")),
        ("  @(1)\n", Expression("single", "1", 7)),
        ("@{ return 1; }", Expression("block", " return 1; ", 7)),
        ("{{whole-value}}", Literal("{{whole-value}}")),
        ("Bearer @(token)", Literal("Bearer @(token)")),
        ("@(a) @(b)", Literal("@(a) @(b)")),
        ("@@(a)", Literal("@@(a)")),
        ("user@contoso.com", Literal("user@contoso.com")),
        ("@(", Literal("@(")),
        ("", Literal("")),
    ],
)
def test_a_value_is_an_expression_only_as_a_whole(value: str, expected: Literal | Expression) -> None:
    assert split_value(value, 7) == expected


def test_text_mixed_with_an_expression_is_a_literal() -> None:
    element = only(
        """<e a="Key-@(v.Get<string>("a", ")"))" b="^[^@(]+$" c='x@y'>Hello @(v.Get<string>("</b>")) && you</e>"""
    )
    attribute = element.attribute("a")
    assert attribute is not None
    assert attribute.split() == Literal('Key-@(v.Get<string>("a", ")"))')
    assert element.get("b") == "^[^@(]+$"
    assert element.split() == Literal('Hello @(v.Get<string>("</b>")) && you')


def test_the_line_of_an_expression_is_counted_past_comments_and_blank_text() -> None:
    element = only('\n<e a="\n\n  @(1)">\n  <!-- one\n two -->\n\n  @(2)\n</e>')
    attribute = element.attribute("a")
    assert attribute is not None
    assert (attribute.line, attribute.split()) == (2, Expression("single", "1", 4))
    assert element.split() == Expression("single", "2", 8)


def test_line_breaks_become_spaces_in_literals_and_stay_in_expressions() -> None:
    element = only('<e a="one\r\ntwo\tthree" b="@(1 // one\r\n + 2)">four\r\nfive</e>')
    assert element.get("a") == "one two three"
    assert element.get("b") == "@(1 // one\n + 2)"
    assert element.text() == "four\nfive"


def test_comments_cdata_and_instructions_may_stand_anywhere() -> None:
    document = read_document(
        "<?xml version='1.0'?><!-- <x -- y> --><fragment><?go on?><e>a &amp; b<!-- @(c) --><![CDATA[ <d> & ]]]]>!</e>"
        "<!-- <e value='@(no' --></fragment><!-- end -->\n",
        "x.xml",
    )
    (element,) = document.elements()
    assert element.children == (Text("a & b", 1), Text(" <d> & ]]", 1), Text("!", 1))
    assert element.inner_text() == "a & b <d> & ]]!"


SOAP = """
    <soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope">
      <!-- kept --><soap:Body a='1'>
        <Name>{{body.name}} &amp; {% if body.x &lt; 3 %}<![CDATA[<x>]]>{% endif %}</Name><Empty/>
        <Id>@(context.RequestId)</Id>
      </soap:Body>
    </soap:Envelope>
"""


def test_markup_inside_a_body_is_given_as_it_stands() -> None:
    element = only(f'<set-body template="liquid">{SOAP}</set-body>')
    assert element.inner_text() == SOAP
    (envelope,) = element.elements()
    assert envelope.name == "soap:Envelope"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ('{"a": "{{body.b}}", "c": [1, {"d": "e > f"}]}', '{"a": "{{body.b}}", "c": [1, {"d": "e > f"}]}'),
        (
            "{% for x in body.items %}{{ x | Upcase }},{% endfor %}",
            "{% for x in body.items %}{{ x | Upcase }},{% endfor %}",
        ),
        ('{"html": "&lt;b&gt; &amp;amp; &#xe9;&apos;"}', '{"html": "<b> &amp; é\'"}'),
        ("  spaced\n", "  spaced\n"),
        ("", ""),
    ],
)
def test_a_body_without_markup_is_its_decoded_text(markup: str, text: str) -> None:
    assert only(f"<set-body>{markup}</set-body>").inner_text() == text


@pytest.mark.parametrize(
    "data",
    [
        "<fragment><e a='é€'/></fragment>".encode(),
        "\ufeff<fragment><e a='é€'/></fragment>".encode(),
        "\ufeff<fragment><e a='é€'/></fragment>".encode("utf-16-le"),
        "\ufeff<fragment><e a='é€'/></fragment>".encode("utf-16-be"),
        "<?xml version='1.0' encoding='utf-16'?><fragment><e a='é€'/></fragment>".encode("utf-16-le"),
        # What a .NET string writer says of a file that was then saved as UTF-8.
        '<?xml version="1.0" encoding="utf-16"?><fragment><e a=\'é€\'/></fragment>'.encode(),
        "<?xml version='1.0' encoding='Windows-1252'?><fragment><e a='é€'/></fragment>".encode("cp1252"),
    ],
)
def test_files_are_read_in_the_encoding_they_are_in(data: bytes) -> None:
    (element,) = read_document(data, "x.xml").elements()
    assert element.get("a") == "é€"


def test_the_size_limit_is_that_of_the_root_element() -> None:
    limits = Limits(policies=60, fragment=80)
    for root, room in (("policies", 60), ("fragment", 80)):
        full = f"<{root}><inbound>" + "é" * ((room - 2 * len(root) - 24) // 2)
        full = full + " " * (room - len(full.encode()) - len(root) - 13) + f"</inbound></{root}>"
        assert len(full.encode()) == room
        read_document(full, "x.xml", limits=limits)
        with pytest.raises(DocumentErrors, match=f"{room + 1} bytes; at most {room}"):
            read_document(full + " ", "x.xml", limits=limits)
