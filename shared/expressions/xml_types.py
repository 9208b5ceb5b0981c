"""The C# side of XML: members of XElement, XDocument, XAttribute, XText, XName and XNamespace."""

from typing import Any

from shared.expressions.enums import number_of
from shared.expressions.errors import ExpressionFailed
from shared.expressions.lists import NetList
from shared.expressions.nettypes import NetType, returning
from shared.expressions.xml_nodes import (
    XAttribute,
    XDocument,
    XElement,
    XName,
    XNamespace,
    XText,
    named,
    parse_xml,
    write,
)


def _first(node: Any, name: Any) -> XElement | None:
    return next(iter(named(node.elements(), name)), None)


def _shown(node: Any, options: Any = None) -> str:
    root = node.root if isinstance(node, XDocument) else node
    return write(root, indented=not number_of(options)) if isinstance(root, XElement) else str(node)


def _set_attribute(element: XElement, name: Any, value: Any) -> None:
    found = element.attribute(name)
    if value is None:
        element.attributes = [one for one in element.attributes if one is not found]
    elif found is not None:
        found.Value = XAttribute(name, value).Value
    else:
        element.add(XAttribute(name, value))


def _set_element(element: XElement, name: Any, value: Any) -> None:
    found = _first(element, name)
    if value is None and found is not None:
        found.remove()
    elif found is not None:
        found.set_value(value)
    elif value is not None:
        element.add(XElement(name, value))


def _replace(element: XElement, content: Any) -> None:
    parent = element.parent
    if parent is not None:
        parent.nodes[:] = [content if one is element else one for one in parent.nodes]
        content.parent = parent


def _node_at(at: int) -> Any:
    return lambda node: node.nodes[at] if getattr(node, "nodes", None) else None


def _beside(offset: int) -> Any:
    """The node before or after this one."""

    def find(node: Any) -> Any:
        siblings = node.parent.nodes if node.parent is not None else []
        at = next((i for i, one in enumerate(siblings) if one is node), -1) + offset
        return siblings[at] if 0 <= at < len(siblings) and siblings else None

    return find


def _add_beside(offset: int) -> Any:
    def add(node: Any, *content: Any) -> None:
        if node.parent is None:
            raise ExpressionFailed("InvalidOperationException", "The parent is missing.")
        siblings = node.parent.nodes
        at = next(i for i, one in enumerate(siblings) if one is node) + offset
        siblings[at:at] = _owned(node.parent, content)

    return add


def _owned(parent: Any, content: tuple[Any, ...]) -> list[Any]:
    nodes = [one if isinstance(one, XElement | XText) else XText(one) for one in content]
    for one in nodes:
        one.parent = parent
    return nodes


def _add_first(element: XElement, *content: Any) -> None:
    element.nodes[0:0] = _owned(element, content)


NODE = NetType(
    "XContainer",
    (),
    aliases=("XNode", "XObject", "XmlNode"),
    check=lambda value: isinstance(value, XElement | XDocument | XText),
    properties=returning(
        "XContainer", FirstNode=_node_at(0), LastNode=_node_at(-1), NextNode=_beside(1), PreviousNode=_beside(-1)
    )
    | returning("XElement", Parent=lambda node: node.parent if isinstance(node.parent, XElement) else None),
    methods=returning("string", ToString=_shown)
    | returning(None, AddAfterSelf=_add_beside(1), AddBeforeSelf=_add_beside(0))
    | returning("XElement", Element=_first)
    | returning(
        "List",
        Elements=lambda node, name=None: NetList(named(node.elements(), name)),
        Descendants=lambda node, name=None: NetList(named(node.descendants(), name)),
        Nodes=lambda node: NetList(node.nodes),
        DescendantNodes=lambda node: NetList(node.descendants()),
    ),
)
ELEMENT = NetType(
    "XElement",
    (XElement,),
    full_name="System.Xml.Linq.XElement",
    base=NODE,
    construct=lambda types, name, *content: XElement(name, *content),
    properties=returning("string", Value=lambda element: element.value)
    | returning("XName", Name=lambda element: element.name)
    | returning(
        "bool",
        HasElements=lambda element: bool(element.elements()),
        HasAttributes=lambda element: bool(element.attributes),
        IsEmpty=lambda element: not element.nodes,
    ),
    methods=returning("XAttribute", Attribute=lambda element, name: element.attribute(name))
    | returning(
        "List",
        Attributes=lambda element, name=None: NetList(
            one for one in element.attributes if name is None or one.name == XName.of(name)
        ),
    )
    | returning(
        "List", DescendantsAndSelf=lambda element, name=None: NetList(named([element, *element.descendants()], name))
    )
    | returning(
        None,
        Add=lambda element, *content: [element.add(one) for one in content] and None,
        Remove=lambda element: element.remove(),
        AddFirst=_add_first,
        RemoveAll=lambda element: element.nodes.clear(),
        RemoveNodes=lambda element: element.nodes.clear(),
        ReplaceWith=_replace,
        SetValue=lambda element, value: element.set_value(value),
        SetAttributeValue=_set_attribute,
        SetElementValue=_set_element,
    )
    | returning("XNamespace", GetDefaultNamespace=lambda element: XNamespace(element.name.namespace)),
    statics=returning("XElement", Parse=lambda source, *options: parse_xml(source)),
    settable={
        "Value": lambda element, value: element.set_value(value),
        "Name": lambda element, value: setattr(element, "name", XName.of(value)),
    },
)
DOCUMENT = NetType(
    "XDocument",
    (XDocument,),
    full_name="System.Xml.Linq.XDocument",
    aliases=("XmlDocument",),
    base=NODE,
    construct=lambda types, *content: XDocument(*content),
    properties=returning(
        "XElement", Root=lambda document: document.root, DocumentElement=lambda document: document.root
    ),
    methods=returning(None, Add=lambda document, root: document.nodes.append(root)),
    statics=returning("XDocument", Parse=lambda source, *options: parse_xml(source, "XDocument")),
)
ATTRIBUTE = NetType(
    "XAttribute",
    (XAttribute,),
    construct=lambda types, name, value: XAttribute(name, value),
    properties=returning("string", Value=lambda attribute: attribute.Value)
    | returning("XName", Name=lambda attribute: attribute.name),
    settable={"Value": lambda attribute, value: setattr(attribute, "Value", value)},
)
TEXT = NetType(
    "XText",
    (XText,),
    aliases=("XCData",),
    base=NODE,
    construct=lambda types, value: XText(value),
    properties=returning("string", Value=lambda node: node.Value),
)
NAME = NetType(
    "XName",
    (XName,),
    properties=returning("string", LocalName=lambda name: name.local, NamespaceName=lambda name: name.namespace)
    | returning("XNamespace", Namespace=lambda name: XNamespace(name.namespace)),
    statics=returning("XName", Get=lambda name, namespace="": XName(name, namespace) if namespace else XName.of(name)),
)
NAMESPACE = NetType(
    "XNamespace",
    (XNamespace,),
    cast=lambda target, value: value if isinstance(value, XNamespace) else XNamespace(str(value)),
    is_value=True,
    properties=returning("string", NamespaceName=lambda namespace: namespace.uri),
    methods=returning("XName", GetName=lambda namespace, name: XName(name, namespace.uri)),
    statics=returning("XNamespace", Get=XNamespace),
    constants={"None": ("XNamespace", lambda: XNamespace(""))},
)
XML_TYPES = (NODE, ELEMENT, DOCUMENT, ATTRIBUTE, TEXT, NAME, NAMESPACE)
