"""Whatever an OpenAPI document has where parameters, bodies and schemas should be: it is read, or said to be
unreadable, and what is read can be checked against; never another exception."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.config.definition import DocumentDefinition, Parameter
from shared.llm.kinds import api_kind
from shared.management.importers.openapi import minimal
from shared.policies.definition import Definition

REFERENCES = [
    "#/components/schemas/a",
    "#/components/schemas/a/items",
    "#/components/schemas/b",
    "#/components",
    "b.yaml",
]
KEYWORDS = """$ref type items properties required enum const pattern format minimum exclusiveMinimum nullable allOf
    oneOf anyOf not additionalProperties readOnly""".split()

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates()
    | st.sampled_from(["object", "array", "string", "integer", "null", "(a", "date", "csv", "deepObject", *REFERENCES])
)
keys = st.sampled_from(KEYWORDS) | st.integers(0, 600)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
schemas = st.dictionaries(st.sampled_from(KEYWORDS), values, max_size=4) | values
parameters = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"]), "in": st.sampled_from(["path", "query", "header", "body", "formData"])},
    optional={
        "schema": schemas,
        "content": st.dictionaries(st.sampled_from(["application/json", "text/plain"]), values, max_size=1) | values,
        "style": values,
        "explode": values,
        "collectionFormat": values,
        "items": schemas,
        "type": values,
    },
)
content = st.dictionaries(
    st.sampled_from(["application/json", "*/*"]), st.fixed_dictionaries({}, optional={"schema": schemas}) | values
)
responses = st.dictionaries(
    st.sampled_from(["200", "4XX", "default", 200]),
    st.fixed_dictionaries(
        {}, optional={"content": content, "schema": schemas, "headers": st.dictionaries(keys, parameters | values)}
    )
    | values,
    max_size=3,
)
operations = st.fixed_dictionaries(
    {"operationId": st.just("it")},
    optional={
        "parameters": st.lists(parameters, max_size=3),
        "requestBody": st.fixed_dictionaries({"content": content | values}) | values,
        "responses": responses | values,
        "consumes": values,
    },
)
versions = st.sampled_from([{"swagger": 2.0}, {"openapi": "3.0.3"}, {"openapi": "3.1.0"}])


@given(versions, operations, schemas, schemas)
def test_any_document_is_read(version: Any, operation: Any, a: Any, b: Any) -> None:
    document = {**version, "paths": {"/x": {"post": operation}}, "components": {"schemas": {"a": a, "b": b}}}
    copy = json.loads(minimal(document, "https://x", api_kind("http"))[0])
    assert checked(DocumentDefinition(document)) == checked(DocumentDefinition(copy))


def checked(document: DocumentDefinition) -> Any:
    """Check something against everything there is, and return what there is."""
    definition = Definition(document)
    operation = definition.of("it")
    assert operation is not None or definition.unread
    for parameter in operation.parameters if operation else ():
        try:
            definition.value(parameter, "request").errors(["1"])
        except ValueError:
            pass
    for body in operation.bodies if operation else ():
        check = definition.content(body, "request")
        try:
            assert check is None or isinstance(check.errors(b'{"a": [1, null]}'), list)
        except ValueError:
            pass
    if operation is None:
        return None
    return (
        [written(one) for one in operation.parameters],
        sorted(one.content_type for one in operation.bodies),
        {
            status: (sorted(one.content_type for one in response.bodies), sorted(map(written, response.headers)))
            for status, response in operation.responses.items()
        },
    )


def written(parameter: Parameter) -> Any:
    how = "as JSON" if parameter.as_json else f"{parameter.style} {parameter.explode}"
    return parameter.name, parameter.location, parameter.required, how, parameter.allow_empty
