"""set-body: text, markup and Liquid templates as bodies of requests and responses."""

import gzip

import pytest

from shared.context import Context, Services
from shared.errors import PolicyFailed
from shared.message import GatewayRequest, Headers, Url
from shared.policies.liquid_template import LiquidTemplate
from tests.support.backend import Backend, Script
from tests.support.identity import NoTokens
from tests.support.policies import document, policies, problems

JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "text/xml; charset=utf-8"}


def liquid(template: str, attributes: str = "") -> str:
    return document(f'<set-body template="liquid"{attributes}>{template}</set-body>')


def test_the_request_gets_the_body_and_its_length(backend: Backend) -> None:
    with policies(document("<set-body>  Hällo &amp; bye </set-body>"), backend.url) as gateway:
        gateway.call("POST", content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    assert backend.last.body.decode() == "  Hällo & bye "
    assert backend.last.header("content-length") == str(len(backend.last.body))
    assert backend.last.header("content-encoding") is None


def test_text_replaces_the_charset_that_was_there(backend: Backend) -> None:
    latin = {"content-type": 'text/plain; charset="iso-8859-1"; x=y'}
    with policies(document('<set-body>@(context.Request.Body.As<string>() + "!")</set-body>'), backend.url) as gateway:
        gateway.call("POST", content="é".encode("latin-1"), headers=latin)
        text = backend.last
    with policies(document("<set-body>@(new byte[] {233})</set-body>"), backend.url) as gateway:
        gateway.call("POST", content=b"", headers=latin)
    assert (text.body, text.header("content-type")) == ("é!".encode(), "text/plain; charset=utf-8; x=y")
    assert (backend.last.body, backend.last.header("content-type")) == (b"\xe9", latin["content-type"])


def test_markup_is_sent_as_it_stands(backend: Backend) -> None:
    envelope = '<s:Envelope xmlns:s="urn:x"><!-- kept --><s:Body>&lt;a&gt;</s:Body></s:Envelope>'
    with policies(document(f"<set-body>{envelope}</set-body>"), backend.url) as gateway:
        gateway.call("POST", json={})
    assert backend.last.body.decode() == envelope


def test_the_response_gets_the_body_even_where_the_backends_was_a_stream(backend: Backend) -> None:
    backend.script = Script(gzip=True, chunk_every=0.05, body="x" * 5000)
    with policies(document(outbound="<set-body>new</set-body>"), backend.url) as gateway:
        answers = [gateway.call() for _ in range(3)]
    assert [answer.text for answer in answers] == ["new"] * 3
    assert "content-encoding" not in answers[0].headers


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ('@("a" + context.Request.Method)', b"aPOST"),
        ("@(new byte[] {0, 255})", b"\x00\xff"),
        ("@((string)null)", b""),
        ('@(new JObject(new JProperty("a", 1)).ToString(Newtonsoft.Json.Formatting.None))', b'{"a":1}'),
        (
            '@{ var b = context.Request.Body.As<JObject>(); b["a"] = "ä"; return b.ToString(); }',
            '{\n  "a": "ä"\n}'.encode(),
        ),
    ],
)
def test_an_expression_makes_the_body(backend: Backend, expression: str, body: bytes) -> None:
    with policies(document(f'<set-body template="none">\n  {expression}\n</set-body>'), backend.url) as gateway:
        gateway.call("POST", json={"a": 1})
    assert backend.last.body.replace(b"\r\n", b"\n") == body


def test_a_template_sees_a_json_body_and_the_context(backend: Backend) -> None:
    template = """{"id": "{{body.customer.id}}",
      "lines": [{% for line in body.lines %}{{ line.n | Times: 2 }},{% endfor %}],
      "who": "{{context.Request.Headers["X-Who"] | Upcase}}", "path": "{{context.Request.OriginalUrl.Path}}",
      "id2": "{{context.Request.MatchedParameters.id}}", "on": "{{ body.at | Date:"yyyyMMddTHH:mm:ssZ" }}",
      "none": "{{body.none.deeper}}", "cost": "{{ body.cost | Currency }}"}"""
    with policies(liquid(template), backend.url) as gateway:
        gateway.call(
            "POST",
            json={
                "customer": {"id": "c1"},
                "lines": [{"n": 1}, {"n": 2}],
                "at": "2026-05-29T10:30:00Z",
                "cost": 1234.5,
            },
            headers={"x-who": "ann"},
        )
    sent = " ".join(backend.last.body.decode().split())
    assert sent == (
        '{"id": "c1", "lines": [2,4,], "who": "ANN", "path": "/api/v1/models", "id2": "", '
        '"on": "20260529T10:30:00Z", "none": "", "cost": "$1,234.50"}'
    )


