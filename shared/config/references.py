"""References inside a document (`$ref`): what they point at. API Management reads no other document."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

# RFC 6901 section 4: no sign, no leading zero. No list is longer than nine digits can tell.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def pointed(document: Any, reference: str) -> Any:
    """What a reference inside the document points at (RFC 6901, as a URI fragment); None where nothing is."""
    if not reference.startswith("#/"):
        return None
    for segment in segments(reference):
        index = int(segment) if _INDEX.fullmatch(segment) else None
        if isinstance(document, Mapping):
            # YAML reads the name 200 as a number.
            document = document.get(segment, document.get(index) if index is not None else None)
        elif isinstance(document, list) and index is not None and index < len(document):
            document = document[index]
        else:
            return None
    return document


def segments(reference: str) -> list[str]:
    """The names on the way from the document to what a reference inside it points at."""
    return [unquote(part).replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")]


def followed(document: Mapping[str, Any], entry: Any) -> Mapping[str, Any] | None:
    """An object with its `$ref` followed; None for what is no object, and for a reference that leads nowhere, outside
    or in a circle."""
    seen: set[str] = set()
    while isinstance(entry, Mapping) and isinstance(entry.get("$ref"), str):
        reference: str = entry["$ref"]
        if reference in seen:
            return None
        seen.add(reference)
        entry = pointed(document, reference)
    return entry if isinstance(entry, Mapping) else None
