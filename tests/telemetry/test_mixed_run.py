"""A thousand calls of every kind through a gateway process: each is one request item, and every token is counted once.

Callers are the official SDK; gateway, scripted backends, embeddings and Application Insights are servers of their own.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import openai
import pytest

from shared.llm.encodings import tokenizer
from tests.policies.semantic import document, lookup
from tests.support.app_insights import AppInsights
from tests.support.backend import Backend
from tests.support.dialects import count_tokens, pieces
from tests.support.processes import ROOT
from tests.support.serve import gateway
from tests.support.service import Reply, Service

KEY = "the key of this test"
CONFIG = """
backends:
  good: {{ url: "{good}/v1", timeouts: {{ idle: 20 }} }}
  full: {{ url: "{full}/v1" }}
  embeddings: {{ url: "{embeddings}/openai/deployments/ada/embeddings", credentials: {{ header: {{ api-key: k }} }} }}
  pool: {{ pool: {{ failover: true, services: [{{ id: full, priority: 1 }}, {{ id: good, priority: 2 }}] }} }}
policy: policies/all.xml
apis:
  plain: {{ path: plain, kind: openai, backend: good }}
  pool: {{ path: pool, kind: openai, backend: pool }}
  cached: {{ path: cached, kind: openai, backend: good, policy: policies/cached.xml }}
  limited: {{ path: limited, kind: openai, backend: good, policy: policies/limited.xml }}
"""
POLICIES = {
    "all.xml": """<policies>
        <inbound><llm-emit-token-metric namespace="mixed"><dimension name="API ID" /></llm-emit-token-metric></inbound>
        <backend><forward-request /></backend><outbound /><on-error /></policies>""",
    # The limit charges hits, as it is told to; the metrics must not.
    "cached.xml": document(
        lookup('embeddings-timeout-ms="20000"'), inbound='<llm-token-limit counter-key="hits" '
        'tokens-per-minute="1000000" estimate-prompt-tokens="false" count-cached-answers="true" />'
    ),
    "limited.xml": document(
        "", "", inbound='<rate-limit-by-key calls="10" renewal-period="300" counter-key="all" />'
        '<llm-token-limit counter-key="all" tokens-per-minute="1000000" estimate-prompt-tokens="true" />'
    ),
}  # fmt: skip
WORDS = (
    "the quick brown fox jumps over a lazy dog while, antidisestablishmentarianism notwithstanding, rain falls".split()
)
AT_ONCE = 24

# How many calls of each kind: a thousand with the one that loads the tokenizer.
KINDS = {
    "plain": 249,
    "stream with usage": 150,
    "stream": 150,
    "failed over": 100,
    "cached": 120,
    "wrong key": 80,
    "limited": 60,
    "client gone": 40,
    "no usage": 30,
    "broken off": 20,
}


@dataclass
class Result:
    """What one call should have left behind: its status as the gateway tells it, whether it went well, its tokens by
    the backend (or, `estimated`, by a tokenizer), the id its caller was told."""

    kind: str
    status: int = 200
    success: bool = True
    tokens: tuple[int, int] | None = None
    estimated: bool = False
    request_id: str = ""


@dataclass
class Callers:
    """All callers; `results` are by trace id."""

    url: str
    random: Random
    estimate: Callable[[str], int]
    results: dict[str, Result] = field(default_factory=dict)

    async def call(self, client: openai.AsyncOpenAI, kind: str) -> None:
        """One call of a kind; a failure that is not the kind's own fails the test."""
        trace_id = f"{len(self.results) + 1:032x}"
        result = self.results[trace_id] = Result(kind)
        prompt = "the same question every time" if kind == "cached" else self._text(3, 40)
        text = self._text(8, 60)
        stream = kind.startswith("stream") or kind in ("client gone", "broken off") or self.random.random() < 0.4
        script: dict[str, Any] = {"text": text}
        chunks = self.random.randint(2, 7)  # the first has no text
        match kind:
            case "no usage":
                script["usage"] = False
            case "client gone":
                script["stall_after"] = chunks
            case "broken off":
                script |= {"cut_after": chunks, "chunk_every": 0.001}
        api = {"failed over": "pool", "cached": "cached", "limited": "limited"}.get(kind, "plain")
        asking = {"stream_options": {"include_usage": True}} if kind == "stream with usage" else {}
        caller = client.with_options(base_url=f"{self.url}/{api}", api_key="not a key" if kind == "wrong key" else KEY)
        headers = {"x-script": json.dumps(script), "traceparent": f"00-{trace_id}-00000000000000aa-01"}
        try:
            create: Any = caller.chat.completions.with_raw_response.create
            answer = await create(
                model="gpt-4o",
                messages=[{"role": "user", "content": prompt}],
                stream=stream,
                extra_headers=headers,
                **asking,
            )
        except openai.APIStatusError as error:
            result.status, result.success = error.status_code, False
            result.request_id = error.response.headers["x-gateway-request-id"]
            return
        result.request_id = answer.headers["x-gateway-request-id"]
        parsed: Any = answer.parse()
        delivered, told = text, None
        if not stream:
            told = parsed.usage
        elif kind == "client gone":
            for _ in range(chunks):
                await anext(parsed)
            await parsed.close()
            result.status, result.success = 499, False
            delivered = "".join(pieces(text)[: chunks - 1])
        elif kind == "broken off":
            with pytest.raises(openai.APIError):
                async for _ in parsed:
                    pass
            result.success = False
            delivered = "".join(pieces(text)[: chunks - 1])
        else:
            told = [part.usage async for part in parsed][-1]
        if answer.headers.get("x-semantic-cache") == "exact":
            return  # no model was asked
        result.estimated = kind in ("client gone", "broken off", "no usage")
        if result.estimated:
            # A message has three tokens around it and one for its role, an answer three before it.
            result.tokens = 3 + 1 + self.estimate(prompt) + 3, self.estimate(delivered)
        else:
            result.tokens = count_tokens(prompt), count_tokens(text)
        if told is not None and kind != "no usage":
            assert (told.prompt_tokens, told.completion_tokens) == result.tokens
        assert (told is not None) == (not stream and kind != "no usage" or kind == "stream with usage")

    async def run(self) -> None:
        """All calls, so many at once; first those that others build on."""
        async with openai.AsyncOpenAI(api_key=KEY, max_retries=0, timeout=30) as client:
            await self.call(client, "limited")  # its policy waits for the tokenizer
            await self.call(client, "cached")
            await asyncio.sleep(0.5)  # the answer is kept behind the reply
            kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
            kinds.remove("cached")
            self.random.shuffle(kinds)
            waiting = iter(kinds)

            async def one() -> None:
                for kind in waiting:
                    await self.call(client, kind)

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(one())

    def _text(self, least: int, most: int) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, most)))


