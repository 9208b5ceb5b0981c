"""The names of all attributes that spans have, and of the metrics: OpenTelemetry's where it has one, else `apim.*`.

OpenTelemetry's HTTP conventions, https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and those for generative
AI, https://github.com/open-telemetry/semantic-conventions-genai (in development: names may still change).
"""

# HTTP
METHOD = "http.request.method"
STATUS = "http.response.status_code"
ROUTE = "http.route"
SCHEME = "url.scheme"
PATH = "url.path"
SERVER = "server.address"
PORT = "server.port"
USER_AGENT = "user_agent.original"
ERROR_TYPE = "error.type"

# Generative AI
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""Seconds from the request to the first byte of the answer's body; of streams only."""
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

# API Management
REQUEST_ID = "apim.request_id"
"""What callers find in x-gateway-request-id, and in x-request-id unless the backend has said one."""
API_ID = "apim.api.id"
OPERATION_ID = "apim.operation.id"
PRODUCT_ID = "apim.product.id"
SUBSCRIPTION_ID = "apim.subscription.id"
USER_ID = "apim.user.id"
BACKEND_ID = "apim.backend.id"
POOL_ID = "apim.backend.pool"
ATTEMPT = "apim.backend.attempt"
"""Counts the calls to backends of one request, from 1; failover, retry and redirects are further ones."""
FAILOVER = "apim.backend.failover"
"""Why the pool went on to this member: the status, or the reason for none, of the attempt before."""
CALL_TYPE = "apim.call.type"
"""The kind of service that was called; absent: HTTP."""
CALL_ERROR = "apim.backend.error"
"""Why a call brought no answer, or not all of it: LastError's reason (BackendConnectionFailure, Timeout), else the kind
of error."""
TIME_TO_HEADERS = "apim.backend.time_to_headers"
"""Seconds to the head of a backend's answer; the duration is that of the whole answer."""
CACHE = "apim.cache"
"""Where an answer came from that no backend gave: exact, semantic (llm-semantic-cache-lookup), response
(cache-lookup). Of a lookup: the same, value (cache-lookup-value), or miss."""
OUTCOME = "apim.outcome"
"""How an exchange ended that did not end well: client-gone, backend-broken, failed."""
ERROR_REASON = "apim.last_error.reason"
ERROR_SOURCE = "apim.last_error.source"
COST = "apim.cost"
CURRENCY = "apim.cost.currency"
"""What llm-emit-token-metric has found a call to cost."""
TOKENS_ESTIMATED = "apim.tokens.estimated"
"""The backend told no usage: a tokenizer counted."""

# Who is spoken to, by API kind; OpenTelemetry's well-known values. Of an OpenAI-compatible endpoint more is not known.
PROVIDERS = {
    "azure-openai": "azure.ai.openai",
    "azure-ai": "azure.ai.inference",
    "openai-v1": "azure.ai.openai",
    "openai": "openai",
    "anthropic": "anthropic",
}
