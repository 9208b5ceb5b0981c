"""`context.Request`, `context.Response`, their URLs, headers and parameters as expressions see them."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from shared.expressions.bodies import Body as MessageBody
from shared.expressions.certificates import certificate
from shared.expressions.errors import ExpressionFailed
from shared.expressions.formats import text
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray, NetList, Pair
from shared.expressions.nettypes import NetType, returning
from shared.expressions.uris import NetUri
from shared.message import Headers as Fields


def attribute(name: str) -> Callable[[Any], Any]:
    """A getter of the Python attribute behind a C# property."""
    return operator.attrgetter(name)


class Headers:
    """Header fields: each name once, with its values; names without regard to case."""

    __slots__ = ("fields",)
    is_dictionary: ClassVar[bool] = True

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


def _usual_header(types: Any, arguments: list[Any]) -> str | None:
    text = len(arguments) == 2 and type(arguments[1]) is str
    return "({t} if ({t} := {a0}.fields.get({a1})) is not None else {a2})" if text else None


_header_or_default.usual = _usual_header  # type: ignore[attr-defined]


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
    is_dictionary: ClassVar[bool] = True

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


def map_type(name: str) -> NetType:
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
    methods=returning("string", ToString=str) | returning("Uri", ToUri=lambda url: NetUri(str(url))),
)


FOUNDRY = NetType("IFoundry", properties=returning("string", Deployment=attribute("foundry_deployment")))


def _request_body(request: Any) -> MessageBody | None:
    """Null for a request without a body (API Management policy expressions, context.Request)."""
    return None if request.body == b"" and not request.consumed else MessageBody(request)


def _certificate(request: Any) -> Any:
    return None if request.certificate is None else certificate(request.certificate)


REQUEST = NetType(
    "IRequest",
    properties=returning("string", Method=attribute("method"), IpAddress=attribute("ip_address"))
    | returning("IUrl", Url=attribute("url"), OriginalUrl=attribute("original_url"))
    | returning("Headers", Headers=lambda request: Headers(request.headers))
    | returning("TextMap", MatchedParameters=lambda request: ValueMap(request.matched_parameters))
    | returning("IMessageBody", Body=_request_body)
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


# `context.Response` while there is no response yet: it equals null, and yet its members can be read, since documents in
# use ask for its status in the first round of a retry. Null responses from elsewhere have no members, as in C#.
CURRENT_RESPONSE = NetType(
    "IResponse?",
    properties=returning("int", StatusCode=lambda maybe: 0 if maybe is None else maybe.status_code)
    | returning("string", StatusReason=lambda maybe: None if maybe is None else maybe.status_reason)
    | returning("Headers", Headers=lambda maybe: Headers(Fields() if maybe is None else maybe.headers))
    | returning("IMessageBody", Body=lambda maybe: None if maybe is None else MessageBody(maybe)),
)
