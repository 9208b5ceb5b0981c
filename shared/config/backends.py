"""Backends as `gateway.yaml` declares them: services with credentials and circuit breaker, and pools of services."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from shared.config.declared import Declared, Duration, HeaderName, Identifier
from shared.message import TOKEN

HTTP_URL = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
WHAT_URL_IS = "http(s)://host[:port][/path] without query, fragment or credentials"

MOST_MEMBERS = 30
FIVE_MINUTES = 300.0


class ManagedIdentity(Declared):
    """An Entra token of the gateway's identity, sent as `Authorization: Bearer`."""

    resource: str = Field(
        "https://cognitiveservices.azure.com", description="Token audience, for example https://ai.azure.com."
    )
    client_id: str | None = Field(None, description="Client id of a user-assigned identity; default: the app's own.")


class Credentials(Declared):
    """How the gateway shows itself to a backend; several may be combined.

    A header whose value turns out empty is not sent. An api-key or x-api-key that has a value goes before the managed
    identity, so that one declaration serves with a key where there is one and with the identity where there is none.
    """

    header: dict[HeaderName, str] = Field(
        default_factory=dict, description='Headers, for example api-key: "{{openai-key}}".'
    )
    query: dict[str, str] = Field(
        default_factory=dict, description="Query parameters; they replace any the caller sent under the same name."
    )
    managed_identity: ManagedIdentity | None = None

    @model_validator(mode="after")
    def _one_authorization(self) -> "Credentials":
        if self.managed_identity and any(name.lower() == "authorization" for name in self.header):
            raise ValueError("managed_identity and an Authorization header exclude each other")
        return self


class Tls(Declared):
    """How a backend's certificate is checked."""

    validate_certificate_chain: bool = True
    validate_certificate_name: bool = True
    ca_file: str | None = Field(None, description="PEM file with further trusted authorities.")
    client_certificate_file: str | None = Field(None, description="PEM file with the client certificate and its key.")


class Timeouts(Declared):
    """How long a backend may take, in seconds."""

    connect: float = Field(10, gt=0, le=230)
    headers: float = Field(
        220, gt=0, le=225, description="Until response headers; the platform cuts a silent call at 230 s."
    )
    idle: float = Field(120, gt=0, le=225, description="Between two parts of a response body.")


class StatusCodeRange(Declared):
    """HTTP statuses from `min` to `max`, both included."""

    min: int = Field(ge=200, le=599)
    max: int = Field(ge=200, le=599)

    @model_validator(mode="after")
    def _ordered(self) -> "StatusCodeRange":
        if self.min > self.max:
            raise ValueError("min is above max")
        return self


def _status_code(value: Any) -> Any:
    """APIM writes `{status_code: 503}`; the number alone is enough."""
    return value["status_code"] if isinstance(value, dict) and set(value) == {"status_code"} else value


FailureResponse = Annotated[
    int,
    BeforeValidator(_status_code, json_schema_input_type=int | dict[Literal["status_code"], int]),
    Field(ge=400, le=599),
]


ERROR_REASONS = {
    "timeout": "Timeout",
    "backendconnectionfailure": "BackendConnectionFailure",
    "servererrors": "Server errors",
}


def error_reason(text: str) -> str | None:
    """The reason as it is named here, however it is spelled; None for one that no call to a backend ends with."""
    return ERROR_REASONS.get(re.sub(r"[\s_-]", "", text).lower())


class FailureCondition(Declared):
    """When a breaker trips: so many failures, or such a share of all calls, within an interval."""

    count: int | None = Field(None, ge=1, le=10_000, description="Failures.")
    percentage: int | None = Field(None, ge=1, le=100, description="Failures of all calls.")
    minimum_calls: int = Field(
        5, ge=1, le=10_000, description="Extension: with percentage, calls in the interval before it may trip."
    )
    interval: Duration = Field(description="ISO 8601 duration the failures are counted in, for example PT1M.")
    status_code_ranges: tuple[StatusCodeRange, ...] = Field((), description="Answers that are failures.")
    error_reasons: tuple[str, ...] = Field(
        (),
        description="Calls without an answer that are failures, by reason: Timeout, BackendConnectionFailure; "
        "or Server errors: both of them, and statuses 500 to 599.",
    )

    @field_validator("error_reasons")
    @classmethod
    def _known_reasons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        reasons = []
        for reason in value:
            name = error_reason(reason)
            if name is None:
                raise ValueError(f"{reason} is none of {', '.join(ERROR_REASONS.values())}")
            reasons.append(name)
        return tuple(reasons)

    @model_validator(mode="after")
    def _complete(self) -> "FailureCondition":
        if (self.count is None) == (self.percentage is None):
            raise ValueError("exactly one of count, percentage is needed")
        if self.count is not None and "minimum_calls" in self.model_fields_set:
            raise ValueError("minimum_calls goes with percentage only")
        if not self.status_code_ranges and not self.error_reasons:
            raise ValueError("status_code_ranges or error_reasons is needed")
        return self


