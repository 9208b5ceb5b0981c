"""StringBuilder, Encoding, cultures, Environment and Stopwatch-like small types around text."""

from collections.abc import Iterable
from typing import Any

from shared.expressions.errors import ExpressionFailed, argument_null, index_out_of_range, out_of_range
from shared.expressions.formats import composite, text
from shared.expressions.lists import NetArray
from shared.expressions.nettypes import NetType, returning
from shared.expressions.numbers import Char
from shared.expressions.run import Run


class StringBuilder:
    """A text being built; pieces are joined when it is looked at."""

    __slots__ = ("parts",)

    def __init__(self, start: str = "") -> None:
        self.parts: list[str] = [start] if start else []

    def content(self) -> str:
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""

    def replace_all(self, content: str) -> "StringBuilder":
        self.parts = [content] if content else []
        return self

    def __str__(self) -> str:
        return self.content()

    def __len__(self) -> int:
        return len(self.content())

    def __bool__(self) -> bool:
        return True

    def item(self, index: int) -> Char:
        content = self.content()
        if not 0 <= index < len(content):
            raise index_out_of_range()
        return Char(content[index])


def _append(run: Run, builder: StringBuilder, value: Any, *rest: int) -> StringBuilder:
    added = "".join(value) if isinstance(value, NetArray) else text(value)
    if isinstance(value, Char) and rest:
        run.charge(rest[0])
        added *= rest[0]
    elif len(rest) == 2:
        added = added[rest[0] : rest[0] + rest[1]]
    run.charge(len(added))
    builder.parts.append(added)
    return builder


def _append_line(run: Run, builder: StringBuilder, value: Any = "") -> StringBuilder:
    return _append(run, builder, text(value) + "\n")


def _append_format(run: Run, builder: StringBuilder, *arguments: Any) -> StringBuilder:
    pattern, *values = arguments if isinstance(arguments[0], str) else arguments[1:]
    return _append(run, builder, composite(pattern, values, run.charge))


def _append_join(run: Run, builder: StringBuilder, separator: Any, *values: Any) -> StringBuilder:
    items: Iterable[Any] = values
    if len(values) == 1 and not isinstance(values[0], str) and hasattr(values[0], "__iter__"):
        items = values[0]
    return _append(run, builder, text(separator).join(map(text, items)))


def _insert(run: Run, builder: StringBuilder, index: int, value: Any) -> StringBuilder:
    content = builder.content()
    if not 0 <= index <= len(content):
        raise out_of_range("index")
    run.charge(len(text(value)))
    return builder.replace_all(content[:index] + text(value) + content[index:])


def _remove(builder: StringBuilder, startIndex: int, length: int) -> StringBuilder:
    content = builder.content()
    if startIndex < 0 or length < 0 or startIndex + length > len(content):
        raise out_of_range("length")
    return builder.replace_all(content[:startIndex] + content[startIndex + length :])


def _replace(run: Run, builder: StringBuilder, old: Any, new: Any) -> StringBuilder:
    sought, content = text(old), builder.content()
    if not sought:
        raise ExpressionFailed("ArgumentException", "String cannot be of zero length. (Parameter 'oldValue')")
    run.charge(len(content) + content.count(sought) * len(text(new)))
    return builder.replace_all(content.replace(sought, text(new)))


def _set_length(builder: StringBuilder, length: int) -> None:
    builder.replace_all(builder.content()[:length].ljust(min(length, 1_000_000), "\0"))


STRING_BUILDER = NetType(
    "StringBuilder",
    (StringBuilder,),
    full_name="System.Text.StringBuilder",
    construct=lambda types, value="", *capacity: StringBuilder(value if isinstance(value, str) else ""),
    index=StringBuilder.item,
    properties=returning("int", Length=len, Capacity=len),
    methods=returning(
        "StringBuilder",
        Append=_append,
        AppendLine=_append_line,
        AppendFormat=_append_format,
        AppendJoin=_append_join,
        Insert=_insert,
        Remove=_remove,
        Replace=_replace,
        Clear=lambda builder: builder.replace_all(""),
    )
    | returning(
        "string",
        ToString=lambda builder, *span: builder.content()[span[0] : span[0] + span[1]] if span else builder.content(),
    ),
    settable={"Length": _set_length},
)


class NetEncoding:
    """An ``Encoding``: .NET's name and Python's."""

    __slots__ = ("codec", "name")

    def __init__(self, name: str, codec: str) -> None:
        self.name = name
        self.codec = codec


