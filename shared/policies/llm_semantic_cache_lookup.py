"""llm-semantic-cache-lookup and azure-openai-semantic-cache-lookup: answer from prompts of the same meaning."""

import asyncio
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from shared.backends.call_span import tell_lookup
from shared.backends.embeddings import EmbeddingModel, Embeddings, EmbeddingsUnavailable
from shared.context import Context
from shared.errors import PolicyFailed
from shared.llm.cacheable_prompt import NotCacheable, cacheable_prompt
from shared.llm.cached_answer import CachedAnswer, as_json_body, as_stream_body
from shared.llm.call import LlmCall
from shared.message import GatewayResponse, Headers
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.llm_exchange import LlmExchange, single_backend
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.run import Shortcut
from shared.policies.semantic_miss import Coalesced, SemanticMiss, namespace_of
from shared.policies.semantic_sample import NAMESPACE, sample
from shared.stores.semantic_cache.cache import Found, SemanticCache
from shared.stores.semantic_cache.entry import Vector
from shared.telemetry.metrics import Metrics

STATUS, SIMILARITY = "x-semantic-cache", "x-semantic-cache-similarity"
DOUBTFUL = 0.1
COALESCE_SECONDS = 60.0

Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]


class LlmSemanticCacheLookup(Policy):
    """Answers a question from the cache when the same, or one of the same meaning, has been answered before.

    `score-threshold` is a cosine distance: a hit needs a similarity of at least 1 - threshold. Chat completions,
    responses and Anthropic messages are looked up, streamed or not, whichever way the answer was kept. Answers are
    shared only where all of this is equal: API and its path and version, subscription (see below), model, backend, the
    embeddings, system prompt (with `ignore-system-messages` left out), every parameter of the body but how it is
    delivered, and the conversation before the last question. That question alone is compared by meaning; questions
    that differ in numbers, negation or quoted names never answer for each other (`guards`). Several answers (`n`),
    tool results at the end, state at the backend and more than `max-message-count` messages are not looked up.

    Who shares: callers of one subscription; without a subscription those of one credential, or those for whom `vary-by`
    gives the same. `vary-by` divides further. A `vary-by` that is the word `product` or `api` widens instead: all
    subscriptions of the product, or of the API, share. APIM shares among all unless vary-by divides.

    The exact question is looked for first and needs no embedding. `Cache-Control: no-cache` of the caller skips the
    lookup, `no-store` also the store. Hits have the headers x-semantic-cache (exact, semantic) and
    x-semantic-cache-similarity and Age, misses x-semantic-cache: miss; `usage` in a hit has `served_from_cache`. Token
    limits are charged for hits only with their own `count-cached-answers`. An embeddings backend with a key is shown
    that key, any other the gateway's identity (APIM knows the latter only). If storage or embeddings fail the model is
    asked. The metric Lookups counts results: exact, semantic, miss, unavailable.

    Attributes of our own: `embeddings-model` (where the URL names no deployment; text-embedding-3-small),
    `embeddings-dimensions` (the model's), `embeddings-timeout-ms` (1000), `guards` (true), `coalesce` (false; true:
    while one caller's question is answered, others who ask exactly the same wait for that answer), `sample-hits`
    (percent of semantic hits for which the model is asked as well, on the side; 0) and `sample-agreement` (cosine from
    which on both answers count as the same; 0.8). `cache-id` chooses among APIM's external caches; there is one here.
    https://learn.microsoft.com/azure/api-management/llm-semantic-cache-lookup-policy
    """

    element: ClassVar[str] = "llm-semantic-cache-lookup"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    once: ClassVar[bool] = True
    # Nothing leaves before the checks are through: the embedding waits for them.
    runs_ahead: ClassVar[bool] = True

    score_threshold: Share
    embeddings_backend_id: str
    embeddings_backend_auth: Literal["system-assigned"]
    ignore_system_messages: bool = False
    max_message_count: NonNegativeInt | None = None
    cache_id: str | None = None
    embeddings_model: str = "text-embedding-3-small"
    embeddings_dimensions: PositiveInt | None = None
    embeddings_timeout_ms: PositiveInt = 1000
    guards: bool = True
    coalesce: bool = False
    sample_hits: Percent = 0
    sample_agreement: Share = 0.8
    vary_by: tuple[Expression[str], ...] = Field((), alias="(vary-by)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """What partitions the cache, and whether the backend for embeddings is there."""
        compiler.expect_no_text(element)
        id = compiler.known(element, "embeddings-backend-id")
        backend = compiler.gateway.backends.get(id) if id is not None else None
        if id is not None and backend is None:
            compiler.problem(element, f"no backend {id}", attribute="embeddings-backend-id")
        elif backend is not None and backend.pool is not None:
            compiler.problem(element, f"backend {id} is a pool", attribute="embeddings-backend-id")
        _warn_of_threshold(element, compiler)
        children = compiler.children(element, "vary-by")
        for child in children:
            compiler.attributes(child)
        return {"vary_by": tuple(compiler.value(child) for child in children)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The cached answer, or None with a note for the store."""
        exchange = LlmExchange.of(ctx)
        call = await exchange.call()
        directives = _directives(ctx.request.headers)
        if call is None or "no-store" in directives:
            ctx.trace({"hit": False, "message": "not looked up: no call to a model, or no-store"}, self.element)
            return None
        try:
            prompt = cacheable_prompt(
                call,
                ignore_system=self.ignore_system_messages,
                max_messages=self.max_message_count,
                guards=self.guards,
            )
        except NotCacheable as reason:
            ctx.trace({"hit": False, "message": f"not looked up: {reason}"}, self.element)
            return None
        model = self._model(ctx)
        varied = [await value(ctx) or "" for value in self.vary_by if not _widens(value)]
        namespace = namespace_of(ctx, call, prompt, model.parts, widest=self._widest, varied=varied)
        miss = SemanticMiss(
            namespace, prompt, call, exchange, model, self.embeddings_timeout_ms / 1000, ctx.services.get(Embeddings)
        )
        if "no-cache" not in directives:
            began = ctx.services.monotonic()
            hit = await self._look_up(ctx, miss)
            tell_lookup(ctx, "semantic cache", began, hit.how if hit is not None else "miss")
            if hit is None and self.coalesce and await self._wait_for_another(ctx, miss):
                hit = await self._hit(ctx, miss, await self._cache(ctx).exact(namespace, prompt.digest))
            if hit is not None:
                return hit
        _count(ctx, "miss" if miss.reachable and self._cache(ctx).available else "unavailable")
        ctx.trace({"hit": False, "partition": namespace.partition}, self.element)
        ctx.notes[SemanticMiss] = miss
        ctx.on_reply(_tell_miss)
        return None

    async def _look_up(self, ctx: Context, miss: SemanticMiss) -> Shortcut | None:
        cache = self._cache(ctx)
        hit = await self._hit(ctx, miss, await cache.exact(miss.namespace, miss.prompt.digest))
        if hit is not None or not miss.prompt.embeddable:
            return hit
        vector = await self._vector(ctx, miss)
        if vector is None:
            return None
        least = 1 - self.score_threshold
        found = await cache.nearest(miss.namespace, vector, miss.prompt.scope, least)
        hit = await self._hit(ctx, miss, found)
        if hit is not None and found is not None and ctx.services.random.random() * 100 < self.sample_hits:
            sample(ctx, miss, CachedAnswer.unpack(found.payload), self.score_threshold, self.sample_agreement)
        return hit

    async def _vector(self, ctx: Context, miss: SemanticMiss) -> Vector | None:
        await ctx.verified()
        try:
            return await miss.vector(ctx)
        except EmbeddingsUnavailable as reason:
            miss.reachable = False
            ctx.trace({"message": f"no embedding: {reason}"}, self.element, "error")
            return None

    async def _hit(self, ctx: Context, miss: SemanticMiss, found: Found | None) -> Shortcut | None:
        """The answer in the form the caller wants."""
        if found is None:
            return None
        try:
            answer = CachedAnswer.unpack(found.payload)
        except ValueError:
            return None
        call = miss.call
        response = _response(call, answer)
        if response is None:
            return None
        response.headers.set(STATUS, found.how)
        response.headers.set(SIMILARITY, f"{found.similarity:.4f}")
        response.headers.set("age", str(int(found.age)))
        told = {"hit": True, "tier": found.how, "similarity": found.similarity, "partition": miss.namespace.partition}
        ctx.trace(told, self.element)
        _count(ctx, found.how)
        return Shortcut(self.element.replace("lookup", "store"), response, found.how)

    async def _wait_for_another(self, ctx: Context, miss: SemanticMiss) -> bool:
        """Whether somebody else has brought the answer meanwhile; with False this caller brings it for the others."""
        under_way = ctx.services.get(Coalesced)
        key = (miss.namespace.check, miss.prompt.digest)
        leader = under_way.get(key)
        if leader is None:
            leader = under_way[key] = asyncio.get_running_loop().create_future()
            miss.leads = leader
            ctx.on_completion(lambda _: under_way.end(key, leader, pending=miss.storing))
            return False
        try:
            async with asyncio.timeout(COALESCE_SECONDS):
                return await asyncio.shield(leader)
        except TimeoutError:
            return False

    def _cache(self, ctx: Context) -> SemanticCache:
        return ctx.services.get(SemanticCache)

    def _model(self, ctx: Context) -> EmbeddingModel:
        target = single_backend(ctx, self.embeddings_backend_id)
        if target is None:
            raise PolicyFailed(reason="BackendNotFound", detail=f"no backend {self.embeddings_backend_id}")
        return EmbeddingModel(target, self.embeddings_model, self.embeddings_dimensions)

    @cached_property
    def _widest(self) -> str:
        """The widest of the words that vary-by has: api, product, or subscription when it has none."""
        words = {_widens(value) for value in self.vary_by}
        return next((word for word in ("api", "product") if word in words), "subscription")


class AzureOpenaiSemanticCacheLookup(LlmSemanticCacheLookup):
    """The older name.

    https://learn.microsoft.com/azure/api-management/azure-openai-semantic-cache-lookup-policy
    """

    element: ClassVar[str] = "azure-openai-semantic-cache-lookup"


def _warn_of_threshold(element: Element, compiler: Compiler) -> None:
    try:
        threshold = float(compiler.known(element, "score-threshold") or 0)
    except ValueError:
        return
    if threshold > DOUBTFUL:
        message = f"{threshold:g} is a distance: above {DOUBTFUL:g} questions of another meaning are hits as well"
        compiler.problem(element, message, attribute="score-threshold", severity="warning")


def _widens(value: Expression[str]) -> str:
    """The word a vary-by consists of, if it is one of those that widen."""
    word = value.constant.strip().lower() if isinstance(value.constant, str) else ""
    return word if word in ("api", "product") else ""


def _directives(headers: Headers) -> set[str]:
    told = f"{headers.get('cache-control') or ''},{headers.get('pragma') or ''}"
    return {part.strip().lower() for part in told.split(",")}


def _response(call: LlmCall, answer: CachedAnswer) -> GatewayResponse | None:
    """The answer for this caller; None when there is no way to the form it wants."""
    if call.stream and answer.status == 200:
        body = as_stream_body(call.schema.name, answer, asks_for_usage=call.asks_for_usage)
        content_type = b"text/event-stream; charset=utf-8"
    else:
        body = as_json_body(call.schema.name, answer)
        content_type = b"application/json"
    if body is None:
        return None
    return GatewayResponse(answer.status, Headers([(b"content-type", content_type)]), body)


def _count(ctx: Context, result: str) -> None:
    metrics = ctx.services.get(Metrics)  # type: ignore[type-abstract]
    metrics.emit(NAMESPACE, "Lookups", 1, {"API": ctx.api.id if ctx.api is not None else "", "Result": result})


async def _tell_miss(ctx: Context) -> None:
    if ctx.response is not None:
        ctx.response.headers.set(STATUS, "miss")
