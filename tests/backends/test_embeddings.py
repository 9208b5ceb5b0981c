"""Embeddings through the official client: credentials, batches, what is remembered, and failures that cost once."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

from shared.backends.embeddings import AT_ONCE, EmbeddingModel, Embeddings, EmbeddingsUnavailable
from shared.backends.target import compile_backend
from shared.config.backends import Backend as Declared
from tests.support.backend import Backend, Script
from tests.support.dialects import embed

TEXT = "How do I reset my password?"


class Tokens:
    """Gives tokens, and tells for whom."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def at_hand(self, resource: str, client_id: str | None = None) -> str | None:
        return None

    async def token(self, resource: str, client_id: str | None = None) -> str:
        self.asked.append((resource, client_id))
        return "a-token"


@asynccontextmanager
async def embeddings(tokens: Tokens | None = None) -> AsyncIterator[Embeddings]:
    made = Embeddings(tokens or Tokens(), monotonic, Random(1))
    try:
        yield made
    finally:
        await made.aclose()


def model(url: str, dimensions: int | None = None, **credentials: Any) -> EmbeddingModel:
    declared = Declared.model_validate({"url": url, "credentials": credentials})
    return EmbeddingModel(compile_backend("e", declared, Path()), "text-embedding-3-small", dimensions)


async def test_each_kind_of_endpoint_and_credential(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-this")
    azure = f"{backend.url}/openai/deployments/ada/embeddings"
    identity = {"resource": "https://ai.azure.com", "client_id": "me"}
    cases: list[tuple[EmbeddingModel, dict[str, str | None]]] = [
        (model(azure, header={"api-key": "k"}), {"api-key": "k", "authorization": None}),
        (model(azure), {"api-key": None, "authorization": "Bearer a-token"}),
        (model(azure, managed_identity=identity), {"authorization": "Bearer a-token"}),
        (model(f"{backend.url}/v1/embeddings", header={"Authorization": "Bearer k"}), {"authorization": "Bearer k"}),
        (model(f"{backend.url}/v1", 64, header={"Authorization": "Bearer k"}), {"authorization": "Bearer k"}),
    ]
    tokens = Tokens()
    async with embeddings(tokens) as made:
        for number, (which, headers) in enumerate(cases):
            found = await made.embed(which, f"{TEXT} {number}", seconds=10)
            size = which.dimensions or 1536
            assert struct.unpack(f"<{size}f", found) == pytest.approx(embed(f"{TEXT} {number}", size), abs=1e-6)
            assert {name: backend.last.header(name) for name in headers} == headers
            assert ("api-version=2024-10-21" in backend.last.target) == ("/deployments/" in backend.last.target)
    assert tokens.asked == [("https://cognitiveservices.azure.com", None), ("https://ai.azure.com", "me")]


async def test_what_waits_goes_together_and_nothing_twice(backend: Backend) -> None:
    which = model(f"{backend.url}/v1", header={"Authorization": "Bearer k"})
    async with embeddings() as made:
        await made.embed(which, "warm", seconds=10)
        backend.script = Script(delay=0.2)
        texts = [f"text {number % 60}" for number in range(120)]
        found = await asyncio.gather(*(made.embed(which, text, seconds=10) for text in texts))
        assert found[:60] == found[60:] and len(set(found)) == 60
        sent = [request.json()["input"] for request in backend.requests[1:]]
        assert sorted(sum(sent, [])) == sorted(set(texts)) and len(sent) == AT_ONCE + 1
        before = len(backend.requests)
        assert await made.embed(which, "text 7", seconds=10) == found[7]
        assert len(backend.requests) == before, "remembered"


async def test_an_outage_costs_the_deadline_once_and_is_over_by_itself(backend: Backend) -> None:
    which = model(f"{backend.url}/v1", header={"Authorization": "Bearer k"})
    async with embeddings() as made:
        await made.embed(which, "warm", seconds=10)
        backend.script = Script(delay=1.2)
        began = monotonic()
        for number in range(20):
            with pytest.raises(EmbeddingsUnavailable):
                await made.embed(which, f"text {number}", seconds=0.2)
        assert 0.2 <= monotonic() - began < 2  # not 20 times 0.2 s
        assert len(backend.requests) == 2
        backend.script = Script()
        for _ in range(100):
            await asyncio.sleep(0.05)
            try:
                await made.embed(which, "again", seconds=0.2)
                break
            except EmbeddingsUnavailable:
                continue
        else:
            pytest.fail("it never recovers")


async def test_a_text_that_is_refused_says_nothing_of_others(backend: Backend) -> None:
    which = model(f"{backend.url}/v1", header={"Authorization": "Bearer k"})
    async with embeddings() as made:
        backend.script = Script(status=400)
        with pytest.raises(EmbeddingsUnavailable, match="status 400"):
            await made.embed(which, "bad", seconds=10)
        backend.script = Script()
        assert await made.embed(which, "good", seconds=10)
        backend.script = Script(status=401)
        with pytest.raises(EmbeddingsUnavailable, match="status 401") as refused:
            await made.embed(which, "other", seconds=10)
        assert "Bearer" not in str(refused.value)
        backend.script = Script(body='{"data": [{"index": 0, "embedding": [1, 0.5]}]}')
        lists = model(f"{backend.url}/v1", 2, header={"Authorization": "Bearer k"})
        assert await made.embed(lists, "numbers", seconds=10) == struct.pack("<2f", 1, 0.5)


async def test_one_who_gives_up_does_not_end_the_call_of_another(backend: Backend) -> None:
    which = model(f"{backend.url}/v1", header={"Authorization": "Bearer k"})
    async with embeddings() as made:
        await made.embed(which, "warm", seconds=10)
        backend.script = Script(delay=0.3)
        first = asyncio.create_task(made.embed(which, TEXT, seconds=10))
        second = asyncio.create_task(made.embed(which, TEXT, seconds=10))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second and len(backend.requests) == 2