@dataclass
class Run:
    """What the thousand calls have left."""

    results: dict[str, Result]
    insights: AppInsights
    good: Backend
    full: Service


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make the calls, end the gateway (which sends what waits), and see what has come."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "policies").mkdir()
    for name, xml in POLICIES.items():
        (folder / "policies" / name).write_text(xml)
    with ExitStack() as stack:
        good, embeddings = stack.enter_context(Backend()), stack.enter_context(Backend())
        full = stack.enter_context(Service())
        full.default = lambda request: Reply(503)
        insights = stack.enter_context(AppInsights())
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(good=good.url, full=full.url, embeddings=embeddings.url))
        environment = {**insights.environment, "GATEWAY_KEY_HASH_SECRET": "s" * 32, "GATEWAY_ALL_ACCESS_KEY": KEY}
        encoding = tokenizer("o200k_base", (ROOT / "shared/llm/encodings/o200k_base.xz").read_bytes())
        with gateway(config, env=environment) as running:
            callers = Callers(running.url, Random(8), lambda text: len(encoding.encode_ordinary(text)))
            asyncio.run(callers.run())
            running.process.stop(10)
        yield Run(callers.results, insights, good, full)


def test_every_call_is_one_request(run: Run) -> None:
    items = run.insights.of("RequestData")
    assert Counter(item.operation_id for item in items) == Counter(list(run.results))
    assert len(items) == 1000 and run.insights.flaws == []
    for item in items:
        result = run.results[item.operation_id]
        told = int(item.data["responseCode"]), item.data["success"], item.properties["apim.request_id"]
        assert told == (result.status, result.success, result.request_id), result


def test_all_kinds_ended_as_they_should(run: Run) -> None:
    ends = Counter((result.kind, result.status) for result in run.results.values())
    expected = {
        (kind, {"client gone": 499, "wrong key": 401, "limited": 429}.get(kind, 200)): count
        for kind, count in KINDS.items()
    }
    assert ends == {**expected, ("limited", 200): 10, ("limited", 429): KINDS["limited"] + 1 - 10}
    hits = [item for item in run.insights.of("RequestData") if item.properties.get("apim.cache") == "exact"]
    assert len(hits) > 100


def test_metrics_add_up_to_what_was_told_and_delivered(run: Run) -> None:
    counted = [result for result in run.results.values() if result.tokens is not None]
    assert len(counted) > 600 and sum(result.estimated for result in counted) == 90
    prompt, completion = (sum(result.tokens[part] for result in counted if result.tokens) for part in (0, 1))
    sums = {name: run.insights.sums(f"{name} Tokens", "mixed") for name in ("Total", "Prompt", "Completion")}
    assert sums == {"Total": prompt + completion, "Prompt": prompt, "Completion": completion}
    values = [item for item in run.insights.of("MetricData") if item.name == "Total Tokens"]
    assert sum(item.data["count"] for item in values) == len(counted)
    estimated = [item for item in values if item.properties.get("Estimated") == "true"]
    assert sum(item.data["count"] for item in estimated) == 90


def test_each_request_tells_its_own_tokens(run: Run) -> None:
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    for item in run.insights.of("RequestData"):
        result = run.results[item.operation_id]
        told = tuple(int(item.properties[name]) for name in names if name in item.properties)
        assert told == (result.tokens or ()), result
        assert ("apim.tokens.estimated" in item.properties) == result.estimated, result


def test_every_attempt_is_a_call_that_its_backend_knows(run: Run) -> None:
    calls = [item for item in run.insights.of("RemoteDependencyData") if "apim.backend.attempt" in item.properties]
    told = Counter(f"00-{item.operation_id}-{item.data['id']}-01" for item in calls)
    seen = Counter(request.header("traceparent") for backend in (run.good, run.full) for request in backend.requests)
    assert told == seen
    assert len(run.full.requests) == KINDS["failed over"]
    left = [item for item in calls if item.properties.get("apim.backend.failover")]
    assert {(item.properties["apim.backend.failover"], item.name) for item in left} == {("503", "POST good")}
