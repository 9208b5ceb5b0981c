"""``string`` and ``char``: ordinal, culture-invariant, with .NET's argument checks."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from shared.expressions.enums import Enum, number_of
from shared.expressions.errors import ExpressionFailed, argument_null, index_out_of_range, out_of_range
from shared.expressions.formats import composite, hash_code, text
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.numbers import Char, is_number, to_kind
from shared.expressions.operators import unboxed
from shared.expressions.run import Run
from shared.expressions.tokens import STRING_EXTENSIONS


def ignores_case(comparison: Any) -> bool:
    """Whether a StringComparison, a comparer or a plain ``ignoreCase`` asks for no difference in case."""
    if isinstance(comparison, Enum):
        return comparison.number in (1, 3, 5)
    return bool(comparison)


def folded(value: str, comparison: Any) -> str:
    return value.upper() if ignores_case(comparison) else value


def compare(a: str | None, b: str | None, comparison: Any = None, *_culture: Any) -> int:
    """Negative, zero or positive; null sorts first. Letters first, case second, as .NET's invariant culture does."""
    if a is None or b is None:
        return (a is not None) - (b is not None)
    if isinstance(comparison, Enum) and comparison.number in (4, 5):
        return compare_ordinal(folded(a, comparison), folded(b, comparison))
    left, right = a.lower(), b.lower()
    if left != right or ignores_case(comparison):
        return compare_ordinal(left, right, sign_only=True)
    return compare_ordinal(b, a, sign_only=True)


def compare_ordinal(a: str | None, b: str | None, *, sign_only: bool = False) -> int:
    if a is None or b is None:
        return (a is not None) - (b is not None)
    if sign_only:
        return (a > b) - (a < b)
    for left, right in zip(a, b, strict=False):
        if left != right:
            return ord(left) - ord(right)
    return len(a) - len(b)


def _present(value: Any, parameter: str = "value") -> str:
    if value is None:
        raise argument_null(parameter)
    return text(value)


def _substring(value: str, startIndex: int, length: int | None = None) -> str:
    if startIndex < 0:
        raise out_of_range("startIndex", "StartIndex cannot be less than zero.")
    if startIndex > len(value):
        raise out_of_range("startIndex", "startIndex cannot be larger than length of string.")
    if length is None:
        return str.__getitem__(value, slice(startIndex, None))
    if length < 0:
        raise out_of_range("length", "Length cannot be less than zero.")
    if startIndex + length > len(value):
        raise out_of_range("length", "Index and length must refer to a location within the string.")
    return value[startIndex : startIndex + length]


def _characters(arguments: tuple[Any, ...]) -> str | None:
    """The characters a Trim takes: none given means white space."""
    given = "".join("".join(one) if isinstance(one, list) else one for one in arguments if one is not None)
    return given or None


def _search(find: Callable[..., int]) -> Callable[..., int]:
    def run(value: str, wanted: Any, *rest: Any) -> int:
        sought = _present(wanted)
        positions = [one for one in rest if not isinstance(one, Enum)]
        ignore = any(ignores_case(one) for one in rest if isinstance(one, Enum))
        subject, sought = (value.lower(), sought.lower()) if ignore else (value, sought)
        return find(subject, sought, *positions)

    return run


def _find(value: str, sought: str, start: int = 0, count: int | None = None) -> int:
    if not 0 <= start <= len(value):
        raise out_of_range("startIndex")
    return value.find(sought, start, len(value) if count is None else start + count)


def _find_last(value: str, sought: str, start: int | None = None, count: int | None = None) -> int:
    end = len(value) if start is None else start + 1
    return value.rfind(sought, 0 if count is None else max(end - count, 0), end)


def _index_of_any(value: str, anyOf: Iterable[str], startIndex: int = 0) -> int:
    sought = set(anyOf)
    return next((i for i in range(startIndex, len(value)) if value[i] in sought), -1)


