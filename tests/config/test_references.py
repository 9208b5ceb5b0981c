"""A `$ref` leads to the same place whatever it stands for: parameter, response, example or schema."""

from typing import Any

import pytest

from shared.config.definition import DocumentDefinition
from shared.config.plain_data import plain_data
from shared.config.references import followed, pointed
from shared.config.responses import DocumentResponses

DOCUMENT = """\
openapi: 3.0.0
paths:
  /a b/{c}:
    get:
      operationId: get
      parameters: [{ $ref: "#/x-parts/0" }]
      responses:
        200: { $ref: "#/components/responses/a%20b" }
        201: { $ref: "#/paths/~1a%20b~1%7Bc%7D/get/responses/202" }
        202: { content: { application/json: { schema: { $ref: "#/x-parts/1/anyOf/1" } } } }
components:
  responses:
    a b: { content: { application/json: { schema: { $ref: "#/x-parts/1/any%4Ff/1" } } } }
x-parts: [{ name: first, in: query, schema: { type: integer } }, { anyOf: [{}, { type: boolean }] }]
"""


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/a", 1),
        ("#/a%20b", 2),
        ("#/a b", 2),
        ("#/c~1d", 3),
        ("#/c%2Fd", 3),
        ("#/m~0n", 4),
        ("#/m~01", 5),
        ("#/%25", 6),
        ("#/", 7),
        ("#/200", 8),
        ("#/list/1", "b"),
        ("#/list/01", None),
        ("#/list/-", None),
        ("#/list/2", None),
        ("#/list/²", None),
        ("#/list/" + "1" * 5_000, None),
        ("#/a/b", None),
        ("#", None),
        ("b.yaml#/a", None),
    ],
)
def test_a_reference_is_a_json_pointer_in_a_fragment(reference: str, target: Any) -> None:
    document = {"a": 1, "a b": 2, "c/d": 3, "m~n": 4, "m~1": 5, "%": 6, "": 7, 200: 8, "list": ["a", "b"]}
    assert pointed(document, reference) == target


def test_references_to_each_other_lead_nowhere() -> None:
    document = {"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}, "c": {"$ref": "#/d"}, "d": {"name": "d"}}
    assert followed(document, document["a"]) is None
    assert followed(document, document["c"]) == {"name": "d"}


def test_parameters_responses_and_schemas_are_found_alike() -> None:
    document = plain_data(DOCUMENT)
    definition, responses = DocumentDefinition(document), DocumentResponses(document).of("get")
    operation = definition.of("get")
    assert operation is not None and responses is not None and definition.lost == []
    assert [one.name for one in operation.parameters] == ["first"]
    for status in (200, 201, 202):
        (body,) = operation.responses[str(status)].bodies
        assert definition.schemas[body.definition] == {"type": "boolean"}
        (answer,) = responses.of(status).representations
        assert answer.examples == (b"true",) and not answer.problems
