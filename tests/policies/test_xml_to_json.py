"""xml-to-json: the documents it writes, and when it does not write."""

import json
import time
from typing import Any

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

ALWAYS = 'apply="always" consider-accept-header="false"'
XML = """<?xml version="1.0"?>
<s:Envelope xmlns="http://example.com/" xmlns:s="urn:soap" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <s:Body><!-- no -->
    <Order s:id="7" kind="new"><Line>1</Line><Line>2</Line><Empty /><Note xsi:nil="true" />
    <Total currency="EUR"><![CDATA[9.50]]></Total></Order>
  </s:Body>
</s:Envelope>"""


def converted(backend: Backend, attributes: str, body: str = XML) -> Any:
    backend.script = Script(body=body, headers={"content-type": "text/xml"})
    with policies(document(outbound=f"<xml-to-json {ALWAYS} {attributes} />"), backend.url) as gateway:
        answer = gateway.call()
        assert answer.headers["content-type"] == "application/json", answer.text
        return json.loads(answer.content)


def test_direct_keeps_the_documents_form(backend: Backend) -> None:
    assert converted(backend, 'kind="direct"') == {
        "s$Envelope": {
            "@xmlns": "http://example.com/",
            "@xmlns$s": "urn:soap",
            "@xmlns$xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "s$Body": {
                "Order": {
                    "@s$id": "7",
                    "@kind": "new",
                    "Line": ["1", "2"],
                    "Empty": None,
                    "Note": {"@xsi$nil": "true"},
                    "Total": {"@currency": "EUR", "#text": "9.50"},
                }
            },
        }
    }


def test_javascript_friendly_has_plain_names(backend: Backend) -> None:
    assert converted(backend, 'kind="javascript-friendly"') == {
        "Envelope": {
            "Body": {
                "Order": {
                    "id": "7",
                    "kind": "new",
                    "Line": ["1", "2"],
                    "Empty": None,
                    "Note": None,
                    "Total": {"currency": "EUR", "$text": "9.50"},
                }
            }
        }
    }


def test_namespaces_hold_where_they_are_declared(backend: Backend) -> None:
    body = '<a xmlns:p="u" p:x="1" xml:lang="en"><b xmlns:q="v" xmlns="w" q:y="2" p:z="3"/><c p:x="4"/></a>'
    assert converted(backend, 'kind="direct"', body) == {
        "a": {
            "@xmlns$p": "u",
            "@p$x": "1",
            "@xml$lang": "en",
            "b": {"@xmlns$q": "v", "@xmlns": "w", "@q$y": "2", "@p$z": "3"},
            "c": {"@p$x": "4"},
        }
    }


def test_many_namespaces_take_a_time_that_grows_with_the_document(backend: Backend) -> None:
    declared = "".join(f' xmlns:p{n}="u{n}" p{n}:a="1"' for n in range(4_000))
    began = time.process_time()
    found = converted(backend, 'kind="direct"', f"<a{declared}>{'<b/>' * 4_000}</a>")
    assert time.process_time() - began < 2
    assert found["a"]["@p3999$a"] == "1" and len(found["a"]["b"]) == 4_000


def test_child_elements_are_arrays_if_wanted(backend: Backend) -> None:
    found = converted(backend, 'kind="direct" always-array-child-elements="true"', "<a><b>1</b><c><d/></c></a>")
    assert found == {"a": {"b": ["1"], "c": [{"d": [None]}]}}


@pytest.mark.parametrize(
    "body",
    [
        "<a>",
        "no xml",
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
        '<!DOCTYPE a [<!ENTITY e "eeee"><!ENTITY f "&e;&e;&e;">]><a>&f;</a>',
        "<a>" * 300 + "</a>" * 300,
    ],
)
def test_a_body_that_is_no_plain_xml_fails_the_request(backend: Backend, body: str) -> None:
    backend.script = Script(body=body)
    with policies(document(outbound=f'<xml-to-json {ALWAYS} kind="direct" />'), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.json()["message"]) == (500, "Internal server error")


@pytest.mark.parametrize(
    ("attributes", "accept", "body_type", "result"),
    [
        ('apply="always"', "text/xml", "text/xml", "text/xml"),
        ('apply="always"', "text/xml, application/json", "text/xml", "application/json"),
        ('apply="content-type-xml" consider-accept-header="false"', "*/*", "text/plain", "text/plain"),
        ('apply="content-type-xml" consider-accept-header="false"', "*/*", "application/soap+xml", "application/json"),
    ],
)
def test_accept_and_content_type_decide(
    backend: Backend, attributes: str, accept: str, body_type: str, result: str
) -> None:
    backend.script = Script(body="<a>1</a>", headers={"content-type": body_type})
    with policies(document(outbound=f'<xml-to-json kind="direct" {attributes} />'), backend.url) as gateway:
        answer = gateway.call(headers={"accept": accept})
    assert answer.headers["content-type"] == result
    assert answer.text == ('{"a": "1"}' if "json" in result else "<a>1</a>")


def test_what_it_must_be_told() -> None:
    found = problems(document('<xml-to-json kind="friendly" />'))
    assert len(found) == 2
    assert "apply is required" in found[0] and "kind:" in found[1]
