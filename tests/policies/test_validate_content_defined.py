"""validate-content with the schemas of the API's own definition."""

import json
from typing import Any

import pytest

from tests.policies.defined import SHOW, defined, said
from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

ITEM = {
    "type": "object",
    "required": ["id", "name", "secret", "name"],
    "properties": {
        "id": {"type": "string", "format": "uuid", "readOnly": True},
        "name": {"type": "string", "description": "What it is called", "maxLength": 5},
        "secret": {"$ref": "#/components/schemas/secret", "minLength": 1},
        "made": {"type": "string", "format": "date-time", "nullable": True},
        "kind": {"type": "string", "enum": ["a"], "nullable": True},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/item"}},
        "size": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "code": {"type": "string", "pattern": r"^\p{Lu}+$"},
    },
}
JSON = {"application/json": {"schema": {"$ref": "#/components/schemas/item"}}}
SHOP: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/items": {
            "post": {
                "operationId": "add",
                "requestBody": {
                    "content": {
                        **JSON,
                        "text/csv": {},
                        "application/*": {"schema": {"type": "object", "maxProperties": 1}},
                    }
                },
                "responses": {
                    "201": {"content": JSON},
                    "4XX": {"content": {"application/problem+json": {"schema": {"required": ["title"]}}}},
                },
            }
        },
        "/lost": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "items.yaml#/item"}}}},
                "responses": {},
            }
        },
    },
    "components": {"schemas": {"item": ITEM, "secret": {"type": "string", "writeOnly": True}}},
}
ID = "9f2c1c9e-6a68-4b0e-8d5a-0a6a3a3f6f11"
GOOD = {"name": "lamp", "secret": "s"}


def checking(contents: str, *, other: str = "prevent", size: int = 1000) -> str:
    return f"""<validate-content unspecified-content-type-action="{other}" max-size="{size}"
        size-exceeded-action="prevent">{contents}</validate-content>"""


ANY = '<content validate-as="json" action="prevent" %s/>'
ONLY_JSON = '<content type="application/json" validate-as="json" action="prevent" />'


def of_openapi_2() -> dict[str, Any]:
    """The same request as OpenAPI 2 has it."""
    text = json.dumps(SHOP["components"]["schemas"]).replace("#/components/schemas/", "#/definitions/")
    body = {"in": "body", "name": "item", "schema": {"$ref": "#/definitions/item"}}
    post = {"operationId": "add", "parameters": [body], "responses": {}}
    definitions = json.loads(text.replace('"nullable"', '"x-nullable"'))
    return {"swagger": "2.0", "paths": {"/items": {"post": post}}, "definitions": definitions}


def of_openapi_3_1() -> dict[str, Any]:
    """The same document as OpenAPI 3.1 has it."""
    item = json.loads(json.dumps(ITEM))
    item["properties"]["made"] = {"type": ["string", "null"], "format": "date-time"}
    item["properties"]["kind"] = {"enum": ["a", None]}
    item["properties"]["size"] = {"type": "number", "exclusiveMinimum": 0}
    return {**SHOP, "openapi": "3.1.0", "components": {"schemas": {**SHOP["components"]["schemas"], "item": item}}}


@pytest.mark.parametrize("shop", [of_openapi_2(), SHOP, of_openapi_3_1()], ids=["2.0", "3.0", "3.1"])
def test_a_request_conforms_to_its_definition_in_every_version_of_openapi(shop: dict[str, Any]) -> None:
    with defined(shop, inbound=checking(ONLY_JSON)) as running:
        for more in (
            {},
            {"made": None, "kind": None},
            {"made": "2024-02-29T00:00:00Z"},
            {"parts": [GOOD]},
            {"more": 1},
        ):
            answer = running.post("/items", json={**GOOD, **more})
            assert answer.status_code == 200, answer.text
        asked = running.asked
        for wrong, message in {
            "name": "'name' is a required property",
            "long": "'lamp post' is too long Path 'name'.",
            "made": "'today' is not a 'date-time' Path 'made'.",
            "kind": "'b' is not one of ['a', None] Path 'kind'.",
            "parts": "'name' is a required property Path 'parts/0'.",
            "size": "0 is less than or equal to the minimum of 0 Path 'size'.",
            "code": "'lamp' does not match '^\\\\p{Lu}+$' Path 'code'.",
        }.items():
            bodies = {
                "name": {"secret": "s"},
                "long": {**GOOD, "name": "lamp post"},
                "made": {**GOOD, "made": "today"},
                "kind": {**GOOD, "kind": "b"},
                "parts": {**GOOD, "parts": [{"secret": "s"}]},
                "size": {**GOOD, "size": 0},
                "code": {**GOOD, "code": "lamp"},
            }
            answer = running.post("/items", json=bodies[wrong])
            assert (answer.status_code, answer.headers["x-error"]) == (400, "validate-content BadRequest")
            begins = "Body of the request does not conform to the definition item, which is associated with the content"
            assert said(answer).startswith(begins) and message in said(answer), said(answer)
        assert running.asked == asked


