"""How a backend fares: its breaker, what it has announced, what is under way, what went wrong, how fast it answers."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backends.circuit_breaker import REFUSED, Change, CircuitBreaker
from shared.backends.load_signals import Limits, announced, retry_after
from shared.config.backends import FIVE_MINUTES, Backend

log = logging.getLogger("gateway")

ERRORS_KEPT = 10
# Of the newest answer in the mean of the time to the first token; and how long (seconds) such a mean says anything.
NEWEST = 0.3
RECENT = 300.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that went wrong: when (UTC), and its status or the reason why there is none."""

    at: datetime
    what: str


Model = Callable[[], str]
"""The name of the model a call asks for, worked out only where limits have been announced."""


class Health:
    """One backend's state in this process. Times are seconds of the monotonic clock and passed in.

    `changed_at` (UTC) is when the breaker last changed, here or at the instance it was learned from; `foreign` tells
    that it was learned. `on_change` is called after each change of its own. `longest_wait` is the most (seconds) a
    header of this backend may ask to wait.
    """

    __slots__ = (
        "id",
        "url",
        "breaker",
        "limits",
        "in_flight",
        "errors",
        "changed_at",
        "foreign",
        "on_change",
        "longest_wait",
        "_first_token",
        "_measured",
    )

    def __init__(self, id: str, backend: Backend, on_change: Callable[["Health", Change], None]) -> None:
        self.id = id
        self.url = backend.url
        self.breaker = CircuitBreaker(backend.circuit_breaker.rule) if backend.circuit_breaker is not None else None
        self.limits = Limits()
        self.in_flight = 0
        self.errors: deque[Trouble] = deque(maxlen=ERRORS_KEPT)
        self.changed_at: datetime | None = None
        self.foreign = False
        self.on_change = on_change
        self.longest_wait = self.breaker.rule.max_retry_after if self.breaker is not None else FIVE_MINUTES
        self._first_token: float | None = None
        self._measured = 0.0

    def ready(self, model: Model, now: float) -> bool:
        """Whether it may be asked for `model`."""
        breaker = self.breaker
        if breaker is not None and breaker.open_until is not None and not breaker.admits(now):
            return False
        return not self.limits.until or self.limits.free_at(model(), now) <= now

    def ready_at(self, model: Model, now: float) -> float:
        """The moment it may be asked for `model`, as far as is known."""
        at = self.breaker.ready_at(now) if self.breaker is not None else now
        return max(at, self.limits.free_at(model(), now))

    def begin(self, model: Model, now: float) -> "Flight | None":
        """Begin a call; None while the breaker is open."""
        era = self.breaker.admit(now) if self.breaker is not None else 1
        if era == REFUSED:
            return None
        self.in_flight += 1
        return Flight(self, model, era, now)

    def first_token(self, now: float) -> float | None:
        """Seconds to the first token, a mean of recent answers; None when there are none."""
        return self._first_token if now - self._measured <= RECENT else None

    def measured(self, seconds: float, now: float) -> None:
        """An answer's first token took so long."""
        before = self.first_token(now)
        self._first_token = seconds if before is None else before + NEWEST * (seconds - before)
        self._measured = now

    def learn(self, open_until: float | None, at: datetime, wait: float) -> None:
        """What another instance's breaker did at a moment: it opened until then, or closed (None). Older news than its
        own is none. The trial is the other's first: this one waits `wait` seconds more."""
        breaker = self.breaker
        if breaker is None or (self.changed_at is not None and at <= self.changed_at):
            return
        self.changed_at, self.foreign = at, True
        if open_until is not None:
            breaker.adopt(open_until, wait)
        elif breaker.open_until is not None:
            breaker.close()


class Flight:
    """One call on its way to a backend and back. Whoever makes it tells what becomes of it, and that it has ended.

    The answer's head decides about success; a body that breaks off afterwards counts as a failure on top.
    `waits_for_body`: the first part of the body is still to come.
    """

    __slots__ = ("health", "model", "_era", "_began", "_settled", "_ended", "waits_for_body")

    def __init__(self, health: Health, model: Model, era: int, now: float) -> None:
        self.health = health
        self.model = model
        self._era = era
        self._began = now
        self._settled = False
        self._ended = False
        self.waits_for_body = False

    def answered(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], now: float, utc: datetime, *, streams: bool
    ) -> None:
        """The head of the answer came; with `streams` the first token is still to come."""
        health = self.health
        self._settled = True
        news = announced(status, headers, utc, health.longest_wait)
        if news is not None:
            health.limits.note(self.model(), now, news)
        if status >= 400:
            if status == 429 or status >= 500:
                health.errors.append(Trouble(utc, str(status)))
        elif streams:
            self.waits_for_body = True
        else:
            health.measured(now - self._began, now)
        breaker = health.breaker
        if breaker is None:
            return
        if status in breaker.statuses:
            wait = retry_after(dict(headers), utc) if breaker.rule.accept_retry_after else None
            self._changed(breaker.fail(self._era, now, wait), utc)
        else:
            self._changed(breaker.succeed(self._era, now), utc)

    def failed(self, reason: str, now: float, utc: datetime) -> None:
        """No answer came, or its body broke off; `reason` is LastError's."""
        self._settled = True
        self.waits_for_body = False
        health = self.health
        health.errors.append(Trouble(utc, reason))
        breaker = health.breaker
        if breaker is None:
            return
        if reason in breaker.reasons or breaker.tries(self._era):
            self._changed(breaker.fail(self._era, now), utc)
        else:
            breaker.succeed(self._era, now)

    def first_byte(self, now: float) -> None:
        """The first part of the body came."""
        if self.waits_for_body:
            self.waits_for_body = False
            self.health.measured(now - self._began, now)

    def ended(self) -> None:
        """Nothing of the call is left; safe to call again. One that told nothing is as if it had not been."""
        if self._ended:
            return
        self._ended = True
        self.health.in_flight -= 1
        if not self._settled and self.health.breaker is not None:
            self.health.breaker.release(self._era)

    def _changed(self, change: Change | None, utc: datetime) -> None:
        if change is not None:
            self.health.changed_at = utc
            self.health.foreign = False
            self.health.on_change(self.health, change)


class Fleet:
    """All declared backends, as they fare; what is known of one lasts as long as its declaration stays the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Backend, Health]] = {}
        self.on_change: list[Callable[[Health, Change], None]] = [_log_change]

    def __iter__(self) -> Iterator[Health]:
        return iter([health for _, health in self._known.values()])

    def get(self, id: str) -> Health | None:
        """The backend of that id, None when there is none."""
        known = self._known.get(id)
        return known[1] if known is not None else None

    def take(self, declared: Mapping[str, Backend]) -> dict[str, Health]:
        """The backends of a configuration by id, without pools; those it no longer has are forgotten."""
        known = {}
        for id, backend in declared.items():
            if backend.pool is None:
                before = self._known.get(id)
                known[id] = before if before is not None and before[0] == backend else (backend, self._new(id, backend))
        self._known = known
        return {id: health for id, (_, health) in known.items()}

    def _new(self, id: str, backend: Backend) -> Health:
        return Health(id, backend, self._changed)

    def _changed(self, health: Health, change: Change) -> None:
        for callback in self.on_change:
            callback(health, change)


def _log_change(health: Health, change: Change) -> None:
    if change == "closed":
        log.warning("backend %s: circuit breaker closed", health.id)
    else:
        last = health.errors[-1].what if health.errors else "unknown"
        log.warning("backend %s: circuit breaker tripped, last failure: %s", health.id, last)
