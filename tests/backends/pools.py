"""A gateway in front of a pool of scripted backends, for the tests of pools, breakers and failover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.app import App
from tests.support.backend import Backend, Script
from tests.support.policies import document, policies

CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
MEMBER = '<set-header name="x-member" exists-action="override"><value>@(context.Backend.Id)</value></set-header>'
REASON = (
    '<set-header name="x-reason" exists-action="override"><value>'
    '@(context.LastError.Reason + " | " + context.Response.StatusReason)</value></set-header>'
)

# What the public labs wrap around a pool, with what they do about its exhaustion.
RECIPE = """
<retry count="2" interval="0" first-fast-retry="true" condition="@(context.Response.StatusCode == 429 || \
(context.Response.StatusCode == 503 && !context.Response.StatusReason.Contains("Backend pool") \
&& !context.Response.StatusReason.Contains("is temporarily unavailable")))">
  <forward-request buffer-request-body="true" />
</retry>
"""


def breaker(*, count: int = 1, trip: str = "PT1M", ranges: str = "429 500-599", **rule: Any) -> dict[str, Any]:
    """A declared breaker that trips after so many failures in a minute."""
    spans = [span.partition("-") for span in ranges.split()]
    condition = {
        "count": count,
        "interval": "PT1M",
        "status_code_ranges": [{"min": int(first), "max": int(last or first)} for first, _, last in spans],
        "error_reasons": ["Server errors"] if "500" in ranges else [],
    }
    condition |= rule.pop("condition", {})
    return {"rules": [{"name": "rule", "failure_condition": condition, "trip_duration": trip, **rule}]}


@dataclass
class Pooled:
    """The gateway and its backends by id."""

    app: App
    client: httpx.Client
    backends: Mapping[str, Backend]

    def chat(self, **options: Any) -> httpx.Response:
        """One chat completion."""
        return self.client.post("/api/v1/chat/completions", **{"json": CHAT, **options})

    def members(self, calls: int) -> str:
        """The members that answered so many calls, all well, one letter each."""
        answers = [self.chat() for _ in range(calls)]
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        return "".join(answer.headers["x-member"] for answer in answers)

    def counts(self) -> dict[str, int]:
        """How many requests each backend has had."""
        return {id: len(backend.requests) for id, backend in self.backends.items()}

    def status(self, id: str) -> dict[str, Any]:
        """What the live view says of a backend."""
        shown = self.client.get("/_management/backends").json()["backends"]
        return next(one for one in shown if one["id"] == id)


@dataclass
class Setup:
    """What a test declares: the pool's own fields, each member's in the pool, each backend's, and the policies."""

    pool: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backend: str = "<forward-request />"
    on_error: str = REASON
    chosen: str = "pool"


@contextmanager
def pooled(ids: str = "ab", **setup: Any) -> Iterator[Pooled]:
    """A gateway whose only API uses a pool of one backend per letter, declared as in Setup."""
    wanted = Setup(**setup)
    with ExitStack() as stack:
        backends = {id: stack.enter_context(Backend()) for id in ids}
        declared: dict[str, Any] = {
            id: {"url": backend.url, **wanted.each, **wanted.own.get(id, {})} for id, backend in backends.items()
        }
        services = [{"id": id, **wanted.services.get(id, {})} for id in ids]
        declared["pool"] = {"pool": {"services": services, **wanted.pool}}
        inbound = f'<set-backend-service backend-id="{wanted.chosen}" />'
        xml = document(inbound, wanted.backend, f"<base />{MEMBER}", f"<base />{wanted.on_error}")
        gateway = stack.enter_context(policies(xml, backends=declared))
        yield Pooled(gateway.app, gateway.client, backends)


def failing(pool: Pooled, id: str, **script: Any) -> None:
    """From now on a backend answers so."""
    pool.backends[id].script = Script(**script)
