"""Logs of calls to models as Application Insights gets them: who asked what, what came back, and what is left out."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config.diagnostics import Redaction
from shared.management.check import check
from shared.telemetry.llm_log import parts, written
from shared.telemetry.redaction import Redactor
from shared.telemetry.reporter import Reporter
from tests.support.app_insights import AppInsights, Item
from tests.support.backend import Backend, Script
from tests.support.dialects import sse
from tests.support.running import KEY, running

CONFIG = """
backends:
  root: { url: "@backend@", credentials: { header: { api-key: backend-secret } } }
  v1: { url: "@backend@/v1" }
  azure: { url: "@backend@/openai" }
  echo: { url: "@backend@/echo" }
products:
  teams: { apis: [llm, azure, claude, counts, off] }
subscriptions:
  alpha: { scope: "product:teams", keys: { primary: alpha-key-0123456789 } }
policy: policies/all.xml
diagnostics:
  large_language_model:
    logs: enabled
    requests: { messages: all, max_size_in_bytes: @size@ }
    responses: { messages: all, max_size_in_bytes: @size@ }
    redact: @redact@
apis:
  llm: { path: llm, kind: openai, backend: v1, display_name: LLM }
  azure: { path: team/openai, kind: azure-openai, backend: azure }
  claude: { path: claude, kind: anthropic, backend: root }
  counts: { path: counts, kind: openai, backend: v1, diagnostics: { large_language_model: { logs: enabled } } }
  any: { path: any, kind: passthrough, backend: root, products: [teams] }
  orders:
    path: orders
    kind: http
    backend: echo
    operations: [{ id: new, method: POST, url_template: /new }]
  off: { path: off, kind: openai, backend: v1, diagnostics: { large_language_model: { logs: disabled } } }
"""
POLICIES = "<policies><inbound>{}</inbound><backend>{}</backend><outbound /><on-error /></policies>"
FORWARD = "<forward-request />"
ALPHA = "alpha-key-0123456789"


@dataclass
class Gateway:
    """The gateway as callers know it, with the connections they share, and Anthropic's own client."""

    url: str
    http: httpx.Client
    claude: anthropic.Anthropic

    def client(self, api: str = "llm", key: str = ALPHA) -> openai.OpenAI:
        """OpenAI's own client for an API."""
        return openai.OpenAI(base_url=f"{self.url}/{api}", api_key=key, max_retries=0, http_client=self.http)

    def ask(self, text: str, api: str = "llm", **options: Any) -> Any:
        """Send one user message."""
        messages: Any = [{"role": "user", "content": text}]
        return self.client(api).chat.completions.create(model="gpt-4o", messages=messages, **options)


class Logs:
    """The records that have arrived, once the gateway has ended; `calls` by their number, in the order they came."""

    def __init__(self, insights: AppInsights, reporter: Reporter) -> None:
        self._insights = insights
        self._reporter = reporter

    @property
    def items(self) -> list[Item]:
        """All records of calls."""
        return [one for one in self._insights.of("MessageData") if one.properties.get("Category") == "GatewayLlmLogs"]

    def wait_for(self, count: int) -> None:
        """Wait until so many records are there."""
        end = time.monotonic() + 10
        while len(self.items) < count and time.monotonic() < end:
            self._reporter.flush()
            time.sleep(0.05)

    @property
    def calls(self) -> list[list[Item]]:
        """The records of each call in sequence."""
        calls: dict[str, list[Item]] = {}
        for item in self.items:
            calls.setdefault(item.properties["CorrelationId"], []).append(item)
        for items in calls.values():
            assert [int(one.properties["SequenceNumber"]) for one in items] == list(range(len(items)))
        return list(calls.values())

    @property
    def only(self) -> list[Item]:
        """The records of the one call."""
        (call,) = self.calls
        return call


def column(call: list[Item], name: str) -> Any:
    """Prompt or completion of a call, put together; None when it has none."""
    texts = [one.name for one in call if one.properties.get("Column") == name]
    return json.loads("".join(texts)) if texts else None


def asked(call: list[Item]) -> Any:
    return column(call, "RequestMessages")


def answered(call: list[Item]) -> Any:
    return column(call, "ResponseMessages")


