"""``context`` as expressions see it: C# names on the gateway's own objects."""

import operator
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from shared.expressions.bodies import BODY
from shared.expressions.bodies import Body as MessageBody
from shared.expressions.certificates import certificate
from shared.expressions.dates import DateTime, TimeSpan
from shared.expressions.enums import ENUMERATIONS
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import text
from shared.expressions.json_types import convert
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray, NetDictionary, NetList, Pair
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.run import Run
from shared.expressions.uris import NetUri
from shared.message import Url

Types = tuple[TypeRef, ...]


def attribute(name: str) -> Callable[[Any], Any]:
    """A getter of the Python attribute behind a C# property."""
    return operator.attrgetter(name)


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


class Headers:
    """Header fields: each name once, with its values; names without regard to case."""

    __slots__ = ("fields",)

    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def item(self, name: Any) -> NetArray:
        values = self.fields.get_all(name) if name is not None else None
        if not values:
            raise ExpressionFailed(
                "KeyNotFoundException", f"The given key '{text(name)}' was not present in the dictionary."
            )
        return NetArray(values)

    def names(self) -> list[str]:
        found: dict[str, str] = {}
        for name, _ in self.fields.items():
            found.setdefault(name.lower(), name)
        return list(found.values())

    def __iter__(self) -> Iterator[Pair]:
        return iter([Pair(name, NetArray(self.fields.get_all(name))) for name in self.names()])

    def __bool__(self) -> bool:
        return True


def _header_or_default(headers: Headers, headerName: str, defaultValue: Any = None) -> Any:
    """All values joined by a comma; with an array as default, .NET's own extension gives the values."""
    if isinstance(defaultValue, list):
        return NetArray(headers.fields.get_all(headerName)) or defaultValue
    value = headers.fields.get(headerName)
    return defaultValue if value is None else value


def _try_header(headers: Headers, name: str) -> tuple[bool, Any]:
    values = headers.fields.get_all(name)
    return bool(values), NetArray(values) if values else None


HEADERS = NetType(
    "Headers",
    (Headers,),
    full_name="System.Collections.Generic.IReadOnlyDictionary`2[System.String,System.String[]]",
    base=ENUMERABLE,
    index=Headers.item,
    properties=returning("int", Count=lambda headers: len(headers.names()))
    | returning(
        "List",
        Keys=lambda headers: NetList(headers.names()),
        Values=lambda headers: NetList(pair.Value for pair in headers),
    ),
    methods=returning(None, GetValueOrDefault=_header_or_default)
    | returning(
        "bool", ContainsKey=lambda headers, name: headers.fields.get(name) is not None, TryGetValue=_try_header
    ),
)


