"""DateTime, DateTimeOffset and TimeSpan with .NET's 100 ns ticks; local time is UTC, as on a gateway."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from shared.expressions.errors import ExpressionFailed, out_of_range

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
MAX_TICKS = 3_155_378_975_999_999_999
EPOCH_TICKS = 621_355_968_000_000_000
UNSPECIFIED, UTC_KIND, LOCAL = 0, 1, 2


def checked(ticks: int) -> int:
    if not 0 <= ticks <= MAX_TICKS:
        raise out_of_range("value", "The added or subtracted value results in an un-representable DateTime.")
    return ticks


class TimeSpan:
    """A duration in ticks."""

    __slots__ = ("ticks",)
    is_date_value: ClassVar[bool] = True
    is_value: ClassVar[bool] = True

    def __init__(self, ticks: int) -> None:
        if not -(2**63) <= ticks < 2**63:
            message = "TimeSpan overflowed because the duration is too long."
            raise ExpressionFailed("OverflowException", message)
        self.ticks = ticks

    @classmethod
    def of(cls, seconds: float) -> "TimeSpan":
        return cls(round(seconds * TICKS_PER_SECOND))

    @classmethod
    def of_timedelta(cls, value: timedelta) -> "TimeSpan":
        return cls((value.days * 86_400 + value.seconds) * TICKS_PER_SECOND + value.microseconds * 10)

    def __add__(self, other: Any) -> Any:
        return TimeSpan(self.ticks + other.ticks) if isinstance(other, TimeSpan) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return TimeSpan(self.ticks - other.ticks) if isinstance(other, TimeSpan) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        return TimeSpan(round(self.ticks * other)) if isinstance(other, int | float) else NotImplemented

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, TimeSpan):
            return self.ticks / other.ticks
        return TimeSpan(round(self.ticks / other)) if isinstance(other, int | float) else NotImplemented

    def __neg__(self) -> "TimeSpan":
        return TimeSpan(-self.ticks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TimeSpan) and self.ticks == other.ticks

    def __lt__(self, other: "TimeSpan") -> bool:
        return self.ticks < other.ticks

    def __le__(self, other: "TimeSpan") -> bool:
        return self.ticks <= other.ticks

    def __gt__(self, other: "TimeSpan") -> bool:
        return self.ticks > other.ticks

    def __ge__(self, other: "TimeSpan") -> bool:
        return self.ticks >= other.ticks

    def __hash__(self) -> int:
        return hash(self.ticks)

    def part(self, size: int, modulo: int) -> int:
        """A component such as the minutes, with the sign of the whole."""
        value = abs(self.ticks) // size % modulo
        return -value if self.ticks < 0 else value

    def __str__(self) -> str:
        sign, ticks = ("-", -self.ticks) if self.ticks < 0 else ("", self.ticks)
        seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
        days, seconds = divmod(seconds, 86_400)
        shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return sign + (f"{days}." if days else "") + shown + (f".{fraction:07}" if fraction else "")

    def formatted(self, specifier: str) -> str:
        from shared.expressions.date_formats import format_span

        return format_span(self, specifier)


class DateTime:
    """A point in time without offset, and whether it is UTC, local or neither."""

    __slots__ = ("kind", "ticks")
    is_date_value: ClassVar[bool] = True
    is_value: ClassVar[bool] = True

    def __init__(self, ticks: int, kind: int = UNSPECIFIED) -> None:
        self.ticks = checked(ticks)
        self.kind = kind

    @classmethod
    def of(cls, value: datetime, kind: int = UTC_KIND) -> "DateTime":
        moment = value.astimezone(UTC) if value.tzinfo else value
        return cls(ticks_of(moment), kind if value.tzinfo else UNSPECIFIED)

    def moment(self) -> datetime:
        """The same time as a Python datetime without offset, cut to microseconds."""
        return datetime(1, 1, 1) + timedelta(microseconds=self.ticks // 10)

    def offset(self) -> int:
        return 0

    def clock(self) -> "DateTime":
        return self

    def instant(self) -> int:
        return self.ticks

    def with_ticks(self, ticks: int) -> Any:
        return DateTime(ticks, self.kind)

    def __add__(self, other: Any) -> Any:
        return self.with_ticks(self.ticks + other.ticks) if isinstance(other, TimeSpan) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, TimeSpan):
            return self.with_ticks(self.ticks - other.ticks)
        return TimeSpan(self.instant() - other.instant()) if isinstance(other, DateTime) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DateTime) and self.instant() == other.instant()

    def __lt__(self, other: "DateTime") -> bool:
        return self.instant() < other.instant()

    def __le__(self, other: "DateTime") -> bool:
        return self.instant() <= other.instant()

    def __gt__(self, other: "DateTime") -> bool:
        return self.instant() > other.instant()

    def __ge__(self, other: "DateTime") -> bool:
        return self.instant() >= other.instant()

    def __hash__(self) -> int:
        return hash(self.instant())

    def __str__(self) -> str:
        return self.formatted("G")

    def formatted(self, specifier: str) -> str:
        from shared.expressions.date_formats import format_date

        return format_date(self, specifier)

    def json_text(self) -> str:
        """ISO 8601 as Newtonsoft writes it: no trailing zeros, ``Z`` or offset by kind."""
        return self.formatted("yyyy-MM-ddTHH:mm:ss.FFFFFFFK")


class DateTimeOffset(DateTime):
    """A point in time with its offset from UTC; ``ticks`` is the clock time at that offset."""

    __slots__ = ("offset_ticks",)

    def __init__(self, ticks: int, offset_ticks: int = 0) -> None:
        super().__init__(ticks)
        self.offset_ticks = offset_ticks

    @classmethod
    def of(cls, value: datetime, kind: int = UTC_KIND) -> "DateTimeOffset":
        offset = TimeSpan.of_timedelta(value.utcoffset() or timedelta()).ticks
        return cls(ticks_of(value.replace(tzinfo=None)), offset)

    def offset(self) -> int:
        return self.offset_ticks

    def instant(self) -> int:
        return self.ticks - self.offset_ticks

    def with_ticks(self, ticks: int) -> Any:
        return DateTimeOffset(ticks, self.offset_ticks)

    def clock(self) -> DateTime:
        return DateTime(self.ticks)

    def __str__(self) -> str:
        return self.formatted("MM/dd/yyyy HH:mm:ss zzz")

    def json_text(self) -> str:
        return self.formatted("yyyy-MM-ddTHH:mm:ss.FFFFFFFzzz")


def ticks_of(value: datetime) -> int:
    passed = value.replace(tzinfo=None) - datetime(1, 1, 1)
    return (passed.days * 86_400 + passed.seconds) * TICKS_PER_SECOND + passed.microseconds * 10


def date_ticks(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, millisecond: int = 0
) -> int:
    try:
        return ticks_of(datetime(year, month, day, hour, minute, second)) + millisecond * 10_000
    except ValueError:
        message = "Year, Month, and Day parameters describe an un-representable DateTime."
        raise ExpressionFailed("ArgumentOutOfRangeException", message) from None


_JSON_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,12}))?)?(?:(Z)|([+-])(\d\d):?(\d\d))?", re.ASCII
)


def may_be_date(value: str) -> bool:
    """Whether a JSON text has the look of a date; most have not."""
    return len(value) > 15 and value[4] == "-" and value[10] == "T"


def json_date(value: str) -> DateTime | None:
    """The date that a JSON text stands for, as Newtonsoft's ``DateParseHandling.DateTime`` sees it; or none."""
    if not may_be_date(value):
        return None
    found = _JSON_DATE.fullmatch(value)
    if not found:
        return None
    try:
        ticks = iso_ticks(found)
    except ExpressionFailed:
        return None
    if found[8]:
        return DateTime(ticks, UTC_KIND)
    if found[9]:
        offset = (int(found[10]) * 60 + int(found[11])) * 60 * TICKS_PER_SECOND
        return DateTime(ticks - (offset if found[9] == "+" else -offset), LOCAL)
    return DateTime(ticks)


def iso_ticks(found: re.Match[str]) -> int:
    year, month, day, hour, minute = (int(found[i]) for i in range(1, 6))
    fraction = int((found[7] or "0")[:7].ljust(7, "0"))
    return date_ticks(year, month, day, hour, minute, int(found[6] or 0)) + fraction
