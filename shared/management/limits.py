"""What an administrator sees of counters and does to them: who used what, how much is left, when it resets."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.errors import Refusal
from shared.stores.limits_admin import CounterAdmin, CounterReport, QuotaReport, WindowReport


@dataclass(frozen=True, slots=True)
class Row:
    """One limit of one counter. `per` is its window or period; `resets` is None when it never does."""

    key: str
    unit: str
    per: str
    limit: int
    used: int
    left: int
    resets: datetime | None

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        resets = self.resets.isoformat(timespec="seconds") if self.resets is not None else None
        return {
            "key": self.key,
            "unit": self.unit,
            "per": self.per,
            "limit": self.limit,
            "used": self.used,
            "left": self.left,
            "resets": resets,
        }


class Limits:
    """The counters of all instances, as storage has them: behind by what instances have not yet written, and with
    what they have leased for the next seconds counted as used."""

    def __init__(self, admin: CounterAdmin) -> None:
        self._admin = admin

    async def all(self) -> list[Row]:
        """Every limit of every counter. Raises StoreError."""
        return _rows(await self._admin.list_all())

    async def show(self, key: str) -> list[Row]:
        """The limits of one counter key. Refusal when nothing was counted under it; raises StoreError."""
        reports = await self._admin.show(key)
        if not reports:
            raise _unknown(key)
        return _rows(reports)

    async def reset(self, key: str) -> int:
        """Start the counters of a key over; returns how many entities that were. Instances notice within about a
        second when they refuse, else with their next lease. Refusal when there is none; raises StoreError."""
        deleted = await self._admin.reset(key)
        if not deleted:
            raise _unknown(key)
        return deleted


def _unknown(key: str) -> Refusal:
    return Refusal(f"nothing is counted under {key!r}", status=404, reason="CounterNotFound")


def _rows(reports: list[CounterReport]) -> list[Row]:
    rows = []
    for report in reports:
        rows += [_window(report, window) for _, window in sorted(report.windows.items())]
        rows += [_quota(report, quota) for _, quota in sorted(report.quotas.items())]
    return rows


def _window(report: CounterReport, window: WindowReport) -> Row:
    resets = datetime.fromtimestamp(window.resets_at, UTC)
    per = "minute" if window.seconds == 60 else f"{window.seconds} s"
    return Row(report.key, report.unit, per, window.limit, window.used, window.left, resets)


def _quota(report: CounterReport, quota: QuotaReport) -> Row:
    resets = datetime.fromtimestamp(quota.resets_at, UTC) if quota.resets_at is not None else None
    return Row(report.key, report.unit, _period(quota.period), quota.limit, quota.used, quota.left, resets)


def _period(name: str) -> str:
    """A period as its entity names it, in words: `monthly` stays, `s604800_0` and `from0` are those of quotas."""
    if name.startswith("from"):
        return "ever"
    if name.startswith("s") and name[1:2].isdigit():
        return f"{name[1:].partition('_')[0]} s"
    return name
