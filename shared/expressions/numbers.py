"""C# numbers: the Python class of each kind, wrap-around, promotion and the arithmetic on them.

A C# ``int`` is a Python ``int``, ``double`` a ``float``, ``decimal`` a ``Decimal``; the other kinds are
subclasses below, so that a value knows its kind also when it is an ``object`` in ``context.Variables``.
"""

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, ClassVar

from shared.expressions.errors import ExpressionFailed, bad_format

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class Long(int):
    __slots__ = ()
    low: ClassVar[int] = -(2**63)
    high: ClassVar[int] = 2**63 - 1


class ULong(int):
    __slots__ = ()
    low: ClassVar[int] = 0
    high: ClassVar[int] = 2**64 - 1


class UInt(int):
    __slots__ = ()
    low: ClassVar[int] = 0
    high: ClassVar[int] = 2**32 - 1


class Short(int):
    __slots__ = ()
    low: ClassVar[int] = -(2**15)
    high: ClassVar[int] = 2**15 - 1


class UShort(int):
    __slots__ = ()
    low: ClassVar[int] = 0
    high: ClassVar[int] = 2**16 - 1


class Byte(int):
    __slots__ = ()
    low: ClassVar[int] = 0
    high: ClassVar[int] = 255


class SByte(int):
    __slots__ = ()
    low: ClassVar[int] = -128
    high: ClassVar[int] = 127


class Single(float):
    """A C# ``float``; kept with a double's precision."""

    __slots__ = ()


class Char(str):
    """A C# ``char``: one UTF-16 unit, here one character."""

    __slots__ = ()


INTEGERS: dict[str, type[int]] = {
    "int": int,
    "long": Long,
    "ulong": ULong,
    "uint": UInt,
    "short": Short,
    "ushort": UShort,
    "byte": Byte,
    "sbyte": SByte,
}
NUMBERS = (int, float, Decimal)


def is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def bounds(kind: type[int]) -> tuple[int, int]:
    return (INT_MIN, INT_MAX) if kind is int else (kind.low, kind.high)  # type: ignore[attr-defined]


def wrap(kind: type[int], value: int) -> int:
    """The value in that kind, wrapped around as unchecked C# arithmetic does."""
    low, high = bounds(kind)
    if not low <= value <= high:
        value = (value - low) % (high - low + 1) + low
    return value if kind is int and type(value) is int else kind(value)


def fit(kind: type[int], value: int) -> int:
    """The value in that kind, or ``OverflowException`` as ``Convert`` and ``Parse`` throw it."""
    low, high = bounds(kind)
    if not low <= value <= high:
        name = {int: "an Int32", Long: "an Int64", Byte: "an unsigned byte"}.get(kind, f"the type {kind.__name__}")
        raise ExpressionFailed("OverflowException", f"Value was either too large or too small for {name}.")
    return int(value) if kind is int else kind(value)


def promoted(a: Any, b: Any) -> type:
    """The kind C# computes in for two operands (binary numeric promotion)."""
    kinds = {type(a), type(b)}
    for kind in (Decimal, float, Single, ULong, Long):
        if kind in kinds:
            return kind
    if UInt in kinds:
        return UInt if kinds <= {UInt, Byte, UShort, Char} else Long
    return int


def number(value: Any) -> Any:
    """The operand of an arithmetic operator: a char counts as its code."""
    if type(value) is Char:
        return ord(value)
    if is_number(value):
        return value
    raise ExpressionFailed("RuntimeBinderException", f"Operator cannot be applied to operand '{value}'")


def arithmetic(operator: str, a: Any, b: Any) -> Any:
    """``+ - * / %`` on two numbers or chars, in C#'s kind for the two."""
    kind = promoted(a, b)
    a, b = number(a), number(b)
    if kind is Decimal:
        return _decimal_arithmetic(operator, Decimal(a), Decimal(b))
    if kind is float or kind is Single:
        result = _float_arithmetic(operator, float(a), float(b))
        return Single(result) if kind is Single else result
    return wrap(kind, _integer_arithmetic(operator, int(a), int(b)))


