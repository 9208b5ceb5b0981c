"""The C# side of dates: members of DateTime, DateTimeOffset, TimeSpan, and of Guid."""

import calendar
import uuid
from collections.abc import Callable
from typing import Any

from shared.expressions.date_formats import parse_date, parse_exact, parse_offset_date, parse_span
from shared.expressions.dates import (
    EPOCH_TICKS,
    LOCAL,
    MAX_TICKS,
    TICKS_PER_DAY,
    TICKS_PER_SECOND,
    UNSPECIFIED,
    UTC_KIND,
    DateTime,
    DateTimeOffset,
    TimeSpan,
    date_ticks,
)
from shared.expressions.enums import DateTimeKind, DayOfWeek, Enum, number_of
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import format_guid, formatted, hash_code, text
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.numbers import Long
from shared.expressions.run import Run

TICKS_PER_MILLISECOND = 10_000
Function = Callable[..., Any]


def _now(run: Run) -> DateTime:
    return DateTime.of(run.ctx.services.clock())


def _adding(ticks_each: int) -> Function:
    return lambda value, amount: value.with_ticks(value.ticks + round(amount * ticks_each))


def _add_months(value: Any, months: int) -> Any:
    moment = value.moment()
    index = moment.year * 12 + moment.month - 1 + int(months)
    year, month = index // 12, index % 12 + 1
    if not 1 <= year <= 9999:
        raise ExpressionFailed(
            "ArgumentOutOfRangeException", "The added or subtracted value results in an un-representable DateTime."
        )
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return value.with_ticks(date_ticks(year, month, day) + value.ticks % TICKS_PER_DAY)


def _styles(arguments: tuple[Any, ...]) -> int:
    return next((one.number for one in arguments if isinstance(one, Enum)), 0)


def _parser(parse: Function) -> Function:
    def run(value: Any, *rest: Any) -> Any:
        if value is None:
            raise argument_null("s")
        return parse(text(value), _styles(rest))

    return run


def _trying(parse: Function, default: Any) -> Function:
    def run(value: Any, *rest: Any) -> tuple[bool, Any]:
        try:
            return True, parse(value, *rest)
        except ExpressionFailed:
            return False, default

    return run


def _exact(with_offset: bool) -> Function:
    def run(value: Any, formats: Any, *rest: Any) -> Any:
        if value is None:
            raise argument_null("s")
        return parse_exact(
            value, formats if isinstance(formats, list) else [formats], _styles(rest), with_offset=with_offset
        )

    return run


def _new_date(types: Any, *arguments: Any) -> DateTime:
    kind = next((one.number for one in arguments if isinstance(one, Enum)), UNSPECIFIED)
    numbers = [one for one in arguments if not isinstance(one, Enum)]
    if len(numbers) < 3:
        return DateTime(int(numbers[0]) if numbers else 0, kind)
    return DateTime(date_ticks(*numbers), kind)


def _new_offset_date(types: Any, *arguments: Any) -> DateTimeOffset:
    *numbers, last = arguments or (0,)
    if isinstance(last, TimeSpan):
        first = numbers[0]
        if isinstance(first, DateTime):
            return DateTimeOffset(first.ticks, last.ticks)
        return DateTimeOffset(first if len(numbers) == 1 else date_ticks(*numbers), last.ticks)
    return DateTimeOffset(last.ticks if isinstance(last, DateTime) else int(last))


_WHOLE = returning(
    "int",
    Year=lambda value: value.moment().year,
    Month=lambda value: value.moment().month,
    Day=lambda value: value.moment().day,
    Hour=lambda value: value.moment().hour,
    Minute=lambda value: value.moment().minute,
    Second=lambda value: value.moment().second,
    Millisecond=lambda value: value.ticks // TICKS_PER_MILLISECOND % 1000,
    DayOfYear=lambda value: value.moment().timetuple().tm_yday,
) | returning("long", Ticks=lambda value: Long(value.ticks))


