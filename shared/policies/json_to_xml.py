"""json-to-xml: turns a JSON body into XML."""

import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.expressions.date_formats import format_date
from shared.expressions.dates import json_date
from shared.message import GatewayResponse
from shared.policies.conversion import converted, read_for_objects
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section
from shared.policies.xml_body import accepted, is_json, is_xml

XSI = "http://www.w3.org/2001/XMLSchema-instance"
ROOT = "Document"
DATE = "yyyy-MM-ddTHH:mm:ss.FFFFFFFK"


class JsonToXml(Policy):
    """A single property of the root object becomes the root element; anything else gets a root `Document`, as in APIM.

    Arrays become repeated elements, null an element with xsi:nil, true and false `True` and `False`, numbers stay as
    they are written. With `parse-date` strings that are ISO dates are written in .NET's round-trip form, without it
    they are copied. A name's part before `namespace-separator` is a prefix where that prefix is declared; properties
    that begin with `namespace-prefix` declare one; those of `attribute-block-name` become attributes. Characters no XML
    name can have are written _xHHHH_. The Content-Type becomes the XML type of the Accept header, else application/xml.
    https://learn.microsoft.com/azure/api-management/json-to-xml-policy
    """

    element: ClassVar[str] = "json-to-xml"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound", "on-error"})

    apply: Expression[Literal["always", "content-type-json"]]
    consider_accept_header: Expression[bool] = Field(default_factory=lambda: Expression(True))
    parse_date: bool = True
    namespace_separator: Expression[str] = Field(default_factory=lambda: Expression("_"))
    namespace_prefix: Expression[str] | None = None
    attribute_block_name: Expression[str] | None = None

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Convert the body of the section's message. PolicyFailed when it is no JSON, or no XML can be made of it;
        errors as `read_for_objects`."""
        message = ctx.message
        if await self.apply(ctx) == "content-type-json" and not is_json(message.headers.get("content-type") or ""):
            ctx.trace("not converted: the body is not JSON by its Content-Type", self.element)
            return None
        wanted = accepted(ctx.request.headers, is_xml)
        if wanted is None and await self.consider_accept_header(ctx):
            ctx.trace("not converted: the caller does not accept XML", self.element)
            return None
        if not (data := await read_for_objects(message, "JSON")):
            return None
        writer = Writer(
            await self.namespace_separator(ctx) or "_",
            await self.namespace_prefix(ctx) if self.namespace_prefix else None,
            await self.attribute_block_name(ctx) if self.attribute_block_name else None,
            self.parse_date,
        )
        try:
            xml = await converted(writer.xml, data)
        except (ValueError, RecursionError) as error:
            raise PolicyFailed(detail=f"no XML can be made of the body: {error}") from error
        message.set_body(xml)
        message.headers.set("content-type", wanted or "application/xml")
        return None


Scope = dict[str | None, str]


class _Number(str):
    """A number as it is written."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes elements of JSON values."""

    separator: str
    namespace_prefix: str | None
    attribute_block: str | None
    parse_date: bool

    def xml(self, data: bytes) -> bytes:
        """A JSON text as XML. ValueError or RecursionError when it is no JSON, or no XML can be made of it."""
        from lxml import etree

        root = self.document(json.loads(data, parse_int=_Number, parse_float=_Number))
        written: bytes = etree.tostring(root, encoding="utf-8")
        return written

    def document(self, value: Any) -> Any:
        """The root element for a parsed JSON text."""
        if isinstance(value, dict) and len(value) == 1:
            ((name, only),) = value.items()
            if not isinstance(only, list) and not self._is_special(name):
                return self._element(None, name, only, {})
        return self._element(None, ROOT, value, {})

    def _is_special(self, name: str) -> bool:
        return name == self.attribute_block or self._declared(name) is not None

    def _declared(self, name: str) -> str | None:
        """The prefix that a property declares ("" for the default namespace), None when it declares none."""
        if self.namespace_prefix is None or not name.startswith(self.namespace_prefix):
            return None
        rest = name[len(self.namespace_prefix) :]
        return rest.removeprefix(self.separator) if not rest or rest.startswith(self.separator) else None

    def _element(self, parent: Any, name: str, value: Any, scope: Scope) -> Any:
        """An element below `parent`; `scope` are the namespaces declared up there."""
        from lxml import etree

        fields = value if isinstance(value, dict) else {}
        namespaces = {
            prefix or None: str(uri) for key, uri in fields.items() if (prefix := self._declared(key)) is not None
        }
        if value is None:
            namespaces["xsi"] = XSI
        scope = {**scope, **namespaces} if namespaces else scope
        tag = self._name(name, scope, default=scope.get(None))
        element = etree.Element(tag, nsmap=namespaces) if parent is None else _child(parent, tag, namespaces)
        self._fill(element, value, scope)
        return element

    def _fill(self, element: Any, value: Any, scope: Scope) -> None:
        match value:
            case dict():
                for key, child in value.items():
                    if key == self.attribute_block and isinstance(child, dict):
                        for name, text in child.items():
                            element.set(self._name(name, scope), self._text(text))
                    elif self._declared(key) is None:
                        self._property(element, key, child, scope)
            case list():
                self._property(element, ROOT, value, scope)
            case None:
                element.set(f"{{{XSI}}}nil", "true")
            case _:
                element.text = self._text(value)

    def _property(self, element: Any, name: str, value: Any, scope: Scope) -> None:
        if isinstance(value, list) and value:
            for item in value:
                self._element(element, name, item, scope)
        else:
            self._element(element, name, "" if value == [] else value, scope)

    def _name(self, name: str, scope: Scope, default: str | None = None) -> str:
        prefix, separator, local = name.partition(self.separator)
        if separator and local and prefix in scope:
            return f"{{{scope[prefix]}}}{encoded(local)}"
        return f"{{{default}}}{encoded(name)}" if default else encoded(name)

    def _text(self, value: Any) -> str:
        match value:
            case bool():
                return str(value)
            case None:
                return ""
            case _Number():
                return str(value)
            case str():
                date = json_date(value) if self.parse_date else None
                return format_date(date, DATE) if date is not None else value
            case _:
                return json.dumps(value)


def _child(parent: Any, tag: str, namespaces: dict[str | None, str]) -> Any:
    from lxml import etree

    return etree.SubElement(parent, tag, nsmap=namespaces)


_FIRST = r"A-Z_a-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u037D\u037F-\u1FFF\u200C\u200D\u2070-\u218F"
_FIRST += r"\u2C00-\u2FEF\u3001-\uD7FF\uF900-\uFDCF\uFDF0-\uFFFD"
_NOT_FIRST = re.compile(f"^[^{_FIRST}]")
_NOT_NAME = re.compile(rf"[^{_FIRST}\-.0-9\u00B7\u0300-\u036F\u203F\u2040]")


def encoded(name: str) -> str:
    """A name without a colon that XML takes (System.Xml.XmlConvert.EncodeLocalName)."""

    def escape(match: re.Match[str]) -> str:
        return f"_x{ord(match[0]):04X}_"

    return _NOT_FIRST.sub(escape, _NOT_NAME.sub(escape, name)) or "_"
