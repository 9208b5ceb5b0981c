"""The C# side of numbers and bool: members of int, long, double, decimal, bool; Math, Convert, BitConverter, Random."""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared.expressions.enums import Enum
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import formatted, hash_code, text
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.numbers import (
    DECIMAL_MAX,
    INTEGERS,
    Char,
    Single,
    bounds,
    fit,
    is_number,
    parse_decimal,
    parse_float,
    parse_integer,
    round_half_even,
    to_kind,
)
from shared.expressions.operators import unboxed

Function = Callable[..., Any]


FULL_NAMES = {
    "int": "Int32",
    "long": "Int64",
    "uint": "UInt32",
    "ulong": "UInt64",
    "short": "Int16",
    "ushort": "UInt16",
    "byte": "Byte",
    "sbyte": "SByte",
    "double": "Double",
    "float": "Single",
    "decimal": "Decimal",
}


def _parse(name: str, value: Any, arguments: tuple[Any, ...]) -> Any:
    if value is None:
        raise argument_null("s")
    style = next((one.number for one in arguments if isinstance(one, Enum)), 7)
    content = text(value)
    if name in INTEGERS:
        return parse_integer(INTEGERS[name], content, style)
    if name == "decimal":
        return parse_decimal(content)
    parsed = parse_float(content)
    return Single(parsed) if name == "float" else parsed


def _statics(name: str, default: Any) -> dict[str, Any]:
    def parse(value: Any, *rest: Any) -> Any:
        return _parse(name, value, rest)

    def try_parse(value: Any, *rest: Any) -> tuple[bool, Any]:
        try:
            return True, _parse(name, value, rest)
        except ExpressionFailed:
            return False, default

    return returning(name, Parse=parse) | returning("bool", TryParse=try_parse)


def from_json(target: TypeRef, value: Any) -> Any:
    """What an explicit conversion of JSON or XML to a number or bool gives; JSON null only fits a nullable."""
    if not hasattr(type(value), "is_json_value"):
        name = getattr(value, "type_name", None)
        if name is None and hasattr(type(value), "as_string"):
            return to_number(target.net.name, value.as_string())
        if name is None:
            raise invalid_cast(value, target.full_name)
        raise ExpressionFailed("ArgumentException", f"Can not convert {name} to {target.full_name.rpartition('.')[2]}.")
    inner = value.Value
    if inner is None:
        if target.nullable:
            return None
        raise ExpressionFailed("ArgumentException", f"Can not convert Null to {target.full_name.rpartition('.')[2]}.")
    return to_number(target.net.name, inner)


def to_number(name: str, value: Any, *_provider: Any) -> Any:
    """``Convert.ToX``: from text, bool, char and any number, rounded to even and checked."""
    value = unboxed(value)
    if value is None:
        return to_kind(name, 0)
    if isinstance(value, bool):
        return to_kind(name, int(value))
    if type(value) is Char:
        return to_kind(name, value)
    if isinstance(value, str):
        return _parse(name, value, ())
    if isinstance(value, Enum):
        return to_kind(name, value.number)
    if not is_number(value):
        raise invalid_cast(value, "System.IConvertible")
    if name in INTEGERS:
        if isinstance(value, float) and not math.isfinite(value):
            return fit(INTEGERS[name], 2**70)
        return fit(INTEGERS[name], int(round_half_even(value)) if isinstance(value, float | Decimal) else int(value))
    return to_kind(name, value)


def _cast(name: str) -> Function:
    def cast(target: TypeRef, value: Any) -> Any:
        if type(value) is bool:
            raise invalid_cast(value, target.full_name)
        if is_number(value) or type(value) is Char:
            return to_kind(name, value)
        if isinstance(value, Enum):
            return to_kind(name, value.number)
        return from_json(target, value)

    return cast


_METHODS = (
    returning(
        "string", ToString=lambda value, *rest: formatted(value, next((o for o in rest if isinstance(o, str)), None))
    )
    | returning("int", CompareTo=lambda value, other: (value > other) - (value < other), GetHashCode=hash_code)
    | returning("bool", Equals=lambda value, other: type(unboxed(other)) is type(value) and unboxed(other) == value)
)


def _integer(name: str, kind: type[int]) -> NetType:
    low, high = bounds(kind)
    make = (lambda value: value) if kind is int else kind
    return NetType(
        name,
        (kind,),
        full_name=f"System.{FULL_NAMES[name]}",
        aliases=(FULL_NAMES[name],),
        check=lambda value: type(value) is kind,
        cast=_cast(name),
        construct=lambda types: make(0),
        default=make(0),
        is_value=True,
        methods=_METHODS,
        statics=_statics(name, make(0))
        | returning(name, Max=max, Min=min, Abs=abs, Clamp=lambda value, low, high: min(max(value, low), high)),
        constants=returning(name, MaxValue=lambda: make(high), MinValue=lambda: make(low)),
    )


