"""The charset of a body, as its Content-Type names it."""

import re

from shared.message import Headers

CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9._:-]+)', re.IGNORECASE)


def charset_of(headers: Headers) -> str:
    """A charset Python knows, for text; UTF-8 when the Content-Type names none, or one that is not known."""
    found = CHARSET.search(headers.get("content-type") or "")
    if found is None:
        return "utf-8"
    try:
        "".encode(found[1])
    except LookupError:
        return "utf-8"
    return found[1]
