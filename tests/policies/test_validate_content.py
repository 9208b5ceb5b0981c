"""validate-content: size, content types, JSON and XML schemas, for requests and responses."""

import json
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.policies import document, policies, problems
from tests.support.running import running as serve
from tests.support.service import Reply, Service
from tests.support.waiting import wait_until

CHAT = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "pattern": "^gpt-"},
        "messages": {"type": "array", "items": {"$ref": "#/$defs/message"}},
    },
    "$defs": {"message": {"type": "object", "properties": {"role": {"enum": ["user"]}}, "required": ["role"]}},
}
CONFIG = "schemas: { chat: chat.json, order: order.xsd }"
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="order"><xs:complexType><xs:sequence>
  <xs:element name="count" type="xs:integer" /></xs:sequence></xs:complexType></xs:element></xs:schema>"""
FILES = {"chat.json": json.dumps(CHAT), "order.xsd": XSD}
JSON = '<content type="application/json" validate-as="json" schema-id="chat" action="prevent" %s/>'
SHOW = '<set-header name="x-reason"><value>@(context.LastError.Reason)</value></set-header>'
GOOD = {"model": "gpt-4o", "messages": [{"role": "user"}]}


def checking(
    contents: str = JSON % "", *, size: int = 1000, exceeded: str = "prevent", other: str = "prevent", more: str = ""
) -> str:
    return f"""<validate-content unspecified-content-type-action="{other}" max-size="{size}"
        size-exceeded-action="{exceeded}" {more}>{contents}</validate-content>"""


@pytest.fixture
def echo() -> Iterator[Service]:
    """A backend that takes anything."""
    with Service() as echo:
        echo.default = lambda request: Reply(200, request.body)
        yield echo


def running(xml: str, backend: str) -> Any:
    return policies(xml, backend, config=CONFIG, files=FILES)


def test_a_body_must_conform_to_the_schema(echo: Service) -> None:
    with running(document(inbound=checking(), on_error=SHOW), echo.url) as gateway:
        assert gateway.call("POST", "/chat", json=GOOD).status_code == 200
        answer = gateway.call("POST", "/chat", json={"model": "claude", "messages": [{"role": 1}]})
        assert (answer.status_code, answer.headers["x-reason"]) == (400, "BadRequest")
        message = answer.json()["message"]
        assert message.startswith("Body of the request does not conform to the definition chat, which is associated")
        assert "Path 'model'" in message and "Path 'messages/0/role'" in message
        broken = gateway.call("POST", "/chat", content=b"{", headers={"content-type": "application/json"})
        assert (broken.status_code, "internal error" in broken.json()["message"]) == (400, True)
    assert len(echo.requests) == 1


def test_size_and_content_type(echo: Service) -> None:
    with running(document(inbound=checking(size=50)), echo.url) as gateway:
        answer = gateway.call("POST", "/chat", json={"model": "x" * 60})
        assert answer.status_code == 400
        assert "bytes long and it exceeds the limit of 50 bytes." in answer.json()["message"]
        answer = gateway.call("POST", "/chat", content=b"a", headers={"content-type": "text/plain; charset=utf-8"})
        assert answer.json()["message"] == "Unspecified content type text/plain is not allowed."
    with running(document(inbound=checking(exceeded="detect", other="ignore", size=5)), echo.url) as gateway:
        gateway.call("POST", "/chat", content=b"123456789", headers={"content-type": "text/plain"})
        assert len(echo.requests) == 1


def test_a_body_that_may_exceed_the_size_must_conform_all_the_same(echo: Service) -> None:
    with running(document(inbound=checking(exceeded="ignore", size=5), on_error=SHOW), echo.url) as gateway:
        assert gateway.call("POST", "/chat", json=GOOD).status_code == 200
        assert gateway.call("POST", "/chat", json={"model": "claude", "messages": []}).status_code == 400
        huge = gateway.call("POST", "/chat", content=b" " * 17_000_000, headers={"content-type": "application/json"})
        assert huge.status_code == 400 and "internal error" in huge.json()["message"]


def test_a_large_body_that_streams_is_refused_by_its_length(echo: Service) -> None:
    with running(document(inbound=checking()), echo.url) as gateway:
        answer = gateway.call("POST", "/chat", content=b"x" * 2_000_000, headers={"content-type": "application/json"})
        assert answer.json()["message"].startswith("Request's body is 2000000 bytes long")

        def pieces() -> Any:
            yield json.dumps(GOOD).encode()
            yield b" " * 2000

        answer = gateway.call("POST", "/chat", content=pieces(), headers={"content-type": "application/json"})
        assert answer.status_code == 400


def test_detected_errors_are_in_the_variable(echo: Service) -> None:
    show = """<return-response><set-body>@(context.Variables["errors"].ToString())</set-body></return-response>"""
    xml = checking(JSON.replace("prevent", "detect") % "", more='errors-variable-name="errors"') + show
    with running(document(inbound=xml), echo.url) as gateway:
        (error,) = gateway.call("POST", "/chat", json={"model": "gpt-1"}).json()
        assert error["Name"] == "application/json" and error["Type"] == "RequestBody"
        assert error["ValidationRule"] == "IncorrectMessage" and error["Action"] == "detect"
        assert "'messages' is a required property" in error["Details"]


@pytest.mark.parametrize(
    ("attribute", "body", "status"),
    [
        ("", {**GOOD, "more": 1}, 200),
        ('allow-additional-properties="false"', {**GOOD, "more": 1}, 400),
        ('allow-additional-properties="false"', {**GOOD, "messages": [{"role": "user", "more": 1}]}, 400),
        ('allow-additional-properties="false"', GOOD, 200),
        ("", {"Model": "gpt-4o", "MESSAGES": []}, 400),
        ('case-insensitive-property-names="true"', {"Model": "gpt-4o", "MESSAGES": []}, 200),
        ('case-insensitive-property-names="true"', {"Model": "o1", "MESSAGES": []}, 400),
        ('schema-ref="#/$defs/message"', {"role": "user"}, 200),
        ('schema-ref="#/$defs/message"', GOOD, 400),
    ],
)
def test_what_the_attributes_of_content_change(
    echo: Service, attribute: str, body: dict[str, Any], status: int
) -> None:
    with running(document(inbound=checking(JSON % attribute)), echo.url) as gateway:
        assert gateway.call("POST", "/chat", json=body).status_code == status


@pytest.mark.parametrize("version", ["draft-07/schema", "2020-12/schema"])
def test_schemas_of_any_version_are_closed_whole_and_bounded_in_time(echo: Service, version: str) -> None:
    inherits = {"allOf": [{"$ref": "#/$defs/named"}], "properties": {"slow": {"pattern": "(a+)+$"}}}
    named = {"type": "object", "properties": {"name": {"type": "string"}}}
    address = f"{'https' if version.startswith('2') else 'http'}://json-schema.org/"
    schema = {"$schema": f"{address}{'draft/' if version.startswith('2') else ''}{version}", **inherits}
    files = {**FILES, "chat.json": json.dumps({**schema, "$defs": {"named": named}})}
    xml = document(inbound=checking(JSON % 'allow-additional-properties="false"', size=9000))
    with policies(xml, echo.url, config=CONFIG, files=files) as gateway:
        for body, status in (({"name": "a"}, 200), ({"name": 1}, 400), ({"more": 1}, 400), ({"slow": "a"}, 200)):
            assert gateway.call("POST", "/chat", json=body).status_code == status, body
        answer = gateway.call("POST", "/chat", json={"slow": f"{'a' * 5000}!"})
        assert answer.status_code == 400 and answer.elapsed.total_seconds() < 5


def test_content_types_can_count_as_others(echo: Service) -> None:
    types = """<content-type-map missing-content-type-value="application/json">
        <type from="application/hal+json" to="application/json" />
        <type when='@(context.Request.Headers.ContainsKey("x-json"))' to="application/json" /></content-type-map>"""
    with running(document(inbound=checking(types + JSON % "")), echo.url) as gateway:

        def post(**headers: str) -> int:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            content = json.dumps(GOOD).encode()
            return gateway.call("POST", "/chat", content=content, headers=given).status_code

        assert post() == post(content_type="application/hal+json") == post(content_type="text/x", x_json="1") == 200
        assert post(content_type="text/x") == 400


def test_xml_and_soap(echo: Service) -> None:
    contents = """<content type="application/xml" validate-as="xml" schema-id="order" action="prevent" />
        <content type="text/xml" validate-as="soap" schema-id="order" action="prevent" />"""
    envelope = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>'
    secret = '<!DOCTYPE o [<!ENTITY x SYSTEM "file:///etc/hostname">]><order><count>&x;</count></order>'
    good, bad = "<order><count>1</count></order>", "<order><count>many</count></order>"
    with running(document(inbound=checking(contents)), echo.url) as gateway:

        def passes(kind: str, text: str) -> bool:
            answer = gateway.call("POST", "/chat", content=text.encode(), headers={"content-type": kind})
            return answer.status_code != 400

        assert passes("application/xml", good) and passes("text/xml", envelope % good)
        assert not any(
            (
                passes("application/xml", bad),
                passes("application/xml", secret),
                passes("application/xml", "<order>"),
                passes("text/xml", envelope % bad),
                passes("text/xml", good),
            )
        )


def test_a_response_that_does_not_conform_is_not_shown() -> None:
    with Service() as service:
        service.default = lambda request: Reply(200, b'{"secret": 1}', {"content-type": "application/json"})
        with running(document(outbound=checking(), on_error=SHOW), service.url) as gateway:
            answer = gateway.call()
            assert (answer.status_code, answer.headers["x-reason"]) == (502, "ResponseNotAllowed")
            assert "secret" not in answer.text and "Contact the API owner" in answer.json()["message"]
            service.default = lambda request: Reply(
                200, json.dumps(GOOD).encode(), {"content-type": "application/json"}
            )
            assert gateway.call().json() == GOOD


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ('<content validate-as="soap" action="prevent" />', "an OpenAPI document has no XML schemas"),
        ('<content validate-as="json" schema-ref="#/a" action="prevent" />', "schema-ref goes with schema-id"),
        ('<content validate-as="json" schema-id="none" action="prevent" />', "no schema none"),
        ('<content validate-as="xml" schema-id="chat" action="prevent" />', "needs an XML schema"),
        (JSON % 'schema-ref="#/nowhere"', "schema-ref #/nowhere is not in the schema"),
        ('<content validate-as="json" schema-id="bad" action="prevent" />', "not a JSON Schema"),
        ('<content validate-as="yaml" schema-id="chat" action="prevent" />', "attribute validate-as"),
    ],
)
def test_what_is_wrong_is_told_at_load(contents: str, message: str) -> None:
    config = "schemas: { chat: chat.json, bad: bad.json }"
    files = {"chat.json": json.dumps(CHAT), "bad.json": '{"type": "thing"}'}
    found = problems(document(inbound=checking(contents)), config=config, files=files)
    assert len(found) == 1 and message in found[0]


@pytest.mark.parametrize(("checked", "what"), [("deep", "nested"), ("flat", "a schema declared beside it is nested")])
def test_a_schema_that_is_nested_too_deep_is_told(checked: str, what: str) -> None:
    config = "schemas: { deep: deep.json, flat: flat.json }"
    deep = '{"not":' * 600 + "{}" + "}" * 600
    inbound = checking(f'''<content schema-id="{checked}" validate-as="json" action="prevent"
        allow-additional-properties="false" />''')
    (found,) = problems(document(inbound=inbound), config=config, files={"deep.json": deep, "flat.json": "{}"})
    assert found.endswith(f"validate-content/content: {what} too deep for a JSON Schema")


def test_a_schema_file_that_cannot_be_read_is_told() -> None:
    assert "schemas.chat: chat.json" in problems(document(), config="schemas: { chat: chat.json }")[0]


def test_a_schema_that_changes_is_read_anew(echo: Service) -> None:
    config = """
        backends: { main: { url: "@backend@" } }
        schemas: { chat: schemas/chat.json }
        policy: policies/all.xml
        apis:
          api:
            display_name: API
            path: api
            kind: http
            backend: main
            subscription_required: false
            operations: [{ id: all, method: POST, url_template: "/*" }]
        """
    files = {"policies/all.xml": document(inbound=checking(), backend="<forward-request />")}
    files["schemas/chat.json"] = '{"required": ["a"]}'
    values = {"backend": echo.url}
    often = {"GATEWAY_RELOAD_SECONDS": "0.05"}
    with serve(textwrap.dedent(config), files=files, values=values, environment=often) as gateway:
        post = partial(httpx.post, f"{gateway.url}/api/x", json={"b": 1}, headers=gateway.key)
        assert post().status_code == 400
        (gateway.folder / "schemas/chat.json").write_text('{"required": ["b"]}')
        wait_until(lambda: post().status_code == 200)
