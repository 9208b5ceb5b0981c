"""mock-response: an answer without a backend, with the body the OpenAPI document has for the operation."""

import asyncio
import json
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from shared.config.loader import load
from shared.gateway.catalog import compile_catalog
from tests.support.backend import Backend
from tests.support.policies import Declared, Running, document, policies, problems

FILMS = """
openapi: 3.0.3
info: {title: Films, version: "1"}
paths:
  /films:
    get:
      operationId: films
      responses:
        "200":
          description: All of them
          content:
            application/xml: {example: <films/>}
            application/json:
              examples:
                two: {value: [{title: A New Hope, released: 1977-05-25, shown: 1977-05-25T20:00:00Z}]}
                none: {$ref: "#/components/examples/none"}
            application/vnd.films+json; charset=utf-8: {example: '{"films": []}'}
            text/csv: {schema: {type: string}}
            application/x-tape: {schema: {$ref: "#/components/schemas/film"}}
            image/gif: {schema: {type: string, format: binary}}
        "404": {$ref: "#/components/responses/problem"}
        5XX: {$ref: "#/components/responses/problem"}
    post:
      operationId: new-film
      responses:
        default: {description: "", content: {application/json: {schema: {$ref: "#/components/schemas/film"}}}}
        2XX: {description: "", content: {application/json: {example: made}}}
    put:
      operationId: any-film
      responses: {default: {description: "", content: {text/plain: {example: any}}}}
  /silent:
    get: {operationId: silent, responses: {"200": {description: Nothing}}}
components:
  examples:
    none: {value: []}
  responses:
    problem: {description: "", content: {"*/*": {schema: {$ref: "#/components/schemas/problem"}}}}
  schemas:
    problem: {properties: {code: {enum: [gone, moved]}, detail: {type: string, example: No such film}}}
    named: {type: object, properties: {title: {type: string}, id: {type: string, format: uuid}}}
    film:
      allOf: [{$ref: "#/components/schemas/named"}, {properties: {year: {type: integer, minimum: 1888}}}]
      properties:
        released: {type: string, format: date}
        rating: {type: [number, "null"], default: 7.5}
        budget: {type: ["null", integer], maximum: -1}
        kind: {const: film}
        color: {type: string, examples: [black and white, technicolor]}
        seen: {type: boolean}
        secret: {type: string, writeOnly: true}
        sequels: {type: array, items: {$ref: "#/components/schemas/film"}}
        cast: {type: array, items: {oneOf: [{$ref: "#/components/schemas/named"}, {type: string}]}}
        votes: {additionalProperties: {type: integer}}
"""
SAMPLE = {
    "title": "string",
    "id": "00000000-0000-0000-0000-000000000000",
    "year": 1888,
    "released": "2024-01-01",
    "rating": 7.5,
    "budget": -1,
    "kind": "film",
    "color": "black and white",
    "seen": True,
    "sequels": [],
    "cast": [{"title": "string", "id": "00000000-0000-0000-0000-000000000000"}],
    "votes": {"property": 0},
}
SHOP = """
openapi: 3.0.3
paths:
  /order:
    get:
      operationId: order
      responses: {200: {content: {application/xml: {schema: {$ref: "#/components/schemas/Order"}}}}}
  /orders:
    get:
      operationId: orders
      responses:
        200: {content: {application/xml: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}}
  /given:
    get:
      operationId: given
      responses:
        200:
          content:
            text/xml:
              schema: {$ref: "#/components/schemas/Order"}
              example: {id: 7, lines: [a & b, 2024-05-25]}
components:
  schemas:
    Order:
      xml: {name: order, namespace: urn:shop, prefix: s}
      allOf: [{properties: {id: {type: integer, xml: {attribute: true}}}}]
      properties:
        open: {type: boolean}
        lines: {type: array, xml: {wrapped: true}, items: {type: string, xml: {name: line}}}
        2nd tag: {type: array, items: {type: string, nullable: true, default: null}}
"""
DECLARATION = b"<?xml version='1.0' encoding='utf-8'?>\n"
PETS = """
swagger: "2.0"
produces: [application/json]
paths:
  /pets:
    get:
      operationId: pets
      responses:
        200: {description: "", schema: {type: array, items: {type: string}}, examples: {text/plain: Rex}}
        404: {description: "", schema: {type: string}, examples: {application/json: {lost: true}}}
"""


def described(openapi: str = FILMS) -> dict[str, Any]:
    """An API with an OpenAPI document, and the test's policies for all of its operations."""
    return {"api": {"openapi": "api.yaml", "policy": "operation.xml"}, "files": {"api.yaml": openapi}}