@pytest.mark.parametrize(
    ("shop", "status"), [(of_openapi_2(), 200), (SHOP, 200), (of_openapi_3_1(), 400)], ids=["2.0", "3.0", "3.1"]
)
def test_what_stands_beside_a_reference_holds_since_openapi_3_1(shop: dict[str, Any], status: int) -> None:
    with defined(shop, inbound=checking(ONLY_JSON)) as running:
        assert running.post("/items", json={**GOOD, "secret": ""}).status_code == status


def test_a_response_conforms_to_the_definition_of_its_status_code() -> None:
    with defined(SHOP, outbound=checking(ANY % "")) as shop:

        def outcome(status: int, body: object, content_type: str = "application/json") -> str:
            shop.answers(status, body, content_type=content_type)
            answer = shop.post("/items")
            assert answer.status_code in (status, 502) and "s3cret" not in answer.text
            return answer.headers.get("x-message", "")

        assert outcome(201, {"id": ID, "name": "lamp"}) == ""  # what is only written need not be there
        assert "'id' is a required property" in outcome(201, {"name": "s3cret"})
        assert outcome(404, {"title": "None"}, "application/problem+json; charset=utf-8") == ""
        assert "definition add, which" in outcome(404, {"detail": "s3cret"}, "application/problem+json")
        assert outcome(404, {"id": ID}) == "Unspecified content type application/json is not allowed."
        assert outcome(500, {"id": ID}) == "Unspecified content type application/json is not allowed."


def test_a_larger_body_is_checked_beside_other_requests() -> None:
    with defined(SHOP, inbound=checking(ONLY_JSON, size=100_000)) as shop:
        parts = [GOOD] * 1000
        assert shop.post("/items", json={**GOOD, "parts": parts}).status_code == 200
        answer = shop.post("/items", json={**GOOD, "parts": [*parts, {**GOOD, "name": "lamp post"}]})
        assert answer.status_code == 400 and "Path 'parts/1000/name'" in said(answer)


def test_content_types_are_those_of_the_definition() -> None:
    def status(body: bytes, kind: str) -> int:
        return shop.post("/items", content=body, headers={"content-type": kind}).status_code

    good = json.dumps(GOOD).encode()
    with defined(SHOP, inbound=checking(ONLY_JSON)) as shop:
        assert status(good, "application/JSON;charset=utf-8") == 200
        assert status(b"a,b", "text/csv") == status(b"{", "application/xml") == 200  # specified, and not to be checked
        assert status(b"a", "text/plain") == 400
    with defined(SHOP, inbound=checking(ANY % "")) as shop:
        assert status(b"a,b", "text/csv") == 200  # specified without a schema
        assert status(b'{"a": 1}', "application/x") == 200 and status(good, "application/x") == 400  # by the range
        assert status(b"a", "text/plain") == 400
    types = '<content-type-map any-content-type-value="application/json" />'
    with defined(SHOP, inbound=checking(types + ONLY_JSON)) as shop:
        assert status(good, "text/plain") == 200 and status(b"{}", "text/plain") == 400


def test_overrides_hold_for_schemas_of_the_definition() -> None:
    with defined(SHOP, inbound=checking(ANY % 'allow-additional-properties="false"')) as shop:
        assert shop.post("/items", json=GOOD).status_code == 200
        assert shop.post("/items", json={**GOOD, "more": 1}).status_code == 400
        assert shop.post("/items", json={**GOOD, "parts": [{**GOOD, "more": 1}]}).status_code == 400
    with defined(SHOP, inbound=checking(ANY % 'case-insensitive-property-names="true"')) as shop:
        assert shop.post("/items", json={"Name": "lamp", "SECRET": "s"}).status_code == 200
        assert shop.post("/items", json={"Name": "lamp post", "SECRET": "s"}).status_code == 400


