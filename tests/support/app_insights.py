"""A scripted Application Insights: takes telemetry as its ingestion endpoint does, checks its shape and keeps it.

with AppInsights() as insights, running(CONFIG, environment=insights.environment) as gateway:
    ...                                             # call the gateway
assert [item.name for item in insights.of("RequestData")] == ["POST /chat"]     # a gateway sends all when it ends

insights.fault = Fault(status=503)                  # from now on; insights.faults.append(...) for the next batch
"""

from __future__ import annotations

import gzip
import json
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.service import Received, Reply, Scripted, Service, reply_json

KEY = "00000000-0000-4000-8000-000000000001"
# What each kind of item must have, https://github.com/microsoft/ApplicationInsights-Home/tree/main/EndpointSpecs/Schemas
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "MetricData": ("metrics",),
    "MessageData": ("message",),
    "RequestData": ("id", "duration", "responseCode", "success"),
    "RemoteDependencyData": ("name", "id", "duration"),
    "ExceptionData": ("exceptions",),
    "EventData": ("name",),
}
LONGEST = {"name": 1_024, "message": 32_768, "url": 2_048, "data": 8_192}
LONGEST_KEY, LONGEST_PROPERTY = 150, 8_192


@dataclass(frozen=True)
class Fault:
    """How a batch goes wrong. Times are seconds; `refuse` names items by index with the status they get (206)."""

    status: int = 200  # other than 200: the whole batch is refused
    headers: Mapping[str, str] = field(default_factory=dict)  # such as Retry-After
    delay: float = 0.0
    hang_up: bool = False  # close without a word
    refuse: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One item that was taken. `data` is its baseData (of metrics the one data point), `tags` have Application
    Insights' context, `sample_rate` is a percentage (None: not sampled)."""

    type: str
    name: str
    time: datetime
    properties: Mapping[str, str]
    tags: Mapping[str, str]
    data: Mapping[str, Any]
    sample_rate: float | None

    @property
    def operation_id(self) -> str:
        """The trace id, 32 hexadecimal digits."""
        return self.tags["ai.operation.id"]

    @property
    def parent_id(self) -> str | None:
        """The id of the span above, 16 hexadecimal digits."""
        return self.tags.get("ai.operation.parentId")


