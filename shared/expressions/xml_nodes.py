"""XML as expressions read and build it: XElement, XDocument, XAttribute and XText, without external entities."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast
from xml.etree.ElementTree import ParseError, TreeBuilder, XMLParser

from shared.expressions.errors import ExpressionFailed, LimitExceeded
from shared.expressions.formats import text

# Reading takes 2 microseconds and 200 bytes for each tag, attribute, entity and line of text.
MARKS = "<=&\n"
MOST_MARKS = 1_000_000


def escape(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quoteattr(value: str) -> str:
    return '"' + escape(value).replace('"', "&quot;") + '"'


class XName:
    """A name with its namespace."""

    __slots__ = ("local", "namespace")

    def __init__(self, local: str, namespace: str = "") -> None:
        self.local = local
        self.namespace = namespace

    @classmethod
    def of(cls, value: Any) -> "XName":
        if isinstance(value, XName):
            return value
        found = re.fullmatch(r"\{(.*)\}(.+)", text(value))
        return cls(found[2], found[1]) if found else cls(text(value))

    def __eq__(self, other: object) -> bool:
        other = XName.of(other) if isinstance(other, str) else other
        return isinstance(other, XName) and (self.local, self.namespace) == (other.local, other.namespace)

    def __hash__(self) -> int:
        return hash((self.local, self.namespace))

    def __str__(self) -> str:
        return f"{{{self.namespace}}}{self.local}" if self.namespace else self.local


class XNamespace:
    """A namespace; adding a local name gives an XName."""

    __slots__ = ("uri",)
    is_date_value = True  # takes part in `+` like a date does
    names_elements = True  # with a text, too

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __add__(self, other: Any) -> XName:
        return XName(text(other), self.uri)

    def __str__(self) -> str:
        return self.uri


class XAttribute:
    """An attribute."""

    __slots__ = ("Value", "name", "parent")

    def __init__(self, name: Any, value: Any) -> None:
        self.name = XName.of(name)
        self.Value = text(value)
        self.parent: XElement | None = None

    def as_string(self) -> str:
        return self.Value

    def __str__(self) -> str:
        return f"{self.name.local}={quoteattr(self.Value)}"


class XText:
    """Text within an element."""

    __slots__ = ("Value", "parent")

    def __init__(self, value: Any) -> None:
        self.Value = text(value)
        self.parent: XElement | None = None

    def __str__(self) -> str:
        return escape(self.Value)


class XElement:
    """An element: name, attributes and nodes in order."""

    __slots__ = ("attributes", "name", "nodes", "parent")

    def __init__(self, name: Any, *content: Any) -> None:
        self.name = XName.of(name)
        self.parent: XElement | XDocument | None = None
        self.attributes: list[XAttribute] = []
        self.nodes: list[XElement | XText] = []
        for one in content:
            self.add(one)

    def add(self, content: Any) -> None:
        """Add an attribute, a node, text, or each item of a sequence."""
        if content is None:
            return
        if isinstance(content, XAttribute):
            content.parent = self
            self.attributes.append(content)
        elif isinstance(content, XElement | XText):
            content.parent = self
            self.nodes.append(content)
        elif not isinstance(content, str) and hasattr(content, "__iter__"):
            for one in content:
                self.add(one)
        else:
            self.add(XText(content))

    def elements(self) -> "list[XElement]":
        return [one for one in self.nodes if isinstance(one, XElement)]

    def descendants(self) -> "Iterator[XElement]":
        pending = self.elements()[::-1]
        while pending:
            one = pending.pop()
            yield one
            pending.extend(reversed(one.elements()))

    @property
    def value(self) -> str:
        parts = [one.Value for one in self.nodes if isinstance(one, XText)]
        if len(parts) == len(self.nodes):
            return "".join(parts)
        return "".join(one.Value if isinstance(one, XText) else one.value for one in self.nodes)

    def set_value(self, value: Any) -> None:
        self.nodes.clear()
        self.add(text(value))

    def as_string(self) -> str:
        return self.value

    def attribute(self, name: Any) -> XAttribute | None:
        return next((one for one in self.attributes if one.name == XName.of(name)), None)

    def remove(self) -> None:
        if self.parent is None:
            raise ExpressionFailed("InvalidOperationException", "The parent is missing.")
        self.parent.nodes[:] = [one for one in self.parent.nodes if one is not self]
        self.parent = None

    def __str__(self) -> str:
        return write(self)


class XDocument:
    """A document: its root element."""

    __slots__ = ("nodes",)

    def __init__(self, *content: Any) -> None:
        self.nodes: list[Any] = [one for one in content if isinstance(one, XElement)]
        for one in self.nodes:
            one.parent = self

    @property
    def root(self) -> XElement | None:
        return self.nodes[0] if self.nodes else None

    def elements(self) -> list[XElement]:
        return list(self.nodes)

    def descendants(self) -> Iterator[XElement]:
        for one in self.nodes:
            yield one
            yield from one.descendants()

    def __str__(self) -> str:
        return write(self.root) if self.root is not None else ""


class _Builder(TreeBuilder):
    """Takes the parser's events and makes our nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[XElement] = []
        self.root: XElement | None = None

    def start(self, tag: Any, attrs: Any) -> Any:
        made = XElement(tag, *(XAttribute(name, value) for name, value in attrs.items()))
        if self.open:
            self.open[-1].add(made)
        else:
            self.root = made
        self.open.append(made)
        return made

    def end(self, tag: str) -> Any:
        return self.open.pop()

    def data(self, data: Any) -> None:
        if self.open and (data.strip() or self.open[-1].nodes or not data.isspace()):
            self.open[-1].add(XText(data))

    def close(self) -> Any:
        return self.root


