"""Gateways with a semantic cache in front of a scripted backend and scripted embeddings, for its tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.backend import Backend, Script
from tests.support.running import Running, running
from tests.support.waiting import wait_until

CONFIG = """
backends:
  root: { url: "@backend@" }
  v1: { url: "@backend@/v1" }
  embeddings: { url: "@embeddings@/openai/deployments/ada/embeddings", credentials: { header: { api-key: "emb-key" } } }
  openai-embeddings:
    { url: "@embeddings@/v1/embeddings", credentials: { header: { Authorization: "Bearer emb-key" } } }
products:
  gold: { apis: [keyed] }
  one: { apis: [keyed] }
apis:
  llm: { path: llm, kind: openai, backend: v1, subscription_required: false, policy: policies/cache.xml }
  other: { path: other, kind: openai, backend: v1, subscription_required: false, policy: policies/cache.xml }
  claude: { path: claude, kind: anthropic, backend: root, subscription_required: false, policy: policies/cache.xml }
  azure: { path: aoai/openai, kind: azure-ai, backend: root, subscription_required: false, policy: policies/cache.xml }
  keyed: { path: keyed, kind: openai, backend: v1, policy: policies/cache.xml }
subscriptions:
  a: { scope: all-apis, keys: { primary: key-of-a-0123456789abcdef } }
  b: { scope: "product:gold", keys: { primary: key-of-b-0123456789abcdef } }
  c: { scope: "product:gold", keys: { primary: key-of-c-0123456789abcdef } }
  d: { scope: "product:one", keys: { primary: key-of-d-0123456789abcdef } }
"""


def lookup(attributes: str = "", inside: str = "", threshold: float = 0.1, embeddings: str = "embeddings") -> str:
    """One llm-semantic-cache-lookup."""
    return (
        f'<llm-semantic-cache-lookup score-threshold="{threshold}" embeddings-backend-id="{embeddings}" '
        f'embeddings-backend-auth="system-assigned" {attributes}>{inside}</llm-semantic-cache-lookup>'
    )


STORE = '<llm-semantic-cache-store duration="60" />'


def document(lookup: str, store: str = STORE, *, inbound: str = "", outbound: str = "") -> str:
    """A document for the API scope."""
    return (
        f"<policies><inbound><base />{inbound}{lookup}</inbound><backend><base /></backend>"
        f"<outbound><base />{store}{outbound}</outbound><on-error><base /></on-error></policies>"
    )


@dataclass
class Cached:
    """The gateway, what is behind it, and a client for it."""

    gateway: Running
    backend: Backend
    embeddings: Backend
    client: httpx.Client = field(repr=False)

    def chat(self, *messages: Any, path: str = "/llm", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """A chat completion; a plain text is a user's message."""
        said = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
        body = {"model": "gpt-4o", "messages": said, **fields}
        return self.client.post(f"{path}/chat/completions", json=body, headers=headers)

    def says(self, text: str) -> None:
        """From now on the model says this."""
        self.backend.script = Script(text=text)

    def kept(self, count: int = 1) -> None:
        """Wait until so many answers have been kept in all."""
        counts = self.gateway.app.semantic_caching.cache.counts
        wait_until(lambda: counts.stored >= count)


def status(answer: httpx.Response) -> str:
    """hit, miss, or nothing."""
    return answer.headers.get("x-semantic-cache", "")


@contextmanager
def cached(xml: str, *, tables: str = "") -> Iterator[Cached]:
    """Run all three until the block ends; `xml` is the document of every API."""
    with ExitStack() as stack:
        backend = stack.enter_context(Backend())
        embeddings = stack.enter_context(Backend(key="emb-key"))
        values = {"backend": backend.url, "embeddings": embeddings.url}
        gateway = stack.enter_context(
            running(
                CONFIG,
                files={"policies/cache.xml": xml},
                values=values,
                environment={"GATEWAY_TABLES_CONNECTION_STRING": tables},
            )
        )
        yield Cached(gateway, backend, embeddings, gateway.client)