def _integer_arithmetic(operator: str, a: int, b: int) -> int:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    if b == 0:
        raise ExpressionFailed("DivideByZeroException", "Attempted to divide by zero.")
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if operator == "/" else a - quotient * b


def _float_arithmetic(operator: str, a: float, b: float) -> float:
    try:
        match operator:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "/":
                return a / b
        return math.fmod(a, b)
    except ZeroDivisionError:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    except (OverflowError, ValueError):
        return math.nan


def _decimal_arithmetic(operator: str, a: Decimal, b: Decimal) -> Decimal:
    if operator in "/%" and b == 0:
        raise ExpressionFailed("DivideByZeroException", "Attempted to divide by zero.")
    try:
        match operator:
            case "+":
                result = a + b
            case "-":
                result = a - b
            case "*":
                result = a * b
            case "/":
                result = a / b
            case _:
                result = a % b
    except ArithmeticError:
        raise decimal_overflow() from None
    if abs(result) > DECIMAL_MAX:
        raise decimal_overflow()
    return result


DECIMAL_MAX = Decimal("79228162514264337593543950335")


def decimal_overflow() -> ExpressionFailed:
    return ExpressionFailed("OverflowException", "Value was either too large or too small for a Decimal.")


def decimal_from(value: float) -> Decimal:
    """A double as decimal: .NET keeps 15 significant digits."""
    if math.isnan(value) or abs(value) > float(DECIMAL_MAX):
        raise decimal_overflow()
    return Decimal(f"{value:.15g}")


def to_kind(name: str, value: Any) -> Any:
    """An explicit numeric conversion ``(name)value`` of a number or char, unchecked."""
    value = ord(value) if type(value) is Char else value
    if name == "double":
        return float(value)
    if name == "float":
        return Single(value)
    if name == "decimal":
        return decimal_from(value) if isinstance(value, float) else Decimal(value)
    if name == "char":
        return Char(chr(int(value) & 0xFFFF))
    kind = INTEGERS[name]
    if isinstance(value, float) and not math.isfinite(value):
        return wrap(kind, bounds(kind)[0])
    return wrap(kind, int(value))


def round_half_even(value: Any, digits: int = 0) -> Any:
    if isinstance(value, Decimal):
        return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    return float(round(value, digits))


_INTEGER_TEXT = re.compile(r"\s*[+-]?[0-9]+\s*")
_GROUPED_INTEGER_TEXT = re.compile(r"\s*[+-]?[0-9][0-9,]*(\.0*)?\s*")
_FLOAT_TEXT = re.compile(r"\s*[+-]?([0-9][0-9,]*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
MAX_NUMBER_TEXT = 400


def parse_integer(kind: type[int], text: str, style: int = 7) -> int:
    """``int.Parse`` and its siblings; ``style`` is NumberStyles (hex 512, thousands 64)."""
    plain = text.strip("\0")
    if len(plain) > MAX_NUMBER_TEXT:
        raise bad_format(text[:50])
    if style & 512:
        if not re.fullmatch(r"[0-9a-fA-F]+", plain.strip()):
            raise bad_format(text)
        return wrap(kind, int(plain, 16))
    pattern = _GROUPED_INTEGER_TEXT if style & 64 else _INTEGER_TEXT
    if not pattern.fullmatch(plain):
        raise bad_format(text)
    return fit(kind, int(plain.replace(",", "").split(".")[0]))


def parse_float(text: str) -> float:
    stripped = text.strip()
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "∞": math.inf, "-∞": -math.inf}
    if stripped in special:
        return special[stripped]
    if len(stripped) > MAX_NUMBER_TEXT or not _FLOAT_TEXT.fullmatch(text):
        raise bad_format(text[:50])
    return float(stripped.replace(",", ""))


def parse_decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_TEXT or not _FLOAT_TEXT.fullmatch(text):
        raise bad_format(text[:50])
    try:
        value = Decimal(text.strip().replace(",", ""))
    except InvalidOperation:
        raise bad_format(text) from None
    if abs(value) > DECIMAL_MAX:
        raise decimal_overflow()
    return value
