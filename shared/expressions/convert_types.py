"""Convert and BitConverter: base64, hexadecimal, and every number from every other value."""

import base64
import binascii
import struct
from typing import Any

from shared.expressions.dates import DateTime
from shared.expressions.enums import Enum, number_of
from shared.expressions.errors import ExpressionFailed, argument_null, bad_format, out_of_range
from shared.expressions.formats import text
from shared.expressions.nettypes import NetType, TypeRef, returning
from shared.expressions.number_types import FULL_NAMES, Function, convert_bool, to_number
from shared.expressions.numbers import (
    INTEGERS,
    Char,
    Long,
    to_kind,
    wrap,
)
from shared.expressions.operators import unboxed
from shared.expressions.run import Run


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
        return convert_bool(value)
    return to_number(name, value) if name in FULL_NAMES else TypeRef(target.net).cast(value)


CONVERT = NetType(
    "Convert",
    statics={f"To{full}": (name, _to_int(name)) for name, full in FULL_NAMES.items() if name in INTEGERS}
    | returning("double", ToDouble=lambda value, *rest: to_number("double", value))
    | returning("float", ToSingle=lambda value, *rest: to_number("float", value))
    | returning("decimal", ToDecimal=lambda value, *rest: to_number("decimal", value))
    | returning("bool", ToBoolean=convert_bool, IsDBNull=lambda value: False)
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


CONVERT_TYPES = (CONVERT, BIT_CONVERTER)
