"""validate-parameters: headers, query and path against OpenAPI documents of every version."""

import json
from typing import Any

import pytest

from tests.policies.defined import defined, said
from tests.support.policies import document, problems

OPENAPI_3 = """
openapi: {version}
paths:
  /orders/{{id}}:
    parameters:
      - {{in: path, name: id, required: true, schema: {{type: integer, minimum: 1}}}}
    get:
      operationId: order
      parameters:
        - {{in: query, name: limit, schema: {{$ref: "#/components/schemas/limit"}}}}
        - {{in: query, name: tags, schema: {{type: array, items: {{type: string, maxLength: 3}}}}}}
        - {{in: query, name: ids, explode: false, schema: {{type: array, items: {{type: integer}}}}}}
        - {{in: query, name: day, schema: {{type: string, format: date, {nullable}}}}}
        - {{in: query, name: flag, allowEmptyValue: true, schema: {{type: boolean}}}}
        - {{in: header, name: X-Team, required: true, schema: {{type: string, pattern: '^\\p{{Lu}}+$'}}}}
        - {{in: header, name: X-Sizes, schema: {{type: array, items: {{enum: [1, 2]}}}}}}
      responses: {{"200": {{description: ""}}}}
components:
  schemas: {{limit: {{type: integer, {bound}}}}}
"""
VERSIONS = {
    "2.0": """
swagger: "2.0"
paths:
  /orders/{id}:
    parameters: [{in: path, name: id, required: true, type: integer, minimum: 1}]
    get:
      operationId: order
      parameters:
        - {in: query, name: limit, type: integer, maximum: 10, exclusiveMaximum: true}
        - {in: query, name: tags, type: array, collectionFormat: multi, items: {type: string, maxLength: 3}}
        - {in: query, name: ids, type: array, items: {type: integer}}
        - {in: query, name: day, type: string, format: date, x-nullable: true}
        - {in: query, name: flag, type: boolean, allowEmptyValue: true}
        - {in: header, name: X-Team, required: true, type: string, pattern: '^\\p{Lu}+$'}
        - {in: header, name: X-Sizes, type: array, items: {type: integer, enum: [1, 2]}}
      responses: {200: {description: ""}}
""",
    "3.0": OPENAPI_3.format(version="3.0.3", nullable="nullable: true", bound="maximum: 10, exclusiveMaximum: true"),
    "3.1": OPENAPI_3.format(version="3.1.0", nullable="minLength: 1", bound="exclusiveMaximum: 10"),
}
TEAM = {"x-team": "RED"}
STRICT = '<validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="ignore" %s />'


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters_conform_in_every_version_of_openapi(version: str) -> None:
    with defined(VERSIONS[version], inbound=STRICT % "") as shop:
        for path in ("7", "7?limit=9", "7?tags=a&tags=bc", "7?ids=1,2", "7?ids=", "7?day=2024-02-29", "7?flag&Limit=1"):
            assert shop.get(f"/orders/{path}", headers=TEAM).status_code == 200, path
        assert (
            shop.get("/orders/7", headers=[("x-team", b"\xc0B"), ("x-sizes", b"1, 2"), ("x-sizes", b"1")]).status_code
            == 200
        )
        asked = shop.asked
        for path, message in {
            "0": "The value of the path parameter id does not conform to the definition. 0 is less",
            "x": "Value of the path parameter id couldn't be parsed according to the definition. It is no integer.",
            "7?limit=10": "The value of the query parameter limit does not conform to the definition. 10 is greater",
            "7?limit=1&limit=2": "Request cannot contain multiple values for the query parameter limit.",
            "7?LIMIT=many": "Value of the query parameter limit couldn't be parsed according to the definition.",
            "7?tags=abcd": "The value of the query parameter tags does not conform to the definition. 'abcd'",
            "7?ids=1,b": "Value of the query parameter ids couldn't be parsed according to the definition.",
            "7?day=2023-02-29": "The value of the query parameter day does not conform to the definition.",
            "7?flag=maybe": "Value of the query parameter flag couldn't be parsed according to the definition.",
        }.items():
            answer = shop.get(f"/orders/{path}", headers=TEAM)
            assert (answer.status_code, answer.headers["x-error"]) == (400, "validate-parameters BadRequest"), path
            assert said(answer).startswith(message), path
        assert said(shop.get("/orders/7")) == "Request does not contain the required header X-Team."
        assert "does not match" in said(shop.get("/orders/7", headers={"x-team": "red"}))
        assert "header X-Sizes does not conform" in said(shop.get("/orders/7", headers={**TEAM, "x-sizes": "1,3"}))
        assert shop.asked == asked


