"""Math and Random."""

import math
from decimal import Decimal
from typing import Any

from shared.expressions.errors import ExpressionFailed, out_of_range
from shared.expressions.formats import text
from shared.expressions.nettypes import NetType, returning
from shared.expressions.number_types import Function, round_number
from shared.expressions.numbers import (
    Long,
    bounds,
)
from shared.expressions.operators import compare_numbers
from shared.expressions.run import Run


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
        Round=round_number,
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


MATH_TYPES = (MATH, RANDOM)
