"""Asks the model for what the semantic cache has answered, on the side, and counts how often the two disagree."""

from shared.backends.background import Background
from shared.backends.embeddings import EmbeddingsUnavailable
from shared.context import BackendCaller, Context
from shared.errors import GatewayError
from shared.llm.cacheable_prompt import LONGEST
from shared.llm.cached_answer import CachedAnswer, Form, said
from shared.message import GatewayRequest
from shared.policies.llm_exchange import unobserved
from shared.policies.semantic_miss import SemanticMiss
from shared.stores.semantic_cache.entry import as_vector
from shared.telemetry.metrics import Metrics

NAMESPACE = "Semantic cache"


def sample(ctx: Context, miss: SemanticMiss, cached: CachedAnswer, threshold: float, agreement: float) -> None:
    """Compare when the hit has been sent. The request goes to the backend as it stood at the lookup: policies behind
    it have not run, so a backend that needs what they set answers an error, and the sample counts as failed.

    Metrics, by API and threshold: "Sampled hits", of which "False hits" (similarity of the answers below `agreement`),
    "Answer similarity", and "Failed samples".
    """
    asked = _copy(ctx)
    if asked is None:
        return
    shadow, backends = asked
    dimensions = {"API": ctx.api.id if ctx.api is not None else "", "Threshold": f"{threshold:g}"}
    metrics = ctx.services.get(Metrics)  # type: ignore[type-abstract]

    async def compare() -> None:
        try:
            similarity = await _similarity(shadow, backends, miss, cached)
        except (GatewayError, EmbeddingsUnavailable):
            similarity = None
        if similarity is None:
            metrics.emit(NAMESPACE, "Failed samples", 1, dimensions)
            return
        metrics.emit(NAMESPACE, "Sampled hits", 1, dimensions)
        metrics.emit(NAMESPACE, "Answer similarity", similarity, dimensions)
        metrics.emit(NAMESPACE, "False hits", float(similarity < agreement), dimensions)

    ctx.on_completion(lambda _: ctx.services.get(Background).start(compare(), "a sample of the semantic cache"))


def _copy(ctx: Context) -> tuple[Context, BackendCaller] | None:
    backends, request = unobserved(ctx.backends), ctx.request
    if backends is None or request.body is None:
        return None
    copied = GatewayRequest(
        request.method, request.url.copy(), request.headers.copy(), ip_address=request.ip_address, body=request.body
    )
    copied.matched_parameters = dict(request.matched_parameters)
    copied.headers.set("accept-encoding", "identity")
    shadow = Context(copied, ctx.services)
    shadow.api, shadow.kind, shadow.operation, shadow.product = ctx.api, ctx.kind, ctx.operation, ctx.product
    shadow.backend_id, shadow.backend_url = ctx.backend_id, ctx.backend_url
    shadow.client_certificate, shadow.withheld = ctx.client_certificate, ctx.withheld
    return shadow, backends


async def _similarity(
    shadow: Context, backends: BackendCaller, miss: SemanticMiss, cached: CachedAnswer
) -> float | None:
    response = await backends.forward(shadow)
    body = await response.read()
    form: Form = "sse" if (response.headers.get("content-type") or "").startswith("text/event-stream") else "json"
    schema = miss.call.schema.name
    fresh = said(schema, CachedAnswer(response.status_code, form, body)) if response.status_code == 200 else ""
    if not fresh:
        return None
    texts = [fresh[:LONGEST], said(schema, cached)[:LONGEST]]
    one, other = [as_vector(data) for data in await miss.embeddings.embed_all(miss.model, texts)]
    return float(one @ other)
