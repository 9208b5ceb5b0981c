"""JSON as parsers read it that take more than JSON: with a byte order mark, in UTF-16, with NaN, with half a pair."""

import json
from typing import Any

# Longer numbers are read as orjson reads those of more than 64 bits.
_DIGITS = 18


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


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)