def test_a_template_sees_an_xml_body_without_prefixes_and_case(backend: Backend) -> None:
    body = (
        '<s:Envelope xmlns:s="urn:s" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body>'
        '<Order id="7"><Line>a</Line><Line>b</Line><Note xsi:nil="true">old</Note></Order></s:Body></s:Envelope>'
    )
    template = (
        '{{body.envelope.body.order["@id"]}}|{{body.envelope.body.Order.Line | Join: "+"}}'
        "|{{body.envelope.body.Order.Note | Default: 'nil'}}"
    )
    with policies(liquid(template), backend.url) as gateway:
        gateway.call("POST", content=body, headers=XML)
        assert backend.last.body == b"7|a+b|nil"
    with policies(
        liquid("{% if body.envelope.body.order.note == nil %}null{% endif %}", ' xsi-nil="null"'), backend.url
    ) as gateway:
        gateway.call("POST", content=body, headers=XML)
        assert backend.last.body == b"null"


def test_named_values_come_before_liquid(backend: Backend) -> None:
    config = "named_values:\n  region: north\n"
    with policies(liquid("{{region}}/{{body.a}}"), backend.url, config=config) as gateway:
        gateway.call("POST", json={"a": "b"})
    assert backend.last.body == b"north/b"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ body | nonsense }}", "unknown filter nonsense"),
        ("{% for x in body %}", "Liquid:"),
        ("{% include 'secrets' %}", "Liquid:"),
    ],
)
def test_a_template_that_cannot_run_does_not_load(template: str, message: str) -> None:
    (problem,) = problems(liquid(template))
    assert problem.startswith("operation.xml:1 inbound/set-body:") and message in problem


@pytest.mark.parametrize(
    ("template", "body", "headers"),
    [
        ("{% for i in (1..1000) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}", b"{}", JSON),
        ("{% assign s = 'xxxxxxxx' %}{% for i in (1..60) %}{% assign s = s | Append: s %}{% endfor %}", b"{}", JSON),
        ("{% for i in (1..90000) %}{{ body.t | Upcase | Downcase | Upcase | Size }}{% endfor %}", b"{}", JSON),
        ("{{ (1..body.n) | Join: ',' }}", b'{"n": 1000000000}', JSON),
        ("{{ (1..body.n) | Sort | First }}", b'{"n": 1000000000}', JSON),
        ("{{ body.t | Replace: 'a', body.t }}", b'{"t": "%b"}' % (b"a" * 500_000), JSON),
        ("{{ body.l | Join: body.t }}", b'{"l": [%b0], "t": "%b"}' % (b"0," * 100_000, b"a" * 500_000), JSON),
        ("{% assign n = 9 %}{% for i in (1..60) %}{% assign n = n | Times: n %}{% endfor %}", b"{}", JSON),
        ("{{ body.l | Uniq | Size }}", b'{"l": [%b{}]}' % b"".join(b'{"a":%d},' % n for n in range(90_000)), JSON),
        ("{{ body.a }}", b"not json", JSON),
        ("{{ body.a }}", b"<a>", XML),
        ("{{ body.a }}", b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', XML),
    ],
)
def test_a_template_that_goes_too_far_or_a_body_that_is_none_fails_the_request(
    backend: Backend, template: str, body: bytes, headers: dict[str, str]
) -> None:
    with policies(liquid(template), backend.url) as gateway:
        answer = gateway.call("POST", content=body, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")
    assert backend.requests == []
    assert answer.elapsed.total_seconds() < 5


async def test_a_template_has_two_seconds() -> None:
    seconds = iter(range(100))
    ctx = Context(
        GatewayRequest("POST", Url("http", "x", 80, "/"), Headers()),
        Services(NoTokens(), monotonic=lambda: next(seconds)),
    )
    template = LiquidTemplate("{% for i in (1..2000) %}{{ i }}{% endfor %}")
    with pytest.raises(PolicyFailed) as failed:
        await template.render(ctx, ctx.request, nil="blank", dates=True)
    assert failed.value.detail == "Liquid: more than 2 seconds"


@pytest.mark.parametrize(
    ("attribute", "text"),
    [("", "on 05/06/2024 07:08:09"), (' parse-date="false"', "on 2024-05-06T07:08:09Z")],
)
def test_dates_of_a_json_body_read_as_dates_in_a_template(backend: Backend, attribute: str, text: str) -> None:
    template = f'<set-body template="liquid"{attribute}>on {{{{body.at}}}}</set-body>'
    with policies(document(template), backend.url) as gateway:
        gateway.call("POST", "/v1/chat/completions", json={"at": "2024-05-06T07:08:09Z"})
    assert backend.last.body.decode() == text