@contextmanager
def logging(
    backend: Backend, *, size: int = 32_768, redact: str = "[]", inbound: str = "", forward: str = FORWARD
) -> Iterator[tuple[Gateway, Logs]]:
    files = {"policies/all.xml": POLICIES.format(inbound, forward)}
    values = {"backend": backend.url, "size": str(size), "redact": redact}
    with AppInsights() as insights:
        with running(CONFIG, files=files, values=values, environment=insights.environment) as gateway:
            assert gateway.app.outside.telemetry is not None
            claude = anthropic.Anthropic(base_url=f"{gateway.url}/claude", api_key=ALPHA, max_retries=0)
            with httpx.Client(trust_env=False, timeout=20) as http, claude:
                yield Gateway(gateway.url, http, claude), Logs(insights, gateway.app.outside.telemetry)
        assert insights.flaws == []


def test_a_call_is_logged_with_counts_prompt_and_completion(backend: Backend) -> None:
    backend.script = Script(text="All well.")
    with logging(backend) as (gateway, logs):
        answer = gateway.client().chat.completions.with_raw_response.create(
            model="gpt-4o",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How are you?"}],
        )
        completion = answer.parse()
    counts, prompt, said = logs.only
    shared = {
        "Category": "GatewayLlmLogs",
        "CorrelationId": answer.headers["x-gateway-request-id"],
        "ApiId": "llm",
        "OperationId": "create-chat-completion",
        "ProductId": "teams",
        "SubscriptionId": "alpha",
        "BackendId": "v1",
        "ModelName": "gpt-4o",
        "RequestId": completion.id,
        "Region": "local",
    }
    for number, one in enumerate((counts, prompt, said)):
        assert {**one.properties, **shared, "SequenceNumber": str(number)} == one.properties
    assert completion.usage is not None
    expected = {
        "DeploymentName": "gpt-4o",
        "PromptTokens": str(completion.usage.prompt_tokens),
        "CompletionTokens": str(completion.usage.completion_tokens),
        "TotalTokens": str(completion.usage.total_tokens),
        "IsStreamCompletion": "False",
        "BackendResponseCode": "200",
    }
    assert {**counts.properties, **expected} == counts.properties
    assert "TotalTokens" not in prompt.properties
    assert asked(logs.only) == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How are you?"}]
    assert answered(logs.only) == [{"role": "assistant", "content": "All well.", "refusal": None}]


def test_a_call_belongs_to_the_trace_of_its_request(backend: Backend) -> None:
    with logging(backend) as (gateway, logs):
        gateway.ask("Hello", extra_headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    assert {one.operation_id for one in logs.only} == {"ab" * 16}
    (request,) = logs._insights.of("RequestData")
    assert {one.parent_id for one in logs.only} == {request.data["id"]}


def test_what_is_not_asked_for_is_not_logged(backend: Backend) -> None:
    with logging(backend) as (gateway, logs):
        gateway.ask("Count me", "counts")
        gateway.ask("Nothing of me", "off")
        gateway.client().models.list()
    (counts,) = logs.only
    assert counts.properties["ApiId"] == "counts" and int(counts.properties["TotalTokens"]) > 0


def test_without_telemetry_there_is_no_log(backend: Backend) -> None:
    values = {"backend": backend.url, "size": "1024", "redact": "[]"}
    with running(CONFIG, files={"policies/all.xml": POLICIES.format("", FORWARD)}, values=values) as gateway:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        answer = httpx.post(f"{gateway.url}/llm/chat/completions", json=body, headers=gateway.key)
    assert answer.status_code == 200
    # Nobody reads the answer on its way then: it passes in whatever coding the caller takes.
    assert backend.last.header("accept-encoding") != "identity"


BODIES: Mapping[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "chat": (
        "/llm/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
        [{"role": "user", "content": "Hi"}],
    ),
    "azure": (
        "/team/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        {"messages": [{"role": "user", "content": "Hi"}]},
        [{"role": "user", "content": "Hi"}],
    ),
    "completions": (
        "/llm/completions",
        {"model": "gpt-4o", "prompt": ["One", "Two"]},
        [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}],
    ),
    "responses": (
        "/llm/responses",
        {"model": "gpt-4o", "instructions": "Be brief.", "input": "Hi"},
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    ),
    "messages": (
        "/claude/v1/messages",
        {
            "model": "claude-haiku-5-5",
            "max_tokens": 50,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hi"}],
        },
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    ),
}


