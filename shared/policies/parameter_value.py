"""Reads the text of a parameter or header as its schema says it is written, and checks it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.config.definition import PREFIX, Parameter
from shared.config.json_schema import Json
from shared.policies.content_schema import conformance
from shared.policies.parameter_style import Unreadable, is_known, items, only, properties, scalar

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
# References and groups of schemas that are followed to find out what a text is.
DEEPEST = 20


class ParameterValue:
    """The check of one parameter."""

    def __init__(self, parameter: Parameter, named: Mapping[str, Json], validator: "Validator") -> None:
        """`named` are the schemas that the parameter's refers to."""
        self.parameter = parameter
        self._validator = validator
        self._types = types_of(parameter.schema, named)
        self._of_items = types_of(_member(parameter.schema, named, "items"), named)
        declared = _member(parameter.schema, named, "properties")
        self._of_properties = {
            str(name): (types_of(schema, named), types_of(_member(schema, named, "items"), named))
            for name, schema in (declared.items() if isinstance(declared, dict) else ())
        }
        self._by_lower = {name.lower(): name for name in self._of_properties}
        others = _member(parameter.schema, named, "additionalProperties")
        self._of_others = (types_of(others, named), types_of(_member(others, named, "items"), named))

    @property
    def is_object(self) -> bool:
        """Whether the value is an object whose properties are written as parameters of their own."""
        if self.parameter.location != "query" or self.parameter.as_json:
            return False
        deep = self.parameter.style == "deepObject" and (not self._types or "object" in self._types)
        return deep or (self.parameter.style == "form" and self.parameter.explode and "object" in self._types)

    @property
    def unread(self) -> str:
        """Why the value cannot be checked, or nothing."""
        if self.parameter.as_json or self.is_object:
            return ""
        style, location = self.parameter.style, self.parameter.location
        if not is_known(self.parameter):
            return f"{style} is no style of a {location} parameter"
        return "style deepObject is for objects only" if style == "deepObject" else ""

    def property_of(self, name: str) -> str | None:
        """The property that a query parameter is when the object `is_object`; None when it is none of the object's."""
        if self.parameter.style != "deepObject":
            return self._by_lower.get(name.lower())
        head, _, inner = name.partition("[")
        given = inner.removesuffix("]")
        # OpenAPI says nothing of objects in objects.
        if head.lower() != self.parameter.name.lower() or given == inner or set(given) & set("[]"):
            return None
        return self._by_lower.get(given.lower(), given)

    def errors(self, texts: Sequence[str]) -> list[str]:
        """What does not conform. ManyValues, Unreadable, and ValueError when it cannot be checked."""
        if self.parameter.allow_empty and not any(texts):
            return []
        found: list[str] = []
        for value in self._readings(texts):
            problems = conformance(self._validator, value)
            if not problems:
                return []
            found = found or problems
        return found

    def object_errors(self, given: Mapping[str, Sequence[str]]) -> list[str]:
        """The same of an object, from the texts of its properties."""
        value = {}
        for name, texts in given.items():
            types, of_items = self._of_properties.get(name, self._of_others)
            is_array = "array" in types
            value[name] = [_reading(text, of_items) for text in texts] if is_array else _reading(only(texts), types)
        return conformance(self._validator, value)

    def _readings(self, texts: Sequence[str]) -> Iterator[Any]:
        """What the texts may mean, the likeliest first. Unreadable when they can mean nothing."""
        if self.parameter.as_json:
            yield _json(only(texts))
            return
        if self.unread:
            raise ValueError(self.unread)
        yield from _readable(self._attempts(texts))

    def _attempts(self, texts: Sequence[str]) -> Iterator[Iterator[Any]]:
        """The readings of a value that may be a list, an object, or neither."""
        if "array" in self._types:
            yield _readable(self._list(one) for one in items(self.parameter, texts))
            if "string" in self._of_items:
                yield items(self.parameter, texts)
        if "object" in self._types:
            yield _readable(self._object(one) for one in properties(self.parameter, texts))
        if not self._types or self._types - {"array", "object", "null"}:
            yield self._scalar(texts)

    def _list(self, given: Sequence[str]) -> Iterator[Any]:
        yield [_reading(text, self._of_items) for text in given]

    def _object(self, given: Mapping[str, str]) -> Iterator[Any]:
        types = {name: self._of_properties.get(name, self._of_others)[0] for name in given}
        yield {name: _reading(text, types[name]) for name, text in given.items()}

    def _scalar(self, texts: Sequence[str]) -> Iterator[Any]:
        yield from _texts_readings(scalar(self.parameter, texts), self._types)


def _readable(attempts: Iterable[Iterator[Any]]) -> Iterator[Any]:
    """What can be read of several. Unreadable when nothing can."""
    wrong: Unreadable | None = None
    readable = False
    for attempt in attempts:
        try:
            for value in attempt:
                readable = True
                yield value
        except Unreadable as error:
            wrong = wrong or error
    if wrong is not None and not readable:
        raise wrong


def types_of(schema: Json, named: Mapping[str, Json], depth: int = 0) -> frozenset[str]:
    """The JSON types a schema allows, as far as it names any."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return frozenset()
    declared = schema.get("type")
    if declared is not None:
        listed = declared if isinstance(declared, list) else [declared]
        return frozenset(one for one in listed if isinstance(one, str)) & TYPES
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    if values:
        return frozenset(_type(value) for value in values)
    for found in _groups(schema, named):
        types = frozenset[str]().union(*(types_of(one, named, depth + 1) for one in found))
        if types:
            return types
    return frozenset({"array"} if "items" in schema else {"object"} if "properties" in schema else ())


def _groups(schema: dict[str, Any], named: Mapping[str, Json]) -> Iterator[Sequence[Json]]:
    """The schemas a schema is made of: the one it refers to, those that hold together, those one of which holds."""
    if isinstance(schema.get("$ref"), str):
        yield [named.get(schema["$ref"].removeprefix(PREFIX))]
    for group in ("allOf", "oneOf", "anyOf"):
        if isinstance(schema.get(group), list):
            yield schema[group]


def _member(schema: Json, named: Mapping[str, Json], keyword: str, depth: int = 0) -> Json:
    """The first `items` or `properties` there is in a schema and those it is made of."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    if keyword in schema:
        return schema[keyword]
    inner = (one for group in _groups(schema, named) for one in group)
    return next((found for one in inner if (found := _member(one, named, keyword, depth + 1)) is not None), None)


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case None:
            return "null"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "string"


def _reading(text: str, types: frozenset[str]) -> Any:
    return next(_texts_readings(text, types))


def _texts_readings(text: str, types: frozenset[str]) -> Iterator[Any]:
    """What a text may mean by the types it can have. Unreadable when it can be none of them."""
    readable = False
    if types & {"integer", "number"} and NUMBER.fullmatch(text):
        readable = True
        yield float(text) if set(text) & set(".eE") else int(text)
    if "boolean" in types and text.lower() in ("true", "false"):
        readable = True
        yield text.lower() == "true"
    if "null" in types and not text:
        readable = True
        yield None
    if not types or "string" in types:
        readable = True
        yield text
    if not readable:
        raise Unreadable(f"It is no {' or '.join(sorted(types - {'null'}))}.")


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise Unreadable(f"{error}") from None
