"""xml-to-json: turns an XML body into JSON."""

import json
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse
from shared.policies.conversion import converted, read_for_objects
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section
from shared.policies.xml_body import NotXml, accepted, is_json, is_xml, local_name, parse_xml

XML = "http://www.w3.org/XML/1998/namespace"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


class XmlToJson(Policy):
    """`direct` keeps the document's form: prefixes as `prefix$name`, attributes and namespaces as `@name`, text beside
    them as `#text`. `javascript-friendly` gives plain names without prefixes, attributes as properties, text beside
    them as `$text`, and null for xsi:nil. Elements of the same name become an array, with
    `always-array-child-elements` any child element does; an empty element is null; all values are strings.

    A document with a document type is refused (entities could be hidden in it). Comments, processing instructions and
    the XML declaration have no place in the JSON.
    https://learn.microsoft.com/azure/api-management/xml-to-json-policy
    """

    element: ClassVar[str] = "xml-to-json"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound", "on-error"})

    kind: Expression[Literal["javascript-friendly", "direct"]]
    apply: Expression[Literal["always", "content-type-xml"]]
    consider_accept_header: Expression[bool] = Field(default_factory=lambda: Expression(True))
    always_array_child_elements: Expression[bool] = Field(default_factory=lambda: Expression(False))

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Convert the body of the section's message. PolicyFailed when it is no XML; errors as `read_for_objects`."""
        message = ctx.message
        if await self.apply(ctx) == "content-type-xml" and not is_xml(message.headers.get("content-type") or ""):
            ctx.trace("not converted: the body is not XML by its Content-Type", self.element)
            return None
        wanted = accepted(ctx.request.headers, is_json)
        if wanted is None and await self.consider_accept_header(ctx):
            ctx.trace("not converted: the caller does not accept JSON", self.element)
            return None
        if not (data := await read_for_objects(message, "XML")):
            return None
        direct, always_arrays = await self.kind(ctx) == "direct", await self.always_array_child_elements(ctx)
        try:
            json_text = await converted(partial(as_json, direct=direct, always_arrays=always_arrays), data)
        except NotXml as error:
            raise PolicyFailed(detail=str(error)) from error
        message.set_body(json_text)
        message.headers.set("content-type", wanted or "application/json")
        return None


def as_json(data: bytes, *, direct: bool, always_arrays: bool) -> bytes:
    """An XML document as JSON. NotXml when it is none."""
    root = parse_xml(data)
    reader = Reader(direct, always_arrays, declared_namespaces(root) if direct else {})
    return json.dumps({reader.name(root): reader.value(root)}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes JSON values of elements. `declared` are the namespaces (by prefix, "" for the default one) of the elements
    that declare some: asked element by element, lxml would put together all that are in scope anew."""

    direct: bool
    always_arrays: bool
    declared: Mapping[Any, Mapping[str, str]] = field(default_factory=dict)

    def name(self, element: Any) -> str:
        """The property name of an element."""
        prefix = element.prefix
        return f"{prefix}${local_name(element)}" if self.direct and prefix else local_name(element)

    def value(self, element: Any, prefixes: ChainMap[str, str] | None = None) -> Any:
        """Text, an object, or null. `prefixes` are those in scope, by namespace."""
        if not self.direct and element.get(NIL) in ("true", "1"):
            return None
        prefixes = prefixes if prefixes is not None else ChainMap({XML: "xml"})
        fields: dict[str, Any] = {}
        if own := self.declared.get(element):
            fields = {f"@xmlns${prefix}" if prefix else "@xmlns": uri for prefix, uri in own.items()}
            prefixes = prefixes.new_child()
            for prefix, uri in own.items():
                if prefix:
                    prefixes.maps[0].setdefault(uri, prefix)
        for name, text in element.attrib.items():
            fields[self._attribute(name, prefixes)] = text
        lists: set[str] = set()
        for child in element.iterchildren("*"):
            self._add(fields, lists, self.name(child), self.value(child, prefixes))
        text = _own_text(element)
        if not fields:
            return text or None
        if text.strip():
            fields["#text" if self.direct else "$text"] = text if not lists else text.strip()
        return fields

    def _add(self, fields: dict[str, Any], lists: set[str], name: str, value: Any) -> None:
        if name in lists:
            fields[name].append(value)
        elif name in fields:
            fields[name] = [fields[name], value]
            lists.add(name)
        elif self.always_arrays:
            fields[name] = [value]
            lists.add(name)
        else:
            fields[name] = value

    def _attribute(self, name: str, prefixes: Mapping[str, str]) -> str:
        namespace, _, local = name.rpartition("}")
        if not self.direct:
            return local
        prefix = prefixes.get(namespace[1:]) if namespace else None
        return f"@{prefix}${local}" if prefix else f"@{local}"


def declared_namespaces(root: Any) -> dict[Any, dict[str, str]]:
    """What each element declares, by prefix; elements that declare nothing are left out."""
    from lxml import etree

    found: dict[Any, dict[str, str]] = {}
    declared: dict[str, str] = {}
    for event, what in etree.iterwalk(root, events=("start-ns", "start")):
        if event == "start-ns":
            declared[what[0] or ""] = what[1]
        elif declared:
            found[what], declared = declared, {}
    return found


def _own_text(element: Any) -> str:
    """The text between an element's children, without that inside them."""
    return (element.text or "") + "".join(child.tail or "" for child in element)