def _last_index_of_any(value: str, anyOf: Iterable[str]) -> int:
    sought = set(anyOf)
    return next((i for i in range(len(value) - 1, -1, -1) if value[i] in sought), -1)


def _contains(value: str, wanted: Any, comparison: Any = None) -> bool:
    return folded(_present(wanted), comparison) in folded(value, comparison)


def _starts_with(value: str, wanted: Any, comparison: Any = None, *_culture: Any) -> bool:
    if comparison is None and type(wanted) is str:
        return value.startswith(wanted)
    return folded(value, comparison).startswith(folded(_present(wanted), comparison))


def _usual_start(types: Any, arguments: list[Any]) -> str | None:
    return "{a0}.startswith({a1})" if len(arguments) == 1 and type(arguments[0]) is str else None


_starts_with.usual = _usual_start  # type: ignore[attr-defined]


def _ends_with(value: str, wanted: Any, comparison: Any = None, *_culture: Any) -> bool:
    return folded(value, comparison).endswith(folded(_present(wanted), comparison))


def _equals(value: str, other: Any, comparison: Any = None) -> bool:
    other = unboxed(other)
    return isinstance(other, str) and folded(value, comparison) == folded(other, comparison)


def _static_equals(a: Any, b: Any, comparison: Any = None) -> bool:
    if a is None or b is None:
        return a is b
    return folded(text(a), comparison) == folded(text(b), comparison)


def _replace(run: Run, value: str, old: Any, new: Any, comparison: Any = None, *_culture: Any) -> str:
    sought, replacement = _present(old, "oldValue"), text(new)
    if not sought:
        raise ExpressionFailed("ArgumentException", "String cannot be of zero length. (Parameter 'oldValue')")
    run.charge(len(value) + value.count(sought) * max(len(replacement) - len(sought), 0))
    if ignores_case(comparison):
        return re.sub(re.escape(sought), lambda _: replacement, value, flags=re.IGNORECASE)
    return str.replace(value, sought, replacement)


def split(value: str, *arguments: Any) -> NetArray:
    """All overloads: characters, strings or arrays of both as separators, then count and options."""
    options = sum(number_of(one) for one in arguments if isinstance(one, Enum))
    count = next((one for one in arguments if type(one) is int), None)
    separators: list[str] = []
    for one in arguments:
        if isinstance(one, list):
            separators += [text(item) for item in one]
        elif isinstance(one, str):
            separators.append(one)
    pieces = _split(value, [one for one in separators if one], bool(separators), count, options)
    return NetArray(pieces)


def _split(value: str, separators: list[str], given: bool, count: int | None, options: int) -> list[str]:
    if given and not separators:
        return [value] if value or not options & 1 else []
    pattern = "|".join(re.escape(one) for one in sorted(separators, key=len, reverse=True)) if given else r"\s"
    limit = 0 if count is None or options & 1 else max(count - 1, 0)
    if count == 0:
        return []
    pieces = [value] if count == 1 else re.split(pattern, value, maxsplit=limit)
    if options & 2:
        pieces = [piece.strip() for piece in pieces]
    if options & 1:
        pieces = [piece for piece in pieces if piece]
        if count is not None and len(pieces) > count:
            rest = value
            kept: list[str] = []
            for piece in pieces[: count - 1]:
                rest = rest[rest.index(piece) + len(piece) :]
                kept.append(piece)
            rest = re.sub(f"^(?:{pattern})+", "", rest)
            pieces = [*kept, rest.strip() if options & 2 else rest]
    return pieces


def _pad(side: Callable[[str, int, str], str]) -> Callable[..., str]:
    def pad(run: Run, value: str, totalWidth: int, paddingChar: str = " ") -> str:
        if totalWidth < 0:
            raise out_of_range("totalWidth", "Non-negative number required.")
        run.charge(totalWidth)
        return side(value, totalWidth, paddingChar)

    return pad


