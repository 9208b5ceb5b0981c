"""What `gateway.yaml` may declare: pydantic models with APIM's words and no behaviour."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from shared.config.backends import Backend
from shared.config.declared import Declared, HeaderName, Identifier
from shared.config.diagnostics import Diagnostics
from shared.config.prices import Price

NamedValueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,256}$")]

Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]

ApiKindName = Literal["azure-openai", "azure-ai", "openai-v1", "openai", "anthropic", "passthrough", "http"]

SubscriptionState = Literal["active", "suspended", "cancelled", "expired", "submitted", "rejected"]

ALL_APIS = "all-apis"


class NamedValue(Declared):
    """A value policies and settings use as `{{name}}`: written here, from the environment, or from Key Vault."""

    plain: str | None = Field(None, description="The value itself; not for secrets.")
    env: str | None = Field(None, description="Name of the environment variable (app setting) that holds the value.")
    key_vault: str | None = Field(
        None, description="Secret identifier, https://<vault>.vault.azure.net/secrets/<name>[/<version>]."
    )
    default: str | None = Field(None, description="Used when the environment variable is not set.")
    secret: bool | None = Field(None, description="Masked in traces and messages. Default: true unless `plain`.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"plain": str(data)} if isinstance(data, str | int | float) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _one_source(self) -> "NamedValue":
        if sum(source is not None for source in (self.plain, self.env, self.key_vault)) != 1:
            raise ValueError("exactly one of plain, env, key_vault is needed")
        if self.default is not None and self.env is None:
            raise ValueError("default goes with env only")
        return self

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.secret if self.secret is not None else self.plain is None


class Operation(Declared):
    """One operation of an API: method and URL template, with an optional policy document of its own."""

    id: Identifier
    name: str = Field("", validation_alias="display_name", description="Display name.")
    method: Method
    url_template: str = Field(description="For example /deployments/{deployment-id}/chat/completions, /* or /{*path}.")
    genai: str = Field("", description="OpenTelemetry gen_ai.operation.name, when the operation has one.")
    policy: str | None = Field(None, description="Policy document of the operation scope.")

    @field_validator("url_template")
    @classmethod
    def _template(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("must start with /")
        names = re.findall(r"\{([^{}]*)\}", value)
        if len(names) != len(set(names)):
            raise ValueError("a parameter name is used twice")
        if value.count("{") != len(names) or value.count("}") != len(names):
            raise ValueError("unbalanced braces")
        path = value.split("?")[0]
        if "*" in re.sub(r"/(\*|\{\*[^{}*]+\})$", "", path):
            raise ValueError("the wildcard may only be the last segment, as /* or /{*path}")
        return value


class SubscriptionKeyNames(Declared):
    """Where a caller puts the subscription key."""

    header: HeaderName = "Ocp-Apim-Subscription-Key"
    query: str = "subscription-key"


class Api(Declared):
    """An API: a path callers use, a kind that says what is spoken there, a backend that answers."""

    id: Identifier = Field("", exclude=True, json_schema_extra={"x-derived": True})
    name: str = Field("", validation_alias="display_name", description="Display name.")
    description: str = ""
    path: str = Field(description="What follows the gateway's host, for example aoai/openai.")
    kind: ApiKindName
    backend: str | None = Field(None, description="Backend id; a policy may choose another one.")
    operations: tuple[Operation, ...] | None = Field(
        None, description="Operations instead of the kind's own; needed for kind http without openapi."
    )
    openapi: str | None = Field(
        None,
        description="OpenAPI document (2.0, 3.0 or 3.1; JSON or YAML file) that gives the operations, what "
        "mock-response answers, and what validate-parameters, -content, -headers and -status-code check against.",
    )
    products: tuple[str, ...] = ()
    subscription_required: bool = True
    subscription_key: SubscriptionKeyNames = Field(default_factory=SubscriptionKeyNames)
    forward_caller_credentials: bool = Field(
        False,
        description="Pass the caller's own Authorization, api-key and x-api-key on to the backend when they did not "
        "serve as subscription key. Off: they never reach a backend.",
    )
    policy: str | None = Field(None, description="Policy document of the API scope.")
    diagnostics: Diagnostics | None = Field(None, description="What is logged, instead of the top level's diagnostics.")
    protocols: tuple[str, ...] = ("https",)
    revision: str = "1"
    version: str = ""
    is_current_revision: bool = True
    # APIM's `context.Api.ServiceUrl`: that of the API's backend.
    service_url: str = Field("", exclude=True, json_schema_extra={"x-derived": True})

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        path = value.strip("/")
        if not re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*", path) or "//" in path:
            raise ValueError("must be plain path segments without query or encoding")
        if any(segment in (".", "..") for segment in path.split("/")):
            raise ValueError("must not have dot segments")
        if path.split("/")[0].lower() in ("admin", "runtime"):
            raise ValueError("the Functions host keeps /admin and /runtime for itself")
        if path.split("/")[0].lower() == "_management":
            raise ValueError("/_management is the gateway's own")
        return path


class Product(Declared):
    """A product: APIs offered together, with or without a subscription."""

    id: Identifier = Field("", exclude=True, json_schema_extra={"x-derived": True})
    name: str = Field("", validation_alias="display_name", description="Display name.")
    description: str = ""
    subscription_required: bool = True
    approval_required: bool = False
    subscription_limit: int | None = Field(None, ge=1, description="Subscriptions an owner may have.")
    state: Literal["published", "notPublished"] = "published"
    groups: tuple[str, ...] = ()
    policy: str | None = Field(None, description="Policy document of the product scope.")
    apis: tuple[str, ...] = Field((), description="Ids of its APIs, on top of those that name the product themselves.")


class SubscriptionKeys(Declared):
    """The two keys of a declared subscription; each a named value, never the key itself."""

    primary: str
    secondary: str | None = None


class DeclaredSubscription(Declared):
    """A subscription whose keys come from the environment or Key Vault."""

    id: Identifier = Field("", exclude=True, json_schema_extra={"x-derived": True})
    name: str = Field("", validation_alias="display_name", description="Display name.")
    scope: str = Field(description="all-apis, api:<id> or product:<id>.")
    state: SubscriptionState = "active"
    expires: datetime | None = Field(None, description="When it stops working (ISO 8601 with time zone).")
    owner: str = ""
    keys: SubscriptionKeys

    @field_validator("scope")
    @classmethod
    def _scope(cls, value: str) -> str:
        if value != ALL_APIS and not re.fullmatch(r"(api|product):.+", value):
            raise ValueError("must be all-apis, api:<id> or product:<id>")
        return value

    @field_validator("expires")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("needs a time zone, for example 2027-01-31T00:00:00Z")
        return value


class Certificate(Declared):
    """A certificate policies name: shown to a backend, or the key tokens are checked with."""

    file: str | None = Field(None, description="PEM or PFX file.")
    value: str | None = Field(
        None, description="PEM text or a PFX in base64, as a named value; one from Key Vault reads a certificate there."
    )
    password: str | None = Field(None, description="Password of the PFX, as a named value.")

    @model_validator(mode="after")
    def _one_source(self) -> "Certificate":
        if (self.file is None) == (self.value is None):
            raise ValueError("exactly one of file, value is needed")
        return self


class Logger(Declared):
    """An event hub that log-to-eventhub writes to (APIM logger entity), with the gateway's identity."""

    endpoint: str = Field(description="https://<namespace>.servicebus.windows.net")
    event_hub: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$", description="Name of the event hub.")
    client_id: str | None = Field(None, description="Client id of a user-assigned identity; default: the app's own.")

    @field_validator("endpoint")
    @classmethod
    def _https(cls, value: str) -> str:
        value = value.strip()  # a file's or a secret's text often ends in a line feed
        if not re.fullmatch(r"(https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/?", value):
            raise ValueError("must be https://<host>; the identity's token goes there")
        return value.rstrip("/")


