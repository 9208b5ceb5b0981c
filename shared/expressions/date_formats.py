"""Texts of dates and durations in the invariant culture: standard and custom formats, parsing."""

import re
from datetime import datetime, timedelta
from typing import Any

from shared.expressions.dates import (
    LOCAL,
    TICKS_PER_SECOND,
    UNSPECIFIED,
    UTC_KIND,
    DateTime,
    DateTimeOffset,
    TimeSpan,
    date_ticks,
)
from shared.expressions.errors import ExpressionFailed

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "M": "MMMM dd",
    "m": "MMMM dd",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "U": "dddd, dd MMMM yyyy HH:mm:ss",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}
_TOKEN = re.compile(r"""d+|M+|y+|H+|h+|m+|s+|\.?F+|f+|t+|K|z+|'[^']*'|"[^"]*"|\\.|%|.""", re.DOTALL)


def format_date(value: DateTime, specifier: str) -> str:
    """A date by a standard (one letter) or custom format."""
    if len(specifier) == 1:
        if specifier not in _STANDARD:
            raise ExpressionFailed("FormatException", "Input string was not in a correct format.")
        pattern = _STANDARD[specifier]
        if specifier in "oO" and isinstance(value, DateTimeOffset):
            pattern = pattern.replace("K", "zzz")
        if specifier in "RruU" and isinstance(value, DateTimeOffset):
            value = DateTimeOffset(value.instant())
    else:
        pattern = specifier
    moment = value.moment()
    fraction = f"{value.ticks % TICKS_PER_SECOND:07}"
    return "".join(_part(token, moment, fraction, value) for token in _TOKEN.findall(pattern))


def _part(token: str, moment: datetime, fraction: str, value: DateTime) -> str:
    size = len(token)
    match token[0]:
        case "d":
            day = DAYS[moment.weekday()]
            return str(moment.day).zfill(size) if size < 3 else day[:3] if size == 3 else day
        case "M":
            month = MONTHS[moment.month - 1]
            return str(moment.month).zfill(size) if size < 3 else month[:3] if size == 3 else month
        case "y":
            return str(moment.year % 100).zfill(size) if size < 3 else str(moment.year).zfill(size)
        case "H":
            return str(moment.hour).zfill(min(size, 2))
        case "h":
            return str(moment.hour % 12 or 12).zfill(min(size, 2))
        case "m":
            return str(moment.minute).zfill(min(size, 2))
        case "s":
            return str(moment.second).zfill(min(size, 2))
        case "f":
            return fraction[:size]
        case "F":
            return fraction[:size].rstrip("0")
        case "." if size > 1:
            kept = fraction[: size - 1].rstrip("0")
            return f".{kept}" if kept else ""
        case "t":
            return ("AM" if moment.hour < 12 else "PM")[:size]
        case "z":
            return _offset(value.offset(), size)
        case "K":
            return _kind(value)
        case "'" | '"' if size > 1:
            return token[1:-1]
        case "\\" if size > 1:
            return token[1]
        case "%":
            return ""
    return token


def _offset(ticks: int, size: int) -> str:
    minutes = abs(ticks) // (60 * TICKS_PER_SECOND)
    sign = "-" if ticks < 0 else "+"
    hours = f"{minutes // 60}" if size == 1 else f"{minutes // 60:02}"
    return f"{sign}{hours}" + (f":{minutes % 60:02}" if size > 2 else "")


def _kind(value: DateTime) -> str:
    if isinstance(value, DateTimeOffset):
        return _offset(value.offset(), 3)
    return {UTC_KIND: "Z", LOCAL: "+00:00"}.get(value.kind, "")


def format_span(value: TimeSpan, specifier: str) -> str:
    """A duration by ``c``, ``g``, ``G`` or a custom format."""
    ticks = abs(value.ticks)
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    days, hours, minutes, second = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    sign = "-" if value.ticks < 0 else ""
    match specifier:
        case "c" | "t" | "T":
            return str(value)
        case "g":
            tail = f".{fraction:07}".rstrip("0") if fraction else ""
            return f"{sign}{f'{days}:' if days else ''}{hours}:{minutes:02}:{second:02}{tail}"
        case "G":
            return f"{sign}{days}:{hours:02}:{minutes:02}:{second:02}.{fraction:07}"
    parts = {"d": days, "h": hours, "m": minutes, "s": second}
    out = []
    for token in re.findall(r"""d+|h+|m+|s+|f+|F+|'[^']*'|"[^"]*"|\\.|%|.""", specifier):
        if token[0] in parts:
            out.append(str(parts[token[0]]).zfill(len(token)))
        elif token[0] in "fF":
            shown = f"{fraction:07}"[: len(token)]
            out.append(shown if token[0] == "f" else shown.rstrip("0"))
        elif token[0] == "\\":
            out.append(token[1:])
        elif token != "%":
            out.append(token[1:-1] if token[0] in "'\"" else token)
    return "".join(out)


