"""What the gateway tells the outside: spans, metrics and LLM logs, handed over without waiting."""

from dataclasses import dataclass, field
from typing import Protocol

from shared.telemetry.metrics import Metrics
from shared.telemetry.spans import RequestSpan, Span, Value


@dataclass(slots=True)
class LogItem:
    """A message with properties, tied to the trace of a request. `time` is seconds since 1970."""

    message: str
    time: float
    trace_id: int
    span_id: int
    attributes: dict[str, Value] = field(default_factory=dict)


class Telemetry(Protocol):
    """Where telemetry goes. No method waits or raises; what does not fit a queue is dropped and counted."""

    @property
    def metrics(self) -> Metrics:
        """Where custom metrics are counted."""
        ...

    def begin(self, traceparent: str | None, tracestate: str | None) -> RequestSpan:
        """The span of a request that comes in with this trace context; whether it is recorded is decided here."""
        ...

    def end(self, request: RequestSpan, span: Span) -> None:
        """Hand over the request's own span (`span.span_id` is the request's) and its calls, when it is recorded; or a
        call that has outlived the request."""
        ...

    def log(self, item: LogItem) -> None:
        """Hand over a log item."""
        ...
