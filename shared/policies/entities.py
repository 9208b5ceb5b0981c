"""The entities of XML 1.0: the five named ones and character references."""

import re
from bisect import bisect_right
from collections.abc import Iterator

# XML 1.0 section 2.2, the other way round.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def decoded(text: str) -> str:
    """The text with its entities decoded; what is no entity stays as it is."""
    return _ENTITY.sub(lambda entity: _character(entity) or entity[0], text) if "&" in text else text


def stray_ampersands(text: str) -> Iterator[int]:
    """The offset of each `&` that begins no entity."""
    at = text.find("&")
    while at >= 0:
        entity = _ENTITY.match(text, at)
        if entity is None or _character(entity) is None:
            yield at
        at = text.find("&", at + 1)


class DecodedText:
    """A document with every entity decoded, and the way between offsets in it and in the document."""

    def __init__(self, text: str) -> None:
        self.raw_ends: list[int] = []
        self.ends: list[int] = []
        if "&" not in text:
            self.text = text
            return
        parts: list[str] = []
        last = length = 0
        for entity in _ENTITY.finditer(text):
            character = _character(entity)
            if character is None:
                continue
            parts += (text[last : entity.start()], character)
            length += entity.start() - last + len(character)
            last = entity.end()
            self.raw_ends.append(last)
            self.ends.append(length)
        self.text = "".join(parts) + text[last:] if parts else text

    def from_raw(self, at: int) -> int:
        """Where a document offset, not inside an entity, lies in the decoded text."""
        index = bisect_right(self.raw_ends, at) - 1
        return at if index < 0 else self.ends[index] + at - self.raw_ends[index]

    def to_raw(self, at: int) -> int:
        """Where an offset of the decoded text lies in the document."""
        index = bisect_right(self.ends, at) - 1
        return at if index < 0 else self.raw_ends[index] + at - self.ends[index]


def _character(entity: re.Match[str]) -> str | None:
    """The character an entity stands for; None for one XML does not allow."""
    name, decimal, hexadecimal = entity.groups()
    if name:
        return _ENTITIES[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code > 0x10FFFF:
        return None
    return None if NOT_XML.match(chr(code)) else chr(code)