_ISO = r"(?P<y>\d{4})-(?P<mo>\d{1,2})-(?P<d>\d{1,2})"
_US = r"(?P<mo>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})"
_NAMED = r"(?:[A-Za-z]{3,9},?\s+)?(?P<d>\d{1,2})[\s-](?P<name>[A-Za-z]{3,9})[\s-](?P<y>\d{4})"
_NAMED_US = r"(?:[A-Za-z]{3,9},?\s+)?(?P<name>[A-Za-z]{3,9})\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})"
_TIME = r"(?P<h>\d{1,2}):(?P<mi>\d{2})(?::(?P<s>\d{2})(?:\.(?P<f>\d{1,12}))?)?\s*(?P<half>[AaPp][Mm])?"
_ZONE = r"\s*(?P<zone>Z|GMT|UTC|[+-]\d{1,2}(?::?\d{2})?)?"
_PARSABLE = [
    re.compile(rf"\s*{date}(?:(?:T|\s+){_TIME})?{_ZONE}\s*", re.ASCII) for date in (_ISO, _US, _NAMED, _NAMED_US)
]


def not_a_date(text: str) -> ExpressionFailed:
    return ExpressionFailed("FormatException", f"String '{text[:100]}' was not recognized as a valid DateTime.")


def _fields(text: str) -> dict[str, Any]:
    for pattern in _PARSABLE:
        found = pattern.fullmatch(text)
        if found:
            return found.groupdict()
    raise not_a_date(text)


def _month(name: str, text: str) -> int:
    for number, month in enumerate(MONTHS, 1):
        if name.lower() in (month.lower(), month[:3].lower()):
            return number
    raise not_a_date(text)


def _read(fields: dict[str, Any], text: str) -> tuple[int, int | None]:
    """Ticks of the clock time, and the offset in ticks when one was written."""
    month = _month(fields["name"], text) if fields.get("name") else int(fields.get("mo") or 1)
    hour = int(fields.get("h") or 0)
    half = (fields.get("half") or "").upper()
    if half:
        hour = hour % 12 + (12 if half.startswith("P") else 0)
    fraction = int((fields.get("f") or "0")[:7].ljust(7, "0"))
    try:
        ticks = date_ticks(
            int(fields.get("y") or 1),
            month,
            int(fields.get("d") or 1),
            hour,
            int(fields.get("mi") or 0),
            int(fields.get("s") or 0),
        )
    except ExpressionFailed:
        raise not_a_date(text) from None
    return ticks + fraction, _zone(fields.get("zone"))


def _zone(zone: str | None) -> int | None:
    if not zone:
        return None
    if zone in ("Z", "GMT", "UTC"):
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0) if len(digits) > 1 else int(digits) * 60
    return (minutes if zone[0] == "+" else -minutes) * 60 * TICKS_PER_SECOND


def _date(ticks: int, offset: int | None, styles: int) -> DateTime:
    if offset is None:
        if styles & 64:
            return DateTime(ticks, UTC_KIND)
        return DateTime(ticks, LOCAL if styles & 32 else UNSPECIFIED)
    keeps_utc = styles & (16 | 128) and (offset == 0 or styles & 16)
    return DateTime(ticks - offset, UTC_KIND if keeps_utc else LOCAL)


def parse_date(text: str, styles: int = 0) -> DateTime:
    """``DateTime.Parse``; ``styles`` is DateTimeStyles."""
    return _date(*_read(_fields(text), text), styles)


def parse_offset_date(text: str, styles: int = 0) -> DateTimeOffset:
    ticks, offset = _read(_fields(text), text)
    return _with_offset(ticks, offset, styles)


