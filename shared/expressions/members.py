"""``context`` as expressions see it: C# names on the gateway's own objects."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from shared.expressions.bodies import BODY
from shared.expressions.certificates import certificate
from shared.expressions.dates import DateTime, TimeSpan
from shared.expressions.enums import ENUMERATIONS
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import text
from shared.expressions.json_reading import convert
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetDictionary, NetList
from shared.expressions.message_members import (
    CURRENT_RESPONSE,
    FOUNDRY,
    HEADERS,
    PRIVATE_ENDPOINT,
    REQUEST,
    RESPONSE,
    URL,
    attribute,
    map_type,
)
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.run import Run
from shared.message import DEFAULT_PORTS, Url

Types = tuple[TypeRef, ...]


def _date(name: str) -> Callable[[Any], Any]:
    def read(owner: Any) -> DateTime | None:
        value = getattr(owner, name)
        return DateTime.of(value) if isinstance(value, datetime) else None

    return read


def _list(name: str) -> Callable[[Any], NetList]:
    return lambda owner: NetList(getattr(owner, name) or ())


# Variables: a plain dict, read only for expressions


def variable(variables: dict[str, Any], name: Any) -> Any:
    """``context.Variables["name"]``."""
    try:
        return variables[name]
    except KeyError:
        pass
    if name is None:
        raise argument_null("key")
    raise ExpressionFailed("KeyNotFoundException", f"The given key '{text(name)}' was not present in the dictionary.")


def _variable_or_default(types: Types, variables: dict[str, Any], variableName: Any, *defaultValue: Any) -> Any:
    """``GetValueOrDefault<T>(name, default)``: the value as T; another type is an ``InvalidCastException``."""
    value = variables.get(variableName)
    if type(value) is str and types and types[0].net.name == "string":  # as most are
        return value
    if value is None:
        if defaultValue:
            return defaultValue[0]
        return types[0].default() if types else None
    if not types or types[0].net.name in ("object", "dynamic"):
        return value
    target = types[0]
    if target.net.holds(value):
        return value
    if hasattr(type(value), "parent"):  # JSON converts, as As<T> and Value<T> do
        return convert(target, value)
    if isinstance(value, int) and not isinstance(value, bool) and target.net.name in ("int", "long", "double"):
        return target.cast(value)
    raise invalid_cast(value, target.full_name)


def _usual_variable(types: Types, arguments: list[Any]) -> str | None:
    text = bool(types) and types[0].net.name == "string" and len(arguments) in (1, 2)
    return "({t} if type({t} := ({u} := {a0}).get({a1})) is str else {call})" if text else None


_variable_or_default.usual = _usual_variable  # type: ignore[attr-defined]


def _try_variable(variables: dict[str, Any], name: str) -> tuple[bool, Any]:
    return name in variables, variables.get(name)


VARIABLES = NetType(
    "Variables",
    (dict,),
    full_name="System.Collections.Generic.IReadOnlyDictionary`2[System.String,System.Object]",
    base=ENUMERABLE,
    index=variable,
    properties=returning("int", Count=len)
    | returning(
        "List", Keys=lambda variables: NetList(variables), Values=lambda variables: NetList(variables.values())
    ),
    methods=returning(None, GetValueOrDefault=_variable_or_default, TryGetValue=_try_variable)
    | returning("bool", ContainsKey=lambda variables, name: name in variables),
)


QUERY, TEXT_MAP = map_type("Query"), map_type("TextMap")


# There are no workspaces here: as in APIM, what belongs to none has null there.
WORKSPACE = NetType("IWorkspace", properties=returning("string", Id=attribute("id"), Name=attribute("name")))
IN_NO_WORKSPACE = returning("IWorkspace", Workspace=lambda owner: None)


PARAMETER_NAMES = NetType(
    "ISubscriptionKeyParameterNames",
    properties=returning("string", Header=attribute("header"), Query=attribute("query")),
)


def _service_url(api: Any) -> Url | None:
    """The backend's base URL; declared as text."""
    if not isinstance(api.service_url, str):
        return cast(Url | None, api.service_url)
    parts = urlsplit(api.service_url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return Url(parts.scheme, parts.hostname or "", port, parts.path, parts.query)


API = NetType(
    "IApi",
    properties=returning(
        "string",
        Id=attribute("id"),
        Name=attribute("name"),
        Path=attribute("path"),
        Revision=attribute("revision"),
        Version=attribute("version"),
    )
    | returning("bool", IsCurrentRevision=attribute("is_current_revision"))
    | returning("List", Protocols=_list("protocols"))
    | returning("IUrl", ServiceUrl=_service_url)
    | returning("ISubscriptionKeyParameterNames", SubscriptionKeyParameterNames=attribute("subscription_key"))
    | IN_NO_WORKSPACE,
)


OPERATION = NetType(
    "IOperation",
    properties=returning(
        "string",
        Id=attribute("id"),
        Name=attribute("name"),
        Method=attribute("method"),
        UrlTemplate=attribute("url_template"),
    ),
)


def _state(product: Any) -> Any:
    return ENUMERATIONS["ProductState"].parse(text(product.state), True)


PRODUCT = NetType(
    "IProduct",
    properties=returning("string", Id=attribute("id"), Name=attribute("name"))
    | returning("ProductState", State=_state)
    | returning(
        "bool", ApprovalRequired=attribute("approval_required"), SubscriptionRequired=attribute("subscription_required")
    )
    | returning(
        "Nullable",
        SubscriptionLimit=attribute("subscription_limit"),
        SubscriptionsLimit=attribute("subscription_limit"),
    )
    | returning(
        "List",
        Apis=lambda product: NetList(map(Named, product.apis)),
        Groups=lambda product: NetList(map(Named, product.groups)),
    )
    | IN_NO_WORKSPACE,
)


class Named:
    """A group, an API or an identity where only its id and name are known."""

    __slots__ = ("Id", "Name", "Provider")

    def __init__(self, source: Any) -> None:
        self.Id = getattr(source, "id", source)
        self.Name = getattr(source, "name", source)
        self.Provider = getattr(source, "provider", None)


NAMED = NetType(
    "IGroup",
    (Named,),
    aliases=("IUserIdentity",),
    properties=returning("string", Id=attribute("Id"), Name=attribute("Name"), Provider=attribute("Provider")),
)


SUBSCRIPTION = NetType(
    "ISubscription",
    properties=returning(
        "string",
        Id=attribute("id"),
        Key=lambda run, subscription: run.ctx.subscription_key,
        Name=attribute("name"),
        PrimaryKey=attribute("primary_key"),
        SecondaryKey=attribute("secondary_key"),
    )
    | returning("DateTime", CreatedDate=_date("created_date"))
    | returning("Nullable", StartDate=_date("start_date"), EndDate=_date("end_date")),
)


USER = NetType(
    "IUser",
    properties=returning(
        "string",
        Id=attribute("id"),
        Email=attribute("email"),
        FirstName=attribute("first_name"),
        LastName=attribute("last_name"),
        Note=attribute("note"),
    )
    | returning(None, RegistrationDate=_date("registration_date"))
    | returning(
        "List",
        Groups=lambda user: NetList(map(Named, user.groups)),
        Identities=lambda user: NetList(map(Named, user.identities)),
    ),
)


def _certificates(deployment: Any) -> NetDictionary:
    made = NetDictionary()
    for name, value in (deployment.certificates or {}).items():
        made[name] = certificate(value)
    return made


GATEWAY = NetType(
    "IGateway",
    properties=returning("string", Id=attribute("gateway_id"), InstanceId=attribute("gateway_id"))
    | returning("bool", IsManaged=lambda deployment: deployment.gateway_id == "managed"),
)


DEPLOYMENT = NetType(
    "IDeployment",
    properties=returning(
        "string",
        Region=attribute("region"),
        ServiceName=attribute("service_name"),
        GatewayId=attribute("gateway_id"),
        ServiceId=attribute("service_name"),
    )
    | returning("IGateway", Gateway=lambda deployment: deployment)
    | returning("Dictionary", Certificates=_certificates)
    | returning("dynamic", SustainabilityInfo=lambda deployment: None),
)


BACKEND = NetType(
    "IBackend",
    properties=returning(
        "string", Id=attribute("id"), Type=attribute("type"), Url=attribute("url"), Name=attribute("id")
    ),
)


LAST_ERROR = NetType(
    "ILastError",
    properties=returning(
        "string",
        Source=attribute("source"),
        Reason=attribute("reason"),
        Message=attribute("explanation"),
        Scope=attribute("scope"),
        Section=attribute("section"),
        Path=attribute("path"),
        PolicyId=attribute("policy_id"),
    ),
)


def _trace(run: Run, ctx: Any, message: Any, *rest: Any) -> None:
    run.trace(text(message), *map(text, rest))


def _request_id(ctx: Any) -> uuid.UUID:
    value = ctx.request_id
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


CONTEXT = NetType(
    "IProxyRequestContext",
    aliases=("IContext",),
    properties=returning("IRequest", Request=attribute("request"))
    | returning("IResponse?", Response=attribute("response"))
    | returning("Variables", Variables=attribute("variables"))
    | returning("IApi", Api=attribute("api"))
    | returning("IOperation", Operation=attribute("operation"))
    | returning("IProduct", Product=attribute("product"))
    | returning("ISubscription", Subscription=attribute("subscription"))
    | returning("IUser", User=attribute("user"))
    | returning("IDeployment", Deployment=attribute("deployment"))
    | returning("IBackend", Backend=attribute("backend"))
    | returning("ILastError", LastError=attribute("last_error"))
    | returning("Guid", RequestId=_request_id)
    | returning("DateTime", Timestamp=lambda ctx: DateTime.of(ctx.timestamp))
    | returning("TimeSpan", Elapsed=lambda ctx: TimeSpan.of_timedelta(ctx.elapsed))
    | returning("bool", Tracing=attribute("tracing"))
    | IN_NO_WORKSPACE,
    methods=returning(None, Trace=_trace),
)


CONTEXT_TYPES = (
    CONTEXT,
    REQUEST,
    RESPONSE,
    CURRENT_RESPONSE,
    URL,
    FOUNDRY,
    PRIVATE_ENDPOINT,
    WORKSPACE,
    API,
    PARAMETER_NAMES,
    OPERATION,
    PRODUCT,
    NAMED,
    SUBSCRIPTION,
    USER,
    GATEWAY,
    DEPLOYMENT,
    BACKEND,
    LAST_ERROR,
    VARIABLES,
    HEADERS,
    QUERY,
    TEXT_MAP,
    BODY,
)