def mocked(gateway: Running, method: str, path: str) -> tuple[int, str, bytes]:
    answer = gateway.call(method, path)
    return answer.status_code, answer.headers.get("content-type", ""), answer.content


def test_the_caller_gets_status_and_content_type_and_no_content(backend: Backend) -> None:
    mock = '<mock-response status-code="201" content-type="application/json" />'
    with policies(document(mock, outbound="<set-body>ran</set-body>"), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (201, "application/json", b"")
    assert backend.requests == []


@pytest.mark.parametrize(
    ("attributes", "path", "expected"),
    [
        # The first content type there is content for, when none is asked for.
        ("", "/films", (200, "application/xml", b"<films/>")),
        ("", "/silent", (200, "", b"")),
        (
            'content-type="application/json"',
            "/films",
            (
                200,
                "application/json",
                b'[{"title":"A New Hope","released":"1977-05-25","shown":"1977-05-25T20:00:00Z"}]',
            ),
        ),
        ('content-type="application/json" index="1"', "/films", (200, "application/json", b"[]")),
        # Parameters and case of a content type do not matter; the caller gets it as the policy has it.
        (
            'content-type="Application/vnd.films+JSON"',
            "/films",
            (200, "Application/vnd.films+JSON", b'{"films": []}'),
        ),
        ('content-type="text/csv"', "/films", (200, "text/csv", b"string")),
        # Neither an example nor a schema a body can be made of, and no such content type at all.
        ('content-type="application/x-tape"', "/films", (200, "application/x-tape", b"")),
        ('content-type="image/gif"', "/films", (200, "image/gif", b"")),
        ('content-type="image/png"', "/films", (200, "image/png", b"")),
        ('status-code="404"', "/films", (404, "application/json", b'{"code":"gone","detail":"No such film"}')),
        (
            'status-code="503" content-type="application/problem+json"',
            "/films",
            (503, "application/problem+json", b'{"code":"gone","detail":"No such film"}'),
        ),
        ('status-code="418"', "/films", (418, "", b"")),
    ],
)
def test_the_body_is_the_operations_example(attributes: str, path: str, expected: tuple[int, str, bytes]) -> None:
    with policies(document(f"<mock-response {attributes} />"), **described()) as gateway:
        assert mocked(gateway, "GET", path) == expected


def test_without_an_example_a_sample_is_made_from_the_schema() -> None:
    with policies(document('<mock-response status-code="400" />'), **described()) as gateway:
        status, content_type, body = mocked(gateway, "POST", "/films")
    assert (status, content_type, json.loads(body)) == (400, "application/json", SAMPLE)


def test_the_default_response_is_that_of_errors_unless_it_is_the_only_one() -> None:
    with policies(document('<mock-response status-code="302" />'), **described()) as gateway:
        assert mocked(gateway, "POST", "/films") == (302, "", b"")
        assert mocked(gateway, "PUT", "/films") == (302, "text/plain", b"any")


def test_each_operation_answers_with_its_own_from_a_fragment_in_the_global_document() -> None:
    item = "{get: {operationId: item, responses: {200: {content: {application/json: {example: {id: 7}}}}}}}"
    files = {
        "api.yaml": FILMS.replace("paths:", f"paths:\n  /items/{{id}}: {item}"),
        "global.xml": document("<include-fragment fragment-id='mock' />"),
        "mock.xml": "<fragment><mock-response /></fragment>",
    }
    config = "policy: global.xml\nfragments: {mock: mock.xml}\n"
    with policies(document("<base />"), config=config, api={"openapi": "api.yaml"}, files=files) as gateway:
        assert mocked(gateway, "POST", "/films") == (200, "application/json", b'"made"')
        assert mocked(gateway, "GET", "/films") == (200, "application/xml", b"<films/>")
        # An operation of gateway.yaml, which has its place in the OpenAPI document too.
        assert mocked(gateway, "GET", "/items/7") == (200, "application/json", b'{"id":7}')


def test_openapi_2_has_examples_by_type_and_one_schema() -> None:
    with policies(document("<mock-response />"), **described(PETS)) as gateway:
        assert mocked(gateway, "GET", "/pets") == (200, "application/json", b'["string"]')
    with policies(document('<mock-response content-type="text/plain" />'), **described(PETS)) as gateway:
        assert mocked(gateway, "GET", "/pets") == (200, "text/plain", b"Rex")
    silent = PETS.replace("produces: [application/json]", "").replace("examples: {text/plain: Rex}", "")
    with policies(document("<mock-response />"), **described(silent)) as gateway:
        assert mocked(gateway, "GET", "/pets") == (200, "application/json", b'["string"]')
    with policies(document('<mock-response status-code="404" />'), **described(PETS)) as gateway:
        assert mocked(gateway, "GET", "/pets") == (404, "application/json", b'{"lost":true}')


def test_xml_is_made_as_the_schema_names_it() -> None:
    with policies(document("<mock-response />"), **described(SHOP)) as gateway:
        order, orders, given = (mocked(gateway, "GET", path)[2] for path in ("/order", "/orders", "/given"))
    inside = b"<open>true</open><lines><line>string</line></lines><_2nd_tag /></s:order>"
    element = b'<s:order xmlns:s="urn:shop" id="0">' + inside
    assert order == DECLARATION + element
    assert orders == DECLARATION + b"<root>" + element + b"</root>"
    lines = b"<lines><line>a &amp; b</line><line>2024-05-25</line></lines>"
    assert given == DECLARATION + b'<s:order xmlns:s="urn:shop" id="7">' + lines + b"</s:order>"


def test_an_answer_that_can_have_no_content_has_none() -> None:
    with policies(document('<mock-response status-code="204" />'), **described()) as gateway:
        connection = HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)
        for _ in range(2):  # servers give up a connection when there is content all the same
            connection.request("POST", "/api/films")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204, b"")
        connection.close()


