""".NET text of values, culture-invariant: ``ToString()``, numeric format strings and ``String.Format``."""

import math
import re
import uuid
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.numbers import Single, is_number, wrap


def text(value: Any) -> str:
    """``value.ToString()`` as .NET writes it; null is the empty text, as in concatenation and headers."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if value is None:
        return ""
    if kind is bool:
        return "True" if value else "False"
    if isinstance(value, float):
        return float_text(value)
    if kind is Decimal:
        return f"{value:f}"
    if kind is bytes or kind is bytearray:
        return "System.Byte[]"
    if isinstance(value, int) or _has_text(kind):
        return str(value)
    from shared.expressions.catalog import full_name_of

    return full_name_of(value)


def _has_text(kind: Any) -> bool:
    """Whether values of a class have a text of their own; of others .NET tells the type, nothing of what they hold."""
    return kind.__str__ is not object.__str__ and not hasattr(kind, "model_fields")


def float_text(value: float) -> str:
    """Shortest text that reads back as the same double, in .NET's notation: ``1E+16``, ``1E-05``, ``NaN``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    digits = f"{value:.7g}" if type(value) is Single else repr(float(value))
    sign, number, exponent = _decimal_parts(digits)
    if not number:
        return f"{sign}0"
    if -5 < exponent - 1 < 15:
        return sign + _plain(number, exponent)
    mantissa = number[0] + (f".{number[1:]}" if len(number) > 1 else "")
    return f"{sign}{mantissa}E{exponent - 1:+03d}"


def _decimal_parts(digits: str) -> tuple[str, str, int]:
    """Sign, significant digits, and the position of the decimal point relative to their start."""
    sign, rest = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    mantissa, _, exponent = rest.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    number = whole + fraction
    leading = len(number) - len(number.lstrip("0"))
    return sign, number.strip("0"), point - leading


def _plain(number: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + number
    if point >= len(number):
        return number + "0" * (point - len(number))
    return f"{number[:point]}.{number[point:]}"


def formatted(value: Any, specifier: str | None) -> str:
    """``value.ToString(specifier)``; types without formats of their own ignore it."""
    if not specifier or value is None or isinstance(value, (bool, str)):
        return text(value)
    if is_number(value):
        return format_number(value, specifier)
    if isinstance(value, uuid.UUID):
        return format_guid(value, specifier)
    with_format = getattr(value, "formatted", None)
    return with_format(specifier) if with_format else text(value)


def format_guid(value: uuid.UUID, specifier: str | None) -> str:
    match (specifier or "D").upper():
        case "D":
            return str(value)
        case "N":
            return value.hex
        case "B":
            return f"{{{value}}}"
        case "P":
            return f"({value})"
    raise ExpressionFailed(
        "FormatException",
        'Format string can be only "D", "d", "N", "n", "P", "p", "B", "b", "X" or "x".',
    )


def format_number(value: Any, specifier: str) -> str:
    """A number by a standard (``N2``, ``x8``, ``P``) or custom (``0.00``, ``#,##0``) format string."""
    standard = re.fullmatch(r"([A-Za-z])([0-9]{0,3})", specifier)
    if isinstance(value, float) and not math.isfinite(value):
        return float_text(value)
    if not standard:
        return _custom_number(value, specifier)
    letter, precision = standard[1], int(standard[2]) if standard[2] else None
    match letter.upper():
        case "D" | "X" | "B" if isinstance(value, float | Decimal):
            raise ExpressionFailed("FormatException", "Format specifier was invalid.")
        case "D":
            return ("-" if value < 0 else "") + str(abs(value)).zfill(precision or 0)
        case "X":
            return _hexadecimal(value, letter, precision)
        case "F":
            return _fixed(value, 2 if precision is None else precision)
        case "N":
            return _grouped(_fixed(value, 2 if precision is None else precision))
        case "P":
            return (
                _grouped(
                    _fixed(
                        Decimal(repr(value) if type(value) is float else str(value)) * 100,
                        precision if precision is not None else 2,
                    )
                )
                + " %"
            )
        case "C":
            amount = _grouped(_fixed(abs(value), 2 if precision is None else precision))
            return f"(¤{amount})" if value < 0 else f"¤{amount}"
        case "E":
            mantissa, _, exponent = f"{value:.{6 if precision is None else precision}{letter}}".partition(letter)
            return f"{mantissa}{letter}{int(exponent):+04d}"
        case "G" | "R":
            return _general(value, precision if letter.upper() == "G" else None)
    raise ExpressionFailed("FormatException", "Format specifier was invalid.")


def _hexadecimal(value: int, letter: str, precision: int | None) -> str:
    kind = type(value)
    if value < 0:
        bits = {"Long": 64, "Short": 16, "SByte": 8}.get(kind.__name__, 32)
        value = int(value) % (1 << bits)
    return f"{int(value):{letter}}".zfill(precision or 0)


def _fixed(value: Any, digits: int) -> str:
    exact = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)
    rounded = _rounded(exact, digits)
    return f"{abs(rounded) if rounded == 0 else rounded:.{digits}f}"


