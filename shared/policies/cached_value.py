"""The values expressions produce as bytes for a cache, and back."""

import base64
import json
import uuid
from decimal import Decimal
from typing import Any


class NotCacheable(Exception):
    """A value of a type that cannot be written down; the text names the type."""


def encode(value: Any) -> bytes:
    """Strings, numbers, booleans, null, byte arrays, JSON tokens, dates, durations, GUIDs, and lists, arrays and
    string-keyed dictionaries of these. A copy: what happens to the value later does not change what is cached."""
    if type(value) is str:
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray):
        return b"b" + bytes(value)
    return b"j" + json.dumps(_written(value), ensure_ascii=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """The value that `encode` wrote. ValueError when the bytes are something else."""
    match data[:1]:
        case b"s":
            return data[1:].decode("utf-8", "surrogatepass")
        case b"b":
            return bytearray(data[1:])
        case b"j":
            try:
                return _read(json.loads(data[1:]))
            except Exception as error:  # what the .NET types raise is many; the table is written by others too
                raise ValueError(f"not a cached value: {type(error).__name__}") from error
    raise ValueError("not a cached value")


def _written(value: Any) -> list[Any]:
    """[kind, content]; the kind is the .NET type where JSON would not tell."""
    from shared.expressions import dates, lists, numbers
    from shared.expressions.json_tokens import JToken

    match value:
        case None:
            return ["null", None]
        case bool():
            return ["bool", value]
        case numbers.Char():
            return ["Char", str(value)]
        case str():
            return ["string", str(value)]
        case int() | float():
            kind = type(value).__name__
            return [kind, repr(float(value)) if isinstance(value, float) else int(value)]
        case bytes() | bytearray():
            return ["bytes", base64.b64encode(value).decode()]
        case Decimal():
            return ["decimal", str(value)]
        case uuid.UUID():
            return ["guid", str(value)]
        case JToken():
            return ["json", value.plain()]
        case dates.DateTimeOffset():
            return ["DateTimeOffset", [value.ticks, value.offset_ticks]]
        case dates.DateTime():
            return ["DateTime", [value.ticks, value.kind]]
        case dates.TimeSpan():
            return ["TimeSpan", value.ticks]
        case lists.NetArray() | lists.NetList():
            return [type(value).__name__, [_written(item) for item in value]]
        case lists.NetDictionary() if all(type(pair.Key) is str for pair in value):
            return ["NetDictionary", [[pair.Key, _written(pair.Value)] for pair in value]]
    raise NotCacheable(f"a value of type {type(value).__name__} cannot be cached")


def _read(written: Any) -> Any:
    from shared.expressions import dates, lists, numbers
    from shared.expressions.json_tokens import wrapped

    kind, content = written
    match kind:
        case "null" | "bool" | "string" | "int":
            return content
        case "float":
            return float(content)
        case "Char" | "Long" | "ULong" | "UInt" | "Short" | "UShort" | "Byte" | "SByte":
            return getattr(numbers, kind)(content)
        case "Single":
            return numbers.Single(float(content))
        case "bytes":
            return bytearray(base64.b64decode(content))
        case "decimal":
            return Decimal(content)
        case "guid":
            return uuid.UUID(content)
        case "json":
            return wrapped(content)
        case "DateTimeOffset":
            return dates.DateTimeOffset(*content)
        case "DateTime":
            return dates.DateTime(*content)
        case "TimeSpan":
            return dates.TimeSpan(content)
        case "NetArray" | "NetList":
            return getattr(lists, kind)([_read(item) for item in content])
        case "NetDictionary":
            made = lists.NetDictionary()
            for key, item in content:
                made[key] = _read(item)
            return made
    raise ValueError("not a cached value")
