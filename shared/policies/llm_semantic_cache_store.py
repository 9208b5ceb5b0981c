"""llm-semantic-cache-store and azure-openai-semantic-cache-store: keep an answer for prompts of the same meaning."""

from typing import Any, ClassVar

from pydantic import Field

from shared.backends.background import Background
from shared.backends.embeddings import EmbeddingsUnavailable
from shared.body import PACKED, unpacked
from shared.context import Completion, Context
from shared.errors import BackendError
from shared.llm.cached_answer import CachedAnswer, Form, complete
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.remembered import remembered
from shared.policies.semantic_miss import SemanticMiss
from shared.stores.semantic_cache.cache import SemanticCache

# Answers that are longer pass by; compressed they would hardly fit the table either.
LARGEST = 16_777_216


class LlmSemanticCacheStore(Policy):
    """Keeps the answer, as it is at this place, for `duration` seconds, when the lookup of the same request has missed.

    Only with status 200, or any with `cache-response="true"`. Kept when its last byte has gone to the caller; streams
    as the events they are, once their proper end has come. Never kept: answers that were cut, filtered or limited in
    length, and those that call tools.
    https://learn.microsoft.com/azure/api-management/llm-semantic-cache-store-policy
    """

    element: ClassVar[str] = "llm-semantic-cache-store"
    sections: ClassVar[frozenset[Section]] = frozenset({"outbound"})
    once: ClassVar[bool] = True

    duration: Expression[int]
    cache_response: Expression[bool] = Field(default_factory=lambda: Expression(False))

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """No content."""
        compiler.expect_no_content(element)
        return {}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """See to it that the answer is kept when it is out."""
        miss, response = ctx.notes.get(SemanticMiss), ctx.response
        if miss is None or response is None or miss.storing:
            return None
        if response.status_code != 200 and not await self.cache_response(ctx):
            return None
        recorded = _Recorded(ctx, miss, response, await self.duration(ctx))
        if response.body is not None:
            await recorded.take(response.body)
        elif response.stream is not None:
            response.stream = remembered(response.stream, LARGEST, recorded.take)
        miss.storing = True
        ctx.on_completion(recorded.keep)
        return None


class AzureOpenaiSemanticCacheStore(LlmSemanticCacheStore):
    """The older name.

    https://learn.microsoft.com/azure/api-management/azure-openai-semantic-cache-store-policy
    """

    element: ClassVar[str] = "azure-openai-semantic-cache-store"


class _Recorded:
    """One answer on its way to the caller."""

    def __init__(self, ctx: Context, miss: SemanticMiss, response: GatewayResponse, seconds: int) -> None:
        self._services = ctx.services
        self._miss = miss
        self._seconds = seconds
        self._status = response.status_code
        content_type = response.headers.get("content-type") or ""
        self._form: Form = "sse" if content_type.startswith("text/event-stream") else "json"
        self._coding = (response.headers.get("content-encoding") or "").lower()
        self._body: bytes | None = None

    async def take(self, body: bytes) -> None:
        """The whole answer."""
        self._body = body

    async def keep(self, completion: Completion) -> None:
        """Once the answer is out: keep it on the side, if it is one to keep."""
        answer = self._answer() if completion.outcome != "failed" else None
        if answer is None:
            self._miss.stored(False)
            return
        await self._services.get(Background).start(self._store(answer), "keeping an answer in the semantic cache")

    def _answer(self) -> CachedAnswer | None:
        body = self._body
        if body is None or len(body) > LARGEST or self._seconds <= 0 or self._coding not in ("", "identity", *PACKED):
            return None
        if self._coding in PACKED:
            try:
                body = unpacked(body, self._coding, LARGEST)
            except BackendError:
                return None
        answer = CachedAnswer(self._status, self._form, body, self._miss.exchange.usage)
        return answer if self._status != 200 or complete(self._miss.call.schema.name, answer) else None

    async def _store(self, answer: CachedAnswer) -> None:
        miss = self._miss
        prompt = miss.prompt
        try:
            vector = await miss.vector() if prompt.embeddable else None
        except EmbeddingsUnavailable:
            vector = None  # the same words will find it
        cache = self._services.get(SemanticCache)
        try:
            await cache.keep(
                miss.namespace, prompt.digest, prompt.scope, vector, answer.pack(), self._seconds, known=miss.stored
            )
        finally:
            miss.stored(False)