def _rounded(exact: Decimal, digits: int) -> Decimal:
    with_room = exact.copy_abs().adjusted() + digits + 2
    if with_room > 28:
        return exact
    return exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def _grouped(fixed: str) -> str:
    sign, rest = ("-", fixed[1:]) if fixed.startswith("-") else ("", fixed)
    whole, point, fraction = rest.partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def _general(value: Any, precision: int | None) -> str:
    """So many digits, in scientific notation where the exponent is -5 and less or takes more digits than there are."""
    if not precision:
        return text(value)
    digits = f"{value if isinstance(value, float) else Decimal(value):.{precision - 1}e}"
    sign, number, point = _decimal_parts(digits)
    if not number:
        return f"{sign}0"
    if -5 < point - 1 < precision:
        return sign + _plain(number, point)
    return f"{sign}{number[0]}{'.' if number[1:] else ''}{number[1:]}E{point - 1:+03d}"


def _custom_number(value: Any, pattern: str) -> str:
    sections = _sections(pattern)
    chosen = sections[0]
    if len(sections) > 2 and value == 0 and sections[2]:
        chosen = sections[2]
    elif len(sections) > 1 and value < 0 and sections[1]:
        return _custom_section(abs(value), sections[1])
    shown = _custom_section(abs(value), chosen)
    return f"-{shown}" if value < 0 and any(c in "123456789" for c in shown) else shown


def _sections(pattern: str) -> list[str]:
    return re.findall(r"""((?:[^;'"\\]|'[^']*'|"[^"]*"|\\.)*)(?:;|$)""", pattern)[:3] or [pattern]


def _custom_section(value: Any, pattern: str) -> str:
    tokens = re.findall(r"""'[^']*'|"[^"]*"|\\.|[eE][+-]?0+|.""", pattern)
    digits = [i for i, token in enumerate(tokens) if token in ("0", "#")]
    if not digits:
        return "".join(_literal(token) for token in tokens if token not in ",.")
    point = tokens.index(".") if "." in tokens else len(tokens)
    whole_places = [tokens[i] for i in digits if i < point]
    fraction_places = [tokens[i] for i in digits if i > point]
    grouped = any(tokens[i] == "," for i in range(digits[0], min(point, digits[-1])))
    exact = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)
    if "%" in tokens:
        exact *= 100
    rounded = f"{_rounded(exact, len(fraction_places)):.{len(fraction_places)}f}"
    whole, _, fraction = rounded.partition(".")
    return _place(tokens, point, _whole_text(whole, whole_places, grouped), _fraction_text(fraction, fraction_places))


def _whole_text(whole: str, places: list[str], grouped: bool) -> str:
    minimum = len(places) - places.index("0") if "0" in places else 0
    digits = whole.lstrip("0").zfill(minimum) if minimum else whole.lstrip("0")
    if not grouped:
        return digits
    groups = [digits[max(end - 3, 0) : end] for end in range(len(digits), 0, -3)]
    return ",".join(reversed(groups))


def _fraction_text(fraction: str, places: list[str]) -> str:
    minimum = len(places) - places[::-1].index("0") if "0" in places else 0
    kept = fraction.rstrip("0")
    return kept if len(kept) >= minimum else fraction[:minimum]


def _place(tokens: list[str], point: int, whole: str, fraction: str) -> str:
    """Put the digits where the pattern has its places and keep the literals around them."""
    out: list[str] = []
    whole_done = fraction_done = False
    for i, token in enumerate(tokens):
        if token in ("0", "#"):
            if i < point and not whole_done:
                out.append(whole)
                whole_done = True
            elif i > point and not fraction_done:
                out.append(fraction)
                fraction_done = True
        elif token == "." and i == point:
            if not whole_done:
                out.append(whole)
                whole_done = True
            out.append("." if fraction else "")
        elif token != ",":
            out.append(_literal(token))
    return "".join(out)


def _literal(token: str) -> str:
    if token[0] in "'\"" and len(token) > 1:
        return token[1:-1]
    return token[1:] if token[0] == "\\" and len(token) > 1 else token


_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([0-9]{1,6})\s*(?:,\s*(-?[0-9]{1,6}))?\s*(?::((?:[^{}])*))?\}|[{}]")


def composite(pattern: str, values: Sequence[Any], charge: Callable[[int], None]) -> str:
    """``String.Format(pattern, values)``; ``charge`` hears of each part's size before the whole is made."""
    charge(len(pattern))

    def fill(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] is None:
            raise ExpressionFailed("FormatException", "Input string was not in a correct format.")
        index = int(found[1])
        if index >= len(values):
            raise ExpressionFailed(
                "FormatException",
                "Index (zero based) must be greater than or equal to zero and less than the size of the argument list.",
            )
        width = int(found[2] or 0)
        shown = formatted(values[index], found[3])
        charge(max(len(shown), abs(width)))
        return aligned(shown, width)

    return _PLACEHOLDER.sub(fill, pattern)


def aligned(shown: str, width: int) -> str:
    return shown.ljust(-width) if width < 0 else shown.rjust(width)


def hash_code(value: Any) -> int:
    """A stable ``GetHashCode``: .NET's differs by process, so only its stability within a run matters."""
    code = 5381
    for char in text(value)[:10000]:
        code = (code * 33 ^ ord(char)) & 0xFFFFFFFF
    return wrap(int, code)
