"""What expression tests share: a context of plain objects, and evaluating C# text in it."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from shared.expressions import compile_expression
from shared.message import GatewayRequest, GatewayResponse, Headers, Url

NOW = datetime(2025, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)
CHAT = b"""{"model": "gpt-4o", "stream": true, "max_tokens": 100, "temperature": 0.5, "user": null,
 "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
 "metadata": {"when": "2024-05-06T07:08:09Z", "tags": ["a", "b"]}}"""
# {"alg":"RS256","typ":"JWT"} . {"sub":"s1","aud":["a1","a2"],"iss":"me","exp":1700000000,"roles":["x","y"],"n":5} . x
TOKEN = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiJzMSIsImF1ZCI6WyJhMSIsImEyIl0sImlzcyI6Im1lIiwiZXhwIjoxNzAwMDAwMDAwLCJyb2xlcyI6WyJ4IiwieSJdLCJuIjo1fQ."
    "c2ln"
)


class Fails(NamedTuple):
    """The .NET exception a case ends in; without a message any will do."""

    type_name: str
    message: str | None = None


def request(body: bytes | None = CHAT) -> GatewayRequest:
    fields = [
        (b"content-type", b"application/json"),
        (b"accept", b"a/b"),
        (b"accept", b"c/d"),
        (b"authorization", f"Bearer {TOKEN}".encode()),
    ]
    url = Url("https", "gw.example", 443, "/openai/deployments/gpt-4o/chat", "api-version=2024-10-21&tag=a&tag=b%20c")
    made = GatewayRequest("POST", url, Headers(fields), body=body, ip_address="10.1.2.3")
    made.matched_parameters = {"deployment-id": "gpt-4o"}
    return made


def context(*, variables: dict[str, Any] | None = None, body: bytes | None = CHAT, response: Any = None) -> Any:
    """A context as the gateway has it in outbound, with simple objects for what is only read."""
    traces: list[tuple[Any, ...]] = []
    reply = GatewayResponse(
        429, Headers([(b"retry-after", b"7")]), b'{"error": {"code": "429"}}', status_reason="Too Many"
    )
    names = SimpleNamespace(header="api-key", query="subscription-key")
    return SimpleNamespace(
        request=request(body),
        response=reply if response is None else response,
        api=SimpleNamespace(
            id="openai",
            name="Azure OpenAI",
            path="openai",
            protocols=["https"],
            revision="2",
            version="v1",
            is_current_revision=True,
            service_url="https://backend.example:8443/openai",
            subscription_key=names,
        ),
        operation=SimpleNamespace(
            id="chat", name="Chat", method="POST", url_template="/deployments/{deployment-id}/chat"
        ),
        product=SimpleNamespace(
            id="starter",
            name="Starter",
            state="published",
            approval_required=False,
            subscription_required=True,
            subscription_limit=None,
            apis=["openai"],
            groups=["developers"],
        ),
        subscription=SimpleNamespace(
            id="sub-1",
            name="Team",
            primary_key="",
            secondary_key="",
            created_date=datetime(2024, 1, 2, tzinfo=UTC),
            start_date=None,
            end_date=None,
        ),
        subscription_key="the caller's",
        user=None,
        deployment=SimpleNamespace(region="West Europe", service_name="gw", gateway_id="managed", certificates={}),
        backend=SimpleNamespace(id="pool", type="Pool", url=""),
        last_error=SimpleNamespace(
            source="llm-token-limit",
            reason="OpenAITokenLimitExceeded",
            message="Rate limit",
            explanation="Rate limit of 100 is exceeded",
            scope="api",
            section="inbound",
            path="llm-token-limit",
            policy_id="x",
        ),
        variables=variables if variables is not None else {"text": "value", "count": 3, "flag": True},
        request_id=uuid.UUID("12345678-1234-5678-1234-567812345678"),
        timestamp=NOW,
        elapsed=timedelta(milliseconds=1500),
        tracing=False,
        trace=lambda *entry: traces.append(entry),
        traces=traces,
        services=SimpleNamespace(clock=lambda: NOW, random=random.Random(7)),
    )


def is_block(text: str) -> bool:
    return text.lstrip().startswith("{")


def compiled(text: str, **more: Any) -> Any:
    """C# text compiled: a text in braces is an ``@{...}``, anything else an ``@(...)``."""
    block = is_block(text)
    inner = text.strip()[1:-1] if block else text
    return compile_expression(inner, block=block, file="test.xml", line=1, **more)


def evaluate(text: str, ctx: Any = None) -> Any:
    return compiled(text)(ctx if ctx is not None else context())
