"""A sample value for a JSON Schema: what API Management makes up where a document has schemas but no examples."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.config.references import followed

DEEPEST = 12
LARGEST = 200
"""Schemas refer to each other without an end: a sample stops at so many levels, or after so many of them."""

NOTHING = object()
"""No sample: the schema refers to itself, is too deep, or comes when the sample is large enough."""

FORMATS = {
    "date-time": "2024-01-01T00:00:00Z",
    "date": "2024-01-01",
    "time": "00:00:00Z",
    "duration": "PT1M",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "email": "user@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "c3RyaW5n",
}


class Sampler:
    """Makes one sample. `lost` has the references that lead nowhere."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.lost: list[str] = []
        self._document = document
        self._left = LARGEST

    def of(self, schema: Any, above: tuple[str, ...] = (), depth: int = 0) -> Any:
        """The sample as plain data, or NOTHING. `above` are the references that are being followed."""
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if depth > DEEPEST or self._left <= 0 or reference in above:
            return NOTHING
        self._left -= 1
        if isinstance(reference, str):
            above = (*above, reference)
            schema = followed(self._document, schema)
            if schema is None:
                self.lost.append(reference)
        if not isinstance(schema, Mapping):
            return NOTHING
        for value in _given(schema):
            self._left -= size_of(value, self._left) - 1
            return value if self._left >= 0 else NOTHING
        return self._joined(schema, above, depth)

    def _joined(self, schema: Mapping[str, Any], above: tuple[str, ...], depth: int) -> Any:
        """What a schema says itself and by allOf, oneOf and anyOf: all members of objects, else the first sample."""
        samples = [self._own(schema, above, depth)]
        samples += [self.of(part, above, depth + 1) for part in _listed(schema, "allOf")]
        for key in ("oneOf", "anyOf"):
            options = (self.of(option, above, depth + 1) for option in _listed(schema, key))
            samples.append(next((sample for sample in options if sample is not NOTHING), NOTHING))
        objects = [sample for sample in samples if isinstance(sample, dict)]
        if objects:
            return {name: value for one in objects for name, value in one.items()}
        # What is composed says more than a bare type.
        return next((sample for sample in (*samples[1:], samples[0]) if sample is not NOTHING), NOTHING)

    def _own(self, schema: Mapping[str, Any], above: tuple[str, ...], depth: int) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, above, depth)
            case "array":
                item = self.of(schema.get("items"), above, depth + 1)
                return [] if item is NOTHING else [item]
            case "string":
                return FORMATS.get(str(schema.get("format")), "string")
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return NOTHING

    def _object(self, schema: Mapping[str, Any], above: tuple[str, ...], depth: int) -> dict[str, Any]:
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if not isinstance(properties, Mapping):
            properties = {"property": more} if isinstance(more, Mapping) and more else {}
        # OpenAPI: a writeOnly property is no part of a response.
        wanted = {
            str(name): value
            for name, value in properties.items()
            if not (isinstance(value, Mapping) and value.get("writeOnly") is True)
        }
        made: dict[str, Any] = {}
        # Plain ones first, then the room that is left in equal shares: one large property must not use it all.
        waiting = sorted(wanted, key=lambda name: _type(wanted[name]) in ("", "object", "array"))
        for done, name in enumerate(waiting):
            room = self._left
            self._left = share = -(-room // (len(waiting) - done))
            made[name] = self.of(wanted[name], above, depth + 1)
            self._left += room - share
        return {name: made[name] for name in wanted if made[name] is not NOTHING}


def size_of(value: Any, most: int) -> int:
    """How many values a value is made of, counted no further than just past `most`."""
    waiting, count = [value], 0
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        if isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
    return count


def _given(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Values the schema itself names, the most telling first."""
    if "example" in schema:
        yield schema["example"]
    yield from _listed(schema, "examples")
    for key in ("const", "default"):
        if key in schema:
            yield schema[key]
    yield from _listed(schema, "enum")


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return ""
    type_ = schema.get("type")
    if isinstance(type_, list):  # OpenAPI 3.1
        type_ = next((one for one in type_ if one != "null"), "null")
    if isinstance(type_, str):
        return type_
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema else ""


def _number(schema: Mapping[str, Any]) -> int | float:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int | float) and least > 0:
        return least
    return most if isinstance(most, int | float) and most < 0 else 0
