"""Shapes that documents in use have although the policy reference does not promise them: they load and run."""

from collections.abc import Iterator

import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def test_retry_asks_for_the_status_before_the_first_response(backend: Backend) -> None:
    """The second backend is chosen inside retry, by a status that is not there in the first round."""
    failed = "@(context.Response.StatusCode == 429 || context.Response.StatusCode >= 500)"
    retry = (
        f'<retry condition="{failed}" count="2" interval="0"><choose><when condition="{failed}">'
        '<set-backend-service backend-id="second" /></when></choose>'
        '<forward-request buffer-request-body="true" /></retry>'
    )
    backend.scripts.append(Script(status=429))
    second = {"second": f"{backend.url}/second"}
    with policies(document(backend=retry), f"{backend.url}/first", backends=second) as gateway:
        gateway.call("POST", "/v1/chat/completions", json=CHAT)
    assert [request.target for request in backend.requests[-2:]] == [
        "/first/v1/chat/completions",
        "/second/v1/chat/completions",
    ]


def test_tokens_per_minute_are_computed(backend: Backend) -> None:
    limit = (
        '<llm-token-limit counter-key="computed" estimate-prompt-tokens="false" '
        'tokens-per-minute="@(context.Request.Headers.ContainsKey("x-large") ? 100000 : 1)" />'
    )
    with policies(document(limit), backend.url) as gateway:
        large = gateway.call("POST", "/v1/chat/completions", json=CHAT, headers={"x-large": "1"})
        small = gateway.call("POST", "/v1/chat/completions", json=CHAT)
    assert (large.status_code, small.status_code) == (200, 429)


def test_metrics_have_any_number_of_dimensions() -> None:
    dimensions = "".join(f'<dimension name="d{number}" value="x" />' for number in range(12))
    for policy in (
        '<emit-metric name="calls" />',
        f'<emit-metric name="calls">{dimensions}</emit-metric>',
        f"<llm-emit-token-metric>{dimensions}</llm-emit-token-metric>",
    ):
        assert problems(document(policy)) == []


def test_attributes_only_the_authoring_toolkit_has_are_taken() -> None:
    limit = '<rate-limit-by-key calls="5" renewal-period="60" counter-key="a" increment-after-response="true" />'
    assert problems(document(f'{limit}<mock-response status-code="201" index="1" />')) == []