def _with_offset(ticks: int, offset: int | None, styles: int) -> DateTimeOffset:
    if styles & 16:
        return DateTimeOffset(ticks - (offset or 0))
    return DateTimeOffset(ticks, offset or 0)


_EXACT = {
    "d": r"(?P<d>\d{1,2})",
    "dd": r"(?P<d>\d{2})",
    "ddd": "[A-Za-z]{3}",
    "dddd": "[A-Za-z]+",
    "M": r"(?P<mo>\d{1,2})",
    "MM": r"(?P<mo>\d{2})",
    "MMM": "(?P<name>[A-Za-z]{3})",
    "MMMM": "(?P<name>[A-Za-z]+)",
    "yyyy": r"(?P<y>\d{4})",
    "H": r"(?P<h>\d{1,2})",
    "HH": r"(?P<h>\d{2})",
    "h": r"(?P<h>\d{1,2})",
    "hh": r"(?P<h>\d{2})",
    "m": r"(?P<mi>\d{1,2})",
    "mm": r"(?P<mi>\d{2})",
    "s": r"(?P<s>\d{1,2})",
    "ss": r"(?P<s>\d{2})",
    "t": "(?P<half>[AaPp])",
    "tt": "(?P<half>[AaPp][Mm])",
    "K": r"(?P<zone>Z|[+-]\d{2}:\d{2})?",
    "z": r"(?P<zone>[+-]\d{1,2})",
    "zz": r"(?P<zone>[+-]\d{2})",
    "zzz": r"(?P<zone>[+-]\d{2}:\d{2})",
}


def _exact_pattern(specifier: str) -> str:
    out = []
    for token in _TOKEN.findall(_STANDARD.get(specifier, specifier)):
        if token in _EXACT:
            out.append(_EXACT[token])
        elif token[0] == "f":
            out.append(rf"(?P<f>\d{{{len(token)}}})")
        elif token[0] in ".F" and "F" in token:
            out.append(rf"(?:\.?(?P<f>\d{{1,{token.count('F')}}}))?")
        elif token[0] in "'\"" and len(token) > 1:
            out.append(re.escape(token[1:-1]))
        elif token != "%":
            out.append(re.escape(token[-1]) if token[0] == "\\" else re.escape(token))
    return "".join(out)


def parse_exact(text: str, specifiers: list[str], styles: int = 0, *, with_offset: bool = False) -> Any:
    """``ParseExact`` of DateTime or DateTimeOffset by the first format that fits."""
    for specifier in specifiers:
        try:
            found = re.fullmatch(_exact_pattern(specifier), text.strip() if styles & 3 else text, re.ASCII)
        except re.error:
            raise ExpressionFailed("FormatException", f"The format '{specifier}' repeats a part.") from None
        if found:
            fields = found.groupdict()
            if specifier in ("R", "r", "u") and "zone" not in fields:
                styles |= 64
            ticks, offset = _read(fields, text)
            return _with_offset(ticks, offset, styles) if with_offset else _date(ticks, offset, styles)
    raise not_a_date(text)


_SPAN = re.compile(
    r"\s*(?P<sign>-)?(?:(?P<days>\d{1,8})(?:\.(?=\d+:)|$|(?=\s*$)))?(?:(?P<h>\d{1,2}):(?P<m>\d{1,2})(?::(?P<s>\d{1,2})(?:\.(?P<f>\d{1,7}))?)?)?\s*",
    re.ASCII,
)


def parse_span(text: str) -> TimeSpan:
    """``TimeSpan.Parse``: ``[-][d.]hh:mm[:ss[.fffffff]]`` or days alone."""
    found = _SPAN.fullmatch(text)
    if not found or not text.strip(" -"):
        raise ExpressionFailed("FormatException", f"String '{text[:100]}' was not recognized as a valid TimeSpan.")
    hours, minutes, seconds = int(found["h"] or 0), int(found["m"] or 0), int(found["s"] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        message = "The TimeSpan string could not be parsed because at least one component is out of range."
        raise ExpressionFailed("OverflowException", message)
    passed = timedelta(days=int(found["days"] or 0), hours=hours, minutes=minutes, seconds=seconds)
    ticks = TimeSpan.of_timedelta(passed).ticks + int((found["f"] or "0").ljust(7, "0"))
    return TimeSpan(-ticks if found["sign"] else ticks)
