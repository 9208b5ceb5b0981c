"""Schemas for validate-content: JSON Schema and XML schema, compiled at load, and what does not conform to them."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from shared.config.json_schema import Json
from shared.policies.overridden_schemas import folded, overridden

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


class ContentSchema(Protocol):
    """Checks a body."""

    def errors(self, body: bytes) -> list[str]:
        """What is wrong with the body, at most ten things; empty: it conforms. ValueError: it cannot be read."""
        ...


MOST_ERRORS = 10
ROOT = "urn:schema"


class MissingDefinition(ValueError):
    """A schema refers to another one that is not there."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"the schema refers to {reference}, which is not there")
        self.definition = reference.rpartition("/")[2]


class JsonContent:
    """A body that must be JSON and conform to a JSON Schema."""

    def __init__(self, validator: "Validator", *, fold_case: bool = False) -> None:
        """`fold_case` goes with a schema whose property names are in lower case."""
        self._validator = validator
        self._fold = fold_case

    def errors(self, body: bytes) -> list[str]:
        """What does not conform, with where it stands."""
        import json

        document = json.loads(body)
        return conformance(self._validator, folded(document) if self._fold else document)


def declared_content(
    schema: Json, known: dict[str, Any], *, ref: str | None, additional: bool | None, fold_case: bool
) -> JsonContent:
    """The check of a declared schema (2020-12 unless `$schema` names another). `known` are all declared schemas, which
    may refer to each other as `/schemas/<id>`; nothing is fetched. `additional` overrides additionalProperties,
    `fold_case` compares property names without regard to case. ValueError when the schema is none, or `ref` leads
    nowhere."""
    from referencing.exceptions import Unresolvable

    from shared.policies.json_validators import checked, registry_of, validator

    if not isinstance(schema, dict):
        raise ValueError("the schema is not a JSON object")
    checked(schema)
    declared = {ROOT: schema, **{f"/schemas/{id}": one for id, one in known.items() if isinstance(one, dict)}}
    try:
        registry = registry_of(overridden(declared, additional, fold_case))
    except RecursionError:
        raise ValueError("a schema declared beside it is nested too deep for a JSON Schema") from None
    if ref:
        try:
            registry.resolver(ROOT).lookup(ref)
        except Unresolvable:
            raise ValueError(f"schema-ref {ref} is not in the schema") from None
    return JsonContent(validator({"$ref": ROOT + (ref or "")}, registry, like=schema), fold_case=fold_case)


def conformance(validator: "Validator", value: Json) -> list[str]:
    """What of a value does not conform, with where it stands; at most ten things. ValueError when it cannot be told."""
    import re

    from referencing.exceptions import Unresolvable

    found: list[str] = []
    try:
        for error in validator.iter_errors(value):
            where = "/".join(str(part) for part in error.absolute_path)
            found.append(f"{error.message[:300]} Path '{where}'.")
            if len(found) == MOST_ERRORS:
                break
    except Unresolvable as error:
        raise MissingDefinition(error.ref) from error
    except TimeoutError as error:
        raise ValueError("a pattern of the schema takes too long") from error
    except re.error as error:
        raise ValueError(f"a pattern of the schema cannot be read: {error}") from error
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
