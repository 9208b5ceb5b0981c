"""What an answer tells of its backend's load: when to come back, what is left, how full it is (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from shared.llm.call import LONGEST_MODEL

# A limit that is used up without a word about when: providers count requests in windows of a second or more.
UNSAID = 1.0
# Deployments come and go in calls; more than these are not told apart for long.
MOST_MODELS = 64

# https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota, https://platform.openai.com/docs/guides/rate-limits,
# https://docs.anthropic.com/en/api/rate-limits: what is left, and the header that says until when.
REMAINING = {
    b"x-ratelimit-remaining-requests": b"x-ratelimit-reset-requests",
    b"x-ratelimit-remaining-tokens": b"x-ratelimit-reset-tokens",
    b"anthropic-ratelimit-requests-remaining": b"anthropic-ratelimit-requests-reset",
    b"anthropic-ratelimit-tokens-remaining": b"anthropic-ratelimit-tokens-reset",
    b"anthropic-ratelimit-input-tokens-remaining": b"anthropic-ratelimit-input-tokens-reset",
    b"anthropic-ratelimit-output-tokens-remaining": b"anthropic-ratelimit-output-tokens-reset",
}
# https://learn.microsoft.com/azure/ai-foundry/openai/how-to/provisioned-get-started: percent of the provisioned units.
UTILIZATION = b"azure-openai-deployment-utilization"
_MILLISECONDS = (b"retry-after-ms", b"x-ms-retry-after-ms")
_TELLING = frozenset({*REMAINING, UTILIZATION, b"retry-after", *_MILLISECONDS})

_PERIOD = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(frozen=True, slots=True)
class Announced:
    """That a backend is not to be asked for so many seconds, and the header that says so."""

    seconds: float
    why: str


def announced(status: int, headers: Sequence[tuple[bytes, bytes]], utc: datetime, longest: float) -> Announced | None:
    """What an answer announces; None when the backend takes more. `longest` (seconds) caps what headers may ask for.

    Header names are in lower case. A Retry-After counts on 429 and 5xx only: elsewhere it means something else.
    """
    told = {name: value for name, value in headers if name in _TELLING}
    refused = status == 429 or status >= 500
    if not told:
        return Announced(UNSAID, "429") if status == 429 else None
    if refused and (seconds := retry_after(told, utc)) is not None:
        return Announced(min(seconds, longest), "retry-after")
    for name, value in told.items():
        if value == b"0" and name in REMAINING:
            return Announced(min(_reset(headers, REMAINING[name], utc), longest), name.decode())
    utilization = _number(told.get(UTILIZATION))
    if utilization is not None and utilization >= 100:
        return Announced(UNSAID, UTILIZATION.decode())
    return Announced(UNSAID, "429") if status == 429 else None


def retry_after(headers: Mapping[bytes, bytes], utc: datetime) -> float | None:
    """Seconds a backend asks to wait: milliseconds where it sends them, else seconds or a date (RFC 9110, 10.2.3)."""
    for name in _MILLISECONDS:
        milliseconds = _number(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    value = headers.get(b"retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value.decode("latin-1"))
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - utc).total_seconds())


class Limits:
    """Which models of a backend are used up, and until when. A backend has one limit per deployment, so what one
    deployment announces says nothing of the others; "" stands for calls that name none. `until` has them by model, with
    the header that said so."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until: dict[str, tuple[float, str]] = {}

    def note(self, model: str, now: float, news: Announced) -> None:
        """A call for `model` was answered with this."""
        self._forget(now)
        if len(self.until) >= MOST_MODELS:
            del self.until[next(iter(self.until))]
        self.until[model[:LONGEST_MODEL]] = (now + news.seconds, news.why)

    def free_at(self, model: str, now: float) -> float:
        """The moment `model` may be asked for; `now` when that is already so."""
        model = model[:LONGEST_MODEL]
        until = self.until.get(model)
        if until is None:
            return now
        if until[0] <= now:
            del self.until[model]
            return now
        return until[0]

    def lasting(self, now: float) -> list[tuple[str, float, str]]:
        """What holds at the moment: model, until when, and the header that said so."""
        self._forget(now)
        return [(model, until, why) for model, (until, why) in self.until.items()]

    def _forget(self, now: float) -> None:
        for model in [model for model, (until, _) in self.until.items() if until <= now]:
            del self.until[model]


def _number(value: bytes | None) -> float | None:
    """A number that is not negative, with or without a percent sign."""
    if value is None:
        return None
    text = value.strip().removesuffix(b"%").rstrip()
    if not re.fullmatch(rb"\d{1,12}(\.\d{1,9})?", text):
        return None
    return float(text)


def _reset(headers: Sequence[tuple[bytes, bytes]], name: bytes, utc: datetime) -> float:
    """Seconds until a limit is fresh: a number, a period as 1m30s, or a moment (RFC 3339)."""
    value = next((value for field, value in headers if field == name), None)
    number = _number(value)
    if value is None or number is not None:
        return UNSAID if number is None else number
    text = value.decode("latin-1").strip().lower()
    found = _PERIOD.fullmatch(text)
    if text and found is not None:
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return UNSAID
    return max(0.0, (moment.astimezone(UTC) - utc).total_seconds())
