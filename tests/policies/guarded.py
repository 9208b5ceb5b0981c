"""Gateways with llm-content-safety in front of a scripted backend and a scripted Content Safety, for its tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.telemetry.metrics import MetricTotals
from tests.support.backend import Backend
from tests.support.content_safety import ContentSafetyService
from tests.support.running import Running, counting, running

KEY = "safety-key"
BY_KEY = f'{{ header: {{ Ocp-Apim-Subscription-Key: "{KEY}" }} }}'
BY_IDENTITY = "{ managed_identity: { resource: https://cognitiveservices.azure.com } }"
CONFIG = """
backends:
  safety: { url: "@safety@", credentials: @credentials@ }
  embeddings:
    url: "@backend@/openai/deployments/embeddings/embeddings"
    credentials: { header: { api-key: key }, query: { api-version: "2024-10-21" } }
  root: { url: "@backend@" }
  v1: { url: "@backend@/v1" }
apis:
  llm: { path: llm, kind: openai, backend: v1, subscription_required: false, policy: policies/safety.xml }
  claude: { path: claude, kind: anthropic, backend: root, subscription_required: false, policy: policies/safety.xml }
  azure: { path: aoai/openai, kind: azure-ai, backend: root, subscription_required: false, policy: policies/safety.xml }
  any: { path: any, kind: passthrough, backend: root, subscription_required: false, policy: policies/safety.xml }
"""
CATEGORIES = """<categories output-type="EightSeverityLevels">
  <category name="Hate" threshold="4" /><category name="Violence" threshold="4" />
</categories>"""


def policy(attributes: str = "", *, inside: str = CATEGORIES) -> str:
    """One llm-content-safety element."""
    return f'<llm-content-safety backend-id="safety" {attributes}>{inside}</llm-content-safety>'


def document(inbound: str = "", outbound: str = "", on_error: str = "") -> str:
    """A document for the API scope."""
    return (
        f"<policies><inbound><base />{inbound}</inbound><backend><base /></backend>"
        f"<outbound><base />{outbound}</outbound><on-error><base />{on_error}</on-error></policies>"
    )


@dataclass
class Guarded:
    """The gateway, what is behind it, and a client for it."""

    gateway: Running
    backend: Backend
    safety: ContentSafetyService
    metrics: MetricTotals
    client: httpx.Client = field(repr=False)

    def chat(self, *messages: Any, **fields: Any) -> httpx.Response:
        """A chat completion; a plain text is a user's message."""
        said = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
        return self.post("/llm/chat/completions", {"model": "gpt-4o", "messages": said, **fields})

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """A call with a JSON body."""
        return self.client.post(path, json=body, **options)

    def totals(self, name: str) -> dict[tuple[str, ...], int]:
        """How often a metric was counted, by the values of category or outcome, direction and enforced."""
        return {
            tuple(value for key, value in sorted(dimensions) if key != "API ID"): total.count
            for (_, metric, dimensions), total in self.metrics.take().items()
            if metric == name
        }


@contextmanager
def guarded(xml: str, *, safety: ContentSafetyService | None = None, credentials: str = BY_KEY) -> Iterator[Guarded]:
    """Run all three until the block ends; `xml` is the API's document, `credentials` what Content Safety is shown."""
    with ExitStack() as stack:
        service = stack.enter_context(safety or ContentSafetyService(key=KEY))
        backend = stack.enter_context(Backend())
        gateway = stack.enter_context(
            running(
                CONFIG,
                files={"policies/safety.xml": xml},
                values={"safety": service.url, "backend": backend.url, "credentials": credentials},
            )
        )
        yield Guarded(gateway, backend, service, counting(gateway.app), gateway.client)