def _arithmetic(own: str) -> dict[str, Any]:
    return (
        returning(
            own,
            AddDays=_adding(TICKS_PER_DAY),
            AddHours=_adding(3600 * TICKS_PER_SECOND),
            AddMinutes=_adding(60 * TICKS_PER_SECOND),
            AddSeconds=_adding(TICKS_PER_SECOND),
            AddMilliseconds=_adding(TICKS_PER_MILLISECOND),
            AddTicks=_adding(1),
            AddMonths=_add_months,
            AddYears=lambda value, years: _add_months(value, years * 12),
            Add=lambda value, span: value + span,
        )
        | returning(None, Subtract=lambda value, other: value - other)
        | returning(
            "int",
            CompareTo=lambda value, other: (value > other) - (value < other),
            GetHashCode=hash_code,
        )
        | returning("bool", Equals=lambda value, other: value == other)
        | returning("string", ToString=lambda value, *arguments: _shown(value, arguments))
    )


def _shown(value: Any, arguments: tuple[Any, ...]) -> str:
    return formatted(value, next((one for one in arguments if isinstance(one, str)), None))


def _unix(ticks_each: int) -> Function:
    return lambda value: Long((value.instant() - EPOCH_TICKS) // ticks_each)


def _cast_date(target: TypeRef, value: Any) -> Any:
    kind = DateTimeOffset if target.net.name == "DateTimeOffset" else DateTime
    inner = getattr(value, "Value", value) if hasattr(type(value), "is_json_value") else value
    if type(inner) is kind:
        return inner
    if isinstance(inner, DateTime):
        return DateTimeOffset(inner.ticks) if kind is DateTimeOffset else inner.clock()
    if inner is not value and isinstance(inner, str):
        return (parse_offset_date if kind is DateTimeOffset else parse_date)(inner)
    if inner is None and target.nullable:
        return None
    raise invalid_cast(value, target.full_name)


DATE_TIME = NetType(
    "DateTime",
    (DateTime,),
    full_name="System.DateTime",
    check=lambda value: type(value) is DateTime,
    cast=_cast_date,
    construct=_new_date,
    default=DateTime(0),
    is_value=True,
    properties=_WHOLE
    | returning(
        "DateTime",
        Date=lambda value: DateTime(value.ticks - value.ticks % TICKS_PER_DAY, value.kind),
    )
    | returning("DayOfWeek", DayOfWeek=lambda value: DayOfWeek((value.moment().weekday() + 1) % 7))
    | returning("TimeSpan", TimeOfDay=lambda value: TimeSpan(value.ticks % TICKS_PER_DAY))
    | returning("DateTimeKind", Kind=lambda value: DateTimeKind(value.kind)),
    methods=_arithmetic("DateTime")
    | returning(
        "DateTime",
        ToUniversalTime=lambda value: DateTime(value.ticks, UTC_KIND),
        ToLocalTime=lambda value: DateTime(value.ticks, LOCAL),
    )
    | returning(
        "string",
        ToShortDateString=lambda value: value.formatted("d"),
        ToLongDateString=lambda value: value.formatted("D"),
        ToShortTimeString=lambda value: value.formatted("t"),
        ToLongTimeString=lambda value: value.formatted("T"),
    )
    | returning("bool", IsDaylightSavingTime=lambda value: False)  # the machine's own time is UTC
    | returning("long", ToFileTimeUtc=lambda value: Long(value.ticks - 504_911_232_000_000_000))
    | returning("double", ToOADate=lambda value: (value.ticks - 599_264_352_000_000_000) / TICKS_PER_DAY),
    statics=returning(
        "DateTime",
        Parse=_parser(parse_date),
        ParseExact=_exact(False),
        SpecifyKind=lambda value, kind: DateTime(value.ticks, number_of(kind)),
        FromFileTimeUtc=lambda value: DateTime(value + 504_911_232_000_000_000, UTC_KIND),
    )
    | returning(
        "bool",
        TryParse=_trying(_parser(parse_date), DateTime(0)),
        TryParseExact=_trying(_exact(False), DateTime(0)),
        IsLeapYear=calendar.isleap,
        Equals=lambda a, b: a == b,
    )
    | returning(
        "int",
        DaysInMonth=lambda year, month: calendar.monthrange(year, month)[1],
        Compare=lambda a, b: (a > b) - (a < b),
    ),
    constants=returning(
        "DateTime",
        UtcNow=_now,
        Now=lambda run: DateTime(_now(run).ticks, LOCAL),
        Today=lambda run: DateTime(_now(run).ticks // TICKS_PER_DAY * TICKS_PER_DAY, LOCAL),
        MinValue=lambda: DateTime(0),
        MaxValue=lambda: DateTime(MAX_TICKS),
        UnixEpoch=lambda: DateTime(EPOCH_TICKS, UTC_KIND),
    ),
)

DATE_TIME_OFFSET = NetType(
    "DateTimeOffset",
    (DateTimeOffset,),
    full_name="System.DateTimeOffset",
    cast=_cast_date,
    construct=_new_offset_date,
    default=DateTimeOffset(0),
    is_value=True,
    properties=_WHOLE
    | returning(
        "DateTime",
        DateTime=lambda value: DateTime(value.ticks),
        Date=lambda value: DateTime(value.ticks - value.ticks % TICKS_PER_DAY),
        UtcDateTime=lambda value: DateTime(value.instant(), UTC_KIND),
        LocalDateTime=lambda value: DateTime(value.instant(), LOCAL),
    )
    | returning("DayOfWeek", DayOfWeek=lambda value: DayOfWeek((value.moment().weekday() + 1) % 7))
    | returning(
        "TimeSpan",
        TimeOfDay=lambda value: TimeSpan(value.ticks % TICKS_PER_DAY),
        Offset=lambda value: TimeSpan(value.offset_ticks),
    )
    | returning("long", UtcTicks=lambda value: Long(value.instant())),
    methods=_arithmetic("DateTimeOffset")
    | returning(
        "DateTimeOffset",
        ToUniversalTime=lambda value: DateTimeOffset(value.instant()),
        ToLocalTime=lambda value: DateTimeOffset(value.instant()),
        ToOffset=lambda value, span: DateTimeOffset(value.instant() + span.ticks, span.ticks),
    )
    | returning("long", ToUnixTimeSeconds=_unix(TICKS_PER_SECOND), ToUnixTimeMilliseconds=_unix(TICKS_PER_MILLISECOND)),
    statics=returning(
        "DateTimeOffset",
        Parse=_parser(parse_offset_date),
        ParseExact=_exact(True),
        FromUnixTimeSeconds=lambda seconds: DateTimeOffset(EPOCH_TICKS + seconds * TICKS_PER_SECOND),
        FromUnixTimeMilliseconds=lambda amount: DateTimeOffset(EPOCH_TICKS + amount * TICKS_PER_MILLISECOND),
    )
    | returning(
        "bool",
        TryParse=_trying(_parser(parse_offset_date), DateTimeOffset(0)),
        TryParseExact=_trying(_exact(True), DateTimeOffset(0)),
    )
    | returning("int", Compare=lambda a, b: (a > b) - (a < b)),
    constants=returning(
        "DateTimeOffset",
        UtcNow=lambda run: DateTimeOffset(_now(run).ticks),
        Now=lambda run: DateTimeOffset(_now(run).ticks),
        MinValue=lambda: DateTimeOffset(0),
        MaxValue=lambda: DateTimeOffset(MAX_TICKS),
        UnixEpoch=lambda: DateTimeOffset(EPOCH_TICKS),
    ),
)


def _new_span(types: Any, *arguments: int) -> TimeSpan:
    if len(arguments) < 2:
        return TimeSpan(int(arguments[0]) if arguments else 0)
    days, hours, minutes, seconds, *rest = arguments if len(arguments) > 3 else (0, *arguments)
    milliseconds = rest[0] if rest else 0
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return TimeSpan(total * TICKS_PER_SECOND + milliseconds * TICKS_PER_MILLISECOND)


def _span_part(ticks_each: int, modulo: int) -> Function:
    return lambda value: value.part(ticks_each, modulo)


def _span_total(ticks_each: int) -> Function:
    return lambda value: value.ticks / ticks_each


def _span_from(ticks_each: int) -> Function:
    return lambda amount: TimeSpan(round(amount * ticks_each))


TIME_SPAN = NetType(
    "TimeSpan",
    (TimeSpan,),
    full_name="System.TimeSpan",
    construct=_new_span,
    default=TimeSpan(0),
    is_value=True,
    properties=returning(
        "int",
        Days=_span_part(TICKS_PER_DAY, 10**9),
        Hours=_span_part(3600 * TICKS_PER_SECOND, 24),
        Minutes=_span_part(60 * TICKS_PER_SECOND, 60),
        Seconds=_span_part(TICKS_PER_SECOND, 60),
        Milliseconds=_span_part(TICKS_PER_MILLISECOND, 1000),
    )
    | returning(
        "double",
        TotalDays=_span_total(TICKS_PER_DAY),
        TotalHours=_span_total(3600 * TICKS_PER_SECOND),
        TotalMinutes=_span_total(60 * TICKS_PER_SECOND),
        TotalSeconds=_span_total(TICKS_PER_SECOND),
        TotalMilliseconds=_span_total(TICKS_PER_MILLISECOND),
    )
    | returning("long", Ticks=lambda value: Long(value.ticks)),
    methods=returning(
        "TimeSpan",
        Add=lambda value, other: value + other,
        Subtract=lambda value, other: value - other,
        Negate=lambda value: -value,
        Duration=lambda value: TimeSpan(abs(value.ticks)),
        Multiply=lambda value, factor: value * factor,
    )
    | returning("string", ToString=lambda value, *arguments: _shown(value, arguments))
    | returning("int", CompareTo=lambda value, other: (value > other) - (value < other), GetHashCode=hash_code)
    | returning("bool", Equals=lambda value, other: value == other)
    | returning(None, Divide=lambda value, by: value / by),
    statics=returning(
        "TimeSpan",
        FromDays=_span_from(TICKS_PER_DAY),
        FromHours=_span_from(3600 * TICKS_PER_SECOND),
        FromMinutes=_span_from(60 * TICKS_PER_SECOND),
        FromSeconds=_span_from(TICKS_PER_SECOND),
        FromMilliseconds=_span_from(TICKS_PER_MILLISECOND),
        FromTicks=_span_from(1),
        Parse=lambda value, provider=None: parse_span(value),
    )
    | returning("bool", TryParse=_trying(lambda value, *_: parse_span(value or ""), TimeSpan(0)))
    | returning("int", Compare=lambda a, b: (a > b) - (a < b)),
    constants=returning(
        "TimeSpan",
        Zero=lambda: TimeSpan(0),
        MaxValue=lambda: TimeSpan(2**63 - 1),
        MinValue=lambda: TimeSpan(-(2**63)),
    )
    | returning(
        "long",
        TicksPerSecond=lambda: Long(TICKS_PER_SECOND),
        TicksPerMillisecond=lambda: Long(TICKS_PER_MILLISECOND),
        TicksPerMinute=lambda: Long(60 * TICKS_PER_SECOND),
        TicksPerHour=lambda: Long(3600 * TICKS_PER_SECOND),
        TicksPerDay=lambda: Long(TICKS_PER_DAY),
    ),
)


def _guid(value: Any, *_format: Any) -> uuid.UUID:
    if value is None:
        raise argument_null("input")
    if isinstance(value, bytes | bytearray):
        return uuid.UUID(bytes_le=bytes(value))
    try:
        return uuid.UUID(text(value).strip().strip("()"))
    except ValueError:
        raise ExpressionFailed("FormatException", "Unrecognized Guid format.") from None


def _cast_guid(target: TypeRef, value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return value
    if hasattr(type(value), "is_json_value"):
        return value.Value if isinstance(value.Value, uuid.UUID) else _guid(value.Value)
    raise invalid_cast(value, target.full_name)


GUID = NetType(
    "Guid",
    (uuid.UUID,),
    full_name="System.Guid",
    cast=_cast_guid,
    construct=lambda types, value=None: uuid.UUID(int=0) if value is None else _guid(value),
    default=uuid.UUID(int=0),
    is_value=True,
    methods=returning("string", ToString=lambda value, specifier=None, provider=None: format_guid(value, specifier))
    | returning("byte[]", ToByteArray=lambda value: bytearray(value.bytes_le))
    | returning("bool", Equals=lambda value, other: value == other)
    | returning("int", CompareTo=lambda value, other: (value > other) - (value < other), GetHashCode=hash_code),
    statics=returning(
        "Guid",
        NewGuid=lambda run: uuid.UUID(int=run.ctx.services.random.getrandbits(128), version=4),
        Parse=_guid,
        ParseExact=_guid,
    )
    | returning("bool", TryParse=_trying(_guid, uuid.UUID(int=0))),
    constants=returning("Guid", Empty=lambda: uuid.UUID(int=0)),
)

DATE_TYPES = (DATE_TIME, DATE_TIME_OFFSET, TIME_SPAN, GUID)