class AppInsights(Scripted):
    """The endpoint; start it with `with`. An item of a wrong shape is refused as the service does, and kept in
    `flaws`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, token: str | None = None) -> None:
        """With `token` a batch must bring it as bearer token, as with local authentication switched off."""
        self.service = Service(tls=tls)
        self.service.routes["/v2.1/track"] = self._track
        self.token = token
        self.fault = Fault()
        self.faults: deque[Fault] = deque()
        self.items: list[Item] = []
        self.flaws: list[str] = []
        self.batches: list[int] = []
        """How many items each batch had, those that were refused too."""
        self._lock = threading.Lock()

    @property
    def connection_string(self) -> str:
        """What APPLICATIONINSIGHTS_CONNECTION_STRING holds."""
        return f"InstrumentationKey={KEY};IngestionEndpoint={self.service.url}/;LiveEndpoint={self.service.url}/"

    @property
    def environment(self) -> dict[str, str]:
        """App settings that send telemetry here."""
        return {"APPLICATIONINSIGHTS_CONNECTION_STRING": self.connection_string}

    def of(self, type: str) -> list[Item]:
        """The items of one kind, in order of arrival: RequestData, RemoteDependencyData, MetricData, MessageData."""
        with self._lock:
            return [item for item in self.items if item.type == type]

    def wait_for(self, type: str, count: int = 1, timeout: float = 20.0) -> list[Item]:
        """The items of one kind once there are `count`; TimeoutError when they do not come."""
        deadline = time.monotonic() + timeout
        while len(items := self.of(type)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(items)} of {count} {type} arrived")
            time.sleep(0.01)
        return items

    def sums(self, name: str, namespace: str | None = None) -> float:
        """What all values of a metric add up to."""
        return sum(
            item.data["value"]
            for item in self.of("MetricData")
            if item.name == name and namespace in (None, item.data.get("ns"))
        )

    def _track(self, request: Received) -> Reply:
        with self._lock:
            fault = self.faults.popleft() if self.faults else self.fault
        batch = _parsed(request)
        with self._lock:
            self.batches.append(len(batch))
        if self.token is not None and request.header("authorization") != f"Bearer {self.token}":
            return _refusal(401, "no valid token")
        if fault.hang_up:
            return Reply(hang_up=True, delay=fault.delay)
        if fault.status != 200:
            reply = _refusal(fault.status, "told to fail")
            return Reply(reply.status, reply.body, {**reply.headers, **fault.headers}, fault.delay)
        return self._taken(batch, fault)

    def _taken(self, batch: list[Any], fault: Fault) -> Reply:
        errors = []
        for index, envelope in enumerate(batch):
            flaw = flaw_of(envelope)
            if index in fault.refuse:
                errors.append({"index": index, "statusCode": fault.refuse[index], "message": "told to refuse"})
            elif flaw is not None:
                errors.append({"index": index, "statusCode": 400, "message": flaw})
                self.flaws.append(flaw)
            else:
                with self._lock:
                    self.items += items_of(envelope)
        status = 200 if not errors else 206 if len(errors) < len(batch) or fault.refuse else 400
        told = {"itemsReceived": len(batch), "itemsAccepted": len(batch) - len(errors), "errors": errors}
        reply = reply_json(told, status)
        return Reply(status, reply.body, {**reply.headers, **fault.headers}, fault.delay)


def flaw_of(envelope: Any) -> str | None:
    """What is wrong with an item; None when nothing is."""
    if not isinstance(envelope, dict) or any(name not in envelope for name in ("name", "time", "data", "iKey")):
        return "name, time, data and iKey are required"
    if envelope["iKey"] != KEY:
        return "invalid instrumentation key"
    try:
        datetime.fromisoformat(envelope["time"].replace("Z", "+00:00"))
    except ValueError:
        return "time is not a date"
    kind, data = envelope["data"].get("baseType"), envelope["data"].get("baseData")
    if kind not in REQUIRED or not isinstance(data, dict) or any(name not in data for name in REQUIRED[kind]):
        return f"{kind} lacks what it must have"
    return _flaw_of_data(data)


def _flaw_of_data(data: Mapping[str, Any]) -> str | None:
    for name, longest in LONGEST.items():
        if len(data.get(name) or "") > longest:
            return f"{name} is too long"
    for point in data.get("metrics", ()):
        if (
            not point.get("name")
            or not isinstance(point.get("value"), int | float)
            or not math.isfinite(point["value"])
        ):
            return "a metric without a name or value"
    for name, value in (data.get("properties") or {}).items():
        if not isinstance(value, str) or len(name) > LONGEST_KEY or len(value) > LONGEST_PROPERTY:
            return f"property {name[:20]} is not a text, or too long"
    return None


def items_of(envelope: Mapping[str, Any]) -> list[Item]:
    """An envelope's items: each data point of a metric is one."""
    data = envelope["data"]["baseData"]
    parts = data["metrics"] if envelope["data"]["baseType"] == "MetricData" else [data]
    return [
        Item(
            type=envelope["data"]["baseType"],
            name=part.get("name") or part.get("message") or "",
            time=datetime.fromisoformat(envelope["time"].replace("Z", "+00:00")),
            properties=data.get("properties") or {},
            tags=envelope.get("tags") or {},
            data=part,
            sample_rate=envelope.get("sampleRate"),
        )
        for part in parts
    ]


def _parsed(request: Received) -> list[Any]:
    """A JSON array, or one item a line."""
    body = gzip.decompress(request.body) if request.header("content-encoding") == "gzip" else request.body
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = [json.loads(line) for line in body.splitlines() if line.strip()]
    return parsed if isinstance(parsed, list) else [parsed]


def _refusal(status: int, why: str) -> Reply:
    return reply_json(
        {"itemsReceived": 0, "itemsAccepted": 0, "errors": [{"index": 0, "statusCode": status, "message": why}]}, status
    )