def test_unspecified_parameters_are_those_a_caller_sent() -> None:
    policy = """<validate-parameters specified-parameter-action="ignore" unspecified-parameter-action="prevent">%s
        </validate-parameters>"""
    with defined(VERSIONS["3.0"], inbound=policy % "") as shop:
        ours = {"x-team": "1", "x-forwarded-for": "9.9.9.9", "ocp-apim-subscription-key": "k"}

        def message(path: str, **headers: str) -> str:
            request = shop.gateway.client.build_request("GET", f"/api{path}", headers={**ours, **headers})
            for name in ("accept", "accept-encoding", "user-agent"):
                del request.headers[name]
            answer = shop.gateway.client.send(request)
            return "" if answer.status_code == 200 else said(answer)

        assert message("/orders/7?limit=many") == message("/orders/x") == ""  # what is specified is not looked at
        assert message("/orders/7?more=1") == "Unspecified query parameter more is not allowed."
        assert message("/orders/7", x_other="1") == "Unspecified header x_other is not allowed."
        assert message("/orders/7", Authorization="Bearer t") == "Unspecified header authorization is not allowed."
    groups = """<headers unspecified-parameter-action="ignore"><parameter name="HOST" action="prevent" /></headers>
        <query specified-parameter-action="prevent"><parameter name="more" action="ignore" />
            <parameter name="ids" action="ignore" /></query>
        <path specified-parameter-action="prevent" />"""
    with defined(VERSIONS["3.0"], inbound=policy % groups) as shop:
        assert said(shop.get("/orders/7?more=1&ids=x")) == "Unspecified header host is not allowed."
    with defined(VERSIONS["3.0"], inbound=policy % groups.replace("HOST", "x")) as shop:
        assert shop.get("/orders/7?more=1&ids=x").status_code == 200
        assert shop.get("/orders/7?limit=x").status_code == shop.get("/orders/x").status_code == 400


def test_detected_errors_are_all_in_the_variable() -> None:
    show = """<return-response><set-body>@(context.Variables["found"].ToString())</set-body></return-response>"""
    policy = """<validate-parameters specified-parameter-action="detect" unspecified-parameter-action="ignore"
        errors-variable-name="found"><query unspecified-parameter-action="@("detect")" /></validate-parameters>"""
    with defined(VERSIONS["3.0"], inbound=policy + show) as shop:
        errors = shop.get("/orders/x?more=1").json()
    assert [tuple(error.values()) for error in errors] == [
        (
            "X-Team",
            "RequestHeader",
            "IncorrectMessage",
            "Request does not contain the required header X-Team.",
            "detect",
        ),
        ("more", "QueryParameter", "Unspecified", "Unspecified query parameter more is not allowed.", "detect"),
        (
            "id",
            "PathParameter",
            "IncorrectMessage",
            "Value of the path parameter id cannot be parsed according to the definition. It is no integer.",
            "detect",
        ),
    ]


def test_objects_and_json_in_the_query() -> None:
    tags = {"type": "array", "items": {"type": "integer"}}
    place = {
        "type": "object",
        "required": ["lat"],
        "properties": {"lat": {"type": "number"}, "name": {"type": "string"}, "tags": tags},
    }
    parameters: list[dict[str, Any]] = [
        {"in": "query", "name": "near", "style": "deepObject", "schema": place},
        {"in": "query", "name": "area", "schema": {"properties": {"size": {"type": "integer"}}}},
        {"in": "query", "name": "filter", "content": {"application/json": {"schema": {"$ref": "#/components/place"}}}},
        {"in": "query", "name": "either", "schema": {"oneOf": [{"type": "integer"}, {"enum": ["all"]}]}},
        {"in": "query", "name": "days", "explode": False, "schema": {"anyOf": [tags, {"enum": ["all"]}]}},
    ]
    paths = {"/near": {"get": {"parameters": parameters, "responses": {}}}}
    policy = """<validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="ignore">
        <query unspecified-parameter-action="prevent" /></validate-parameters>"""
    with defined({"openapi": "3.0.3", "paths": paths, "components": {"place": place}}, inbound=policy) as shop:
        for good in (
            "near[lat]=1.5&near[name]=5",
            "near[lat]=1&near[tags]=1&near[tags]=2",
            "size=3",
            'filter={"lat": 1}',
            "either=all",
            "days=1,2",
            "days=all",
            "either=5",
        ):
            assert shop.get(f"/near?{good}").status_code == 200, good
        for bad in (
            "near[lat]=x",
            "near[lat]=1&near[lat]=2",
            "near[lat]=1&near[tags]=a",
            "near[name]=a",
            "near[other]=1",
            "size=x",
            "filter={}",
            "filter={",
            "either=some",
            "days=some",
        ):
            assert shop.get(f"/near?{bad}").status_code == 400, bad