class ValueMap:
    """Query parameters (a name has several values) or matched parameters (a name has one text)."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def find(self, name: Any) -> Any:
        if name in self.values:
            return self.values[name]
        wanted = text(name).lower()
        return next((value for key, value in self.values.items() if key.lower() == wanted), None)

    def item(self, name: Any) -> Any:
        value = self.find(name)
        if value is None:
            raise ExpressionFailed(
                "KeyNotFoundException", f"The given key '{text(name)}' was not present in the dictionary."
            )
        return NetArray(value) if isinstance(value, list) else value

    def __iter__(self) -> Iterator[Pair]:
        return iter([Pair(name, self.item(name)) for name in self.values])

    def __bool__(self) -> bool:
        return True


def _value_or_default(values: ValueMap, name: str, defaultValue: Any = None) -> Any:
    value = values.find(name)
    if value is None:
        return defaultValue
    return ",".join(value) if isinstance(value, list) else value


def _try_value(values: ValueMap, name: str) -> tuple[bool, Any]:
    found = values.find(name)
    return found is not None, NetArray(found) if isinstance(found, list) else found


def _map_type(name: str) -> NetType:
    return NetType(
        name,
        (ValueMap,) if name == "Query" else (),
        base=ENUMERABLE,
        index=ValueMap.item,
        properties=returning("int", Count=lambda values: len(values.values))
        | returning(
            "List",
            Keys=lambda values: NetList(values.values),
            Values=lambda values: NetList(pair.Value for pair in values),
        ),
        methods=returning(None, GetValueOrDefault=_value_or_default)
        | returning("bool", ContainsKey=lambda values, key: values.find(key) is not None, TryGetValue=_try_value),
    )


QUERY, TEXT_MAP = _map_type("Query"), _map_type("TextMap")


def _url_text(url: Any) -> str:
    default = {"http": 80, "https": 443}.get(url.scheme)
    port = f":{url.port}" if url.port and url.port != default else ""
    return f"{url.scheme}://{url.host}{port}{url.path}{url.query_string}"


URL = NetType(
    "IUrl",
    base=None,
    properties=returning(
        "string",
        Scheme=attribute("scheme"),
        Host=attribute("host"),
        Path=attribute("path"),
        QueryString=attribute("query_string"),
    )
    | returning("int", Port=attribute("port"))
    | returning("Query", Query=lambda url: ValueMap(url.query())),
    methods=returning("string", ToString=_url_text) | returning("Uri", ToUri=lambda url: NetUri(_url_text(url))),
)
FOUNDRY = NetType("IFoundry", properties=returning("string", Deployment=attribute("foundry_deployment")))


def _certificate(request: Any) -> Any:
    return None if request.certificate is None else certificate(request.certificate)


REQUEST = NetType(
    "IRequest",
    properties=returning("string", Method=attribute("method"), IpAddress=attribute("ip_address"))
    | returning("IUrl", Url=attribute("url"), OriginalUrl=attribute("original_url"))
    | returning("Headers", Headers=lambda request: Headers(request.headers))
    | returning("TextMap", MatchedParameters=lambda request: ValueMap(request.matched_parameters))
    | returning("IMessageBody", Body=MessageBody)
    | returning("X509Certificate2", Certificate=_certificate)
    | returning("IFoundry", Foundry=lambda request: request)
    | returning("IPrivateEndpointConnection", PrivateEndpointConnection=lambda request: None),
)
PRIVATE_ENDPOINT = NetType(
    "IPrivateEndpointConnection",
    properties=returning(
        "string", Name=attribute("name"), GroupId=attribute("group_id"), MemberName=attribute("member_name")
    ),
)
RESPONSE = NetType(
    "IResponse",
    properties=returning("int", StatusCode=attribute("status_code"))
    | returning("string", StatusReason=attribute("status_reason"))
    | returning("Headers", Headers=lambda response: Headers(response.headers))
    | returning("IMessageBody", Body=MessageBody),
    check=lambda value: hasattr(value, "status_code"),
)
PARAMETER_NAMES = NetType(
    "ISubscriptionKeyParameterNames",
    properties=returning("string", Header=attribute("header"), Query=attribute("query")),
)


def _service_url(api: Any) -> Url | None:
    """The backend's base URL; declared as text."""
    if not isinstance(api.service_url, str):
        return cast(Url | None, api.service_url)
    parts = urlsplit(api.service_url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
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
    | returning("ISubscriptionKeyParameterNames", SubscriptionKeyParameterNames=attribute("subscription_key")),
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
    ),
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
        Key=attribute("key"),
        Name=attribute("name"),
        PrimaryKey=attribute("primary_key"),
        SecondaryKey=attribute("secondary_key"),
    )
    | returning(None, CreatedDate=_date("created_date"), StartDate=_date("start_date"), EndDate=_date("end_date")),
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
    | returning("IResponse", Response=attribute("response"))
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
    | returning("bool", Tracing=attribute("tracing")),
    methods=returning(None, Trace=_trace),
)
CONTEXT_TYPES = (
    CONTEXT,
    REQUEST,
    RESPONSE,
    URL,
    FOUNDRY,
    PRIVATE_ENDPOINT,
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
