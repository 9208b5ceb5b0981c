"""Embeds texts through the openai client, at Azure OpenAI and OpenAI endpoints; what waits together goes together."""

import asyncio
import base64
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from shared.backends.call_span import begin_call
from shared.backends.target import Target
from shared.context import Context, TokenSource
from shared.errors import PolicyFailed
from shared.stores.breaker import Breaker
from shared.stores.cache import MemoryCache

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger("gateway")

AZURE_API_VERSION = "2024-10-21"
AZURE_RESOURCE = "https://cognitiveservices.azure.com"
AT_ONCE = 4
"""Calls under way for one model; texts that come meanwhile wait, and go together."""
BATCH = 256
"""Texts of one call; the service takes up to 2,048."""
CALL_SECONDS = 30.0
# What a text has become is remembered for a day, or until 64 MB are full (about 10,000 texts of 1,536 dimensions).
REMEMBERED_SECONDS = 86_400
REMEMBERED_BYTES = 67_108_864
_KEYS = frozenset({b"api-key", b"authorization", b"ocp-apim-subscription-key"})


class EmbeddingsUnavailable(Exception):
    """No embedding, or not in time; the text is for operators."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model at a backend. `name` is sent as `model` (Azure reads it from the URL); `dimensions` None: as many as the
    model has."""

    target: Target
    name: str
    dimensions: int | None = None

    @property
    def parts(self) -> tuple[str, str, str]:
        """What makes vectors comparable: all of it must be the same."""
        return f"{self.target.origin}{self.target.base_path}", self.name, str(self.dimensions or "")


@dataclass(slots=True)
class _Queue:
    """The texts that wait for one model, and the calls under way."""

    model: EmbeddingModel
    breaker: Breaker
    waiting: dict[str, "asyncio.Future[bytes]"] = field(default_factory=dict)
    asked: dict[str, "asyncio.Future[bytes]"] = field(default_factory=dict)
    running: int = 0


