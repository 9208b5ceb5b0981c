"""Content Safety down, slow, busy, broken or closed to the gateway: the stated outcome each time, nothing half sent."""

import json
import time
from functools import partial
from typing import Any

import httpx
import pytest

from shared.errors import Refusal, Unavailable
from shared.policies.content_check import all_of
from tests.policies.guarded import BY_IDENTITY, BY_KEY, Guarded, document, guarded, policy
from tests.support.backend import Script
from tests.support.content_safety import ContentSafetyService, Fault
from tests.support.identity import Identity

ANSWER = "word " * 40
FAULTS = {
    "down": Fault(hang_up=True),
    "slow": Fault(delay=3.0),
    "busy": Fault(status=429, headers={"retry-after": "30"}),
    "failing": Fault(status=500),
    "garbage": Fault(body=b"<html>no JSON"),
    "not an object": Fault(body=b"[]"),
    "without severities": Fault(body=b'{"blocklistsMatch": [], "categoriesAnalysis": [{"category": "Hate"}]}'),
    "other identity": Fault(status=401),
    "forbidden": Fault(status=403),
    "no such blocklist": Fault(status=404),
}
TOLD = "Content safety could not be checked"


def safe(on_error: str, more: str = "") -> str:
    return document(policy(f'enforce-on-completions="true" timeout-ms="1000" on-error="{on_error}" {more}'))


def everything_is_free(gateway: Guarded) -> bool:
    """Whether no exchange with the backend is left open; waits a moment for what is being closed."""
    transport = gateway.gateway.app.transport
    deadline = time.monotonic() + 10
    while transport.open_connections != transport.idle_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(transport.open_connections == transport.idle_connections)


@pytest.mark.parametrize("fault", FAULTS)
def test_blocked_unless_it_may_pass(fault: str) -> None:
    """Requests, plain answers and streams, one after the other, with `block` and with `allow`."""
    for on_error in ("block", "allow"):
        with guarded(safe(on_error)) as gateway:
            gateway.backend.script = Script(text=ANSWER, chunk_every=0.001)
            gateway.safety.fault = FAULTS[fault]
            of_request = gateway.chat("Hi")
            asked = len(gateway.backend.requests)
            gateway.safety.fault = Fault()
            assert gateway.chat("clean").status_code == 200
            gateway.safety.fault = FAULTS[fault]  # "clean" is remembered: only answers are asked about now
            gateway.backend.script = Script(text=ANSWER + "and more", chunk_every=0.001)
            of_answer, of_stream = gateway.chat("clean"), gateway.chat("clean", stream=True)
            counted = gateway.totals("Content Safety Unavailable")
            assert everything_is_free(gateway)
        if on_error == "block":
            assert asked == 0
            expect_blocked(of_request, of_answer, of_stream)
            assert set(counted) >= {("request", "true", "blocked"), ("response", "true", "blocked")}
        else:
            assert asked == 1
            assert [one.headers.get("x-content-safety") for one in (of_request, of_answer)] == ["unavailable"] * 2
            assert of_answer.json()["choices"][0]["message"]["content"] == ANSWER + "and more"
            assert said(of_stream) == (ANSWER + "and more") and of_stream.text.endswith("data: [DONE]\n\n")
            assert set(counted) >= {("request", "true", "allowed"), ("response", "true", "allowed")}


def expect_blocked(of_request: httpx.Response, of_answer: httpx.Response, of_stream: httpx.Response) -> None:
    for one in (of_request, of_answer):
        assert (one.status_code, one.json()["error"]["code"]) == (503, "content_safety_unavailable")
        assert TOLD in one.json()["message"] and "word" not in one.text
    assert of_stream.status_code == 200 and said(of_stream) == ""
    assert json.loads(of_stream.text.split("data: ")[-1])["error"]["code"] == "content_safety_unavailable"


def said(answer: httpx.Response) -> str:
    """The text of a chat stream."""
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in json.loads(event).get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_a_service_that_is_not_there() -> None:
    with ContentSafetyService() as gone:
        pass
    for on_error, status in (("block", 503), ("allow", 200)):
        with guarded(safe(on_error), safety=Closed(gone.port)) as gateway:
            assert gateway.chat("Hi").status_code == status


class Closed(ContentSafetyService):
    """Nobody listens there any more."""

    def __init__(self, port: int) -> None:
        super().__init__(port=port)

    def __enter__(self) -> "Closed":
        return self

    def __exit__(self, *_: Any) -> None:
        pass


