"""The errors that become an answer or keep a configuration from use; what a room raises for itself is in that room.

GatewayError                 has a status and a message for the caller
├── Refusal                  the caller's fault or a limit: 4xx
│   ├── OperationNotFound    404
│   ├── AccessDenied         401, with the challenge APIM sends
│   └── RequestTooLarge      413
├── BackendError             502 / 504: no answer, or not to its end
│   └── BackendUnavailable   503: not asked, its circuit breaker is open or no member of the pool is left
├── PolicyFailed             500: a policy or an expression failed
└── Unavailable              503: the gateway cannot decide now (no configuration, key store out of reach)
ConfigError                  everything wrong with a configuration, at once
ClientGone                   the caller hung up; nobody is left to answer
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class GatewayError(Exception):
    """An error with a defined answer; what becomes `context.LastError` in the on-error section.

    `status` is the HTTP status, `message` the text a caller may see, `source` and `reason` are APIM's
    (Error handling in API Management policies). `detail` is for operators only and never leaves in a response.
    `answer` is the text of the default error body where APIM sends another one than it gives `LastError.Message`.
    `inner` is for programs of the caller: what the error object of the body has as `innererror`, as Azure OpenAI's has.
    `status_reason` is what policies find in `context.Response.StatusReason`.
    """

    status_reason = ""
    status = 500
    source = "gateway"
    reason = "InternalError"

    def __init__(
        self,
        message: str = "Internal server error",
        *,
        status: int | None = None,
        source: str | None = None,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        code: str | None = None,
        detail: str = "",
        answer: str | None = None,
        inner: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.answer = answer if answer is not None else message
        self.status = status if status is not None else self.status
        self.source = source or self.source
        self.reason = reason or self.reason
        self.headers = list(headers)
        self.code = code
        self.detail = detail
        self.inner = inner
        self.scope = ""
        self.section = ""
        self.path = ""
        self.policy_id = ""

    @property
    def explanation(self) -> str:
        """What `context.LastError.Message` says: for the policy's author, who may know more than the caller."""
        return self.message


class Refusal(GatewayError):
    """The request is answered with a 4xx: the caller's mistake, or a limit reached."""

    status = 400
    reason = "BadRequest"


class OperationNotFound(Refusal):
    """No API or operation matches; APIM's exact 404."""

    status = 404
    source = "configuration"
    reason = "OperationNotFound"

    def __init__(self) -> None:
        super().__init__("Unable to match incoming request to an operation.", answer="Resource not found")


class AccessDenied(Refusal):
    """The subscription key is missing or not valid; APIM's exact 401."""

    status = 401
    source = "authorization"

    @classmethod
    def missing_key(cls, challenge: str) -> "AccessDenied":
        """No key where the API requires one. `challenge` is the WWW-Authenticate value."""
        return cls(
            "Access denied due to missing subscription key. "
            "Make sure to include subscription key when making requests to this API.",
            answer="Access denied due to missing subscription key. "
            "Make sure to include subscription key when making requests to an API.",
            reason="SubscriptionKeyNotFound",
            headers=[("www-authenticate", challenge)],
        )

    @classmethod
    def invalid_key(cls, challenge: str) -> "AccessDenied":
        """A key that no active subscription with access to the API has."""
        return cls(
            "Access denied due to invalid subscription key. "
            "Make sure to provide a valid key for an active subscription.",
            reason="SubscriptionKeyInvalid",
            headers=[("www-authenticate", challenge)],
        )


class RequestTooLarge(Refusal):
    """The body is over the configured limit."""

    status = 413
    reason = "RequestTooLarge"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request body is larger than {limit} bytes.")


class BackendError(GatewayError):
    """The backend gave no answer, or stopped in the middle of one.

    502 for connections and broken answers, 504 for time limits (RFC 9110 section 15.6). APIM answers 500 there;
    502/504 tell an SDK and an operator what happened. Source and reasons are APIM's.
    """

    status = 502
    source = "forward-request"
    reason = "BackendConnectionFailure"

    @classmethod
    def timeout(cls, message: str, *, detail: str = "") -> "BackendError":
        """The backend took longer than the time it has."""
        return cls(message, status=504, reason="Timeout", detail=detail)


class BackendUnavailable(BackendError):
    """The backend is not asked at the moment: its circuit breaker is open, or no member of the pool is available.

    The words of the status reason are APIM's: public policies look for "Backend pool" and "is temporarily unavailable"
    in it and stop their retry. Callers are not told names.
    """

    def __init__(self, what: str, reason: str, status: int, retry_after: int) -> None:
        self.status_reason = f"{what} is temporarily unavailable"
        super().__init__(
            f"{self.status_reason}.",
            status=status,
            reason=reason,
            headers=[("retry-after", str(retry_after))],
            answer="The backend is temporarily unavailable.",
        )


class PolicyFailed(GatewayError):
    """A policy could not do its work; the caller sees APIM's neutral 500 text, operators the detail."""

    status = 500
    source = "policy"
    reason = "PolicyError"

    @property
    def explanation(self) -> str:
        """What went wrong, if that is known; the caller's text is neutral."""
        return self.detail or self.message


class Unavailable(GatewayError):
    """The gateway cannot decide at the moment."""

    status = 503
    reason = "ServiceUnavailable"


class ClientGone(Exception):
    """The caller closed the connection before the answer was complete."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a configuration: where (file, line, path inside the file) and what."""

    file: str
    line: int
    path: str
    message: str
    severity: str = field(default="error", compare=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        kind = "" if self.severity == "error" else f"{self.severity}: "
        return f"{place} {self.path}: {kind}{self.message}" if self.path else f"{place}: {kind}{self.message}"


class ConfigError(Exception):
    """A configuration that must not run; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
