"""Policy documents: the text of a file in, its tree of elements out, or everything that is wrong with it.

    >>> document = read_document('<fragment><set-method>POST</set-method></fragment>', "method.xml")
    >>> [element.path for element in document.elements()]
    ['set-method']

Which elements and attributes exist is not known here: that is checked when the tree is compiled.
"""

import re
from dataclasses import dataclass

from shared.errors import ConfigError, Problem
from shared.policies.extent import Expression, Literal, split_value
from shared.policies.markup import read_markup
from shared.policies.nodes import Attribute, Element, Text

__all__ = [
    "Attribute",
    "DocumentErrors",
    "Element",
    "Expression",
    "Limits",
    "Literal",
    "Text",
    "read_document",
    "split_value",
]


class DocumentErrors(ConfigError):
    """A document that cannot be read; `problems` has every reason, with its line and the path of its element."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be: bytes of its UTF-8 text by root element (API Management limits), and depth."""

    policies: int = 256 * 1024
    fragment: int = 512 * 1024
    depth: int = 100


_DEFAULT_LIMITS = Limits()
_DECLARED_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._\-]{1,40})["']""")
# Encodings whose first 128 characters are ASCII's: only for those can a declaration be read, and be true.
_SINGLE_BYTE = {"us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "latin-1", "windows-1252": "cp1252"}


def read_document(text: str | bytes, file: str, *, limits: Limits = _DEFAULT_LIMITS) -> Element:
    """Read a policy document: an element `policies`, or `fragment` for a policy fragment.

    `text` is the file's content, as bytes in UTF-8, UTF-16 or what its XML declaration says; `file` names it in
    messages. Accepts what API Management accepts in its "rawxml" and "xml" formats: expressions may hold unescaped
    quotes, `<`, `>` and `&`. Raises DocumentErrors with all problems; reading goes on after each as far as it can.
    """
    if not isinstance(text, str):
        text = _decode(text, file)
    text = text.removeprefix("\ufeff")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max(limits.policies, limits.fragment):
        raise _too_large(file, "", size, max(limits.policies, limits.fragment))
    root, problems = read_markup(text, file, limits.depth)
    if root is None and not problems:
        problems = [Problem(file, 1, "", "the document is empty")]
    if root is not None:
        if root.name not in ("policies", "fragment"):
            problems.append(Problem(file, root.line, root.path, "the root element must be <policies> or <fragment>"))
        elif size > (limit := limits.policies if root.name == "policies" else limits.fragment):
            raise _too_large(file, root.path, size, limit)
    if problems or root is None:
        raise DocumentErrors(problems)
    return root


def _too_large(file: str, path: str, size: int, limit: int) -> DocumentErrors:
    return DocumentErrors([Problem(file, 1, path, f"the document has {size} bytes; at most {limit} are allowed")])


def _decode(data: bytes, file: str) -> str:
    """The text of a file. A byte order mark decides; a declaration is believed only where it can be true."""
    encoding = "utf-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif data[:4] == b"<\0" + data[2:3] + b"\0":
        encoding = "utf-16-le"
    elif data[:1] == b"\0" and data[1:2] == b"<":
        encoding = "utf-16-be"
    elif declared := _DECLARED_ENCODING.match(data[:200]):
        # .NET string writers declare utf-16 in files that are then saved as UTF-8: such a claim is passed over.
        encoding = _SINGLE_BYTE.get(declared[1].decode("ascii").lower(), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "", f"byte {error.start} is not valid {encoding}: {error.reason}")
        raise DocumentErrors([problem]) from error