@pytest.mark.parametrize("schema", BODIES)
def test_a_stream_reads_like_the_whole_answer(schema: str, backend: Backend) -> None:
    path, body, messages = BODIES[schema]
    backend.script = Script(text="All is well, in several pieces.")
    with logging(backend) as (gateway, logs):
        headers = {"x-api-key": ALPHA, "anthropic-version": "2023-06-01"}
        for stream in (False, True):
            answer = gateway.http.post(gateway.url + path, json={**body, "stream": stream}, headers=headers)
            assert answer.status_code == 200, answer.text
    whole, streamed = logs.calls
    assert asked(whole) == asked(streamed) == messages
    assert text_of(answered(whole)) == text_of(answered(streamed)) == "All is well, in several pieces."
    assert [one["role"] for one in answered(whole) + answered(streamed)] == ["assistant", "assistant"]
    for name in ("PromptTokens", "CompletionTokens", "TotalTokens", "RequestId", "ModelName"):
        assert whole[0].properties[name] == streamed[0].properties[name], name
    assert (whole[0].properties["IsStreamCompletion"], streamed[0].properties["IsStreamCompletion"]) == (
        "False",
        "True",
    )


def text_of(messages: Any) -> str:
    content = messages[0]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def test_embeddings_have_a_prompt_alone(backend: Backend) -> None:
    with logging(backend) as (gateway, logs):
        gateway.client().embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert asked(logs.only) == [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    assert answered(logs.only) is None


def test_of_an_unknown_schema_the_usage_it_tells_is_logged(backend: Backend) -> None:
    usage = {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 100}
    backend.script = Script(body=json.dumps({"output": {"text": "Hi"}, "usage": usage}))
    with logging(backend) as (gateway, logs):
        url = f"{gateway.url}/any/echo/converse"
        gateway.http.post(url, json={"inferenceConfig": {}}, headers={"api-key": ALPHA}).raise_for_status()
    (counts,) = logs.only
    told = {"PromptTokens": "107", "CompletionTokens": "5", "PromptCachedTokens": "100"}
    assert {**counts.properties, **told} == counts.properties


def test_calls_of_tools_are_put_together(backend: Backend) -> None:
    def chunk(delta: dict[str, Any]) -> bytes:
        return sse({"id": "c1", "model": "gpt-4o", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def call(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function}

    events = [
        chunk(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "t1", "type": "function", **call(0, name="where", arguments="")}],
            }
        ),
        chunk({"tool_calls": [call(0, arguments='{"city":')]}),
        chunk({"tool_calls": [call(0, arguments='"Zürich"}')]}),
        chunk({"tool_calls": [{"id": "t2", "type": "function", **call(1, name="when", arguments="{}")}]}),
        b"data: [DONE]\n\n",
    ]
    backend.script = Script(body=b"".join(events).decode())
    with logging(backend) as (gateway, logs):
        list(gateway.ask("Where and when?", stream=True))
    (message,) = answered(logs.only)
    assert message["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "where", "arguments": '{"city":"Zürich"}'}},
        {"id": "t2", "type": "function", "function": {"name": "when", "arguments": "{}"}},
    ]


def test_tools_of_claude_are_put_together(backend: Backend) -> None:
    def event(kind: str, **data: Any) -> bytes:
        return sse({"type": kind, **data}, event=kind)

    usage = {"input_tokens": 3, "output_tokens": 1}
    opening = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    block = {"type": "tool_use", "id": "t1", "name": "where", "input": {}}
    pieces = ['{"ci', 'ty": "Bern"}']
    events = [
        event("message_start", message=opening),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "I look."}),
        event("content_block_start", index=1, content_block=block),
        *(event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": p}) for p in pieces),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9}),
        event("message_stop"),
    ]
    backend.script = Script(body=b"".join(events).decode())
    with logging(backend) as (gateway, logs):
        with gateway.claude.messages.stream(
            model="claude-haiku-5-5", max_tokens=50, messages=[{"role": "user", "content": "Where?"}]
        ) as stream:
            stream.until_done()
    said = [{"type": "text", "text": "I look."}, {**block, "input": {"city": "Bern"}}]
    assert answered(logs.only) == [{"role": "assistant", "content": said}]


def test_of_a_caller_who_leaves_is_logged_what_had_come(backend: Backend) -> None:
    backend.script = Script(text="one two three four five six", chunk_every=0.15)
    with logging(backend) as (gateway, logs):
        stream = gateway.ask("Count", stream=True)
        for chunk in stream:
            if chunk.choices and "two" in (chunk.choices[0].delta.content or ""):
                break
        stream.close()
        time.sleep(0.5)
    said = text_of(answered(logs.only))
    assert said.startswith("one two") and "six" not in said
    assert int(logs.only[0].properties["CompletionTokens"]) > 0


