"""C# ranges and positions from the end: ``a[1..^1]``."""

from typing import Any

from shared.expressions.errors import ExpressionFailed


class FromEnd:
    """``^n``: a position counted from the end."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class Range:
    """``a..b``: a part of an array or text."""

    __slots__ = ("end", "start")

    def __init__(self, start: Any, end: Any) -> None:
        self.start = start
        self.end = end

    def of(self, length: int) -> slice:
        def at(place: Any, default: int) -> int:
            if place is None:
                return default
            return length - place.count if isinstance(place, FromEnd) else int(place)

        start, end = at(self.start, 0), at(self.end, length)
        if not 0 <= start <= end <= length:
            message = "Specified argument was out of the range of valid values. (Parameter 'length')"
            raise ExpressionFailed("ArgumentOutOfRangeException", message)
        return slice(start, end)