_ENCODINGS = {
    "UTF8": NetEncoding("utf-8", "utf-8"),
    "ASCII": NetEncoding("us-ascii", "ascii"),
    "Unicode": NetEncoding("utf-16", "utf-16-le"),
    "BigEndianUnicode": NetEncoding("utf-16BE", "utf-16-be"),
    "UTF32": NetEncoding("utf-32", "utf-32-le"),
    "Latin1": NetEncoding("iso-8859-1", "latin-1"),
    "Default": NetEncoding("utf-8", "utf-8"),
}
_BY_NAME = {encoding.name.lower(): encoding for encoding in _ENCODINGS.values()} | {
    "ascii": _ENCODINGS["ASCII"],
    "latin1": _ENCODINGS["Latin1"],
    "windows-1252": NetEncoding("windows-1252", "cp1252"),
}


def _encode(encoding: NetEncoding, value: Any) -> bytearray:
    if value is None:
        raise argument_null("s")
    content = "".join(value) if isinstance(value, NetArray) else text(value)
    return bytearray(content.encode(encoding.codec, "replace"))


def _decode(encoding: NetEncoding, value: Any, index: int = 0, count: int | None = None) -> str:
    if value is None:
        raise argument_null("bytes")
    part = bytes(value)[index : None if count is None else index + count]
    decoded = part.decode(encoding.codec, "replace")
    return decoded.replace("\ufffd", "?") if encoding.codec == "ascii" else decoded


def _encoding(name: Any) -> NetEncoding:
    found = _BY_NAME.get(text(name).lower())
    if found is None:
        message = f"'{name}' is not a supported encoding name. (Parameter 'name')"
        raise ExpressionFailed("ArgumentException", message)
    return found


ENCODING = NetType(
    "Encoding",
    (NetEncoding,),
    full_name="System.Text.Encoding",
    aliases=("UTF8Encoding", "ASCIIEncoding", "UnicodeEncoding"),
    construct=lambda types, *arguments: _ENCODINGS["UTF8"],
    properties=returning("string", WebName=lambda encoding: encoding.name, EncodingName=lambda encoding: encoding.name),
    methods=returning("byte[]", GetBytes=_encode)
    | returning("string", GetString=_decode)
    | returning(
        "int",
        GetByteCount=lambda encoding, value: len(_encode(encoding, value)),
        GetCharCount=lambda encoding, value: len(_decode(encoding, value)),
    )
    | returning("Array", GetChars=lambda encoding, value: NetArray(map(Char, _decode(encoding, value)))),
    statics=returning("Encoding", GetEncoding=_encoding),
    constants=returning(
        "Encoding", **{name: lambda encoding=encoding: encoding for name, encoding in _ENCODINGS.items()}
    ),
)


class Culture:
    """``CultureInfo``: there is one, the invariant culture, and en-US reads and writes as it does.

    Others are unknown, as to a .NET without globalization data, instead of being quietly the same.
    """

    __slots__ = ("Name",)

    def __init__(self, name: str = "") -> None:
        if name.lower() not in ("", "en", "en-us"):
            message = (
                f"Only the invariant culture is supported. (Parameter 'name') {name} is an invalid culture identifier."
            )
            raise ExpressionFailed("CultureNotFoundException", message)
        self.Name = name


def _title_case(_culture: Culture, value: str) -> str:
    return " ".join(word if word.isupper() else word[:1].upper() + word[1:].lower() for word in value.split(" "))


CULTURE = NetType(
    "CultureInfo",
    (Culture,),
    full_name="System.Globalization.CultureInfo",
    aliases=("IFormatProvider", "TextInfo", "NumberFormatInfo", "DateTimeFormatInfo"),
    construct=lambda types, name="", *rest: Culture(text(name)),
    properties=returning("string", Name=lambda culture: culture.Name)
    | returning(
        "CultureInfo",
        TextInfo=lambda culture: culture,
        NumberFormat=lambda culture: culture,
        DateTimeFormat=lambda culture: culture,
    ),
    methods=returning(
        "string",
        ToTitleCase=_title_case,
        ToUpper=lambda culture, value: value.upper(),
        ToLower=lambda culture, value: value.lower(),
        ToString=lambda culture: culture.Name,
    ),
    statics=returning(
        "CultureInfo",
        GetCultureInfo=lambda name: Culture(text(name)),
        CreateSpecificCulture=lambda name: Culture(text(name)),
    ),
    constants=returning(
        "CultureInfo", InvariantCulture=Culture, CurrentCulture=Culture, CurrentUICulture=Culture, InvariantInfo=Culture
    ),
)

ENVIRONMENT = NetType("Environment", constants=returning("string", NewLine=lambda: "\n"))
TEXT_TYPES = (STRING_BUILDER, ENCODING, CULTURE, ENVIRONMENT)