def test_long_messages_come_in_parts_up_to_the_limit(backend: Backend) -> None:
    prompt, said = "Grüße " * 30_000, "word " * 30_000
    backend.script = Script(text=said)
    with logging(backend, size=100_000) as (gateway, logs):
        list(gateway.ask(prompt, stream=True))
    for name, text in (("RequestMessages", prompt), ("ResponseMessages", said)):
        found = [one for one in logs.only if one.properties.get("Column") == name]
        assert len(found) == 4 and all(len(one.name.encode()) <= 32_768 for one in found)
        assert all(one.properties["Truncated"] == "True" for one in found)
        assert 99_990 < sum(len(one.name.encode()) for one in found) < 100_050
        assert text.startswith(text_of(column(logs.only, name)))


def test_bytes_of_images_are_told_by_their_length(backend: Backend) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'iVBORw0KGgo' * 20_000}"}}
    with logging(backend) as (gateway, logs):
        messages: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]
        gateway.client().chat.completions.create(model="gpt-4o", messages=messages)
    ((prompt,),) = [asked(logs.only)]
    assert prompt["content"][0]["image_url"]["url"] == "[220022 characters of base64]"
    assert prompt["content"][1]["text"] == "What is this?"


RULES = r"""[{ pattern: '\b(\d{4})[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b', replacement: 'card \1' },
             { pattern: '(?i)[\w.+-]+@[\w-]+\.[\w.]+' }]"""


def test_what_matches_a_rule_never_leaves(backend: Backend) -> None:
    backend.script = Script(text="Card 4111 1111 1111 1111 belongs to Ann@example.com .")
    with logging(backend, redact=RULES) as (gateway, logs):
        answer = gateway.ask('My mail is "ann@example.com"', stream=True)
        assert "4111 1111" in "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        with pytest.raises(openai.OpenAIError):
            gateway.client(key="wrong-key").models.list()
    assert asked(logs.only)[0]["content"] == 'My mail is "[redacted]"'
    assert answered(logs.only)[0]["content"] == "Card card 4111 belongs to [redacted] ."
    sent = json.dumps([[one.name, one.properties] for one in logs._insights.items])
    for secret in ("ann@example.com", "Ann@example.com", "1111 1111", ALPHA, "backend-secret", "wrong-key", KEY):
        assert secret not in sent


def test_names_and_long_numbers_are_redacted_as_texts_are() -> None:
    rules = (Redaction(pattern="AKIA[0-9A-Z]{16}"), Redaction(pattern=r"\b\d{13,16}\b", replacement="card"))
    redact = Redactor(rules).within(lambda: 1.0)
    given = {"AKIAIOSFODNN7EXAMPLE": True, "paid_with": 4111111111111111, "amount": 1250, "share": 0.123456789}
    logged = written([{"type": "tool_use", "input": given}], 4_096, redact)
    [message] = json.loads(logged.text)
    assert message["input"] == {"[redacted]": True, "paid_with": "card", "amount": 1250, "share": 0.123456789}


