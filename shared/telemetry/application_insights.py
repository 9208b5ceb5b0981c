"""Hands spans, metrics and log items to Application Insights through its OpenTelemetry exporters.

Imported by the thread that sends, and never without a connection string: it brings in the OpenTelemetry SDK.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from shared.settings import TelemetrySettings
from shared.telemetry import genai
from shared.telemetry.metrics import Series, Total
from shared.telemetry.sending import Outcome
from shared.telemetry.spans import Recorded, Value
from shared.telemetry.telemetry import LogItem

# The exporter reads these from the environment only. Unless the app's settings say otherwise: no usage statistics and
# no remote configuration (each is a thread that talks to Microsoft), no item about the SDK with every batch, and
# metrics under the namespace they were emitted with.
EXPORTER_SETTINGS = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
    "APPLICATIONINSIGHTS_METRIC_NAMESPACE_OPT_IN": "true",
}
# The exporter logs refused items with all that is in them, prompts too; what went wrong is told by the sender.
LOUDEST = {"azure.monitor.opentelemetry.exporter": logging.CRITICAL + 1, "azure": logging.WARNING}

# Answers after which the same items may be taken another time; these are the exporter's own.
PASSING = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
SAMPLE_RATE = "_MS.sampleRate"
SUCCEEDED = Status(StatusCode.UNSET)
FAILED = Status(StatusCode.ERROR)


@dataclass(slots=True)
class _Answer:
    """What the service said to one batch."""

    status: int
    retry_after: str | None
    body: str


class _NamedSpans(AzureMonitorTraceExporter):
    """Keeps the names spans have: the exporter would name them after their paths, every id in a path another name, and
    calls after themselves where Application Insights groups them by their request."""

    def _span_to_envelope(self, span: ReadableSpan) -> Any:
        envelope: Any = super()._span_to_envelope(span)
        envelope.data.base_data.name = span.name[:1024]
        envelope.tags["ai.operation.name"] = (span.instrumentation_scope or _NO_SCOPE).name[:1024]
        return envelope


_NO_SCOPE = InstrumentationScope("")


class ApplicationInsights:
    """Sends batches, one at a time: not for several threads. Authenticates as APPLICATIONINSIGHTS_AUTHENTICATION_STRING
    says. Nothing is kept and nothing is tried twice: the outcome says what may be sent again."""

    def __init__(self, settings: TelemetrySettings, *, timeout: float = 10.0) -> None:
        """ValueError when the connection string is none. `timeout` in seconds, for connecting and for reading."""
        for name, value in EXPORTER_SETTINGS.items():
            os.environ.setdefault(name, value)
        for name, level in LOUDEST.items():
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, level))
        self._answer: _Answer | None = None
        self._asked = False
        options: dict[str, Any] = {
            "connection_string": settings.connection_string,
            "disable_offline_storage": True,
            "max_envelopes_per_second": 0,
            "retry_total": 0,
            "timeout": timeout,
            "read_timeout": timeout,
            "raw_request_hook": self._on_request,
            "raw_response_hook": self._on_response,
        }
        self._resource = Resource({"service.name": settings.service_name, "service.instance.id": settings.instance})
        self._traces = _NamedSpans(**options)
        self._metrics = AzureMonitorMetricExporter(**options)
        self._logs = AzureMonitorLogExporter(**options)

    def spans(self, batch: Sequence[Recorded]) -> Outcome:
        """Send spans of requests (RequestData) and of calls (RemoteDependencyData)."""
        self._begin()
        result = self._traces.export([self._span(one) for one in batch])
        return self._outcome(len(batch), result is SpanExportResult.SUCCESS)

    def logs(self, batch: Sequence[LogItem]) -> Outcome:
        """Send log items (MessageData)."""
        self._begin()
        result = self._logs.export([self._log(item) for item in batch])
        return self._outcome(len(batch), result is LogRecordExportResult.SUCCESS)

    def metrics(self, batch: Sequence[tuple[Series, Total]], now: float) -> Outcome:
        """Send series (MetricData) as of `now`, seconds since 1970."""
        self._begin()
        scopes = [_scope(series, total, int(now * 1e9)) for series, total in batch]
        result = self._metrics.export(MetricsData([ResourceMetrics(self._resource, scopes, "")]))
        return self._outcome(len(batch), result is MetricExportResult.SUCCESS)

    def _span(self, one: Recorded) -> ReadableSpan:
        request, span, operation = one
        own = span.span_id == request.span_id
        parent_id = request.parent_id if own else request.span_id
        started = int(span.started * 1e9)
        attributes: dict[str, Value] = {**span.attributes, SAMPLE_RATE: request.sample_rate or 100.0}
        if not own and genai.SERVER in attributes:
            attributes.setdefault("url.full", _url(span.attributes))
        return ReadableSpan(
            name=span.name,
            context=SpanContext(request.trace_id, span.span_id, is_remote=False),
            parent=SpanContext(request.trace_id, parent_id, is_remote=own) if parent_id is not None else None,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.SERVER if own else SpanKind.CLIENT,
            status=SUCCEEDED if span.succeeded else FAILED,
            start_time=started,
            end_time=started + int(span.duration * 1e9),
            instrumentation_scope=InstrumentationScope(operation),
        )

    def _log(self, item: LogItem) -> ReadableLogRecord:
        record = LogRecord(
            timestamp=int(item.time * 1e9),
            trace_id=item.trace_id,
            span_id=item.span_id,
            severity_number=SeverityNumber.INFO,
            body=item.message,
            attributes=item.attributes,
        )
        return ReadableLogRecord(record, self._resource)

    def _begin(self) -> None:
        self._asked, self._answer = False, None

    def _on_request(self, _: Any) -> None:
        self._asked = True

    def _on_response(self, response: PipelineResponse[Any, Any]) -> None:
        answer = response.http_response
        body = answer.text() if answer.status_code == 206 else ""
        self._answer = _Answer(answer.status_code, answer.headers.get("Retry-After"), body)

    def _outcome(self, size: int, succeeded: bool) -> Outcome:
        """What became of the batch, by the last answer. https://learn.microsoft.com/azure/azure-monitor/app/
        data-retention-privacy and the exporter's own sorting of status codes."""
        answer = self._answer
        if succeeded:
            return Outcome()
        if answer is None:
            reason = "the endpoint cannot be reached" if self._asked else "the batch could not be made or signed"
            return Outcome(again=tuple(range(size)), reason=reason, reached=self._asked)
        reason = f"the endpoint answered {answer.status}"
        if answer.status == 206:
            again, lost = _partly(answer.body)
            return Outcome(again=again, lost=lost, reason=reason, wait=_seconds(answer.retry_after))
        if answer.status in PASSING or 300 <= answer.status < 400:
            return Outcome(again=tuple(range(size)), reason=reason, wait=_seconds(answer.retry_after))
        return Outcome(lost=size, reason=reason)


def _scope(series: Series, total: Total, now: int) -> ScopeMetrics:
    namespace, name, dimensions = series
    point = HistogramDataPoint(dict(dimensions), now, now, total.count, total.sum, (), (), total.min, total.max)
    metric = Metric(name, None, None, Histogram([point], AggregationTemporality.DELTA))
    return ScopeMetrics(InstrumentationScope(namespace), [metric], "")


def _url(attributes: Mapping[str, Value]) -> str:
    scheme, port = attributes.get(genai.SCHEME, "https"), attributes.get(genai.PORT)
    host = attributes[genai.SERVER]
    return f"{scheme}://{host}{f':{port}' if port else ''}{attributes.get(genai.PATH, '')}"


def _partly(body: str) -> tuple[tuple[int, ...], int]:
    """The items of a partly accepted batch to send again, and how many are lost."""
    try:
        errors = json.loads(body)["errors"]
        refused = {int(error["index"]): int(error["statusCode"]) for error in errors}
    except (ValueError, KeyError, TypeError):
        return (), 0
    again = tuple(sorted(index for index, status in refused.items() if status in PASSING))
    return again, len(refused) - len(again)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else None