def parse_xml(source: Any, kind: str = "XElement") -> "XElement | XDocument":
    """XML text as an element or document; a document type definition is refused, so no entity can grow."""
    content = text(source).lstrip("\ufeff \r\n\t")
    if "<!DOCTYPE" in content or "<!ENTITY" in content:
        raise ExpressionFailed("XmlException", "For security reasons DTD is prohibited in this XML document.")
    if len(content) > MOST_MARKS and sum(content.count(mark) for mark in MARKS) > MOST_MARKS:
        raise LimitExceeded("XML has too many elements")
    parser = XMLParser(target=_Builder())
    try:
        parser.feed(re.sub(r"^<\?xml[^>]*\?>", "", content))
        root: Any = parser.close()
    except ParseError as error:
        line, position = error.position
        message = f"Data at the root level is invalid. Line {line}, position {position + 1}."
        raise ExpressionFailed("XmlException", message) from None
    return XDocument(root) if kind in ("XDocument", "XmlDocument") else cast(XElement, root)


def write(element: XElement, *, indented: bool = True) -> str:
    """XML text; indented by two spaces where an element has elements only."""
    out: list[str] = []
    _write(element, out, 0, indented, "")
    return "".join(out)


def _write(element: XElement, out: list[str], depth: int, indented: bool, inherited: str) -> None:
    own = element.name.namespace
    declared = f" xmlns={quoteattr(own)}" if own != inherited and not element.attribute("xmlns") else ""
    attributes = "".join(f" {one}" for one in element.attributes)
    out.append(f"<{element.name.local}{declared}{attributes}")
    if not element.nodes:
        out.append(" />")
        return
    out.append(">")
    breaks = indented and all(isinstance(one, XElement) or not one.Value.strip() for one in element.nodes)
    for one in element.nodes:
        if isinstance(one, XElement):
            out.append(f"\n{'  ' * (depth + 1)}" if breaks else "")
            _write(one, out, depth + 1, breaks, own)
        elif not breaks:
            out.append(str(one))
    out.append(f"\n{'  ' * depth}</{element.name.local}>" if breaks else f"</{element.name.local}>")


def named(elements: Iterable[XElement], name: Any) -> list[XElement]:
    """The elements of that name; all without one."""
    return list(elements) if name is None else [one for one in elements if one.name == XName.of(name)]