def test_no_half_of_a_secret_shows_at_the_limit(backend: Backend) -> None:
    secret = "ann.of.the.long.name@example.com"
    with logging(backend, redact=RULES, size=1024) as (gateway, logs):
        for before in range(960, 1024, 4):
            gateway.ask("x " * (before // 2) + secret + " y" * 5000)
        gateway.ask(f"{'ann.' * 50}long@example.com " * 500)  # redacted, what is left of the beginning is short
    assert len(logs.calls) == 17
    for call in logs.calls:
        assert "ann." not in json.dumps(asked(call))


def test_a_rule_that_takes_too_long_withholds_and_holds_up_nobody(backend: Backend) -> None:
    backend.script = Script(text="Fine.")
    with logging(backend, redact="[{ pattern: '(a+)+b' }]") as (gateway, logs):
        gateway.ask("warm")
        gateway.ask(("a" * 900 + " c ") * 20)
        begun = time.monotonic()
        gateway.ask("quick")
        assert time.monotonic() - begun < 1
        logs.wait_for(9)
    by_prompt = {json.dumps(asked(call)): call for call in logs.calls}
    assert json.dumps(["[withheld: redacting took too long]"]) in by_prompt and len(by_prompt) == 3
    withheld = by_prompt['["[withheld: redacting took too long]"]']
    assert answered(withheld) == ["[withheld: redacting took too long]"]
    assert int(withheld[0].properties["TotalTokens"]) > 0


def test_what_no_model_was_asked_is_not_logged(backend: Backend) -> None:
    inbound = """<llm-token-limit counter-key="all" tokens-per-minute="9000" count-cached-answers="true" />
        <choose><when condition='@(context.Request.Headers.ContainsKey("x-refuse"))'>
        <return-response><set-status code="403" /></return-response></when></choose>"""
    with logging(backend, inbound=inbound) as (gateway, logs):
        with pytest.raises(openai.PermissionDeniedError):
            gateway.ask("Refused", extra_headers={"x-refuse": "1"})
        gateway.claude.messages.count_tokens(
            model="claude-haiku-5-5", messages=[{"role": "user", "content": "How many?"}]
        )
        orders = {"model": "T", "messages": [{"role": "user", "content": "Order"}]}
        headers = {"ocp-apim-subscription-key": KEY}
        assert gateway.http.post(f"{gateway.url}/orders/new", json=orders, headers=headers).status_code == 200
        gateway.ask("Asked")
    assert asked(logs.only)[0]["content"] == "Asked"


def test_the_last_attempt_counts_and_a_failure_is_told(backend: Backend) -> None:
    retry = (
        "<retry condition='@(context.Response.StatusCode == 429)' count='1' interval='0'><forward-request /></retry>"
    )
    with logging(backend, forward=retry) as (gateway, logs):
        backend.scripts.append(Script(status=429))
        gateway.ask("Twice")
        backend.script = Script(status=400)
        with pytest.raises(openai.BadRequestError):
            gateway.ask("Never")
    twice, never = logs.calls
    assert twice[0].properties["BackendResponseCode"] == "200" and answered(twice) is not None
    assert never[0].properties["BackendResponseCode"] == "400" and never[0].properties["TotalTokens"] == "0"
    assert asked(never)[0]["content"] == "Never" and answered(never) is None


def test_what_policies_made_of_the_prompt_is_logged(backend: Backend) -> None:
    inbound = """<set-body>@{ var body = context.Request.Body.As<JObject>(true);
        body["messages"][0]["content"] = "changed"; return body.ToString(); }</set-body>"""
    with logging(backend, inbound=inbound) as (gateway, logs):
        gateway.ask("original")
    assert asked(logs.only)[0]["content"] == "changed"


async def test_mistakes_are_told_with_their_line(tmp_path: Path) -> None:
    text = """apis:
  llm: { path: llm, kind: openai }
diagnostics:
  large_language_model:
    logs: enabled
    requests: { messages: all, max_size_in_bytes: 4000000 }
    redact:
      - { pattern: "a(b" }
      - { pattern: "x*" }
      - { pattern: "(x)", replacement: '\\2' }
"""
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    at = "diagnostics.large_language_model"
    assert [str(problem) for problem in await check(file, {}, placeholders=False)] == [
        f"gateway.yaml:6 {at}.requests.max_size_in_bytes: input should be less than or equal to 2097152",
        f"gateway.yaml:8 {at}.redact.0.pattern: not a regular expression: missing ) at position 3",
        f"gateway.yaml:9 {at}.redact.1.pattern: matches the empty text, so it would redact between all characters",
        f"gateway.yaml:10 {at}.redact.2: replacement does not fit the pattern: invalid group reference",
    ]


TEXTS = st.text(st.sampled_from('a é😀"\\\n\x01'), max_size=40)
MESSAGES = st.lists(
    st.recursive(
        TEXTS | st.integers(-9, 9) | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=20,
    ),
    max_size=4,
)


@given(MESSAGES, st.integers(2, 400))
def test_messages_stay_json_within_the_limit(messages: list[Any], most: int) -> None:
    logged = written(messages, most, lambda text: text)
    assert len(logged.text.encode()) <= most
    assert logged.cut or json.loads(logged.text) == messages
    cut = list(parts(logged.text, 16))
    assert json.loads("".join(cut)) == json.loads(logged.text)
    assert all(one == one.strip() and len(one.encode()) <= 16 for one in cut)


def test_messages_nested_without_end_are_cut() -> None:
    nested: list[Any] = []
    for _ in range(5_000):
        nested = [nested]
    assert written([nested], 32_768, str).cut
