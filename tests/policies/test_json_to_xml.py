"""json-to-xml: the documents it writes, and when it does not write."""

import json
import time

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

ALWAYS = 'apply="always" consider-accept-header="false"'


def converted(backend: Backend, body: object, attributes: str = ALWAYS) -> str:
    backend.script = Script(body=body if isinstance(body, str) else json.dumps(body))
    with policies(document(outbound=f"<json-to-xml {attributes} />"), backend.url) as gateway:
        answer = gateway.call()
        assert answer.headers["content-type"] == "application/xml", answer.text
        return answer.text


def test_apims_example_of_namespaces_and_attributes(backend: Backend) -> None:
    body = {
        "soapenv:Envelope": {
            "xmlns:soapenv": "http://schemas.xmlsoap.org/soap/envelope/",
            "xmlns:v1": "http://localdomain.com/core/v1",
            "soapenv:Header": {},
            "soapenv:Body": {"v1:QueryList": {"#attrs": {"queryName": "test"}, "v1:Item": {"name": "dummy text"}}},
        }
    }
    more = 'parse-date="false" namespace-separator=":" namespace-prefix="xmlns" attribute-block-name="#attrs"'
    assert converted(backend, body, f"{ALWAYS} {more}") == (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:v1="http://localdomain.com/core/v1"><soapenv:Header/><soapenv:Body>'
        '<v1:QueryList queryName="test"><v1:Item><name>dummy text</name></v1:Item></v1:QueryList>'
        "</soapenv:Body></soapenv:Envelope>"
    )


def test_many_namespaces_take_a_time_that_grows_with_the_document(backend: Backend) -> None:
    body: object = ["x"] * 10_000
    for depth in range(200):
        body = {"a": body, **{f"xmlns:p{depth}x{n}": "u" for n in range(40)}}
    more = 'namespace-separator=":" namespace-prefix="xmlns"'
    began = time.process_time()
    xml = converted(backend, body, f"{ALWAYS} {more}")
    assert time.process_time() - began < 5
    assert xml.count("<a>x</a>") == 10_000


def test_several_properties_get_a_root_and_values_their_texts(backend: Backend) -> None:
    body = """{"first_name": "J<n", "alive": true, "age": 25, "pi": 3.10, "kids": [], "spouse": null,
      "phones": [{"n": "1"}, {"n": "2"}], "odd name": "x", "1st": "y"}"""
    assert converted(backend, body) == (
        "<Document><first_name>J&lt;n</first_name><alive>True</alive><age>25</age><pi>3.10</pi><kids></kids>"
        '<spouse xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
        "<phones><n>1</n></phones><phones><n>2</n></phones>"
        "<odd_x0020_name>x</odd_x0020_name><_x0031_st>y</_x0031_st></Document>"
    )


def test_what_is_no_object_gets_a_root(backend: Backend) -> None:
    assert converted(backend, "[1, 2]") == "<Document><Document>1</Document><Document>2</Document></Document>"
    assert converted(backend, '"text"') == "<Document>text</Document>"


@pytest.mark.parametrize(
    ("parse", "written"), [("true", "2026-05-29T10:30:00.12Z"), ("false", "2026-05-29T10:30:00.120Z")]
)
def test_dates_are_parsed_unless_told_not_to(backend: Backend, parse: str, written: str) -> None:
    xml = converted(backend, {"at": "2026-05-29T10:30:00.120Z"}, f'{ALWAYS} parse-date="{parse}"')
    assert xml == f"<at>{written}</at>"


@pytest.mark.parametrize(
    ("attributes", "accept", "body_type", "result"),
    [
        ('apply="always"', "application/json", "application/json", "application/json"),
        ('apply="always"', "*/*", "application/json", "application/json"),
        ('apply="always"', "text/html, text/xml;q=0.5", "application/json", "text/xml"),
        ('apply="always"', "text/xml;q=0", "application/json", "application/json"),
        ('apply="content-type-json" consider-accept-header="false"', "*/*", "text/plain", "text/plain"),
        (
            'apply="content-type-json" consider-accept-header="false"',
            "*/*",
            "application/problem+json",
            "application/xml",
        ),
    ],
)
def test_accept_and_content_type_decide(
    backend: Backend, attributes: str, accept: str, body_type: str, result: str
) -> None:
    backend.script = Script(body='{"a": 1}', headers={"content-type": body_type})
    with policies(document(outbound=f"<json-to-xml {attributes} />"), backend.url) as gateway:
        answer = gateway.call(headers={"accept": accept})
    assert answer.headers["content-type"] == result
    assert answer.text == ("<a>1</a>" if "xml" in result else '{"a": 1}')


@pytest.mark.parametrize("body", ["{", "[" * 5000 + "]" * 5000, '{"a": "\\u0000"}'])
def test_what_no_xml_can_be_made_of_fails_the_request(backend: Backend, body: str) -> None:
    backend.script = Script(body=body)
    with policies(document(outbound=f"<json-to-xml {ALWAYS} />"), backend.url) as gateway:
        assert gateway.call().status_code == 500


def test_a_request_is_converted_too_and_apply_is_required(backend: Backend) -> None:
    with policies(document(f"<json-to-xml {ALWAYS} />"), backend.url) as gateway:
        gateway.call("POST", json={"a": "ä"})
    assert backend.last.body.decode() == "<a>ä</a>"
    assert "attribute apply is required" in problems(document("<json-to-xml />"))[0]
