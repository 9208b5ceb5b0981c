"""XML bodies read without reaching out: no entities, no network, no unbounded trees. And which body is which."""

import re
from collections.abc import Callable
from typing import Any

from shared.message import Headers

_SMALL = 1_048_576


class NotXml(Exception):
    """The bytes are no XML document, or one with a document type (entities could be hidden in it)."""


def parse_xml(data: bytes) -> Any:
    """The root element (lxml). NotXml when there is none."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotXml(f"the body is not XML: {error}") from error
    if root is None or root.getroottree().docinfo.doctype:
        raise NotXml("XML with a document type is not read")
    return root


def sprawls(data: bytes) -> bool:
    """Whether XML would take more than half a gigabyte as objects, to judge by its punctuation: 100 MB of `<a/>` are
    four gigabytes."""
    # An end tag is not worth a start tag, but the text before it is; `=` are attributes.
    return len(data) >= _SMALL and data.count(b"<") * 140 + data.count(b"=") * 250 > 536_870_912


def local_name(element: Any) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def media_type(content_type: str) -> str:
    """The type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says JSON: application/json, text/json or anything that ends with +json."""
    kind = media_type(content_type)
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def is_xml(content_type: str) -> bool:
    """Whether a Content-Type says XML: application/xml, text/xml or anything that ends with +xml."""
    kind = media_type(content_type)
    return kind in ("application/xml", "text/xml") or kind.endswith("+xml")


def accepted(headers: Headers, kind: Callable[[str], bool]) -> str | None:
    """The first media type of the Accept header that is of a kind and not refused by q=0; None when there is none."""
    for part in (headers.get("accept") or "").split(","):
        name, *parameters = part.split(";")
        refused = any(re.fullmatch(r"q=0(\.0*)?", parameter.strip().lower()) for parameter in parameters)
        if kind(name) and not refused:
            return name.strip().lower()
    return None