class Limits(Declared):
    """Bounds that hold for every request."""

    max_request_body: int = Field(104_857_600, ge=1024, description="Bytes; larger bodies are answered with 413.")


class Gateway(Declared):
    """The whole declaration."""

    limits: Limits = Field(default_factory=Limits)
    named_values: dict[NamedValueName, NamedValue] = Field(default_factory=dict)
    backends: dict[Identifier, Backend] = Field(default_factory=dict)
    products: dict[Identifier, Product] = Field(default_factory=dict)
    apis: dict[Identifier, Api] = Field(default_factory=dict)
    subscriptions: dict[Identifier, DeclaredSubscription] = Field(default_factory=dict)
    policy: str | None = Field(None, description="Policy document of the global scope.")
    diagnostics: Diagnostics | None = Field(None, description="What is logged of all APIs without one of their own.")
    fragments: dict[Identifier, str] = Field(default_factory=dict, description="Fragment id to document.")
    certificates: dict[Identifier, Certificate] = Field(
        default_factory=dict,
        description="Certificates by id; files in certificates/ are read anew on change.",
    )
    schemas: dict[Identifier, str] = Field(
        default_factory=dict,
        description="Schema id to file: JSON Schema (.json, .yaml) or XML schema (.xsd); those in schemas/ are read "
        "anew on change.",
    )
    prices: tuple[Price, ...] = Field(
        (), description="What models cost; these go before the list that comes with the gateway."
    )
    loggers: dict[Identifier, Logger] = Field(
        default_factory=dict, description="Logger id to the event hub that log-to-eventhub writes to."
    )

    @model_validator(mode="before")
    @classmethod
    def _ids(cls, data: Any) -> Any:
        """Give each API, product and subscription the id it is declared under, and each API its backend's URL."""
        if not isinstance(data, dict):
            return data
        named = dict(data)
        for section in ("apis", "products", "subscriptions"):
            entries = named.get(section)
            if isinstance(entries, dict):
                named[section] = {
                    key: {**value, "id": str(key)} if isinstance(value, dict) else value
                    for key, value in entries.items()
                }
        backends, apis = named.get("backends"), named.get("apis")
        if isinstance(backends, dict) and isinstance(apis, dict):
            for api in apis.values():
                id = api.get("backend") if isinstance(api, dict) else None
                backend = backends.get(id) if isinstance(id, str) else None
                if isinstance(backend, dict) and isinstance(backend.get("url"), str):
                    api["service_url"] = backend["url"]
        return named
