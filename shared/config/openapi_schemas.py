"""The schemas of an OpenAPI document as JSON Schemas (2020-12), with what they refer to beside them, by name."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from shared.config.json_schema import Json, mapped
from shared.config.references import pointed, segments

MOST_SCHEMAS = 100_000
"""Schemas that are read of one document: the aliases of YAML can make a small document endless."""

# What decides which values conform; the rest of a schema is for readers. readOnly and writeOnly tell which messages a
# property is required in.
KEYWORDS = frozenset(
    """$ref $defs definitions type enum const format readOnly writeOnly
    multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern
    items prefixItems contains maxItems minItems uniqueItems maxContains minContains unevaluatedItems
    properties patternProperties additionalProperties unevaluatedProperties propertyNames required maxProperties
    minProperties dependentRequired dependentSchemas
    allOf anyOf oneOf not if then else""".split()
)


class Schemas:
    """Reads schemas out of a document. `named` are those that are referred to, each once however often; `lost` are the
    references that lead nowhere or outside: they stay as they are."""

    def __init__(self, document: Mapping[str, Any], prefix: str) -> None:
        """References are rewritten to `prefix` and a name in `named`."""
        self.named: dict[str, Json] = {}
        self.lost: list[str] = []
        self._document = document
        self._prefix = prefix
        # OpenAPI 2 and 3.0: what stands beside a $ref is ignored; 3.1 has JSON Schema as it is.
        self._refs_stand_alone = "swagger" in document or str(document.get("openapi", "")).startswith("3.0")
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, Json]] = []
        self._left = MOST_SCHEMAS

    def read(self, schema: Json) -> Json:
        """A schema as JSON Schema; a boolean is one, and so is what is no schema at all: it takes anything. ValueError
        when the document has too many."""
        try:
            made = self._read(schema)
            while self._waiting:
                name, waiting = self._waiting.pop()
                self.named[name] = self._read(waiting)
        except RecursionError:
            raise ValueError("a schema is nested too deep") from None
        return made

    def _read(self, schema: Json) -> Json:
        return mapped(schema, self._changed) if isinstance(schema, dict | bool) else {}

    def _changed(self, part: dict[str, Any]) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"the document has more than {MOST_SCHEMAS} schemas")
        reference = part.get("$ref")
        if isinstance(reference, str):
            part = {**part, "$ref": self._target(reference)}
            if self._refs_stand_alone:
                return {"$ref": part["$ref"]}
        return _as_2020_12(part)

    def _target(self, reference: str) -> str:
        if reference not in self._names:
            found = pointed(self._document, reference)
            if not isinstance(found, dict | bool):
                self.lost.append(reference)
                self._names[reference] = ""
            else:
                self._names[reference] = name = self._free_name(reference)
                self._waiting.append((name, found))
        name = self._names[reference]
        return f"{self._prefix}{name}" if name else reference

    def _free_name(self, reference: str) -> str:
        base = name = re.sub(r"[^A-Za-z0-9._-]", "-", segments(reference)[-1]) or "schema"
        number = 2
        while name in self._names.values():
            name, number = f"{base}-{number}", number + 1
        return name


def _as_2020_12(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the keywords of OpenAPI 2 and 3.0 as JSON Schema has them. Documents of 3.1 often have them, too,
    by mistake."""
    part = {name: value for name, value in schema.items() if name in KEYWORDS}
    if part.get("type") == "file":
        del part["type"]
    required = part.pop("required", None)
    if isinstance(required, list):  # not so `required: true` on a property, as in draft 3
        part["required"] = [name for index, name in enumerate(required) if name not in required[:index]]
    if isinstance(part.get("items"), list):
        part["prefixItems"] = part.pop("items")
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(part.get(exclusive), bool):
            if part.pop(exclusive) and bound in part:
                part[exclusive] = part.pop(bound)
    if isinstance(part.get("enum"), list):
        part["enum"] = [_plain(value) for value in part["enum"]]
    if "const" in part:
        part["const"] = _plain(part["const"])
    return _with_null(part) if True in (schema.get("nullable"), schema.get("x-nullable")) else part


def _plain(value: Any) -> Any:
    """A value as JSON has it: YAML reads 2024-10-21 as a date."""
    return value.isoformat() if isinstance(value, date) else value


def _with_null(part: dict[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("type"), str):
        part["type"] = [part["type"], "null"]
        if isinstance(part.get("enum"), list) and None not in part["enum"]:
            part["enum"] = [*part["enum"], None]
        return part
    return {"anyOf": [part, {"type": "null"}]} if part else part
