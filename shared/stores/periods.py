"""The fixed periods of quotas: calendar units in UTC, a number of seconds from a first start, or one without end."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

CalendarUnit = Literal["Hourly", "Daily", "Weekly", "Monthly", "Yearly"]
"""The values of ``token-quota-period``: https://learn.microsoft.com/azure/api-management/llm-token-limit-policy"""

NEVER = float("inf")


class Period(Protocol):
    """A sequence of adjoining periods; times are seconds since 1970."""

    @property
    def name(self) -> str:
        """Identifies the sequence inside an entity: letters, digits and ``_`` only."""

    def start(self, now: float) -> int:
        """When the period that contains ``now`` began."""

    def end(self, start: int) -> float:
        """When the period that began at ``start`` ends; infinity when it does not."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours, days, weeks (from Monday), months or years of UTC: "the timestamp truncated to the unit"."""

    unit: CalendarUnit

    @property
    def name(self) -> str:
        return self.unit.lower()

    def start(self, now: float) -> int:
        moment = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
        match self.unit:
            case "Hourly":
                begun = moment
            case "Daily":
                begun = moment.replace(hour=0)
            case "Weekly":
                begun = moment.replace(hour=0) - timedelta(days=moment.weekday())
            case "Monthly":
                begun = moment.replace(day=1, hour=0)
            case "Yearly":
                begun = moment.replace(month=1, day=1, hour=0)
        return int(begun.timestamp())

    def end(self, start: int) -> float:
        begun = datetime.fromtimestamp(start, UTC)
        match self.unit:
            case "Hourly":
                return start + 3600.0
            case "Daily":
                return start + 86_400.0
            case "Weekly":
                return start + 7 * 86_400.0
            case "Monthly":
                return (begun + timedelta(days=32)).replace(day=1).timestamp()
            case "Yearly":
                return begun.replace(year=begun.year + 1).timestamp()


@dataclass(frozen=True, slots=True)
class Fixed:
    """``renewal-period`` seconds over and over, counted from ``first_start`` (``first-period-start``); 0 never ends.

    A ``first_start`` in the future also divides the time before it, as APIM does with its default year 1.
    https://learn.microsoft.com/azure/api-management/quota-by-key-policy
    """

    seconds: int
    first_start: int = 0

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ValueError("a period cannot be negative")

    @property
    def name(self) -> str:
        if self.seconds == 0:
            return f"from{self.first_start}".replace("-", "m")
        return f"s{self.seconds}_{self.first_start % self.seconds}"

    def start(self, now: float) -> int:
        if self.seconds == 0:
            return self.first_start
        return self.first_start + int((now - self.first_start) // self.seconds) * self.seconds

    def end(self, start: int) -> float:
        return NEVER if self.seconds == 0 else float(start + self.seconds)