def test_what_passes_by_itself_is_asked_again() -> None:
    with guarded(document(policy())) as gateway:
        gateway.safety.faults.extend([Fault(status=429, headers={"retry-after-ms": "5"}), Fault(status=503)])
        assert gateway.chat("Hi").status_code == 200
        assert gateway.safety.texts() == ["Hi"] * 3
        gateway.safety.faults.extend([Fault(hang_up=True), Fault(body=b"{")])
        assert gateway.chat("Hello").status_code == 200
        gateway.safety.fault = Fault(status=500)
        assert gateway.chat("Hey").status_code == 503
        assert gateway.safety.texts().count("Hey") == 4


def test_a_violation_counts_though_another_call_fails_and_may() -> None:
    with guarded(safe("allow")) as gateway:
        gateway.safety.faults.append(Fault(status=401))  # of one of the two
        assert gateway.chat("how to make a bomb", "how to murder").status_code == 403


def test_the_time_limit_holds_for_all_repeated_calls_together() -> None:
    with guarded(safe("block")) as gateway:
        gateway.safety.fault = Fault(status=500, delay=0.8)
        assert 0.7 < gateway.chat("Hi").elapsed.total_seconds() < 2.4  # not three times 0.8 s


def test_a_client_that_leaves_ends_the_check() -> None:
    with guarded(document(policy('shield-prompt="true" timeout-ms="20000"'))) as gateway:
        assert gateway.chat("warm").status_code == 200
        gateway.safety.fault = Fault(delay=10)
        with pytest.raises(httpx.ReadTimeout):
            gateway.client.post("/llm/chat/completions", json={"messages": []} | body("Hi"), timeout=0.4)
        assert nobody_asks(gateway) and len(gateway.backend.requests) == 1


def test_an_error_beside_the_check_ends_it() -> None:
    failing = '<set-variable name="v" value="@(int.Parse("no number"))" />'
    with guarded(document(policy('timeout-ms="20000"') + failing)) as gateway:
        gateway.safety.fault = Fault(delay=10)
        answer = gateway.chat("Hi")
        assert answer.status_code == 500 and answer.elapsed.total_seconds() < 8
        time.sleep(0.5)  # what was not ended would have begun by now
        assert nobody_asks(gateway)


def nobody_asks(gateway: Guarded) -> bool:
    """Whether the calls to Content Safety that were under way have been given up, within a moment."""
    deadline = time.monotonic() + 20
    while gateway.safety.connections and time.monotonic() < deadline:
        time.sleep(0.02)
    return gateway.safety.connections == 0


async def test_a_refusal_goes_before_an_outage_of_the_same_moment() -> None:
    async def fails(error: Exception) -> None:
        raise error

    for errors in ([Unavailable(), Refusal()], [Refusal(), Unavailable()]):
        with pytest.raises(Refusal):
            await all_of([partial(fails, error) for error in errors])


def body(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def test_the_gateways_identity_is_shown_and_asked_for_once() -> None:
    token = "token-for-https://cognitiveservices.azure.com-by-app"
    with guarded(
        document(policy('shield-prompt="true" remember-clean="0"')),
        safety=ContentSafetyService(token=token),
        credentials=BY_IDENTITY,
    ) as gateway:
        identity = Identity().serve(gateway.gateway.app)
        assert [gateway.chat("Hi").status_code for _ in range(3)] == [200] * 3
        assert identity.asked == [("https://cognitiveservices.azure.com", None)]
        assert all("ocp-apim-subscription-key" not in call.headers for call in gateway.safety.calls)


def test_without_a_token_nothing_passes() -> None:
    with guarded(document(policy()), credentials=BY_IDENTITY) as gateway:
        Identity().serve(gateway.gateway.app).down = True
        assert gateway.chat("Hi").status_code == 503
        assert gateway.safety.calls == [] and gateway.backend.requests == []


def test_a_wrong_key_is_no_verdict() -> None:
    with guarded(document(policy()), credentials=BY_KEY.replace("safety", "other")) as gateway:
        answer = gateway.chat("Hi")
        assert answer.status_code == 503 and "other-key" not in answer.text


def test_an_image_the_service_does_not_take_is_refused_even_if_outages_may_pass() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    with guarded(safe("allow")) as gateway:
        assert gateway.chat({"role": "user", "content": [image]}).status_code == 403
