"""The gateway's telemetry: requests leave cheap records in bounded queues, one thread sends them."""

import atexit
import logging
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from random import Random

from shared.settings import TelemetrySettings
from shared.telemetry.metrics import MetricTotals
from shared.telemetry.queues import Queue
from shared.telemetry.sampling import sampler_named
from shared.telemetry.sending import Sending, Service
from shared.telemetry.spans import RequestSpan, Span
from shared.telemetry.telemetry import LogItem
from shared.telemetry.trace_context import read_traceparent, read_tracestate

log = logging.getLogger("gateway.telemetry")

MOST_SPANS = 10_000
MOST_LOG_BYTES = 32 * 1024 * 1024
# What a log item takes in memory beside its message.
LOG_ITEM_BYTES = 2_048
CLOSE_SECONDS = 3.0


def application_insights(settings: TelemetrySettings) -> Service:
    """The service telemetry is for. ValueError when the connection string is none."""
    from shared.telemetry.application_insights import ApplicationInsights

    return ApplicationInsights(settings)


class NoService(Exception):
    """There is nothing telemetry could be sent to."""


class Reporter:
    """Implements Telemetry. Its thread begins with the first request and loads the service when there is something to
    send. While the service is away the queues fill up to their limits; what comes then is dropped and counted."""

    EVERY_SECONDS = 5.0
    # The first requests of an instance are answered before anything is loaded.
    LOAD_AFTER_SECONDS = 2.0

    def __init__(
        self,
        settings: TelemetrySettings,
        *,
        connect: Callable[[TelemetrySettings], Service] = application_insights,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """`clock` tells seconds since 1970; `random` makes the ids."""
        self._settings = settings
        self._connect = connect
        self._monotonic = monotonic
        self._random = random or Random()
        self._sampler = sampler_named(settings.sampler, settings.sampler_argument, monotonic)
        self._totals = MetricTotals()
        self.requests: Queue[tuple[RequestSpan, Span]] = Queue(MOST_SPANS)
        self.items: Queue[LogItem] = Queue(MOST_LOG_BYTES)
        self.sending = Sending(self.requests, self.items, self._totals, clock=clock, monotonic=monotonic)
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._flushes: list[Future[bool]] = []
        self._over = False
        self._closes_at: float | None = None
        self._begun = 0
        self._loaded = False

    @property
    def metrics(self) -> MetricTotals:
        """Where custom metrics are counted."""
        return self._totals

    def begin(self, traceparent: str | None, tracestate: str | None) -> RequestSpan:
        """The span of a request. Whether it is recorded is the sampler's choice, not the caller's: callers are not
        asked what the gateway keeps of them."""
        if self._thread is None:
            self._start()
        self._begun += 1
        bits = self._random.getrandbits
        parent = read_traceparent(traceparent)
        if parent is None:
            trace_id = bits(128) or 1
            return RequestSpan(trace_id, bits(64) or 1, None, "", self._sampler(trace_id))
        state = read_tracestate(tracestate)
        return RequestSpan(parent.trace_id, bits(64) or 1, parent.span_id, state, self._sampler(parent.trace_id))

    def end(self, request: RequestSpan, span: Span) -> None:
        """Hand over the request's own span and its calls, when it is recorded."""
        if request.sample_rate is not None:
            self.requests.put((request, span), 1 + len(request.calls))
            self._hurry(self.requests)

    def log(self, item: LogItem) -> None:
        """Hand over a log item."""
        self.items.put(item, LOG_ITEM_BYTES + sys.getsizeof(item.message))
        self._hurry(self.items)

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Send all that waits now, metrics too, and wait for it that long at most; whether it was done in time. False
        at once where nothing is sent: the connection string is none, or the reporter is closed."""
        if self._thread is None:
            self._start()
        done: Future[bool] = Future()
        with self._lock:
            if self._over:
                return False
            self._flushes.append(done)
        self._wake.set()
        try:
            return done.result(seconds)
        except TimeoutError:
            return False

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits, end the thread. Blocks that long at most; not for an event loop's thread."""
        atexit.unregister(self._at_exit)
        if self._thread is None:
            return
        self._closes_at = self._monotonic() + seconds
        self._wake.set()
        self._thread.join(seconds)

    def _hurry(self, queue: Queue[tuple[RequestSpan, Span]] | Queue[LogItem]) -> None:
        """Do not wait for the next round when a queue is half full, unless the service is away."""
        if queue.weight * 2 > queue.most and not self._wake.is_set() and self.sending.not_before < self._monotonic():
            self._wake.set()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        """Nobody called `close`. The OpenTelemetry SDK starts threads when it is loaded, which is too late now."""
        if self._loaded:
            self.close()
        else:
            log.warning("the process ends before telemetry was loaded: %d requests are lost", len(self.requests))

    def _run(self) -> None:
        try:
            self._send(self._connected())
        except NoService as error:
            self._give_up()
            log.error("no telemetry is sent: APPLICATIONINSIGHTS_CONNECTION_STRING: %s", error)
        except Exception:
            self._give_up()
            log.exception("no telemetry is sent")
        finally:
            with self._lock:
                self._over = True
            for flush in self._flushes:
                flush.set_result(False)

    def _connected(self) -> Service:
        self._wake.wait(self.LOAD_AFTER_SECONDS)
        try:
            service = self._connect(self._settings)
        except ValueError as error:
            raise NoService(str(error)) from error
        self._loaded = True
        return service

    def _give_up(self) -> None:
        self._sampler = sampler_named("always_off", 0, self._monotonic)
        self.requests.most = self.items.most = self._totals.most = 0
        self._totals.take()

    def _send(self, service: Service) -> None:
        metrics_at = self._monotonic() + self._settings.metric_seconds
        begun = -1
        while True:
            self._wake.clear()
            flushes = list(self._flushes)
            closes = self._closes_at is not None
            now = self._monotonic()
            # Idle instances are the ones that are taken away, and the Functions host does not ask the Python worker to
            # end but kills it: https://github.com/Azure/azure-functions-python-worker/issues/1521
            idle, begun = begun == self._begun, self._begun
            if closes or flushes or now >= self.sending.not_before:
                metrics = closes or bool(flushes) or idle or now >= metrics_at
                metrics_at = now + self._settings.metric_seconds if metrics else metrics_at
                self.sending.round(service, metrics=metrics, goes_on=self._has_time)
            for flush in flushes:
                flush.set_result(True)
            with self._lock:
                del self._flushes[: len(flushes)]
            if closes:
                return
            self._wake.wait(self._pause(metrics_at))

    def _has_time(self) -> bool:
        return self._closes_at is None or self._monotonic() < self._closes_at

    def _pause(self, metrics_at: float) -> float:
        now = self._monotonic()
        return max(min(self.EVERY_SECONDS, metrics_at - now), self.sending.not_before - now, 0.0)
