"""Sends what waits in the queues: in small batches, again after a while when the service is away, and counts losses."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from shared.telemetry.metrics import MetricTotals, Series, Total
from shared.telemetry.queues import Queue
from shared.telemetry.spans import Recorded, RequestSpan, Span
from shared.telemetry.telemetry import LogItem

log = logging.getLogger("gateway.telemetry")

# Small, so that the thread, which makes and serialises a batch in one go, soon lets requests run again.
BATCH = 128
BATCH_LOG_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: the indexes of items to send `again` (after `wait` seconds, if the service said so), how
    many are `lost`, and why. `reached` is False when nothing left the process."""

    again: tuple[int, ...] = ()
    lost: int = 0
    reason: str = ""
    wait: float | None = None
    reached: bool = True


class Service(Protocol):
    """Takes batches, one at a time. Raises nothing that is the service's or the network's fault."""

    def spans(self, batch: Sequence[Recorded]) -> Outcome:
        """Send spans."""
        ...

    def logs(self, batch: Sequence[LogItem]) -> Outcome:
        """Send log items."""
        ...

    def metrics(self, batch: Sequence[tuple[Series, Total]], now: float) -> Outcome:
        """Send series as of `now`, seconds since 1970."""
        ...


class _Batches(Generic[T]):
    """One kind of items on its way: what was not taken is the next batch."""

    # One that cannot even be made or signed must not hold up all others for ever.
    MOST_TRIES_UNREACHED = 8

    def __init__(self, kind: str, take: Callable[[], list[T]], send: Callable[[Service, list[T]], Outcome]) -> None:
        self.kind = kind
        self.lost = 0
        self._take = take
        self._send = send
        self._kept: list[T] = []
        self._unreached = 0

    def send(self, service: Service) -> Outcome | None:
        """Send the next batch; None when there is none."""
        batch = self._kept or self._take()
        if not batch:
            return None
        try:
            outcome = self._send(service, batch)
        except Exception:
            log.exception("a batch of %d %s could not be made and is dropped", len(batch), self.kind)
            outcome = Outcome(lost=len(batch))
        self._unreached = 0 if outcome.reached else self._unreached + 1
        if self._unreached >= self.MOST_TRIES_UNREACHED:
            outcome = Outcome(lost=len(batch), reason=outcome.reason)
            self._unreached = 0
        self.lost += outcome.lost
        self._kept = [batch[index] for index in outcome.again]
        return outcome


class Sending:
    """Empties the queues into a service, round by round. Used by one thread.

    What was not taken is sent again; series of metrics whose turn has not come go back to their totals, so that an
    outage costs none of them. When an answer gets lost on its way, a batch may arrive twice.
    """

    TELL_SECONDS = 60.0
    LONGEST_WAIT = 60.0
    LONGEST_TOLD_WAIT = 600.0

    def __init__(
        self,
        requests: Queue[tuple[RequestSpan, Span]],
        items: Queue[LogItem],
        totals: MetricTotals,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`clock` tells seconds since 1970."""
        self._requests = requests
        self._items = items
        self._totals = totals
        self._monotonic = monotonic
        self._series: Iterator[tuple[Series, Total]] = iter(())
        self._spans = _Batches("spans", self._next_spans, lambda service, batch: service.spans(batch))
        self._logs = _Batches("log items", self._next_items, lambda service, batch: service.logs(batch))
        self._metrics = _Batches(
            "series of metrics", self._next_series, lambda service, batch: service.metrics(batch, clock())
        )
        self._failures = 0
        self._told = float("-inf")
        self._told_losses = 0
        self._trouble = ""
        self.not_before = float("-inf")
        """When the service is worth another try, by the monotonic clock."""

    def round(self, service: Service, *, metrics: bool, goes_on: Callable[[], bool]) -> None:
        """Send what waits, metrics too if asked, or as much as goes while `goes_on` and until the first failure."""
        if metrics:
            self._series = iter(self._totals.take().items())
        for batches in (self._metrics, self._spans, self._logs):
            if not self._send_all(batches, service, goes_on):
                break
        self._totals.put_back(dict(self._series))
        self._series = iter(())
        self._tell()

    def _send_all(self, batches: "_Batches[Any]", service: Service, goes_on: Callable[[], bool]) -> bool:
        while goes_on():
            outcome = batches.send(service)
            if outcome is None:
                return True
            if outcome.reason:
                self._trouble = outcome.reason
            if outcome.again:
                self._failures += 1
                self.not_before = self._monotonic() + self._wait(outcome.wait)
                return False
            self._failures = 0
        return False

    def _wait(self, told: float | None) -> float:
        """Seconds to the next try: what the service says, else longer with each failure."""
        if told is not None:
            return min(told, self.LONGEST_TOLD_WAIT)
        return min(2.0 ** min(self._failures, 10), self.LONGEST_WAIT)

    def _next_spans(self) -> list[Recorded]:
        taken = self._requests.take(BATCH, BATCH)
        return [
            Recorded(request, one, request.name or span.name)
            for request, span in taken
            for one in (span, *request.calls)
        ]

    def _next_items(self) -> list[LogItem]:
        return self._items.take(BATCH, BATCH_LOG_BYTES)

    def _next_series(self) -> list[tuple[Series, Total]]:
        return list(islice(self._series, BATCH))

    def losses(self) -> int:
        """Items that were lost since the start: not taken by a queue, or refused for good by the service."""
        queued = self._requests.dropped + self._items.dropped + self._totals.dropped
        return queued + self._spans.lost + self._logs.lost + self._metrics.lost

    def _tell(self) -> None:
        """Say what goes wrong, once a minute at most: by the host's log, as telemetry is what does not work."""
        now = self._monotonic()
        losses = self.losses()
        if (not self._trouble and losses == self._told_losses) or now - self._told < self.TELL_SECONDS:
            return
        log.warning(
            "telemetry: %s; %d items lost since the last message, %d requests and %d log items wait",
            self._trouble or "the queues were full",
            losses - self._told_losses,
            len(self._requests),
            len(self._items),
        )
        self._told, self._told_losses, self._trouble = now, losses, ""
