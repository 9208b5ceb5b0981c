"""TimeZoneInfo: time zones by their Windows or IANA names, and conversions between them."""

from datetime import UTC, timedelta, tzinfo
from functools import cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from shared.expressions.dates import TICKS_PER_SECOND, UNSPECIFIED, UTC_KIND, DateTime, DateTimeOffset, TimeSpan
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.nettypes import NetType, returning


class TimeZone:
    """A zone under the name it was asked for by."""

    __slots__ = ("id", "zone")
    is_value: ClassVar[bool] = False

    def __init__(self, id: str, zone: tzinfo) -> None:
        self.id = id
        self.zone = zone

    def __str__(self) -> str:
        return self.id

    def offset(self, utc: DateTime) -> int:
        """Ticks the zone is ahead of UTC at a moment in UTC."""
        try:
            return _ticks(utc.moment().replace(tzinfo=UTC).astimezone(self.zone).utcoffset())
        except OverflowError:
            return 0

    def offset_of_clock(self, clock: DateTime) -> int:
        """Ticks the zone is ahead of UTC when its clocks show this. Of a time that is there twice the later one, the
        standard time, is meant, as in .NET."""
        moment = clock.moment()
        return _ticks(moment.replace(tzinfo=self.zone, fold=1).utcoffset())

    def shows(self, clock: DateTime) -> bool:
        """Whether the zone's clocks ever show this: not in the hour that is left out in spring."""
        return self.offset(DateTime(clock.ticks - self.offset_of_clock(clock))) == self.offset_of_clock(clock)


UTC_ZONE = TimeZone("UTC", UTC)


def _ticks(offset: timedelta | None) -> int:
    return int((offset or timedelta()).total_seconds()) * TICKS_PER_SECOND


@cache
def _windows_names() -> dict[str, str]:
    """IANA names by Windows' (Unicode CLDR)."""
    from babel.core import get_global

    return {name.casefold(): iana for name, iana in get_global("windows_zone_mapping").items()}


def _find(id: Any) -> TimeZone:
    if id is None:
        raise argument_null("id")
    if id.casefold() in ("utc", "etc/utc"):
        return UTC_ZONE
    try:
        return TimeZone(id, ZoneInfo(_windows_names().get(id.casefold(), id)))
    except (KeyError, ValueError, OSError):
        message = f"The time zone ID '{id}' was not found on the local computer."
        raise ExpressionFailed("TimeZoneNotFoundException", message) from None


def _to_utc(dateTime: DateTime, sourceTimeZone: TimeZone = UTC_ZONE) -> DateTime:
    if isinstance(dateTime, DateTimeOffset):
        dateTime = dateTime.clock()
    if dateTime.kind != UNSPECIFIED:
        if sourceTimeZone.id != "UTC":
            message = (
                "The conversion could not be completed because the supplied DateTime did not have the Kind property "
                "set correctly. (Parameter 'sourceTimeZone')"
            )
            raise ExpressionFailed("ArgumentException", message)
        return DateTime(dateTime.ticks, UTC_KIND)
    if not sourceTimeZone.shows(dateTime):
        message = "The supplied DateTime represents an invalid time. (Parameter 'dateTime')"
        raise ExpressionFailed("ArgumentException", message)
    return DateTime(dateTime.ticks - sourceTimeZone.offset_of_clock(dateTime), UTC_KIND)


def _from_utc(dateTime: DateTime, destinationTimeZone: TimeZone) -> DateTime:
    ticks = dateTime.ticks + destinationTimeZone.offset(dateTime)
    return DateTime(ticks, UTC_KIND if destinationTimeZone.id == "UTC" else UNSPECIFIED)


def _convert(dateTime: Any, *zones: TimeZone) -> Any:
    """ConvertTime: (time, to) or (time, from, to); a time of no zone is the gateway's own, UTC."""
    if isinstance(dateTime, DateTimeOffset):
        utc = DateTime(dateTime.instant(), UTC_KIND)
        offset = zones[-1].offset(utc)
        return DateTimeOffset(utc.ticks + offset, offset)
    return _from_utc(_to_utc(dateTime, *zones[:-1]), zones[-1])


def _offset(zone: TimeZone, dateTime: DateTime) -> TimeSpan:
    if isinstance(dateTime, DateTimeOffset):
        return TimeSpan(zone.offset(DateTime(dateTime.instant(), UTC_KIND)))
    return TimeSpan(zone.offset(dateTime) if dateTime.kind != UNSPECIFIED else zone.offset_of_clock(dateTime))


def _base_offset(zone: TimeZone) -> int:
    """The offset without daylight saving time: the smaller one of a year, wherever its summer is."""
    winter, summer = DateTime(638_712_864_000_000_000), DateTime(638_869_248_000_000_000)  # January and July 2025
    return min(zone.offset(winter), zone.offset(summer))


TIME_ZONE = NetType(
    "TimeZoneInfo",
    (TimeZone,),
    full_name="System.TimeZoneInfo",
    properties=returning("string", Id=str, DisplayName=str, StandardName=str, DaylightName=str)
    | returning("TimeSpan", BaseUtcOffset=lambda zone: TimeSpan(_base_offset(zone))),
    methods=returning("TimeSpan", GetUtcOffset=_offset)
    | returning("bool", IsDaylightSavingTime=lambda zone, dateTime: _offset(zone, dateTime).ticks != _base_offset(zone))
    | returning("string", ToString=str),
    statics=returning("TimeZoneInfo", FindSystemTimeZoneById=_find)
    | returning(
        "DateTime",
        ConvertTimeFromUtc=_from_utc,
        ConvertTimeToUtc=_to_utc,
        ConvertTimeBySystemTimeZoneId=lambda dateTime, *ids: _convert(dateTime, *map(_find, ids)),
    )
    | returning(None, ConvertTime=_convert),
    constants=returning("TimeZoneInfo", Utc=lambda: UTC_ZONE, Local=lambda: UTC_ZONE),
)