COLOR = {"type": "object", "required": ["R"], "properties": {"R": {"type": "integer"}, "G": {"type": "number"}}}
NUMBERS = {"type": "array", "items": {"type": "integer"}, "maxItems": 2}


@pytest.mark.parametrize(
    ("style", "explode", "schema", "good", "bad"),
    [
        ("simple", True, COLOR, ["R=1,G=2.5", "R=1"], ["R,1,G,2", "G=2", "R=x"]),
        ("simple", False, COLOR, ["R,1,G,2.5"], ["R=1,G=2", "R,1,G", "R,x"]),
        ("label", False, {"type": "integer"}, [".5"], ["5", ".x", "..5"]),
        ("label", False, {"type": "string", "pattern": "^a"}, [".a"], ["a", ".b"]),
        ("label", False, NUMBERS, [".1", ".1,2", ".1.2"], ["1,2", ".1,x", ".1,2,3"]),
        ("label", True, NUMBERS, [".1.2"], [".1,2", ".1.2.3"]),
        ("label", False, COLOR, [".R,1,G,2.5", ".R.1.G.2"], [".R,x", ".G,2", "R,1"]),
        ("label", True, COLOR, [".R=1.G=2.5"], [".R,1", ".R=1.5", ".G=2"]),
        ("matrix", False, {"type": "integer"}, [";value=5", ";Value=5"], ["5", ";5", ";other=5", ";value=x"]),
        ("matrix", False, NUMBERS, [";value=1,2"], ["1,2", ";value=1;value=2", ";value=1,2,3"]),
        ("matrix", True, NUMBERS, [";value=1;value=2"], [";value=1,2", ";value=1;other=2"]),
        ("matrix", False, COLOR, [";value=R,1,G,2.5"], [";R=1", ";value=R,x", ";value=R"]),
        ("matrix", True, COLOR, [";R=1;G=2.5"], [";value=R,1", ";G=2"]),
    ],
)
def test_a_path_is_read_as_its_style_writes_it(
    style: str, explode: bool, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    value = {"in": "path", "name": "value", "required": True, "style": style, "explode": explode, "schema": schema}
    paths = {"/of/{value}": {"get": {"parameters": [value], "responses": {}}}}
    with defined({"openapi": "3.0.3", "paths": paths}, inbound=STRICT % "") as shop:
        assert {text: shop.get(f"/of/{text}").status_code for text in good} == dict.fromkeys(good, 200)
        assert {text: shop.get(f"/of/{text}").status_code for text in bad} == dict.fromkeys(bad, 400)


def test_a_query_is_read_as_its_style_writes_it() -> None:
    of_any = {"type": "object", "additionalProperties": {"type": "integer"}}
    closed = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    parameters: list[dict[str, Any]] = [
        {"in": "query", "name": "spaced", "style": "spaceDelimited", "schema": NUMBERS},
        {"in": "query", "name": "piped", "style": "pipeDelimited", "schema": NUMBERS},
        {"in": "query", "name": "each", "style": "pipeDelimited", "explode": True, "schema": NUMBERS},
        {"in": "query", "name": "color", "style": "form", "explode": False, "schema": COLOR},
        {"in": "query", "name": "tint", "style": "pipeDelimited", "schema": COLOR},
        {"in": "query", "name": "open", "style": "deepObject", "schema": of_any},
        {"in": "query", "name": "closed", "style": "deepObject", "schema": closed},
    ]
    paths = {"/a": {"get": {"parameters": parameters, "responses": {}}}}
    good = ["spaced=1%202", "piped=1%7C2", "each=1&each=2", "each=1%7C2", "color=R,1,G,2.5", "tint=R%7C1"]
    good += ["open[x]=1&open[y]=2", "closed[a]=1", "closed[A]=1", "open[x][y]=z", "open[=z"]
    bad = ["spaced=1,2", "spaced=1%202%203", "piped=1%20x", "each=1&each=x", "color=R", "color=G,1", "tint=R,1"]
    bad += ["open[x]=y", "closed[b]=1", "closed[a]=x"]
    with defined({"openapi": "3.0.3", "paths": paths}, inbound=STRICT % "") as shop:
        assert {text: shop.get(f"/a?{text}").status_code for text in good} == dict.fromkeys(good, 200)
        assert {text: shop.get(f"/a?{text}").status_code for text in bad} == dict.fromkeys(bad, 400)


def test_a_secret_that_does_not_conform_is_not_repeated() -> None:
    parameters = [{"in": "header", "name": "Authorization", "schema": {"type": "string", "maxLength": 3}}]
    paths = {"/a": {"get": {"parameters": parameters, "responses": {}}}}
    with defined({"openapi": "3.0.3", "paths": paths}, inbound=STRICT % "") as shop:
        answer = shop.get("/a", headers={"authorization": "Bearer s3cret"})
    assert answer.status_code == 400 and "s3cret" not in answer.text + answer.headers["x-message"]


def test_what_cannot_be_checked_is_told_at_load_and_ends_requests() -> None:
    parameters = [
        {"in": "query", "name": "a", "schema": {"$ref": "other.yaml#/lost"}},
        {"in": "query", "name": "b", "style": "matrix", "schema": {"type": "array"}},
        {"in": "query", "name": "c", "schema": {"type": "thing"}},
        {"in": "query", "name": "d", "schema": {"type": "string", "pattern": "(a+)+$"}},
    ]
    paths = {"/a": {"get": {"operationId": "a", "parameters": parameters, "responses": {}}}}
    definition = {"openapi": "3.0.3", "paths": paths}
    with defined(definition, inbound=STRICT % "") as shop:
        assert shop.get("/a").status_code == shop.get("/a?d=aaa").status_code == 200
        for path, details in {
            "/a?a=1": "API's schema does not contain definition lost, which is associated with the query parameter a.",
            "/a?b=1": "Query parameter b cannot be validated. matrix is no style of a query parameter",
            "/a?c=1": "API's schema does not contain definition the schema of query c, which is",
            f"/a?d={'a' * 5000}!": "Query parameter d cannot be validated. a pattern of the schema takes too long",
        }.items():
            answer = shop.get(path)
            assert answer.status_code == 400 and "internal error" in said(answer), path
            assert answer.headers["x-message"].startswith(details), path
        # The operations of the test's own that are not in the document have no definition.
        answer = shop.get("/b")
        assert answer.headers["x-message"] == "API's schema does not exist or it could not be resolved."
    xml, files = document(inbound=STRICT % ""), {"shop.json": json.dumps(definition)}
    found = problems(xml, warnings=True, api={"openapi": "shop.json", "policy": "operation.xml"}, files=files)
    warned = "operation.xml:1 inbound/validate-parameters: warning: "
    assert [one.removeprefix(warned) for one in found if "has no operation" not in one] == [
        "query b: matrix is no style of a query parameter",
        "shop.json: $ref other.yaml#/lost leads nowhere",
        "shop.json: the schema of query c is not a JSON Schema: 'thing' is not valid under any of the given schemas",
    ]
    (found_without,) = problems(xml, warnings=True)
    assert found_without == f"{warned}API chat has no OpenAPI document, so none of its calls conforms"


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ('<validate-parameters specified-parameter-action="prevent" />', "unspecified-parameter-action is required"),
        (STRICT % "" + STRICT % "", "can be used only once in inbound"),
        (STRICT % 'errors-variable-name="@("a")"', "policy expressions are not allowed here"),
        (STRICT.replace("/>", "><cookies /></validate-parameters>") % "", "unknown element cookies"),
        (
            STRICT.replace("/>", '><path unspecified-parameter-action="detect" /></validate-parameters>') % "",
            "unknown attribute unspecified-parameter-action",
        ),
        (STRICT.replace("ignore", "allow") % "", "attribute unspecified-parameter-action"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml))
    assert len(found) == 1 and message in found[0]
