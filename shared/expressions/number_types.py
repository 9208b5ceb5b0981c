"""The C# side of numbers and bool: members of int, long, double, decimal, bool; Math, Convert, BitConverter, Random."""

import base64
import binascii
import math
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared.expressions.dates import DateTime
from shared.expressions.enums import Enum, number_of
from shared.expressions.errors import ExpressionFailed, argument_null, bad_format, out_of_range
from shared.expressions.formats import formatted, hash_code, text
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.numbers import (
    DECIMAL_MAX,
    INTEGERS,
    Char,
    Long,
    Single,
    bounds,
    fit,
    is_number,
    parse_decimal,
    parse_float,
    parse_integer,
    round_half_even,
    to_kind,
    wrap,
)
from shared.expressions.operators import compare_numbers, unboxed
from shared.expressions.run import Run

Function = Callable[..., Any]
_FULL_NAMES = {
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
    """What an explicit conversion of a JSON value to a number or bool gives; JSON null only fits a nullable."""
    if not hasattr(type(value), "is_json_value"):
        name = getattr(value, "type_name", None)
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
        full_name=f"System.{_FULL_NAMES[name]}",
        aliases=(_FULL_NAMES[name],),
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
        full_name=f"System.{_FULL_NAMES[name]}",
        aliases=(_FULL_NAMES[name],),
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


def _round(value: Any, *arguments: Any) -> Any:
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
        Round=_round,
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
        return _convert_bool(value.Value)
    return from_json(target, value)


def _convert_bool(value: Any, *_provider: Any) -> bool:
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


def _abs(value: Any) -> Any:
    if isinstance(value, int) and value == bounds(type(value))[0] and value < 0:
        raise ExpressionFailed(
            "OverflowException", "Negating the minimum value of a twos complement number is invalid."
        )
    return type(value)(abs(value)) if isinstance(value, int | float) else abs(value)


def _real(function: Function) -> Function:
    def run(*values: Any) -> float:
        try:
            return float(function(*[float(value) for value in values]))
        except (ValueError, ZeroDivisionError):
            return math.nan
        except OverflowError:
            return math.inf

    return run


def _log(value: float, base: float | None = None) -> float:
    if value == 0:
        return -math.inf
    return math.log(value) if base is None else math.log(value, base)


def _whole(rounding: str, function: Function) -> Function:
    def run(value: Any) -> Any:
        if isinstance(value, Decimal):
            return value.to_integral_value(rounding)
        return float(function(value)) if math.isfinite(value) else value

    return run


def _clamp(value: Any, low: Any, high: Any) -> Any:
    if low > high:
        raise ExpressionFailed("ArgumentException", f"'{text(low)}' cannot be greater than {text(high)}.")
    return min(max(value, low), high)


MATH = NetType(
    "Math",
    aliases=("MathF",),
    statics=returning(
        None,
        Abs=_abs,
        Max=lambda a, b: compare_numbers(a, b, max),
        Min=lambda a, b: compare_numbers(a, b, min),
        Round=_round,
        Floor=_whole("ROUND_FLOOR", math.floor),
        Ceiling=_whole("ROUND_CEILING", math.ceil),
        Truncate=_whole("ROUND_DOWN", math.trunc),
        Clamp=_clamp,
    )
    | returning(
        "int", Sign=lambda value: (value > 0) - (value < 0), DivRem=lambda a, b: (int(a / b), int(math.fmod(a, b)))
    )
    | returning("long", BigMul=lambda a, b: Long(a * b))
    | returning(
        "double",
        Pow=_real(math.pow),
        Sqrt=_real(math.sqrt),
        Cbrt=_real(lambda value: math.copysign(abs(value) ** (1 / 3), value)),
        Exp=_real(math.exp),
        Log=_real(_log),
        Log10=_real(lambda value: -math.inf if value == 0 else math.log10(value)),
        Log2=_real(lambda value: -math.inf if value == 0 else math.log2(value)),
        Sin=_real(math.sin),
        Cos=_real(math.cos),
        Tan=_real(math.tan),
        Asin=_real(math.asin),
        Acos=_real(math.acos),
        Atan=_real(math.atan),
        Atan2=_real(math.atan2),
    ),
    constants=returning("double", PI=lambda: math.pi, E=lambda: math.e),
)


def from_base64(value: Any) -> bytearray:
    """``Convert.FromBase64String``: white space is passed over, wrong padding is a ``FormatException``."""
    if value is None:
        raise argument_null("s")
    try:
        return bytearray(base64.b64decode("".join(text(value).split()), validate=True))
    except (binascii.Error, ValueError):
        message = (
            "The input is not a valid Base-64 string as it contains a non-base 64 character, "
            "more than two padding characters, or an illegal character among the padding characters."
        )
        raise ExpressionFailed("FormatException", message) from None


def _to_base64(run: Run, value: Any, *arguments: Any) -> str:
    if value is None:
        raise argument_null("inArray")
    whole = bytes(value)
    sizes = [one for one in arguments if type(one) is int]
    if len(sizes) == 2:
        whole = whole[sizes[0] : sizes[0] + sizes[1]]
    made = base64.b64encode(whole).decode()
    if any(number_of(one) == 1 for one in arguments if isinstance(one, Enum)):
        made = "\r\n".join(made[i : i + 76] for i in range(0, len(made), 76))
    run.charge(len(made))
    return made


def _from_hex(value: str) -> bytearray:
    try:
        return bytearray.fromhex(value)
    except ValueError:
        raise ExpressionFailed("FormatException", "The input is not a valid hex string.") from None


def _to_int(name: str) -> Function:
    def convert(value: Any, *base: Any) -> Any:
        if base and type(base[0]) is int and base[0] != 10:
            digits = text(value).lower().removeprefix("0x") if base[0] == 16 else text(value)
            try:
                return wrap(INTEGERS[name], int(digits, base[0]))
            except ValueError:
                raise bad_format(text(value)) from None
        return to_number(name, value)

    return convert


def _convert_string(value: Any, *arguments: Any) -> str:
    if arguments and type(arguments[0]) is int and isinstance(value, int):
        unsigned = int(value) % (1 << (64 if isinstance(value, Long) else 32))
        return {2: f"{unsigned:b}", 8: f"{unsigned:o}", 16: f"{unsigned:x}"}.get(arguments[0], str(int(value)))
    return text(value)


def _convert_date(value: Any, *_provider: Any) -> DateTime:
    from shared.expressions.date_formats import parse_date

    value = unboxed(value)
    if isinstance(value, DateTime):
        return value
    return DateTime(0) if value is None else parse_date(text(value))


def _change_type(value: Any, target: Any, *_provider: Any) -> Any:
    name = target.net.name
    if name == "string":
        return text(value)
    if name == "bool":
        return _convert_bool(value)
    return to_number(name, value) if name in _FULL_NAMES else TypeRef(target.net).cast(value)


CONVERT = NetType(
    "Convert",
    statics={f"To{full}": (name, _to_int(name)) for name, full in _FULL_NAMES.items() if name in INTEGERS}
    | returning("double", ToDouble=lambda value, *rest: to_number("double", value))
    | returning("float", ToSingle=lambda value, *rest: to_number("float", value))
    | returning("decimal", ToDecimal=lambda value, *rest: to_number("decimal", value))
    | returning("bool", ToBoolean=_convert_bool, IsDBNull=lambda value: False)
    | returning("char", ToChar=lambda value, *rest: Char(value) if isinstance(value, str) else to_kind("char", value))
    | returning("DateTime", ToDateTime=_convert_date)
    | returning("byte[]", FromBase64String=from_base64, FromHexString=_from_hex)
    | returning(
        "string",
        ToBase64String=_to_base64,
        ToHexString=lambda value: bytes(value).hex().upper(),
        ToHexStringLower=lambda value: bytes(value).hex(),
        ToString=_convert_string,
    )
    | returning(None, ChangeType=_change_type),
)


def _bits(layout: str, make: Function) -> Function:
    def read(value: Any, startIndex: int = 0) -> Any:
        size = struct.calcsize(layout)
        if startIndex < 0 or startIndex + size > len(value):
            raise out_of_range("startIndex")
        return make(struct.unpack_from(layout, value, startIndex)[0])

    return read


def _get_bytes(value: Any) -> bytearray:
    layouts = {"int": "<i", "Long": "<q", "ULong": "<Q", "UInt": "<I", "Short": "<h", "UShort": "<H", "float": "<d"}
    layouts |= {"Single": "<f", "bool": "<?"}
    if type(value) is Char:
        return bytearray(value.encode("utf-16-le"))
    return bytearray(struct.pack(layouts[type(value).__name__], value))


def _hyphenated(value: Any, *span: int) -> str:
    part = value[span[0] :] if len(span) == 1 else value[span[0] : span[0] + span[1]] if span else value
    return "-".join(f"{one:02X}" for one in part)


BIT_CONVERTER = NetType(
    "BitConverter",
    statics=returning("string", ToString=_hyphenated)
    | returning("byte[]", GetBytes=_get_bytes)
    | returning("int", ToInt32=_bits("<i", int), ToInt16=_bits("<h", INTEGERS["short"]))
    | returning("uint", ToUInt32=_bits("<I", INTEGERS["uint"]))
    | returning("long", ToInt64=_bits("<q", Long))
    | returning("ulong", ToUInt64=_bits("<Q", INTEGERS["ulong"]))
    | returning("double", ToDouble=_bits("<d", float)),
    constants=returning("bool", IsLittleEndian=lambda: True),
)


class NetRandom:
    """``Random``: seeded as written, or from the gateway's own source of chance."""

    __slots__ = ("source",)

    def __init__(self, source: Any) -> None:
        self.source = source


def _new_random(run: Run, types: Any, *seed: int) -> NetRandom:
    if not seed:
        return NetRandom(run.ctx.services.random)
    import random

    return NetRandom(random.Random(int(seed[0])))


def _next(random: NetRandom, *limits: int) -> int:
    low, high = (0, 2**31 - 1) if not limits else (0, limits[0]) if len(limits) == 1 else limits
    if low > high:
        raise out_of_range("minValue", "'minValue' cannot be greater than maxValue.")
    return low if low == high else int(random.source.randrange(low, high))


def _next_bytes(random: NetRandom, buffer: bytearray) -> None:
    buffer[:] = random.source.randbytes(len(buffer))


RANDOM = NetType(
    "Random",
    (NetRandom,),
    full_name="System.Random",
    construct=_new_random,
    methods=returning("int", Next=_next)
    | returning("long", NextInt64=lambda random, *limits: Long(_next(random, *(limits or (2**63 - 1,)))))
    | returning("double", NextDouble=lambda random: random.source.random())
    | returning(None, NextBytes=_next_bytes),
    constants=returning("Random", Shared=lambda run: NetRandom(run.ctx.services.random)),
)

NUMBER_TYPES = (
    *(_integer(name, kind) for name, kind in INTEGERS.items()),
    _floating("double", float),
    _floating("float", Single),
    DECIMAL,
    BOOL,
    MATH,
    CONVERT,
    BIT_CONVERTER,
    RANDOM,
)