def test_a_definition_that_is_not_there_is_told_at_load_and_ends_requests() -> None:
    with defined(SHOP, inbound=checking(ANY % "")) as shop:
        answer = shop.post("/lost", json={})
        message = "API's schema does not contain definition item, which is associated with the content type"
        assert (answer.status_code, answer.headers["x-message"]) == (400, f"{message} application/json.")
        assert "internal error" in said(answer)
        answer = shop.post("/elsewhere", json={})
        assert answer.headers["x-message"] == "API's schema does not exist or it could not be resolved."
    xml = document(inbound=checking(ANY % ""))
    files = {"shop.json": json.dumps({**SHOP, "paths": {"/lost": SHOP["paths"]["/lost"]}})}
    found = problems(xml, warnings=True, api={"openapi": "shop.json", "policy": "operation.xml"}, files=files)
    assert any(one.endswith("warning: shop.json: $ref items.yaml#/item leads nowhere") for one in found)


CANNOT = "Body of the response cannot be validated for the content type application/json. An event stream is not read."


@pytest.mark.parametrize(
    ("contents", "other", "specified", "message"),
    [
        (ONLY_JSON, "prevent", {"text/event-stream": {}}, ""),
        (ANY % "", "prevent", {"text/event-stream": {}}, ""),
        (ONLY_JSON, "ignore", JSON, ""),
        (ONLY_JSON, "detect", JSON, ""),
        (ONLY_JSON, "prevent", JSON, "Unspecified content type text/event-stream is not allowed."),
        (f'<content-type-map any-content-type-value="application/json" />{ONLY_JSON}', "prevent", JSON, CANNOT),
    ],
)
def test_an_event_stream_is_not_read(contents: str, other: str, specified: dict[str, Any], message: str) -> None:
    """The backend never ends its answer: whoever reads it waits for nothing."""
    responses = {"200": {"content": specified}}
    definition = {**SHOP, "paths": {"/v1/chat/completions": {"post": {"responses": responses}}}}
    xml = document(outbound=checking(contents, other=other), backend="<forward-request />", on_error=SHOW)
    declared = {
        "files": {"shop.json": json.dumps(definition)},
        "api": {"openapi": "shop.json", "policy": "operation.xml"},
    }
    with Backend(script=Script(stall_after=2)) as backend, policies(xml, backend.url, **declared) as gateway:
        ask = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        with gateway.client.stream("POST", "/api/v1/chat/completions", json=ask, timeout=5) as answer:
            assert (answer.status_code, answer.headers.get("x-message", "")) == (502 if message else 200, message)
            assert message or next(answer.iter_bytes()).startswith(b"data: ")


PET = {"type": "object", "properties": {"name": {"type": "string"}, "owner": {"$ref": "#/components/schemas/person"}}}
DOG = {"allOf": [{"$ref": "#/components/schemas/pet"}, {"properties": {"barks": {"type": "boolean"}}}]}
PETS = {
    "openapi": "3.0.3",
    "paths": {
        "/pets": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/dog"}},
                        "application/either": {"schema": {"oneOf": [{"$ref": "#/components/schemas/dog"}]}},
                        "application/plain": {"schema": {"$ref": "#/components/schemas/pet"}},
                    }
                },
                "responses": {},
            }
        }
    },
    "components": {"schemas": {"pet": PET, "dog": DOG, "person": {"type": "object", "properties": {"age": {}}}}},
}


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("json", {"name": "Rex", "barks": True, "owner": {"age": 9}}, 200),
        ("json", {"name": "Rex", "more": 1}, 400),
        ("json", {"owner": {"age": 9, "more": 1}}, 400),
        ("either", {"name": "Rex", "barks": True}, 200),
        ("either", {"name": "Rex", "more": 1}, 400),
        ("plain", {"name": "Rex"}, 200),
        ("plain", {"name": "Rex", "barks": True}, 400),
    ],
)
def test_a_schema_made_of_others_is_closed_as_a_whole(kind: str, body: object, status: int) -> None:
    """A schema that inherits has the properties of the one it inherits from."""
    with defined(PETS, inbound=checking(ANY % 'allow-additional-properties="false"')) as shop:
        sent = {"content": json.dumps(body).encode(), "headers": {"content-type": f"application/{kind}"}}
        assert shop.post("/pets", **sent).status_code == status
