"""A circuit breaker: trips by APIM's rule, lets one trial through when its time is up, and recovers (pure)."""

from collections import deque
from typing import Literal

from shared.config.backends import CircuitBreakerRule, FailureCondition

State = Literal["closed", "open", "half-open"]
Change = Literal["tripped", "closed"]

REFUSED = 0
_BUCKETS = 10
_NO_ANSWER = ("Timeout", "BackendConnectionFailure")


class CircuitBreaker:
    """The breaker of one backend. Times are seconds of any clock that does not run backwards, passed in.

    `admit` gives each call an era, and `succeed`, `fail` and `release` take it back: what was begun before the breaker
    changed its mind says nothing about the time after. APIM closes the breaker when the trip is over and so lets all
    that waited rush in; here one call goes first, and the others follow if it succeeds.
    https://learn.microsoft.com/azure/api-management/backends#circuit-breaker
    """

    __slots__ = ("rule", "statuses", "reasons", "open_until", "_probe_at", "_probing", "_era", "_window")

    def __init__(self, rule: CircuitBreakerRule) -> None:
        self.rule = rule
        self.statuses = _statuses(rule.failure_condition)
        self.reasons = _reasons(rule.failure_condition)
        self.open_until: float | None = None
        self._probe_at = 0.0
        self._probing = False
        self._era = 1
        self._window = _window(rule.failure_condition)

    def state(self, now: float) -> State:
        """What it is at the moment; half-open while the trip is over and no trial has succeeded."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self._probe_at else "half-open"

    def ready_at(self, now: float) -> float:
        """The moment from which a call is let through; `now` when that is already so. A trial under way may end any
        time: then it is a second from now."""
        if self.open_until is None:
            return now
        if now < self._probe_at:
            return self._probe_at
        return now + 1.0 if self._probing else now

    def admits(self, now: float) -> bool:
        """Whether `admit` would let a call through."""
        return self.open_until is None or (now >= self._probe_at and not self._probing)

    def admit(self, now: float) -> int:
        """Let a call through and return its era, or REFUSED."""
        if self.open_until is None:
            return self._era
        if now < self._probe_at or self._probing:
            return REFUSED
        self._probing = True
        self._era += 1
        return self._era

    def succeed(self, era: int, now: float) -> Change | None:
        """The call was answered well. Returns what that changed."""
        if era != self._era:
            return None
        if self.open_until is None:
            self._window.add(now, failed=False)
            return None
        self.close()
        return "closed"

    def fail(self, era: int, now: float, retry_after: float | None = None) -> Change | None:
        """The call failed; `retry_after` (seconds) is what the backend asked for. Returns what that changed."""
        if era != self._era:
            return None
        if self.open_until is None:
            self._window.add(now, failed=True)
            if not self._window.too_many(now):
                return None
        self._open(now + self._length(retry_after))
        return "tripped"

    @property
    def trying(self) -> bool:
        """Whether the trial is under way."""
        return self._probing

    def tries(self, era: int) -> bool:
        """Whether the call of this era is the trial."""
        return self._probing and era == self._era

    def release(self, era: int) -> None:
        """The call ended without telling anything (its caller left): the next one may be the trial."""
        if era == self._era:
            self._probing = False

    def adopt(self, until: float, wait: float) -> None:
        """Another instance's breaker has tripped `until` then. Its own trial comes first: ours waits so much longer."""
        self._open(until)
        self._probe_at = until + wait

    def close(self) -> None:
        """The backend is well: by a trial of our own, or another instance's."""
        self.open_until = None
        self._probing = False
        self._era += 1
        self._window = _window(self.rule.failure_condition)

    def _open(self, until: float) -> None:
        self.open_until = self._probe_at = until
        self._probing = False
        self._era += 1

    def _length(self, retry_after: float | None) -> float:
        if self.rule.accept_retry_after and retry_after is not None:
            return min(retry_after, self.rule.max_retry_after)
        return self.rule.trip_duration


class _Failures:
    """The last failures, as many as trip the breaker: enough to tell whether all of them are in the interval."""

    __slots__ = ("_times", "_interval")

    def __init__(self, count: int, interval: float) -> None:
        self._times: deque[float] = deque(maxlen=count)
        self._interval = interval

    def add(self, now: float, *, failed: bool) -> None:
        if failed:
            self._times.append(now)

    def too_many(self, now: float) -> bool:
        return len(self._times) == self._times.maxlen and now - self._times[0] <= self._interval


class _Share:
    """Calls and failures of the interval, in tenths of it: an old tenth is forgotten as a whole."""

    __slots__ = ("_percentage", "_minimum", "_width", "_tenths")

    def __init__(self, percentage: int, minimum: int, interval: float) -> None:
        self._percentage = percentage
        self._minimum = minimum
        self._width = interval / _BUCKETS
        self._tenths: deque[list[int]] = deque()  # number of the tenth, calls, failures

    def add(self, now: float, *, failed: bool) -> None:
        number = int(now // self._width)
        tenths = self._tenths
        if not tenths or tenths[-1][0] != number:
            tenths.append([number, 0, 0])
            while tenths[0][0] <= number - _BUCKETS:
                tenths.popleft()
        tenths[-1][1] += 1
        tenths[-1][2] += failed

    def too_many(self, now: float) -> bool:
        calls = sum(tenth[1] for tenth in self._tenths)
        failures = sum(tenth[2] for tenth in self._tenths)
        return calls >= self._minimum and failures * 100 >= calls * self._percentage


def _window(condition: FailureCondition) -> _Failures | _Share:
    if condition.count is not None:
        return _Failures(condition.count, condition.interval)
    assert condition.percentage is not None
    return _Share(condition.percentage, condition.minimum_calls, condition.interval)


def _statuses(condition: FailureCondition) -> frozenset[int]:
    statuses = {status for span in condition.status_code_ranges for status in range(span.min, span.max + 1)}
    return frozenset(statuses | set(range(500, 600)) if "Server errors" in condition.error_reasons else statuses)


def _reasons(condition: FailureCondition) -> frozenset[str]:
    reasons = set(condition.error_reasons)
    return frozenset(reasons | set(_NO_ANSWER) if "Server errors" in reasons else reasons)
