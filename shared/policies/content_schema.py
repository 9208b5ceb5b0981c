"""Schemas for validate-content: JSON Schema and XML schema, compiled at load, and what does not conform to them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

Json = Any


class ContentSchema(Protocol):
    """Checks a body."""

    def errors(self, body: bytes) -> list[str]:
        """What is wrong with the body, at most ten things; empty: it conforms. ValueError: it cannot be read."""
        ...


MOST_ERRORS = 10
ROOT = "urn:schema"


class JsonContent:
    """A body that must be JSON and conform to a JSON Schema (2020-12 unless `$schema` names another)."""

    def __init__(
        self, schema: Json, known: dict[str, Any], *, ref: str | None, additional: bool | None, fold_case: bool
    ) -> None:
        """`known` are all declared schemas, which may refer to each other as `/schemas/<id>`; nothing is fetched.
        `additional` overrides additionalProperties, `fold_case` compares property names without regard to case.
        ValueError when the schema is none, or `ref` leads nowhere."""
        import jsonschema
        from referencing import Registry, Resource
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        def prepared(part: Json) -> Json:
            part = part if additional is None else with_additional(part, additional)
            return folded_schema(part) if fold_case else part

        resources = [
            (f"/schemas/{id}", Resource.from_contents(prepared(other), default_specification=DRAFT202012))
            for id, other in known.items()
            if isinstance(other, dict)
        ]
        whole = prepared(schema)
        if not isinstance(whole, dict):
            raise ValueError("the schema is not a JSON object")
        kind = jsonschema.validators.validator_for(whole, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(whole)
        except jsonschema.SchemaError as error:
            raise ValueError(f"not a JSON Schema: {error.message[:200]}") from error
        root = Resource.from_contents(whole, default_specification=DRAFT202012)
        registry = Registry().with_resources([(ROOT, root), *resources])
        self._fold = fold_case
        self._validator = kind({"$ref": ROOT + (ref or "")}, registry=registry)
        if ref:
            try:
                registry.resolver(ROOT).lookup(ref)
            except Unresolvable:
                raise ValueError(f"schema-ref {ref} is not in the schema") from None

    def errors(self, body: bytes) -> list[str]:
        """What does not conform, with where it stands."""
        import json

        from referencing.exceptions import Unresolvable

        document = json.loads(body)
        if self._fold:
            document = folded(document)
        found: list[str] = []
        try:
            for error in self._validator.iter_errors(document):
                where = "/".join(str(part) for part in error.absolute_path)
                found.append(f"{error.message[:300]} Path '{where}'.")
                if len(found) == MOST_ERRORS:
                    break
        except Unresolvable as error:
            raise ValueError(f"the schema refers to {error.ref}, which is not there") from error
        return found


class XmlContent:
    """A body that must be XML, or SOAP around it, and conform to an XML schema. Entities and networks are off."""

    def __init__(self, schema: bytes, *, soap: bool) -> None:
        """ValueError when the bytes are no XML schema."""
        from lxml import etree

        self._soap = soap
        self._lock = threading.Lock()
        try:
            self._schema = etree.XMLSchema(etree.fromstring(schema, _parser()))
        except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
            raise ValueError(f"not an XML schema: {error}") from error

    def errors(self, body: bytes) -> list[str]:
        """What does not conform, with its line and position."""
        from lxml import etree

        try:
            root = etree.fromstring(body, _parser())
        except etree.XMLSyntaxError as error:
            raise ValueError(str(error)) from error
        if root.getroottree().docinfo.doctype:
            raise ValueError("a document type declaration is not allowed")
        parts = list(_payload(root)) if self._soap else [root]
        if not parts:
            return ["There is no SOAP body."]
        found: list[str] = []
        for part in parts:
            with self._lock:  # the schema keeps the errors of its last check, and large bodies are checked in threads
                valid = self._schema.validate(part)
                log = list(self._schema.error_log)[: MOST_ERRORS - len(found)]
            if not valid:
                found += [f"{entry.message} Line: {entry.line}, Position: {entry.column}" for entry in log]
        return found


SOAP = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")


def _payload(root: Any) -> Iterator[Any]:
    for namespace in SOAP:
        if root.tag == f"{{{namespace}}}Envelope":
            for body in root.findall(f"{{{namespace}}}Body"):
                yield from (child for child in body if isinstance(child.tag, str))


def _parser() -> Any:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


# Where a schema holds others: by name, in lists, alone.
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
GROUPS = ("allOf", "anyOf", "oneOf")
LISTED = (*GROUPS, "prefixItems")
SINGLE = ("items", "not", "if", "then", "else", "contains")


def with_additional(schema: Json, allowed: bool) -> Json:
    """The schema with every object in it open or closed to further properties. Schemas inside allOf, anyOf and oneOf
    stay as they are when closing: each of them sees the properties of the others as further ones."""
    return _mapped(schema, lambda part: _opened(part, allowed), groups=allowed)


def _opened(part: dict[str, Any], allowed: bool) -> dict[str, Any]:
    further = ("additionalProperties", "unevaluatedProperties")
    closed = {name: value for name, value in part.items() if name not in further}
    if allowed:
        return closed
    groups = any(name in part for name in ("allOf", "anyOf", "oneOf", "$ref"))
    if not ("properties" in part or part.get("type") == "object"):
        return part
    return {**closed, "unevaluatedProperties" if groups else "additionalProperties": False}


def folded_schema(schema: Json) -> Json:
    """The schema with property names in lower case."""

    def fold(part: dict[str, Any]) -> dict[str, Any]:
        part = dict(part)
        if isinstance(part.get("properties"), dict):
            part["properties"] = {name.lower(): value for name, value in part["properties"].items()}
        if isinstance(part.get("required"), list):
            part["required"] = [str(name).lower() for name in part["required"]]
        return part

    return _mapped(schema, fold, groups=True)


def _mapped(schema: Json, change: Callable[[dict[str, Any]], dict[str, Any]], *, groups: bool) -> Json:
    """The schema with `change` applied to it and to the schemas in it, those in groups (allOf ...) if `groups`."""
    if not isinstance(schema, dict):
        return schema

    def mapped(part: Json) -> Json:
        return _mapped(part, change, groups=groups)

    made = dict(schema)
    for name, value in schema.items():
        if name in NAMED and isinstance(value, dict):
            made[name] = {key: mapped(one) for key, one in value.items()}
        elif name in LISTED and isinstance(value, list) and (groups or name not in GROUPS):
            made[name] = [mapped(one) for one in value]
        elif name in SINGLE and isinstance(value, dict):
            made[name] = mapped(value)
    if isinstance(components := schema.get("components"), dict):  # an OpenAPI document keeps its schemas there
        schemas = components.get("schemas") or {}
        made["components"] = {**components, "schemas": {key: mapped(one) for key, one in schemas.items()}}
    return change(made)


def folded(document: Json) -> Json:
    """A document with property names in lower case."""
    if isinstance(document, dict):
        return {name.lower(): folded(value) for name, value in document.items()}
    return [folded(value) for value in document] if isinstance(document, list) else document