def test_a_schema_without_an_end_gives_a_sample_with_one() -> None:
    wide = {str(number): {"$ref": f"#/s/{number}"} for number in range(20)}
    schemas = {str(number): {"properties": {**wide, "name": {"type": "string"}}} for number in range(20)}
    content = {"application/json": {"schema": {"$ref": "#/s/0"}}}
    get = {"operationId": "deep", "responses": {"200": {"description": "", "content": content}}}
    openapi = json.dumps({"openapi": "3.0.3", "s": schemas, "paths": {"/deep": {"get": get}}})
    with policies(document("<mock-response />"), **described(openapi)) as gateway:
        body = mocked(gateway, "GET", "/deep")[2]
    assert 1_000 < len(body) < 4_000
    # Every branch has its share of what there is room for.
    sample = json.loads(body)
    assert list(sample) == [*(str(number) for number in range(1, 20)), "name"]
    assert all(sample[str(number)]["name"] == "string" for number in range(1, 20))


def test_documents_nobody_mocks_are_not_worked_out() -> None:
    assert _worked_out("<set-status code='200' reason='OK' />") == []
    assert _worked_out("<mock-response />") == ["films", "new-film", "silent"]


def _worked_out(inbound: str) -> list[str]:
    """The operations whose responses a configuration keeps."""
    with TemporaryDirectory() as name:
        file = Declared(**described()).write(Path(name), document(inbound), "http://127.0.0.1:9")
        loaded = asyncio.run(load(file, {}))
        compile_catalog(loaded)
    responses = loaded.responses["chat"]
    return [id for id in ("films", "new-film", "silent") if responses.of(id) is not None]


def test_what_cannot_be_read_is_told_with_its_place() -> None:
    broken = """
openapi: 3.0.3
paths:
  /a:
    get:
      operationId: a
      responses:
        200:
          content:
            text/one: {schema: {$ref: "other.yaml#/x"}}
            text/two: {examples: {far: {externalValue: "https://a/b"}, lost: {$ref: "#/x"}}}
            text/big: {example: &a [*a]}
            text/fine: {example: fine}
        404: {$ref: "#/components/responses/missing"}
"""
    found = []
    for attributes in (
        'content-type="text/one"',
        'content-type="text/two"',
        'content-type="text/big"',
        'content-type="text/fine" index="2"',
        'status-code="404"',
        'content-type="text/fine"',
        'status-code="500"',
    ):
        text = document(f"\n<mock-response {attributes} />")
        found += problems(text, warnings=True, **described(broken))
    place = "operation.xml:2 inbound/mock-response: warning: api.yaml, operation a: "
    assert found == [
        f"{place}$ref other.yaml#/x leads nowhere",
        f"{place}example far is in another document",
        f"{place}example lost refers to #/x, which leads nowhere",
        f"{place}an example of text/big cannot be written: it has more than 100000 values",
        f"{place}there is no example 2, the first of 1 is sent",
        f"{place}response 404 refers to #/components/responses/missing, which leads nowhere",
    ]


def test_it_takes_the_place_of_an_error() -> None:
    with policies(document(on_error="<mock-response />")) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.content) == (200, b"")


def test_it_is_refused_in_backend() -> None:
    assert "not allowed in backend" in problems(document(backend="<mock-response />"))[0]
    assert "status-code" in problems(document('<mock-response status-code="1000" />'))[0]


def test_attributes_are_no_expressions() -> None:
    (problem,) = problems(document('<mock-response status-code="@(200)" />'))
    assert "attribute status-code: policy expressions are not allowed here" in problem
