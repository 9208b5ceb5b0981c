"""Hands items to Application Insights, through the transport of Azure Monitor's OpenTelemetry exporter.

Imported by the thread that sends, and never without a connection string: it brings in the OpenTelemetry SDK.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter, __version__

from shared.settings import TelemetrySettings
from shared.telemetry.items import Item, Items
from shared.telemetry.metrics import Series, Total
from shared.telemetry.sending import Outcome
from shared.telemetry.spans import Recorded
from shared.telemetry.telemetry import LogItem

# The exporter reads these from the environment only. Unless the app's settings say otherwise: no usage statistics and
# no remote configuration; each is a thread that talks to Microsoft.
EXPORTER_SETTINGS = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}
# The exporter logs refused items with all that is in them, prompts too; what went wrong is told by who sends.
LOUDEST = {"azure.monitor.opentelemetry.exporter": logging.CRITICAL + 1, "azure": logging.WARNING}

# Answers after which the same items may be taken another time; these are the exporter's own.
PASSING = frozenset({401, 403, 408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the service said to one batch; `body` only of a batch it took partly."""

    status: int
    retry_after: str | None
    body: str


class _Transport(AzureMonitorTraceExporter):
    """The exporter's connection string, Entra tokens, redirects and connections, without its conversion of spans: that
    costs 200 µs of CPU a span, which is more than a request costs the gateway."""

    @property
    def instrumentation_key(self) -> str:
        """What the connection string names."""
        return str(self._instrumentation_key)

    def transmit(self, items: list[Item]) -> bool:
        """Whether the service took all items."""
        envelopes: list[Any] = list(items)
        return self._transmit(envelopes).name == "SUCCESS"


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
        self._transport = _Transport(
            connection_string=settings.connection_string,
            disable_offline_storage=True,
            max_envelopes_per_second=0,
            retry_total=0,
            timeout=timeout,
            read_timeout=timeout,
            raw_request_hook=self._on_request,
            raw_response_hook=self._on_response,
        )
        self._items = Items(
            self._transport.instrumentation_key, settings.service_name, settings.instance, f"ext{__version__}"
        )
        self._asked = False
        self._answer: _Answer | None = None

    def spans(self, batch: Sequence[Recorded]) -> Outcome:
        """Send spans of requests and of their calls."""
        return self._send([self._items.span(one) for one in batch])

    def logs(self, batch: Sequence[LogItem]) -> Outcome:
        """Send log items."""
        return self._send([self._items.log(item) for item in batch])

    def metrics(self, batch: Sequence[tuple[Series, Total]], now: float) -> Outcome:
        """Send series as of `now`, seconds since 1970."""
        return self._send([self._items.metric(series, total, now) for series, total in batch])

    def _on_request(self, _: Any) -> None:
        self._asked = True

    def _on_response(self, response: PipelineResponse[Any, Any]) -> None:
        answer = response.http_response
        body = answer.text() if answer.status_code == 206 else ""
        self._answer = _Answer(answer.status_code, answer.headers.get("Retry-After"), body)

    def _send(self, items: list[Item]) -> Outcome:
        self._asked, self._answer = False, None
        everything = tuple(range(len(items)))
        if self._transport.transmit(items):
            return Outcome()
        answer = self._answer
        if answer is None and self._asked:
            return Outcome(again=everything, reason="the endpoint cannot be reached")
        if answer is None:
            return Outcome(again=everything, reason="there is no token for the endpoint", reached=False)
        reason, wait = f"the endpoint answered {answer.status}", _seconds(answer.retry_after)
        if answer.status == 206:
            again, lost = _refused(answer.body, len(items))
            return Outcome(again=again, lost=lost, reason=reason, wait=wait)
        if answer.status in PASSING or 300 <= answer.status < 400:
            return Outcome(again=everything, reason=reason, wait=wait)
        return Outcome(lost=len(items), reason=reason)


def _refused(body: str, size: int) -> tuple[tuple[int, ...], int]:
    """Of a partly taken batch: the indexes of the items that may be sent again, and how many are lost."""
    try:
        refused = {int(error["index"]): int(error["statusCode"]) for error in json.loads(body)["errors"]}
    except (ValueError, KeyError, TypeError):
        return (), size  # nobody knows which
    again = tuple(sorted(index for index, status in refused.items() if status in PASSING and 0 <= index < size))
    return again, len(refused) - len(again)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else None
