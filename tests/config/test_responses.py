"""Whatever an OpenAPI document has where responses should be: bodies come out, or problems, and never an exception."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.config.responses import Responses

NAMES = """200 4XX default $ref content description schema example examples value application/json application/xml
    text/csv type properties items allOf oneOf enum default xml name wrapped attribute""".split()
REFERENCES = ["#/components/a", "#/components/a/items", "#/components/b", "#/components", "b.yaml#/b"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=5)
    | st.sampled_from(["object", "array", "string", "number", '{"a": 1}', "<a/>", "\ud800", 2**70])
    | st.sampled_from(REFERENCES).map(lambda reference: {"$ref": reference})
)
keys = st.sampled_from(NAMES) | st.integers(0, 600)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=25
)
schemas = st.dictionaries(st.sampled_from(["type", "properties", "items", "allOf", "xml", "example", "$ref"]), values)
media = st.fixed_dictionaries({}, optional={"schema": schemas | values, "example": values, "examples": values})
content = st.dictionaries(st.sampled_from(["application/json", "application/xml", "text/csv", "*/*"]) | keys, media)
responses = st.fixed_dictionaries(
    {}, optional={"content": content, "schema": schemas, "examples": st.dictionaries(keys, values, max_size=3)}
)


@given(st.dictionaries(keys, responses | values, max_size=3), schemas, values)
def test_any_responses_are_read(declared: Any, a: Any, b: Any) -> None:
    found = Responses({"components": {"a": a, "b": b}}, {"responses": declared, "produces": [b]})
    for status in (200, 404):
        for content_type in (None, "application/json", "application/xml"):
            one = found.of(status).representation(content_type)
            assert one is None or all(isinstance(body, bytes) for body in one.examples)
            assert one is None or isinstance(one.sent_as, str)
