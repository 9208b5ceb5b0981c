"""Walks JSON Schemas: what holds other schemas in them, and how each of them is changed."""

from collections.abc import Callable
from typing import Any

Json = Any

# Where a schema holds others: by name, in lists, alone.
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
GROUPS = ("allOf", "anyOf", "oneOf")
LISTED = (*GROUPS, "prefixItems", "items")
SINGLE = (
    "items",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
)


def mapped(schema: Json, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Json:
    """The schema with `change` applied to it and to the schemas in it, the inner ones first. What is no schema comes
    back as it is."""
    if not isinstance(schema, dict):
        return schema

    def inner(part: Json) -> Json:
        return mapped(part, change)

    made = dict(schema)
    for name, value in schema.items():
        if name in NAMED and isinstance(value, dict):
            made[name] = {key: inner(one) for key, one in value.items()}
        elif name in LISTED and isinstance(value, list):
            made[name] = [inner(one) for one in value]
        elif name in SINGLE and isinstance(value, dict):
            made[name] = inner(value)
    if isinstance(components := schema.get("components"), dict):  # an OpenAPI document keeps its schemas there
        schemas = components.get("schemas") or {}
        made["components"] = {**components, "schemas": {key: inner(one) for key, one in schemas.items()}}
    return change(made)