class Embeddings:
    """One for the process. Clients are made on first use, away from the event loop, and kept over reloads."""

    def __init__(self, tokens: TokenSource, monotonic: Callable[[], float], chance: Random) -> None:
        self._tokens = tokens
        self._monotonic = monotonic
        self._chance = chance
        self._known = MemoryCache(monotonic, entries=100_000, size=REMEMBERED_BYTES)
        self._queues: dict[tuple[object, ...], _Queue] = {}
        self._clients: dict[tuple[object, ...], AsyncOpenAI] = {}
        self._importing: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls = 0

    async def embed(self, model: EmbeddingModel, text: str, *, seconds: float, ctx: Context | None = None) -> bytes:
        """The embedding as little-endian float32. EmbeddingsUnavailable when there is none within `seconds`; while the
        backend is known to fail, at once: then one text is tried on the side from time to time. What the request `ctx`
        waits for is a span of its own: the call itself may be shared with others."""
        known = self._known.look_up(_name(model, text))
        if known is not None:
            return known
        queue = self._queue(model)
        now = self._monotonic()
        if queue.breaker.tripped:
            if queue.breaker.take_probe(now):
                self._ask(queue, text)
            raise EmbeddingsUnavailable("the embeddings backend has failed just now")
        # One call embeds for many requests: there is no trace it belongs to.
        call = begin_call(ctx, [], "POST", model.target.origin, model.target.info.id)
        try:
            found = await self._wait(queue, text, seconds)
        except BaseException as error:
            if call is not None:
                call.failed(error)
            raise
        if call is not None:
            call.answered(200)
        return found

    async def _wait(self, queue: _Queue, text: str, seconds: float) -> bytes:
        imported = self._imported()
        try:
            async with asyncio.timeout(seconds):
                # What others wait for as well must not end with the one who gives up.
                await asyncio.shield(imported)
                return await asyncio.shield(self._ask(queue, text))
        except TimeoutError:
            if imported.done():
                self._trip(queue, f"no embedding within {seconds:g} s")
            raise EmbeddingsUnavailable(f"no embedding within {seconds:g} s") from None

    async def embed_all(self, model: EmbeddingModel, texts: Sequence[str]) -> list[bytes]:
        """The embeddings of many texts, in order. EmbeddingsUnavailable when one is missing."""
        queue = self._queue(model)
        await self._imported()
        return list(await asyncio.gather(*(self._ask(queue, text) for text in texts)))

    async def aclose(self) -> None:
        """Close the connections."""
        for task in tuple(self._tasks):
            task.cancel()
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    def _queue(self, model: EmbeddingModel) -> _Queue:
        target = model.target
        key = (*model.parts, tuple(target.headers), target.query, target.identity, target.tls, target.folder)
        found = self._queues.get(key)
        if found is None:
            found = self._queues[key] = _Queue(model, Breaker(self._chance))
        return found

    def _imported(self) -> "asyncio.Task[Any]":
        """Both take a good part of a second to import: not on the event loop, and not before somebody embeds."""
        if self._importing is None:
            self._importing = asyncio.ensure_future(asyncio.to_thread(_import))
        return self._importing

    def _ask(self, queue: _Queue, text: str) -> "asyncio.Future[bytes]":
        found = queue.asked.get(text) or queue.waiting.get(text)
        if found is None:
            found = queue.waiting[text] = asyncio.get_running_loop().create_future()
            # Whoever waited may be gone when it fails.
            found.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._send(queue)
        return found

    def _send(self, queue: _Queue) -> None:
        while queue.waiting and queue.running < AT_ONCE:
            texts = list(queue.waiting)[:BATCH]
            batch = {text: queue.waiting.pop(text) for text in texts}
            queue.asked |= batch
            queue.running += 1
            task = asyncio.ensure_future(self._call(queue, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call(self, queue: _Queue, batch: Mapping[str, "asyncio.Future[bytes]"]) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                vectors = await self._vectors(queue.model, list(batch))
            queue.breaker.reset(self._monotonic())
            for (text, future), vector in zip(batch.items(), vectors, strict=True):
                self._known.keep(_name(queue.model, text), vector, REMEMBERED_SECONDS)
                if not future.done():
                    future.set_result(vector)
        except Exception as error:
            reason = _reason(error)
            # The service is there, but not for these texts: that says nothing of others.
            if getattr(error, "status_code", None) not in (400, 413, 422):
                self._trip(queue, reason)
            for future in batch.values():
                if not future.done():
                    future.set_exception(EmbeddingsUnavailable(reason))
        finally:
            queue.running -= 1
            for text, future in batch.items():
                queue.asked.pop(text, None)
                future.cancel()
            self._send(queue)

    async def _vectors(self, model: EmbeddingModel, texts: list[str]) -> list[bytes]:
        await self._imported()
        options: dict[str, Any] = {"dimensions": model.dimensions} if model.dimensions else {}
        self.calls += 1
        answer = await self._client(model).post(
            "/embeddings",
            cast_to=object,
            body={"input": texts, "model": model.name, "encoding_format": "base64", **options},
            options={"headers": await self._authorization(model.target)},
        )
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or len(data) != len(texts):
            raise EmbeddingsUnavailable(f"{len(texts)} texts were answered with something else")
        return [_bytes(one["embedding"]) for one in sorted(data, key=lambda one: int(one["index"]))]

    async def _authorization(self, target: Target) -> dict[str, Any]:
        from openai import Omit

        if any(name in _KEYS for name, _ in target.headers):
            return {} if any(name == b"authorization" for name, _ in target.headers) else {"Authorization": Omit()}
        resource = target.identity.resource if target.identity is not None else AZURE_RESOURCE
        client_id = target.identity.client_id if target.identity is not None else None
        return {"Authorization": f"Bearer {await self._tokens.token(resource, client_id)}"}

    def _client(self, model: EmbeddingModel) -> "AsyncOpenAI":
        target = model.target
        key = (target.origin, target.base_path, tuple(target.headers), target.query, target.tls, target.folder)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _connect(target)
        return client

    def _trip(self, queue: _Queue, reason: str) -> None:
        if not queue.breaker.tripped:
            log.warning("the semantic cache goes on without embeddings: %s: %s", queue.model.target.info.id, reason)
        queue.breaker.trip(self._monotonic())


def _import() -> None:
    for name in ("openai", "numpy"):
        importlib.import_module(name)


def _connect(target: Target) -> "AsyncOpenAI":
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    query = dict(parse_qsl(target.query))
    if "/deployments/" in target.base_path:
        query.setdefault("api-version", AZURE_API_VERSION)
    tls = target.extensions.get("ssl_context")
    return AsyncOpenAI(
        base_url=f"{target.origin}{target.base_path}".removesuffix("/embeddings"),
        api_key="none",  # each call brings its own; without this one the client would look for it in the environment
        default_headers={name.decode(): value.decode("latin-1") for name, value in target.headers},
        default_query=query,
        max_retries=1,
        timeout=CALL_SECONDS,
        http_client=DefaultAsyncHttpxClient(verify=tls) if tls is not None else None,  # type: ignore[arg-type]
    )


def _name(model: EmbeddingModel, text: str) -> str:
    return "\0".join((*model.parts, text))


def _bytes(embedding: object) -> bytes:
    """Base64 where the backend knows `encoding_format`, a list of numbers where it does not."""
    if isinstance(embedding, str):
        return base64.b64decode(embedding)
    from array import array

    if not isinstance(embedding, list) or not embedding:
        raise EmbeddingsUnavailable("an embedding is missing")
    return array("f", embedding).tobytes()


def _reason(error: Exception) -> str:
    """What went wrong, without what was sent."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return f"status {status}"
    if isinstance(error, PolicyFailed):
        return error.detail or error.message
    return str(error) if isinstance(error, EmbeddingsUnavailable) else type(error).__name__