def _floating(name: str, kind: type[float]) -> NetType:
    largest = 1.7976931348623157e308 if kind is float else 3.4028234663852886e38
    return NetType(
        name,
        (kind,),
        full_name=f"System.{FULL_NAMES[name]}",
        aliases=(FULL_NAMES[name],),
        check=lambda value: type(value) is kind,
        cast=_cast(name),
        default=kind(0),
        is_value=True,
        methods=_METHODS,
        statics=_statics(name, kind(0))
        | returning(
            "bool",
            IsNaN=math.isnan,
            IsInfinity=math.isinf,
            IsFinite=math.isfinite,
            IsPositiveInfinity=lambda value: value == math.inf,
            IsNegativeInfinity=lambda value: value == -math.inf,
        ),
        constants=returning(
            name,
            MaxValue=lambda: kind(largest),
            MinValue=lambda: kind(-largest),
            NaN=lambda: kind(math.nan),
            PositiveInfinity=lambda: kind(math.inf),
            NegativeInfinity=lambda: kind(-math.inf),
            Epsilon=lambda: kind(5e-324),
        ),
    )


def round_number(value: Any, *arguments: Any) -> Any:
    digits = next((one for one in arguments if type(one) is int), 0)
    mode = next((one.number for one in arguments if isinstance(one, Enum)), 0)
    if isinstance(value, float) and not math.isfinite(value):
        return value
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if mode == 0 or exact.adjusted() > 20:
        return round_half_even(value, digits)
    unit = Decimal(1).scaleb(-digits)
    rounded = exact.quantize(
        unit, rounding={1: ROUND_HALF_UP, 2: "ROUND_DOWN", 3: "ROUND_FLOOR", 4: "ROUND_CEILING"}[mode]
    )
    return rounded if isinstance(value, Decimal) else float(rounded)


DECIMAL = NetType(
    "decimal",
    (Decimal,),
    full_name="System.Decimal",
    aliases=("Decimal",),
    cast=_cast("decimal"),
    default=Decimal(0),
    is_value=True,
    methods=_METHODS,
    statics=_statics("decimal", Decimal(0))
    | returning(
        "decimal",
        Round=round_number,
        Truncate=lambda value: value.to_integral_value("ROUND_DOWN"),
        Floor=lambda value: value.to_integral_value("ROUND_FLOOR"),
        Ceiling=lambda value: value.to_integral_value("ROUND_CEILING"),
    )
    | returning("int", ToInt32=lambda value: to_number("int", value)),
    constants=returning(
        "decimal",
        Zero=lambda: Decimal(0),
        One=lambda: Decimal(1),
        MinusOne=lambda: Decimal(-1),
        MaxValue=lambda: DECIMAL_MAX,
        MinValue=lambda: -DECIMAL_MAX,
    ),
)


def parse_bool(value: Any) -> bool:
    match text(value).strip().lower():
        case "true":
            return True
        case "false":
            return False
    raise ExpressionFailed("FormatException", f"String '{text(value)[:100]}' was not recognized as a valid Boolean.")


def _parse_bool(value: Any) -> bool:
    if value is None:
        raise argument_null("value")
    return parse_bool(value)


def _try_parse_bool(value: Any) -> tuple[bool, bool]:
    try:
        return True, parse_bool(value)
    except ExpressionFailed:
        return False, False


def _cast_bool(target: TypeRef, value: Any) -> Any:
    if type(value) is bool:
        return value
    if hasattr(type(value), "is_json_value") and value.Value is not None:
        return convert_bool(value.Value)
    return from_json(target, value)


def convert_bool(value: Any, *_provider: Any) -> bool:
    value = unboxed(value)
    if value is None:
        return False
    if isinstance(value, str):
        return parse_bool(value)
    if is_number(value) or isinstance(value, bool):
        return bool(value)
    raise invalid_cast(value, "System.IConvertible")


BOOL = NetType(
    "bool",
    (bool,),
    full_name="System.Boolean",
    aliases=("Boolean",),
    cast=_cast_bool,
    default=False,
    is_value=True,
    methods=returning("string", ToString=lambda value, *provider: text(value))
    | returning("bool", Equals=lambda value, other: unboxed(other) is value)
    | returning("int", CompareTo=lambda value, other: value - other, GetHashCode=int),
    statics=returning("bool", Parse=_parse_bool, TryParse=_try_parse_bool),
    constants=returning("string", TrueString=lambda: "True", FalseString=lambda: "False"),
)


NUMBER_TYPES = (
    *(_integer(name, kind) for name, kind in INTEGERS.items()),
    _floating("double", float),
    _floating("float", Single),
    DECIMAL,
    BOOL,
)