def _join(run: Run, separator: Any, *values: Any) -> str:
    items: Iterable[Any] = values
    if len(values) == 1 and not isinstance(values[0], str) and hasattr(values[0], "__iter__"):
        items = values[0]
    elif len(values) == 3 and isinstance(values[0], list) and type(values[1]) is int:
        items = values[0][values[1] : values[1] + values[2]]
    between = text(separator)
    parts: list[str] = []
    for item in items:
        parts.append(part := text(item))
        run.charge(len(part) + len(between))
    return between.join(parts)


def _concat(run: Run, *values: Any) -> str:
    return _join(run, "", *values)


def _format(run: Run, *arguments: Any) -> str:
    if arguments and not isinstance(arguments[0], str) and arguments[0] is not None:
        arguments = arguments[1:]  # an IFormatProvider comes first
    pattern, *values = arguments
    if len(values) == 1 and isinstance(values[0], NetArray):
        values = list(values[0])
    return composite(_present(pattern, "format"), values, run.charge)


def _remove(value: str, startIndex: int, count: int | None = None) -> str:
    if not 0 <= startIndex <= len(value) or (count is not None and not 0 <= count <= len(value) - startIndex):
        raise out_of_range("startIndex" if count is None else "count")
    return value[:startIndex] + ("" if count is None else value[startIndex + count :])


def _insert(value: str, startIndex: int, inserted: str) -> str:
    if not 0 <= startIndex <= len(value):
        raise out_of_range("startIndex")
    return value[:startIndex] + _present(inserted) + value[startIndex:]


def char_at(value: str, index: int) -> Char:
    if not 0 <= index < len(value):
        raise index_out_of_range()
    return Char(value[index])


def _new_string(run: Run, _types: Any, first: Any, *rest: Any) -> str:
    if isinstance(first, list):
        return "".join(first[rest[0] : rest[0] + rest[1]] if rest else first)
    count = rest[0] if rest else 1
    if count < 0:
        raise out_of_range("count", "'count' must be non-negative.")
    run.charge(count)
    return str(first) * count


def cast_string(target: TypeRef, value: Any) -> str:
    """``(string)value``: text itself, or what a JSON value converts to; anything else is no string."""
    if type(value) is str:
        return value
    as_text = getattr(value, "as_string", None)
    if as_text is not None:
        return as_text()  # type: ignore[no-any-return]
    raise invalid_cast(value, target.full_name)


STRING = NetType(
    "string",
    (str,),
    full_name="System.String",
    aliases=("String",),
    base=ENUMERABLE,
    check=lambda value: type(value) is str,
    cast=cast_string,
    construct=_new_string,
    properties=returning("int", Length=len),
    methods=returning(
        "string",
        Substring=_substring,
        ToUpper=lambda value, culture=None: value.upper(),
        ToLower=lambda value, culture=None: value.lower(),
        ToUpperInvariant=lambda value: value.upper(),
        ToLowerInvariant=lambda value: value.lower(),
        Trim=lambda value, *chars: value.strip(_characters(chars)),
        TrimStart=lambda value, *chars: value.lstrip(_characters(chars)),
        TrimEnd=lambda value, *chars: value.rstrip(_characters(chars)),
        Replace=_replace,
        ReplaceLineEndings=lambda value, new="\n": re.sub(r"\r\n|[\r\n]", new, value),
        PadLeft=_pad(str.rjust),
        PadRight=_pad(str.ljust),
        Remove=_remove,
        Insert=_insert,
        Normalize=lambda value, form=None: unicodedata.normalize("NFC", value),
        Clone=lambda value: value,
        ToString=lambda value, provider=None: value,
    )
    | returning(
        "int",
        IndexOf=_search(_find),
        LastIndexOf=_search(_find_last),
        IndexOfAny=_index_of_any,
        LastIndexOfAny=_last_index_of_any,
        CompareTo=lambda value, other: compare(value, other),
        GetHashCode=lambda value, comparison=None: hash_code(folded(value, comparison)),
    )
    | returning(
        "bool",
        Contains=_contains,
        StartsWith=_starts_with,
        EndsWith=_ends_with,
        Equals=_equals,
        IsNormalized=lambda value: unicodedata.is_normalized("NFC", value),
    )
    | returning(
        "Array",
        Split=split,
        ToCharArray=lambda value: NetArray(map(Char, value)),
    )
    | STRING_EXTENSIONS,
    statics=returning(
        "bool",
        IsNullOrEmpty=lambda value: not text(value),
        IsNullOrWhiteSpace=lambda value: not text(value).strip(),
        Equals=_static_equals,
        ReferenceEquals=lambda a, b: a == b,
    )
    | returning(
        "string", Join=_join, Concat=_concat, Format=_format, Copy=lambda value: value, Intern=lambda value: value
    )
    | returning("int", Compare=compare, CompareOrdinal=compare_ordinal),
    constants=returning("string", Empty=lambda: ""),
)