class CircuitBreakerRule(Declared):
    """APIM's rule: what trips the breaker, for how long, and what callers are told meanwhile."""

    name: str = ""
    failure_condition: FailureCondition
    trip_duration: Duration = Field(description="ISO 8601 duration the backend is left alone, for example PT1M.")
    accept_retry_after: bool = Field(
        False, description="Take the time from the backend's Retry-After, if it sends one."
    )
    max_retry_after: Duration = Field(
        FIVE_MINUTES, description="Extension: the most a Retry-After may ask for, whether or not it trips the breaker."
    )
    failure_response: FailureResponse = Field(503, description="Status callers get while the breaker is open.")


class CircuitBreaker(Declared):
    """The breaker of a backend: exactly one rule, as in APIM."""

    rules: tuple[CircuitBreakerRule, ...]

    @field_validator("rules")
    @classmethod
    def _one_rule(cls, value: tuple[CircuitBreakerRule, ...]) -> tuple[CircuitBreakerRule, ...]:
        if len(value) != 1:
            raise ValueError("exactly one rule is needed")
        return value

    @property
    def rule(self) -> CircuitBreakerRule:
        """The rule."""
        return self.rules[0]


class PoolService(Declared):
    """A member of a pool."""

    id: Identifier = Field(description="Id of a backend that is no pool.")
    priority: int = Field(0, ge=0, le=100, description="Lower numbers are asked first.")
    weight: int = Field(1, ge=0, le=100, description="Share within its priority; 0: only when no other is left.")
    models: dict[str, str] = Field(
        default_factory=dict,
        description="Extension: models or deployments that have another name here, by the name callers use.",
    )
    serves: tuple[str, ...] = Field(
        (),
        description="Extension: the only models or deployments it is asked for, by the name callers use; default: any.",
    )


class SessionAffinity(Declared):
    """Keeps a client on the member it began with, by a cookie the gateway sets."""

    cookie: str = Field("SessionId", pattern=f"^{TOKEN.pattern}$", description="Name of the cookie.")


def _failover_condition(value: str | int) -> str | int:
    if isinstance(value, int):
        if not 400 <= value <= 599:
            raise ValueError("a status must be in 400 to 599")
    elif value not in ("connection", "timeout"):
        found = re.fullmatch(r"([45]\d\d)-([45]\d\d)", value)
        if found is None or found[1] > found[2]:
            raise ValueError("must be connection, timeout, a status such as 429 or statuses such as 500-599")
    return value


FailoverCondition = Annotated[int | str, AfterValidator(_failover_condition)]


class Pool(Declared):
    """Services that share the load; what goes beyond APIM's is marked as an extension."""

    services: tuple[PoolService, ...] = Field(description="1 to 30 members.")
    session_affinity: SessionAffinity | None = None
    failure_response: FailureResponse = Field(503, description="Status callers get when no member is available.")
    failover: bool = Field(
        False, description="Extension: within the same request, go on to the next member when one fails."
    )
    failover_on: tuple[FailoverCondition, ...] = Field(
        ("connection", "timeout", 429, "500-599"), description="Extension: what makes it go on; statuses and ranges."
    )
    selection: Literal["priority", "least-outstanding", "lowest-latency"] = Field(
        "priority", description="Extension: how to choose within a priority. priority: by weight, as APIM does."
    )
    spill: dict[str, str] = Field(
        default_factory=dict,
        description="Extension: the model to take instead when no member is available for the one asked for.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Pool":
        ids = [service.id for service in self.services]
        if not 1 <= len(ids) <= MOST_MEMBERS:
            raise ValueError(f"1 to {MOST_MEMBERS} services are needed")
        if repeated := {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"named twice: {', '.join(sorted(repeated))}")
        if "failover_on" in self.model_fields_set and not self.failover:
            raise ValueError("failover_on goes with failover: true")
        if self.failover and not self.failover_on:
            raise ValueError("failover_on is empty")
        for model in self.spill:
            seen = [model]
            while (following := self.spill.get(seen[-1])) is not None:
                if following in seen:
                    raise ValueError(f"spill goes in a circle: {' -> '.join([*seen, following])}")
                seen.append(following)
        return self


class Backend(Declared):
    """A service the gateway forwards to, or a pool of them (APIM backend entity)."""

    url: str = Field("", description="Base URL; an operation's path is appended to it. A pool has none.")
    title: str = ""
    description: str = ""
    credentials: Credentials = Field(default_factory=Credentials)
    tls: Tls = Field(default_factory=Tls)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    circuit_breaker: CircuitBreaker | None = None
    pool: Pool | None = None

    @field_validator("url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        value = value.strip()  # a file's or a secret's text often ends in a line feed
        if not HTTP_URL.fullmatch(value):
            raise ValueError(f"must be {WHAT_URL_IS}")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _service_or_pool(self) -> "Backend":
        if self.pool is None:
            if not self.url:
                raise ValueError("url is required, or pool")
        elif others := self.model_fields_set - {"pool", "title", "description"}:
            raise ValueError(f"a pool has no {', '.join(sorted(others))}: its members have")
        return self
