"""The one place where an error becomes a body: APIM's fields, and the error object the caller's SDK reads."""

import json
from typing import Any

from shared.context import Context
from shared.errors import GatewayError
from shared.llm.api_kind import Dialect
from shared.llm.schemas import schema_of
from shared.llm.schemas.generate_content import GENERATE_CONTENT
from shared.message import GatewayResponse, Headers

# The names Anthropic's API gives its errors (https://docs.anthropic.com/en/api/errors); OpenAI's own are close to them.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

# The names Google's APIs give theirs: https://google.aip.dev/193, google/rpc/code.proto
STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

CODES = {
    "SubscriptionKeyNotFound": "missing_api_key",
    "SubscriptionKeyInvalid": "invalid_api_key",
    "OperationNotFound": "not_found",
}


def dialect_of(ctx: Context) -> Dialect:
    """How the caller expects errors to be worded: by the API's kind, else by a header only Anthropic's or Google's SDKs
    send, or a path only Gemini has."""
    if ctx.kind is not None and ctx.kind.model_in is not None:
        return ctx.kind.dialect
    if "anthropic-version" in ctx.request.headers:
        return "anthropic"
    gemini = schema_of(ctx.request.original_url.path, {}) is GENERATE_CONTENT
    return "google" if gemini or "x-goog-api-client" in ctx.request.headers else "openai"


def error_fields(error: GatewayError, dialect: Dialect, request_id: str) -> dict[str, Any]:
    """APIM's `statusCode` and `message`, and `error` as the official SDKs read it, in one object."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    fields: dict[str, Any] = {"statusCode": error.status, "message": error.answer}
    if error.status >= 500:
        fields["activityId"] = request_id
    match dialect:
        case "anthropic":
            said: dict[str, Any] = {"type": kind, "message": error.answer}
            if error.code is not None:
                said["code"] = error.code
            fields |= {"type": "error", "error": said, "request_id": request_id}
        case "google":
            status = STATUSES.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
            # First: by that, google-genai tells an event with an error from one with an answer.
            fields = {"error": {"code": error.status, "message": error.answer, "status": status}, **fields}
        case "openai":
            code = error.code or CODES.get(error.reason) or _snake(error.reason)
            fields["error"] = {"message": error.answer, "type": kind, "param": None, "code": code}
    if error.inner is not None:
        fields["error"]["innererror"] = error.inner
    return fields


def error_response(ctx: Context, error: GatewayError) -> GatewayResponse:
    """The answer an error has before on-error policies look at it."""
    body = json.dumps(error_fields(error, dialect_of(ctx), str(ctx.request_id)), ensure_ascii=False)
    headers = Headers([(b"content-type", b"application/json")])
    for name, value in error.headers:
        headers.add(name, value)
    return GatewayResponse(error.status, headers, body.encode(), status_reason=error.status_reason)


def error_event(ctx: Context, error: GatewayError) -> bytes:
    """A server-sent event that makes the caller's SDK raise: for a stream that cannot go on."""
    dialect = dialect_of(ctx)
    data = json.dumps(error_fields(error, dialect, str(ctx.request_id)), ensure_ascii=False)
    return f"event: error\ndata: {data}\n\n".encode() if dialect == "anthropic" else f"data: {data}\n\n".encode()


def _snake(reason: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in reason).lstrip("_")
