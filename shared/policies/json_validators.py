"""JSON Schema validators that check formats and bound the time a pattern may take."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import jsonschema
import regex  # type: ignore[import-untyped]
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012, specification_with

from shared.config.json_schema import Json, mapped
from shared.expressions.errors import ExpressionFailed
from shared.expressions.regexes import translated

PATTERN_SECONDS = 0.25
"""CPU time a pattern may take for one value: it holds up other requests meanwhile."""

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")

# JSON Schema leaves formats to whoever checks; API Management checks those of properties ("What content is validated").
FORMATS = jsonschema.FormatChecker(formats=("email", "ipv4", "ipv6", "uuid"))


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value) and date.fromisoformat(value))


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """RFC 3339; as .NET writes them, the time zone may be missing."""
    return not isinstance(value, str) or bool(DATE_TIME.fullmatch(value) and datetime.fromisoformat(value))


# What JSON Schema has since draft 7, or has changed.
NEWER = frozenset(
    """$anchor $defs $dynamicRef $id $schema dependentRequired dependentSchemas maxContains minContains prefixItems
    unevaluatedItems unevaluatedProperties""".split()
)


def checked(schema: Mapping[str, Any]) -> None:
    """ValueError when a schema is none (2020-12 unless `$schema` names another), or is nested deeper than can be
    read."""
    kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        if _is_old(schema):
            kind = jsonschema.Draft7Validator  # its rules are the same for these, and take a fifth of the time
        kind.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message[:200]}") from error
    except RecursionError:
        raise ValueError("nested too deep for a JSON Schema") from None

    def readable(part: dict[str, Any]) -> dict[str, Any]:
        if isinstance(part.get("pattern"), str):
            _compiled(part["pattern"])
        return part

    try:
        mapped(schema, readable)
    except (regex.error, ExpressionFailed, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"not a JSON Schema: a pattern cannot be read: {error}"[:200]) from error


def _is_old(schema: Mapping[str, Any]) -> bool:
    """Whether a schema has only keywords of draft 7 that mean the same now."""
    newer: list[object] = []

    def look(part: dict[str, Any]) -> dict[str, Any]:
        newer.extend(NEWER.intersection(part))
        if isinstance(part.get("items"), list):
            newer.append("items")
        return part

    mapped(schema, look)
    return not newer


def registry_of(resources: Mapping[str, Json]) -> "Registry[Any]":
    """Schemas that refer to each other, by URI."""
    return Registry[Any]().with_resources([(uri, _resource(schema)) for uri, schema in resources.items()])


def _resource(schema: Json) -> "Resource[Any]":
    """A schema as its version has it, without the name of the version: a validator would go on with its own rules."""
    if not isinstance(schema, dict) or "$schema" not in schema:
        return DRAFT202012.create_resource(schema)
    version = specification_with(str(schema["$schema"]), default=DRAFT202012)
    return version.create_resource({name: value for name, value in schema.items() if name != "$schema"})


def validator(schema: Json, registry: "Registry[Any]", *, like: Json = None) -> Validator:
    """A validator of a schema that may refer to those in a registry, in the version of `like` or of its own."""
    of = schema if like is None else like
    kind = jsonschema.validators.validator_for(of, default=jsonschema.Draft202012Validator)
    made: Validator = _bounded(kind)(schema, registry=registry, format_checker=FORMATS)
    return made


@lru_cache(maxsize=8)
def _bounded(kind: type[Validator]) -> Any:
    extend: Any = jsonschema.validators.extend
    # Schemas are closed with unevaluatedProperties (see overridden_schemas), which is newer than draft 7.
    newer = jsonschema.Draft202012Validator.VALIDATORS["unevaluatedProperties"]
    own = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items}
    others = _additional_properties(kind.VALIDATORS["additionalProperties"])
    return extend(kind, {**own, "additionalProperties": others, "unevaluatedProperties": newer})


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    for pattern, part in patterns.items() if isinstance(value, dict) else ():
        for name, member in value.items():
            if _matches(pattern, name):
                yield from validator.descend(member, part, path=name, schema_path=pattern)


def _additional_properties(standard: Any) -> Any:
    """The keyword as the validator has it, for what no pattern of names takes."""

    def check(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        patterns = schema.get("patternProperties")
        if not patterns or not isinstance(value, dict):
            return standard(validator, wanted, value, schema)
        others = {name: member for name, member in value.items() if not any(_matches(one, name) for one in patterns)}
        return standard(validator, wanted, others, {"properties": schema.get("properties", {})})

    return check


def _unique_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if wanted and isinstance(value, list) and len({_identity(one) for one in value}) < len(value):
        yield jsonschema.ValidationError("the array has non-unique elements")


def _identity(value: Json) -> object:
    """What is the same for equal JSON values, and for no others (JSON Schema, 4.2.2: 1 and 1.0 are equal)."""
    match value:
        case dict():
            return frozenset((name, _identity(member)) for name, member in value.items())
        case list():
            return tuple([_identity(one) for one in value])
        case bool():
            return bool, value
    return value


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text; TimeoutError when that takes too long."""
    return _compiled(pattern).search(text, timeout=PATTERN_SECONDS) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return regex.compile(translated(pattern))
