"""What policies make of an expression's value: text for headers and bodies, bool, int, bytes."""

from decimal import Decimal
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.formats import text
from shared.expressions.numbers import Char
from shared.expressions.operators import unboxed


def to_text(value: Any) -> str:
    """The value as API Management puts it into headers and bodies: ``ToString()``; bytes as UTF-8; null is empty."""
    if type(value) is str:
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return text(value)


def to_bool(value: Any) -> bool:
    """A condition's value: a bool, or its text. ``InvalidCastException`` for anything else."""
    if value is True or value is False:
        return value
    inner = unboxed(value)
    if isinstance(inner, bool):
        return inner
    if isinstance(inner, str) and inner.strip().lower() in ("true", "false"):
        return inner.strip().lower() == "true"
    raise _wrong(value, "System.Boolean")


def to_int(value: Any) -> int:
    """A whole number, also as text; ``InvalidCastException`` for anything else."""
    inner = unboxed(value)
    if isinstance(inner, int) and not isinstance(inner, bool):
        return int(inner)
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    if isinstance(inner, str) and not isinstance(inner, Char):
        try:
            return int(inner.strip()[:40])
        except ValueError:
            pass
    raise _wrong(value, "System.Int32")


def to_number(value: Any) -> float:
    """A number, also as text; ``InvalidCastException`` for anything else."""
    inner = unboxed(value)
    if isinstance(inner, int | float | Decimal) and not isinstance(inner, bool):
        return float(inner)
    if isinstance(inner, str) and not isinstance(inner, Char):
        try:
            return float(inner.strip()[:40])
        except ValueError:
            pass
    raise _wrong(value, "System.Double")


def to_bytes(value: Any) -> bytes:
    """A body: bytes as they are, text and everything else as UTF-8 text."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    return to_text(value).encode("utf-8", "replace")


def _wrong(value: Any, target: str) -> ExpressionFailed:
    from shared.expressions.catalog import full_name_of

    kind = "null" if value is None else f"'{full_name_of(value)}'"
    return ExpressionFailed("InvalidCastException", f"The expression gave {kind} where '{target}' is needed.")
