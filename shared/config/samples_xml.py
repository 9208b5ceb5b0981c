"""A value as XML, named and nested as its OpenAPI schema says (OpenAPI, "XML Object")."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from xml.etree.ElementTree import Element, tostring

from shared.config.references import followed

DEEPEST = 50
NO_HINTS: Mapping[str, Any] = {}


def xml_of(document: Mapping[str, Any], schema: Any, value: Any) -> bytes:
    """The document for a value of a schema: its root is named by the schema, else by the name it is referred to.
    ValueError for a value that is too deep."""
    writer = _Writer(document)
    name = _referred(schema) or "root"
    if isinstance(value, list):
        root = Element(_tag(name, writer.hints(schema)), _namespace(writer.hints(schema)))
        items = writer.resolved(schema).get("items")
        for one in value:
            root.extend(writer.elements(_referred(items) or "item", items, one, 1))
    else:
        (root,) = writer.elements(name, schema, value, 0)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


class _Writer:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolved(self, schema: Any) -> Mapping[str, Any]:
        return followed(self._document, schema) or NO_HINTS

    def hints(self, schema: Any) -> Mapping[str, Any]:
        """The `xml` object of a schema."""
        hints = self.resolved(schema).get("xml")
        return hints if isinstance(hints, Mapping) else NO_HINTS

    def elements(self, name: str, schema: Any, value: Any, depth: int) -> list[Element]:
        """The element of a value, or those of an array's items, which stand beside each other unless it is wrapped."""
        if depth > DEEPEST:
            raise ValueError(f"it is more than {DEEPEST} levels deep")
        hints = self.hints(schema)
        if isinstance(value, list):
            items = self.resolved(schema).get("items")
            inner = [each for one in value for each in self.elements(name, items, one, depth + 1)]
            if hints.get("wrapped") is not True:
                return inner
            wrapper = Element(_tag(name, hints), _namespace(hints))
            wrapper.extend(inner)
            return [wrapper]
        element = Element(_tag(name, hints), _namespace(hints))
        if isinstance(value, Mapping):
            properties = dict(self._properties(schema, 0))
            for key, child in value.items():
                member = properties.get(key)
                if self.hints(member).get("attribute") is True:
                    element.set(_tag(str(key), self.hints(member)), _text(child))
                else:
                    element.extend(self.elements(str(key), member, child, depth + 1))
        else:
            element.text = _text(value)
        return [element]

    def _properties(self, schema: Any, depth: int) -> Iterator[tuple[str, Any]]:
        """The properties a schema declares itself and by those it is composed of."""
        found = self.resolved(schema)
        for key in ("allOf", "oneOf", "anyOf"):
            parts = found.get(key)
            for part in parts if isinstance(parts, list) and depth < 10 else ():
                yield from self._properties(part, depth + 1)
        properties = found.get("properties")
        if isinstance(properties, Mapping):
            yield from properties.items()


def _referred(schema: Any) -> str:
    """The name a schema is referred to by; empty for one that stands where it is used."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""


def _tag(name: str, hints: Mapping[str, Any]) -> str:
    own, prefix = str(hints.get("name") or name), hints.get("prefix")
    return f"{_name(str(prefix))}:{_name(own)}" if prefix else _name(own)


def _name(text: str) -> str:
    """`text` as an XML name."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", text)
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"


def _namespace(hints: Mapping[str, Any]) -> dict[str, str]:
    namespace, prefix = hints.get("namespace"), hints.get("prefix")
    return {f"xmlns:{_name(str(prefix))}" if prefix else "xmlns": str(namespace)} if namespace else {}


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case date():  # YAML has them
            return value.isoformat()
        case _:
            return str(value)