def _category(*prefixes: str) -> Callable[..., bool]:
    def test(value: str, index: int | None = None) -> bool:
        return unicodedata.category(value if index is None else value[index]).startswith(prefixes)

    return test


def _cast_char(target: TypeRef, value: Any) -> Char:
    if type(value) is Char:
        return value
    if is_number(value):
        return to_kind("char", value)  # type: ignore[no-any-return]
    as_char = getattr(value, "as_string", None)
    if as_char is not None:
        return Char(as_char())
    raise invalid_cast(value, target.full_name)


def _parse_char(s: str) -> Char:
    if s is None:
        raise argument_null("s")
    if len(s) != 1:
        raise ExpressionFailed("FormatException", "String must be exactly one character long.")
    return Char(s)


def _hexadecimal(value: str) -> bool:
    return value in "0123456789abcdefABCDEF"


CHAR = NetType(
    "char",
    (Char,),
    full_name="System.Char",
    aliases=("Char",),
    cast=_cast_char,
    default=Char("\0"),
    is_value=True,
    methods=returning("string", ToString=lambda value, provider=None: str.__str__(value))
    | returning("bool", Equals=lambda value, other: type(other) is Char and value == other)
    | returning("int", CompareTo=lambda value, other: ord(value) - ord(other), GetHashCode=ord),
    statics=returning(
        "bool",
        IsDigit=_category("Nd"),
        IsNumber=_category("N"),
        IsLetter=_category("L"),
        IsLetterOrDigit=_category("L", "Nd"),
        IsUpper=_category("Lu"),
        IsLower=_category("Ll"),
        IsPunctuation=_category("P"),
        IsSymbol=_category("S"),
        IsControl=_category("Cc"),
        IsSeparator=_category("Z"),
        IsSurrogate=_category("Cs"),
        IsWhiteSpace=lambda value, index=None: (value if index is None else value[index]).isspace(),
        IsAscii=lambda value: value.isascii(),
        IsAsciiDigit=lambda value: value.isascii() and value.isdigit(),
        IsAsciiLetter=lambda value: value.isascii() and value.isalpha(),
        IsAsciiLetterOrDigit=lambda value: value.isascii() and value.isalnum(),
        IsAsciiHexDigit=_hexadecimal,
    )
    | returning(
        "char",
        ToUpper=lambda value, culture=None: Char(value.upper()),
        ToLower=lambda value, culture=None: Char(value.lower()),
        ToUpperInvariant=lambda value: Char(value.upper()),
        ToLowerInvariant=lambda value: Char(value.lower()),
        Parse=_parse_char,
    )
    | returning("string", ToString=str, ConvertFromUtf32=chr)
    | returning("double", GetNumericValue=lambda value: float(unicodedata.numeric(value, -1.0))),
    constants=returning("char", MinValue=lambda: Char("\0"), MaxValue=lambda: Char("\uffff")),
)
