"""JSON Schemas with what a `content` element overrides: which properties there may be, and the case of their names."""

from collections.abc import Mapping
from typing import Any

from shared.config.json_schema import GROUPS, LISTED, NAMED, SINGLE, Json, mapped

PART = "~part"
"""What follows the URI of a schema where it is part of another one: it leaves open which properties there are."""

# What is said of the same value as the schema it stands in.
IN_PLACE = ("not", "if", "then", "else")
FURTHER = ("additionalProperties", "unevaluatedProperties")


def overridden(resources: Mapping[str, Json], additional: bool | None, fold_case: bool) -> dict[str, Json]:
    """Schemas by URI with the overrides; where they are closed there is another one for each, with PART."""
    made = {uri: one_overridden(schema, uri, additional, fold_case) for uri, schema in resources.items()}
    if additional is False:
        parts = {f"{uri}{PART}": _closed(schema, uri, part=True) for uri, schema in resources.items()}
        made |= {uri: folded_schema(part) if fold_case else part for uri, part in parts.items()}
    return made


def one_overridden(schema: Json, uri: str, additional: bool | None, fold_case: bool) -> Json:
    """A schema at `uri`, or one that refers to those of `overridden`, with the overrides: `additional` stands for its
    additionalProperties and those of all schemas in it, with `fold_case` property names are in lower case."""
    if additional is not None:
        schema = mapped(schema, _opened) if additional else _closed(schema, uri)
    return folded_schema(schema) if fold_case else schema


def _opened(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in FURTHER}


def _closed(schema: Json, uri: str, *, part: bool = False) -> Json:
    """A schema whose objects have no further properties. Of one that is made of others each says some of the properties
    there are: those are `part` of it, and only the whole is closed."""
    if not isinstance(schema, dict):
        return schema
    composed = any(name in schema for name in (*GROUPS, *IN_PLACE, "dependentSchemas"))
    composed = composed or ("$ref" in schema and "properties" in schema)
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "$ref" and isinstance(value, str):
            base, _, place = value.partition("#")
            made[name] = f"{base or uri}{PART if part or composed else ''}#{place}"
        elif name == "components" and isinstance(value, dict):  # an OpenAPI document keeps its schemas there
            schemas = value.get("schemas") or {}
            made[name] = {**value, "schemas": {key: _closed(one, uri, part=part) for key, one in schemas.items()}}
        else:
            made[name] = _closed_inside(name, value, uri, part)
    if part:
        return {name: value for name, value in made.items() if name not in FURTHER or value is False}
    made = _opened(made)
    if composed:
        return {**made, "unevaluatedProperties": False}
    types = made.get("type")
    is_object = "properties" in made or types == "object" or (isinstance(types, list) and "object" in types)
    return {**made, "additionalProperties": False} if is_object else made


def _closed_inside(name: str, value: Json, uri: str, part: bool) -> Json:
    """The schemas that a keyword of a schema holds, closed, or parts of it."""
    in_place = name in (*GROUPS, *IN_PLACE, "dependentSchemas") or (part and name in ("$defs", "definitions"))
    if isinstance(value, dict) and name in NAMED:
        return {key: _closed(one, uri, part=in_place) for key, one in value.items()}
    if isinstance(value, list) and name in LISTED:
        return [_closed(one, uri, part=in_place) for one in value]
    return _closed(value, uri, part=in_place) if name in SINGLE else value


def folded_schema(schema: Json) -> Json:
    """The schema with property names in lower case."""

    def fold(part: dict[str, Any]) -> dict[str, Any]:
        part = dict(part)
        if isinstance(part.get("properties"), dict):
            part["properties"] = {name.lower(): value for name, value in part["properties"].items()}
        if isinstance(part.get("required"), list):
            part["required"] = [str(name).lower() for name in part["required"]]
        return part

    return mapped(schema, fold)


def folded(document: Json) -> Json:
    """A document with property names in lower case."""
    if isinstance(document, dict):
        return {name.lower(): folded(value) for name, value in document.items()}
    return [folded(value) for value in document] if isinstance(document, list) else document
