"""JSON as parsers read it that take more than JSON: with a byte order mark, in UTF-16, with NaN, with half a pair; and
what there is of it when it was cut off."""

import json
import re
from typing import Any

# No number of 64 bits is longer.
_DIGITS = 20
_NEXT_OBJECT = re.compile(r"[\s,]*\{")


def read_leniently(data: bytes) -> Any:
    """What the data says, made of what JSON proper can say and NaN; ValueError when no parser could tell."""
    try:
        document = json.loads(data, parse_int=_number)
        text = json.dumps(document, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            document = json.loads(text.encode(errors="replace"), parse_int=_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return document


def salvaged(data: bytes) -> Any:
    """The same; of an array that was cut off, the objects that had come, such as Gemini streams without `alt=sse`. None
    when there is nothing to be read."""
    try:
        return read_leniently(data)
    except ValueError:
        return _begun(data) if data[:1] == b"[" else None


def was_cut_off(data: bytes) -> bool:
    """Whether what cannot be read is the beginning of one document: not a page, nor a line for each of several."""
    text = data.decode(errors="replace").lstrip()
    if text[:1] not in ("{", "["):
        return False
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return True
    return False


def _begun(data: bytes) -> list[Any] | None:
    text, at = data.decode(errors="replace"), 1
    decode = json.JSONDecoder().raw_decode
    objects: list[Any] = []
    while (found := _NEXT_OBJECT.match(text, at)) is not None:
        try:
            one, at = decode(text, found.end() - 1)
        except (ValueError, RecursionError):
            break
        objects.append(one)
    return objects or None


def _number(digits: str) -> int | float:
    """A whole number as orjson reads it: one of more than 64 bits is no whole number."""
    value = int(digits) if len(digits) <= _DIGITS else None
    return value if value is not None and -(2**63) <= value < 2**64 else float(digits)
