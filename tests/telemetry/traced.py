"""Callers with traces of their own in front of a gateway, and what its Application Insights has of each trace."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tests.support.app_insights import AppInsights, Item
from tests.support.running import Running

T = TypeVar("T")
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}


@dataclass
class Traced:
    """The gateway, its Application Insights, and callers who have traces of their own."""

    gateway: Running
    insights: AppInsights
    seen: list[str] = field(default_factory=list)

    def trace(self) -> tuple[str, dict[str, str]]:
        """The trace id and the headers of a caller who has a trace."""
        trace_id = f"{len(self.seen) + 1:032x}"
        self.seen.append(trace_id)
        return trace_id, {"traceparent": f"00-{trace_id}-00000000000000aa-01"}

    def items(self, type: str, trace_id: str) -> list[Item]:
        """All items of one kind that belong to a trace, once everything is told."""
        telemetry: Any = self.gateway.app.services.telemetry
        assert telemetry.flush(10)
        return [item for item in self.insights.of(type) if item.operation_id == trace_id]

    def request(self, trace_id: str) -> Item:
        """The one request item of a trace; it may have to be waited for: a caller has gone before it is written."""
        found = self.wait_for(lambda: self.items("RequestData", trace_id))
        assert len(found) == 1, found
        return found[0]

    def wait_for(self, find: Callable[[], T]) -> T:
        """What `find` gives, once that is something."""
        deadline = time.monotonic() + 20
        while not (found := find()):
            assert time.monotonic() < deadline, "nothing has come"
            time.sleep(0.02)
        return found

    def calls(self, trace_id: str) -> list[Item]:
        """The dependency items of a trace in the order they ended, once its request is told."""
        self.request(trace_id)
        return self.items("RemoteDependencyData", trace_id)

    def attempts(self, trace_id: str) -> list[Item]:
        """Of the dependency items those that were to answer the request, in the order they began."""
        attempts = [call for call in self.calls(trace_id) if "apim.backend.attempt" in call.properties]
        return sorted(attempts, key=lambda call: int(call.properties["apim.backend.attempt"]))

    def post(self, path: str, *, headers: dict[str, str] | None = None, **sent: Any) -> tuple[httpx.Response, str]:
        """POST as a caller with a trace; the answer and the trace id."""
        trace_id, traced = self.trace()
        sent = sent or {"json": PROMPT}
        return httpx.post(self.gateway.url + path, headers={**traced, **(headers or {})}, **sent), trace_id


def facts(item: Item) -> tuple[str, str, bool]:
    """Name, result code, success."""
    return item.name, item.data.get("responseCode") or item.data["resultCode"], item.data["success"]


def milliseconds(item: Item) -> float:
    """A duration as the wire has it: d.hh:mm:ss.fff."""
    days, rest = item.data["duration"].split(".", 1)
    hours, minutes, seconds = rest.split(":")
    return 1000 * (float(seconds) + 60 * (int(minutes) + 60 * (int(hours) + 24 * int(days))))
