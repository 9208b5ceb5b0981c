"""The spans of one request: its own, and one for each call it makes to the outside. W3C trace context names them."""

from dataclasses import dataclass, field
from typing import NamedTuple

Value = str | int | float | bool


@dataclass(slots=True)
class Span:
    """One timed piece of work. Times are seconds since 1970 and seconds; `attributes` have OpenTelemetry's names, or
    `apim.*` where it has none."""

    name: str
    span_id: int
    started: float
    duration: float
    succeeded: bool
    attributes: dict[str, Value]


@dataclass(slots=True)
class RequestSpan:
    """What a request carries of its trace while it runs.

    `trace_id` is 128 bits, `span_id` and `parent_id` (the caller's span, None: the trace begins here) are 64.
    `sample_rate` is None when the request is not recorded (its trace context is passed on all the same), else the
    percentage of requests recorded when it was chosen. `calls` are the spans of its calls to the outside. `method` is
    what the caller used, whatever policies make of it. `attempts` counts the calls that were to answer the request
    itself, those under way too. `told`: the request is over and its spans are handed over; `name` is known then.
    """

    trace_id: int
    span_id: int
    parent_id: int | None
    trace_state: str
    sample_rate: float | None
    calls: list[Span] = field(default_factory=list)
    method: str = ""
    attempts: int = 0
    told: bool = False
    name: str = ""


class Recorded(NamedTuple):
    """A span to send: the request's own or one of its calls, and the request's name, which all of them show."""

    request: RequestSpan
    span: Span
    operation: str
