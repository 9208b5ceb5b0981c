"""C# operators on values whose kinds are known only when they meet: arithmetic, comparison, equality, bits."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.formats import text
from shared.expressions.numbers import (
    INT_MAX,
    INT_MIN,
    Char,
    Long,
    UInt,
    ULong,
    arithmetic,
    is_number,
    number,
    promoted,
    wrap,
)

Operation = Callable[[Any, Any], Any]


def unboxed(value: Any) -> Any:
    """What is inside a JSON value: operators see through ``JValue`` as dynamic C# does."""
    return value.Value if getattr(type(value), "is_json_value", False) else value


def add(a: Any, b: Any) -> Any:
    kind = type(a)
    if kind is int and type(b) is int:
        result = a + b
        return result if INT_MIN <= result <= INT_MAX else wrap(int, result)
    if kind is str or (type(b) is str and not hasattr(kind, "names_elements")):
        return text(a) + text(b)
    return _slow("+", unboxed(a), unboxed(b))


def subtract(a: Any, b: Any) -> Any:
    if type(a) is int and type(b) is int:
        result = a - b
        return result if INT_MIN <= result <= INT_MAX else wrap(int, result)
    return _slow("-", unboxed(a), unboxed(b))


def _slow(operator: str, a: Any, b: Any) -> Any:
    if operator == "+" and (type(a) is str or type(b) is str) and not hasattr(type(a), "names_elements"):
        return text(a) + text(b)
    if a is None or b is None:
        return None
    if _numeric(a) and _numeric(b):
        return arithmetic(operator, a, b)
    method = {"+": "__add__", "-": "__sub__", "*": "__mul__", "/": "__truediv__"}.get(operator, "")
    if hasattr(type(a), "is_date_value"):
        result = getattr(a, method)(b)
        if result is not NotImplemented:
            return result
    raise cannot_apply(operator, a, b)


def _numeric(value: Any) -> bool:
    return is_number(value) or type(value) is Char


def cannot_apply(operator: str, a: Any, b: Any) -> ExpressionFailed:
    from shared.expressions.catalog import short_name_of

    left, right = short_name_of(a), short_name_of(b)
    message = f"Operator '{operator}' cannot be applied to operands of type '{left}' and '{right}'"
    return ExpressionFailed("RuntimeBinderException", message)


def compare_numbers(a: Any, b: Any, choose: Operation) -> Any:
    """``Math.Max`` and ``Math.Min``: the chosen one, in the kind both are promoted to."""
    kind = promoted(a, b)
    a, b = number(unboxed(a)), number(unboxed(b))
    chosen = choose(a, b)
    return kind(chosen) if type(chosen) is not kind else chosen


def multiply(a: Any, b: Any) -> Any:
    return _slow("*", unboxed(a), unboxed(b))


def divide(a: Any, b: Any) -> Any:
    return _slow("/", unboxed(a), unboxed(b))


def remainder(a: Any, b: Any) -> Any:
    return _slow("%", unboxed(a), unboxed(b))


def equals(a: Any, b: Any) -> bool:
    """``==``: numbers and strings by value, JSON values by what they hold, other objects by identity."""
    kind = type(a)
    if kind is type(b) and (kind is str or kind is int or kind is bool):
        return a == b  # type: ignore[no-any-return]
    if a is None or b is None:
        return a is b
    a, b = unboxed(a), unboxed(b)
    if a is None or b is None:
        return a is b
    return same(a, b)


def same(a: Any, b: Any) -> bool:
    """``Equals`` of two values that are not null and not JSON values."""
    if is_number(a) and is_number(b):
        if isinstance(a, Decimal) or isinstance(b, Decimal):
            return Decimal(a) == Decimal(b)
        return bool(a == b)
    if type(a) is Char or type(b) is Char:
        if is_number(a) or is_number(b):
            return bool(number(a) == number(b))
        return type(a) is type(b) and str(a) == str(b)
    if isinstance(a, bool) or isinstance(b, bool) or isinstance(a, str) or isinstance(b, str):
        return type(a) is type(b) and a == b
    return bool(a == b) if hasattr(type(a), "is_value") or type(a).__module__ == "uuid" else a is b


def differs(a: Any, b: Any) -> bool:
    return not equals(a, b)


def comparison(operator: str, compare: Operation) -> Operation:
    def run(a: Any, b: Any) -> bool:
        if type(a) is int and type(b) is int:
            return compare(a, b)  # type: ignore[no-any-return]
        a, b = unboxed(a), unboxed(b)
        if a is None or b is None:
            return False
        if _numeric(a) and _numeric(b):
            return compare(number(a), number(b))  # type: ignore[no-any-return]
        if type(a) is type(b) and hasattr(type(a), "is_value"):
            return compare(a, b)  # type: ignore[no-any-return]
        raise cannot_apply(operator, a, b)

    return run


def bits(operator: str) -> Operation:
    """``& | ^``: on bools without short-circuit, else on integers in their common kind; enums stay enums."""
    compute: Operation = {
        "&": lambda a, b: a & b,
        "|": lambda a, b: a | b,
        "^": lambda a, b: a ^ b,
    }[operator]

    def run(a: Any, b: Any) -> Any:
        a, b = unboxed(a), unboxed(b)
        if type(a) is bool and type(b) is bool:
            return compute(a, b)
        if a is None or b is None:
            return None
        if hasattr(type(a), "is_enum") and type(a) is type(b):
            return type(a).of(compute(int(a.number), int(b.number)))
        if isinstance(a, float | Decimal) or isinstance(b, float | Decimal):
            raise cannot_apply(operator, a, b)
        return wrap(promoted(a, b), compute(int(number(a)), int(number(b))))

    return run


def shift(operator: str) -> Operation:
    def run(a: Any, b: Any) -> Any:
        a, b = number(unboxed(a)), int(number(unboxed(b)))
        kind = type(a) if type(a) in (Long, ULong, UInt) else int
        places = b & (63 if kind in (Long, ULong) else 31)
        if operator == "<<":
            return wrap(kind, int(a) << places)
        if operator == ">>>" and a < 0:
            a = int(a) % (1 << (64 if kind is Long else 32))
        return wrap(kind, int(a) >> places)

    return run


def negate(a: Any) -> Any:
    a = unboxed(a)
    if a is None:
        return None
    if hasattr(type(a), "is_date_value"):
        return -a
    value = number(a)
    if isinstance(value, float | Decimal):
        return -value
    return wrap(Long if type(value) in (UInt, Long) else int, -int(value))


def complement(a: Any) -> Any:
    value = number(unboxed(a))
    kind = type(value) if type(value) in (Long, ULong, UInt) else int
    return wrap(kind, ~int(value))


def invert(a: Any) -> Any:
    """``!``; of a nullable bool without value there is none."""
    a = unboxed(a)
    if type(a) is not bool and a is not None:
        raise cannot_apply("!", a, a)
    return None if a is None else not a


BINARY: dict[str, Operation] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "==": equals,
    "!=": differs,
    "<": comparison("<", lambda a, b: a < b),
    ">": comparison(">", lambda a, b: a > b),
    "<=": comparison("<=", lambda a, b: a <= b),
    ">=": comparison(">=", lambda a, b: a >= b),
    "&": bits("&"),
    "|": bits("|"),
    "^": bits("^"),
    "<<": shift("<<"),
    ">>": shift(">>"),
    ">>>": shift(">>>"),
}
