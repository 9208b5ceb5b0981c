"""Durations as APIM words them in refusals."""

from math import ceil

_UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def whole_seconds(seconds: float) -> int:
    """Seconds to wait, rounded up, at least one."""
    return max(1, ceil(seconds))


def in_words(seconds: float) -> str:
    """The two largest units: "21 minutes and 33 seconds", "23 hours"."""
    rest = whole_seconds(seconds)
    parts: list[str] = []
    for name, size in _UNITS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {name}{'s' if amount > 1 else ''}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " and ".join(parts)


def as_clock(seconds: float) -> str:
    """HH:MM:SS, with days before it when there are any: "2.03:04:05"."""
    days, rest = divmod(whole_seconds(seconds), 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}.{clock}" if days else clock
