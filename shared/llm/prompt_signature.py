"""What two prompts must have in common before one may be answered for the other, however alike they sound."""

import hashlib
import re

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|without|cannot|none|nor|nicht|kein\w*|nie|niemals|ohne|pas|jamais|sans|sin|nunca|senza|niet|geen)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
# Straight single quotes are apostrophes more often than not: they count only around whole words. No quotation holds a
# mark that opens one of its kind: a text of nothing else would be read anew from each.
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^“”\n]+)”|„([^„“”\n]+)[“”]|«([^«»\n]+)»|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)")


def signature(text: str) -> str:
    """Numbers, whether it negates, and what stands in quotes, as a digest: prompts that differ in one of them never
    stand for each other. Embeddings hardly see such differences ("version 3" and "version 4", "can" and "cannot").
    """
    numbers = sorted({_NUMBER_SEPARATOR.sub("", number) for number in _NUMBER.findall(text)})
    quoted = sorted({next(filter(None, groups)).strip().casefold() for groups in _QUOTED.findall(text)})
    negated = _NEGATION.search(text) is not None
    return hashlib.sha256(repr((numbers, negated, quoted)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


# 1,000 and 1000 are one number; 1.5 and 15 are two.
_NUMBER_SEPARATOR = re.compile(r",(?=\d{3}(?!\d))")
