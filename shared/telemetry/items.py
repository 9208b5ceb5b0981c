"""Spans, metrics and log items as Application Insights takes them: JSON objects, cut to its limits (pure).

https://github.com/microsoft/ApplicationInsights-Home/tree/main/EndpointSpecs/Schemas (Bond schemas, version 2). Fields
are filled as Azure Monitor's OpenTelemetry exporters fill them, names excepted: those would be made of paths, every id
in a path another name, and calls would not show the request they belong to as their operation.
"""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.message import DEFAULT_PORTS
from shared.telemetry import genai
from shared.telemetry.metrics import Series, Total
from shared.telemetry.spans import Recorded, Value
from shared.telemetry.telemetry import LogItem

Item = dict[str, Any]

LONGEST_NAME = 1_024
LONGEST_MESSAGE = 32_768
LONGEST_URL = 2_048
LONGEST_DATA = 8_192
LONGEST_PROPERTY_NAME = 150
LONGEST_PROPERTY = 8_192

# Attributes with a field of their own.
_FIELDS = frozenset(
    {
        genai.METHOD,
        genai.STATUS,
        genai.ROUTE,
        genai.SCHEME,
        genai.PATH,
        genai.SERVER,
        genai.PORT,
        genai.USER_AGENT,
        genai.CALL_TYPE,
    }
)
_INFORMATION = 1


class Items:
    """Makes the items of one process: all have its instrumentation key, its role and its instance."""

    def __init__(self, instrumentation_key: str, role: str, instance: str, sdk_version: str) -> None:
        self._key = instrumentation_key
        self._tags = {
            "ai.cloud.role": role,
            "ai.cloud.roleInstance": instance,
            "ai.internal.nodeName": instance,
            "ai.internal.sdkVersion": f"py{platform.python_version()}:{sdk_version}",
        }

    def span(self, one: Recorded) -> Item:
        """A request (RequestData), or one of its calls (RemoteDependencyData)."""
        request, span, operation = one
        own = span.span_id == request.span_id
        parent_id = request.parent_id if own else request.span_id
        tags = {
            **self._tags,
            "ai.operation.id": f"{request.trace_id:032x}",
            "ai.operation.name": operation[:LONGEST_NAME],
        }
        if parent_id is not None:
            tags["ai.operation.parentId"] = f"{parent_id:016x}"
        if (user_agent := span.attributes.get(genai.USER_AGENT)) is not None:
            tags["ai.user.userAgent"] = str(user_agent)[:LONGEST_NAME]
        data = {
            "ver": 2,
            "id": f"{span.span_id:016x}",
            "name": span.name[:LONGEST_NAME],
            "duration": duration_of(span.duration),
            "success": span.succeeded,
            "properties": properties_of(span.attributes),
            **(_request_fields(span.attributes) if own else _call_fields(span.attributes)),
        }
        kind = "Request" if own else "RemoteDependency"
        return self._item(kind, span.started, tags, f"{kind}Data", data) | {"sampleRate": request.sample_rate}

    def log(self, item: LogItem) -> Item:
        """A message (MessageData)."""
        tags = {
            **self._tags,
            "ai.operation.id": f"{item.trace_id:032x}",
            "ai.operation.parentId": f"{item.span_id:016x}",
        }
        data = {
            "ver": 2,
            "message": item.message[:LONGEST_MESSAGE] or "n/a",
            "severityLevel": _INFORMATION,
            "properties": properties_of(item.attributes),
        }
        return self._item("Message", item.time, tags, "MessageData", data)

    def metric(self, series: Series, total: Total, now: float) -> Item:
        """What a series added up to until `now`, seconds since 1970 (MetricData)."""
        namespace, name, dimensions = series
        point = {
            "ns": namespace[:256],
            "name": name[:LONGEST_NAME],
            "value": total.sum,
            "count": total.count,
            "min": total.min,
            "max": total.max,
        }
        data = {"ver": 2, "metrics": [point], "properties": properties_of(dict(dimensions))}
        return self._item("Metric", now, self._tags, "MetricData", data)

    def _item(self, kind: str, time: float, tags: Mapping[str, str], base_type: str, data: Item) -> Item:
        return {
            "ver": 1,
            "name": f"Microsoft.ApplicationInsights.{kind}",
            "time": datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "iKey": self._key,
            "tags": tags,
            "data": {"baseType": base_type, "baseData": data},
        }


def duration_of(seconds: float) -> str:
    """As days.hours:minutes:seconds.microseconds."""
    minutes, micros = divmod(max(round(seconds * 1e6), 0), 60_000_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}.{hours:02}:{minutes:02}:{micros / 1e6:09.6f}"


def properties_of(attributes: Mapping[str, Value] | Mapping[str, str]) -> dict[str, str]:
    """What becomes customDimensions: texts, without what has a field of its own."""
    return {
        name: str(value)[:LONGEST_PROPERTY]
        for name, value in attributes.items()
        if name not in _FIELDS and 0 < len(name) <= LONGEST_PROPERTY_NAME
    }


def _request_fields(attributes: Mapping[str, Value]) -> Item:
    url = _url(attributes)
    return {"responseCode": str(attributes.get(genai.STATUS, 0)), **({"url": url[:LONGEST_URL]} if url else {})}


def _call_fields(attributes: Mapping[str, Value]) -> Item:
    return {
        "type": str(attributes.get(genai.CALL_TYPE, "HTTP")),
        "target": _host(attributes)[:LONGEST_NAME],
        "resultCode": str(attributes.get(genai.STATUS, 0)),
        "data": _url(attributes)[:LONGEST_DATA],
    }


def _url(attributes: Mapping[str, Value]) -> str:
    """Scheme, host and path as far as they are told; "" without a host and a path."""
    host, path = _host(attributes), str(attributes.get(genai.PATH, ""))
    return f"{attributes.get(genai.SCHEME, 'https')}://{host}{path}" if host else path


def _host(attributes: Mapping[str, Value]) -> str:
    """The server's name, with its port where that is not the scheme's own."""
    host, port = str(attributes.get(genai.SERVER, "")), attributes.get(genai.PORT)
    own = port is None or port == DEFAULT_PORTS.get(str(attributes.get(genai.SCHEME, "https")))
    return host if own or not host else f"{host}:{port}"
