"""Cuts a long text into overlapping pieces, so that whatever is short enough stands whole in one of them."""

import re

LONGEST = 10_000
"""Characters Content Safety takes in one text
(https://learn.microsoft.com/azure/ai-services/content-safety/overview#input-requirements)."""

OVERLAP = 400
"""Characters two neighbouring pieces share: any sentence up to that length stands whole in one of them."""

_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")
_FIRST_SPACE = re.compile(r"\s")
# What belongs to the character before it: combining marks, joiners, variation selectors, skin tones, tags, the second
# half of a surrogate pair.
_CONTINUES = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31-\u0e3a\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\udc00-\udfff"
    "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef]"
)
_JOINER = "\u200d"


def pieces(text: str, longest: int = LONGEST, overlap: int = OVERLAP) -> list[str]:
    """The text in pieces of at most `longest` UTF-16 units, each beginning with the last `overlap` characters (in whole
    words) of the one before. Cut between words where there is a space in the last tenth, else between characters as
    people see them. Together they have every character; a text that fits is its own only piece.

    UTF-16 units, because a service that counts those and one that counts code points must both take a piece.
    """
    if len(text) <= longest and (len(text) * 2 <= longest or not _BEYOND_BMP.search(text)):
        return [text]
    if _BEYOND_BMP.search(text):
        longest //= 2
    overlap = min(overlap, longest // 2)
    found: list[str] = []
    start = 0
    while len(text) - start > longest:
        end = _cut(text, start, start + longest)
        found.append(text[start:end])
        start = max(_resume(text, end - overlap, end), start + 1)
    found.append(text[start:])
    return found


def length(text: str) -> int:
    """UTF-16 units of a text: characters beyond the first 65,536 count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str, start: int, end: int) -> int:
    """Where the piece ends: after the last space near the end, else before a character that begins anew."""
    earliest = end - (end - start) // 10
    space = _LAST_SPACE.search(text, earliest, end)
    return space.end() if space else _character_start(text, end, earliest)


def _resume(text: str, start: int, end: int) -> int:
    """Where the next piece begins: at a word's beginning within the overlap."""
    space = _FIRST_SPACE.search(text, max(0, start - 1), (start + end) // 2)
    return space.end() if space else _character_start(text, start, max(0, start - 64))


def _character_start(text: str, at: int, earliest: int) -> int:
    """The last place up to `at` where no character is cut; `at` itself when there is none down to `earliest`."""
    for place in range(at, earliest, -1):
        if not _CONTINUES.match(text, place) and text[place - 1] != _JOINER:
            return place
    return at
