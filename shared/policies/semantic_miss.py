"""What the lookup of the semantic cache leaves for the store: where an answer belongs, and who waits for it."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.backends.embeddings import EmbeddingModel, Embeddings
from shared.context import Context
from shared.llm.cacheable_prompt import CacheablePrompt
from shared.llm.call import LlmCall
from shared.message import CREDENTIALS, field_name
from shared.policies.llm_exchange import LlmExchange
from shared.stores.semantic_cache.entry import Vector, as_vector
from shared.stores.semantic_cache.namespace import Namespace

# What of the head changes an answer; all else of it is about the caller or the way.
_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta", "extra-parameters", "x-ms-model-mesh-model-name")
_CREDENTIALS = CREDENTIALS | {b"cookie", b"x-goog-api-key"}
_KEYS_IN_QUERY = {"subscription-key", "api-key"}


@dataclass(slots=True)
class SemanticMiss:
    """`leads` is what others wait for who have asked the same; `storing` tells that an answer is being kept,
    `reachable` that embeddings were to be had."""

    namespace: Namespace
    prompt: CacheablePrompt
    call: LlmCall
    exchange: LlmExchange
    model: EmbeddingModel
    seconds: float
    embeddings: Embeddings
    leads: "asyncio.Future[bool] | None" = None
    storing: bool = False
    reachable: bool = True
    _vector: Vector | None = field(default=None)

    async def vector(self, ctx: Context | None = None) -> Vector:
        """The question's vector, of length 1. EmbeddingsUnavailable when there is none in time. `ctx` is the request
        that waits for it, if one does."""
        if self._vector is None:
            data = await self.embeddings.embed(self.model, self.prompt.text, seconds=self.seconds, ctx=ctx)
            self._vector = as_vector(data)
        return self._vector

    def stored(self, kept: bool = True) -> None:
        """The answer can be looked up now; or will not be there."""
        if self.leads is not None and not self.leads.done():
            self.leads.set_result(kept)


class Coalesced(dict[tuple[str, str], "asyncio.Future[bool]"]):
    """Questions that are being answered, by namespace and digest; the future tells whether the answer was kept."""

    def end(self, key: tuple[str, str], leader: "asyncio.Future[bool]", *, pending: bool) -> None:
        """The one who asked the model is done; unless its answer is `pending`, those who wait ask for themselves."""
        if not pending and not leader.done():
            leader.set_result(False)
        leader.add_done_callback(lambda _: self.pop(key, None) if self.get(key) is leader else None)


def namespace_of(
    ctx: Context,
    call: LlmCall,
    prompt: CacheablePrompt,
    embedding: Sequence[str],
    *,
    widest: str,
    varied: Sequence[str],
) -> Namespace:
    """All that two requests must have in common to share answers. `widest` is subscription, product or api."""
    api, request = ctx.api, ctx.request
    api_id = api.id if api is not None else ""
    query = sorted((name, value) for name, value in request.url.query().items() if name.lower() not in _KEYS_IN_QUERY)
    parts = [
        "1",  # what this list means: to be counted up with every change of it
        api_id,
        api.revision if api is not None else "",
        *_who(ctx, widest, bool(varied)),
        ctx.backend_id or "",
        ctx.backend_url or "",
        call.schema.name,
        call.model,
        request.url.path,
        repr(query),
        repr([request.headers.get(name) for name in _HEADERS]),
        *embedding,
        prompt.parameters,
        prompt.system,
        "varied",
        *varied,
    ]
    return Namespace(tuple(parts), api_id)


def _who(ctx: Context, widest: str, varied: bool) -> tuple[str, str]:
    if widest == "api":
        return "api", ""
    if widest == "product" and ctx.product is not None:
        return "product", ctx.product.id
    if ctx.subscription is not None:
        return "subscription", ctx.subscription.id
    if varied:
        return "varied", ""
    # Nobody has said who may share: then only those who show the same credentials do.
    names = _CREDENTIALS | ({field_name(ctx.api.subscription_key.header)} if ctx.api is not None else frozenset())
    shown = sorted(pair for pair in (*ctx.withheld, *ctx.request.headers.raw) if pair[0] in names)
    return "credentials", hashlib.sha256(repr(shown).encode()).hexdigest() if shown else ""
