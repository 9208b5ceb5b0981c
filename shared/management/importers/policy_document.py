"""Writes a policy document the way API Management's wizard does, and tells it from one somebody has edited."""

import hashlib
import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from shared.management.importers.importer import ImportFailed

EXPRESSION = re.compile(r"@\(.*\)|@\{.*\}", re.DOTALL)
SEAL = re.compile(r"sha256:([0-9a-f]{16}|)(?![0-9a-f])")
SEAL_TEXT = "Written by an import; the mark tells the next one whether it was edited since: sha256:"


def policy_document(inbound: Sequence[Element], outbound: Sequence[Element] = ()) -> str:
    """A sealed document with these policies after the outer scope's in inbound, and before them in outbound.

    (https://learn.microsoft.com/azure/api-management/azure-openai-enable-semantic-caching stores before `base`.)
    """
    root = Element("policies")
    SubElement(root, "inbound").extend([Element("base"), *inbound])
    SubElement(root, "backend").append(Element("base"))
    SubElement(root, "outbound").extend([*outbound, Element("base")])
    SubElement(root, "on-error").append(Element("base"))
    ElementTree.indent(root, "    ")
    return sealed(f"<!-- {SEAL_TEXT} -->\n{ElementTree.tostring(root, encoding='unicode')}\n")


def set_backend_service(backend_id: str) -> Element:
    """The policy every wizard starts with."""
    return Element("set-backend-service", {"id": "apim-generated-policy", "backend-id": backend_id})


def element(name: str, attributes: dict[str, str | int | float | bool | None]) -> Element:
    """A policy element; attributes without a value are left out, booleans are written as APIM writes them."""

    def text(value: str | int | float | bool) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return Element(name, {key: text(value) for key, value in attributes.items() if value is not None})


def sealed(text: str) -> str:
    """`text`, which holds one empty mark `sha256:`, with the mark filled in from all the rest. ImportFailed when it
    holds half of a character, as JSON's \\u can write one: no file can."""
    try:
        return SEAL.sub(f"sha256:{_digest(text)}", text, count=1)
    except UnicodeEncodeError as error:
        before, after = error.object[: error.start], error.object[error.start :]
        line = before.rpartition("\n")[2][-60:] + after.partition("\n")[0][:60]
        raise ImportFailed(f"half of a character cannot be written: {ascii(line.strip())}") from error


def is_as_written(text: str) -> bool:
    """Whether `text` is what `sealed` made of it: false for documents of any other origin and for edited ones."""
    found = SEAL.search(text)
    return found is not None and found[1] == _digest(text)


def _digest(text: str) -> str:
    # Version control may change the line ends; that is no edit.
    unmarked = SEAL.sub("sha256:", text.replace("\r\n", "\n").rstrip(), count=1)
    return hashlib.sha256(unmarked.encode()).hexdigest()[:16]


def expression(text: str, *, option: str) -> str:
    """A policy expression as it was given. ImportFailed when it is none or its brackets do not match."""
    if not EXPRESSION.fullmatch(text):
        raise ImportFailed(f"{option} {text}: neither a known name nor a policy expression such as @(context.Api.Id)")
    return text
