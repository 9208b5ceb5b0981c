"""Uri, UriBuilder, WebUtility, HttpUtility and IPAddress."""

import html
import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from shared.expressions.enums import ENUMERATIONS, Enum
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import text
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray, NetList
from shared.expressions.nettypes import NetType, returning

_PORTS = {"http": 80, "https": 443, "ftp": 21, "ws": 80, "wss": 443}
_UNRESERVED = "-_.~"
_KEPT_IN_URI = "-_.~!*'();:@&=+$,/?#[]%"


class NetUri:
    """A ``Uri``, absolute or relative, normalised as .NET does: lower-case host, a path of at least ``/``."""

    __slots__ = ("original", "parts")

    def __init__(self, value: Any, *rest: Any) -> None:
        if value is None:
            raise argument_null("uriString")
        if rest and not isinstance(rest[0], Enum):
            from urllib.parse import urljoin

            value = urljoin(text(value), text(rest[0]))
        self.original = text(value)
        absolute_only = not rest or not isinstance(rest[0], Enum) or rest[0].number == 1
        try:
            self.parts = urlsplit(self.original.strip())
            _ = self.parts.port
        except ValueError:
            raise _invalid() from None
        if absolute_only and (not self.parts.scheme or (self.parts.scheme in _PORTS and not self.parts.hostname)):
            raise _invalid()

    @property
    def port(self) -> int:
        return self.parts.port or _PORTS.get(self.parts.scheme, -1)

    @property
    def authority(self) -> str:
        host = self.host
        return host if self.port in (-1, _PORTS.get(self.parts.scheme)) else f"{host}:{self.port}"

    @property
    def host(self) -> str:
        host = self.parts.hostname or ""
        return f"[{host}]" if ":" in host else host

    @property
    def path(self) -> str:
        return _quoted(self.parts.path) or ("/" if self.parts.netloc else "")

    @property
    def query(self) -> str:
        return f"?{_quoted(self.parts.query)}" if self.parts.query else ""

    @property
    def fragment(self) -> str:
        return f"#{_quoted(self.parts.fragment)}" if self.parts.fragment else ""

    def absolute(self) -> str:
        if not self.parts.scheme:
            raise ExpressionFailed("InvalidOperationException", "This operation is not supported for a relative URI.")
        if not self.parts.netloc:
            return self.original
        return f"{self.parts.scheme}://{self.authority}{self.path}{self.query}{self.fragment}"

    def __str__(self) -> str:
        return (
            unquote(self.absolute()) if self.parts.scheme and "%" not in self.original else self.original_or_absolute()
        )

    def original_or_absolute(self) -> str:
        return self.absolute() if self.parts.scheme else self.original

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NetUri) and self.original_or_absolute() == other.original_or_absolute()

    def __hash__(self) -> int:
        return hash(self.original)


def _invalid() -> ExpressionFailed:
    return ExpressionFailed("UriFormatException", "Invalid URI: The format of the URI could not be determined.")


def _quoted(part: str) -> str:
    return quote(part, safe=_KEPT_IN_URI)


def _try_create(value: Any, *rest: Any) -> tuple[bool, NetUri | None]:
    try:
        return True, NetUri(value, *rest)
    except ExpressionFailed:
        return False, None


def _left_part(uri: NetUri, part: Enum) -> str:
    shown = f"{uri.parts.scheme}://"
    if part.number >= 1:
        shown += uri.authority
    if part.number >= 2:
        shown += uri.path
    return shown + (uri.query if part.number >= 3 else "")


def _segments(uri: NetUri) -> NetArray:
    return NetArray(re.findall(r"[^/]*/|[^/]+$", uri.path))


def escape_data(value: Any) -> str:
    """``Uri.EscapeDataString``: everything but letters, digits and ``-_.~`` as UTF-8 percent codes."""
    if value is None:
        raise argument_null("stringToEscape")
    return quote(text(value), safe=_UNRESERVED)


URI = NetType(
    "Uri",
    (NetUri,),
    full_name="System.Uri",
    construct=lambda types, *arguments: NetUri(*arguments),
    properties=returning(
        "string",
        Scheme=lambda uri: uri.parts.scheme,
        Host=lambda uri: uri.host,
        DnsSafeHost=lambda uri: uri.parts.hostname or "",
        Authority=lambda uri: uri.authority,
        AbsolutePath=lambda uri: uri.path,
        LocalPath=lambda uri: unquote(uri.path),
        PathAndQuery=lambda uri: uri.path + uri.query,
        Query=lambda uri: uri.query,
        Fragment=lambda uri: uri.fragment,
        AbsoluteUri=NetUri.absolute,
        OriginalString=lambda uri: uri.original,
        UserInfo=lambda uri: uri.parts.netloc.rpartition("@")[0],
    )
    | returning("int", Port=lambda uri: uri.port)
    | returning(
        "bool",
        IsDefaultPort=lambda uri: uri.port == _PORTS.get(uri.parts.scheme, -1),
        IsAbsoluteUri=lambda uri: bool(uri.parts.scheme),
        IsLoopback=lambda uri: uri.parts.hostname in ("localhost", "127.0.0.1", "::1"),
    )
    | returning("Array", Segments=_segments),
    methods=returning("string", GetLeftPart=_left_part),
    statics=returning(
        "string",
        EscapeDataString=escape_data,
        EscapeUriString=lambda value: quote(text(value), safe=_KEPT_IN_URI.replace("%", "")),
        UnescapeDataString=lambda value: unquote(text(value)),
    )
    | returning(
        "bool",
        TryCreate=_try_create,
        IsWellFormedUriString=lambda value, kind=None: _try_create(value)[0] and " " not in value,
    ),
    constants=returning(
        "string", SchemeDelimiter=lambda: "://", UriSchemeHttp=lambda: "http", UriSchemeHttps=lambda: "https"
    ),
)


class UriBuilder:
    """``UriBuilder``: the parts of a URI, each settable."""

    __slots__ = ("Fragment", "Host", "Path", "Port", "Query", "Scheme")

    def __init__(self, value: Any = None, *rest: Any) -> None:
        uri = value if isinstance(value, NetUri) else NetUri("http://localhost/" if value is None or rest else value)
        self.Scheme, self.Host, self.Path = uri.parts.scheme, uri.host, uri.path
        self.Query, self.Fragment = uri.query, uri.fragment
        self.Port = uri.port
        for name, part in zip(("Scheme", "Host", "Port", "Path"), (value, *rest) if rest else (), strict=False):
            setattr(self, name, part)

    def uri(self) -> NetUri:
        return NetUri(str(self))

    def __str__(self) -> str:
        port = f":{self.Port}" if self.Port != -1 else ""
        path = self.Path if self.Path.startswith("/") else f"/{self.Path}"
        return f"{self.Scheme}://{self.Host}{port}{path}{self.Query}{self.Fragment}"


def _prefixed(name: str, prefix: str) -> Any:
    def assign(builder: UriBuilder, value: Any) -> None:
        content = text(value)
        setattr(builder, name, f"{prefix}{content.removeprefix(prefix)}" if content else "")

    return assign


def _plain(name: str) -> Any:
    return lambda builder, value: setattr(builder, name, value)


URI_BUILDER = NetType(
    "UriBuilder",
    (UriBuilder,),
    full_name="System.UriBuilder",
    construct=lambda types, *arguments: UriBuilder(*arguments),
    properties=returning(
        "string",
        Scheme=lambda builder: builder.Scheme,
        Host=lambda builder: builder.Host,
        Path=lambda builder: builder.Path,
        Query=lambda builder: builder.Query,
        Fragment=lambda builder: builder.Fragment,
    )
    | returning("int", Port=lambda builder: builder.Port)
    | returning("Uri", Uri=UriBuilder.uri),
    settable={
        "Scheme": _plain("Scheme"),
        "Host": _plain("Host"),
        "Path": _plain("Path"),
        "Port": _plain("Port"),
        "Query": _prefixed("Query", "?"),
        "Fragment": _prefixed("Fragment", "#"),
    },
)


class NameValues:
    """``NameValueCollection`` as ``HttpUtility.ParseQueryString`` gives it."""

    __slots__ = ("fields",)

    def __init__(self, query: str = "") -> None:
        self.fields: dict[str, list[str]] = {}
        for name, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True, max_num_fields=10_000):
            self.add(name, value)

    def _key(self, name: str) -> str:
        return next((key for key in self.fields if key.lower() == name.lower()), name)

    def add(self, name: str, value: Any) -> None:
        self.fields.setdefault(self._key(text(name)), []).append(text(value))

    def item(self, name: Any) -> str | None:
        values = self.fields.get(self._key(text(name)))
        return ",".join(values) if values is not None else None

    def set_item(self, name: Any, value: Any) -> None:
        self.fields[self._key(text(name))] = [text(value)]

    def remove(self, name: Any) -> None:
        self.fields.pop(self._key(text(name)), None)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.fields))

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        pairs = ((name, value) for name, values in self.fields.items() for value in values)
        return "&".join(
            f"{quote_plus(name, safe='-_.!*()')}={_lower(quote_plus(value, safe='-_.!*()'))}" for name, value in pairs
        )


NAME_VALUES = NetType(
    "NameValueCollection",
    (NameValues,),
    base=ENUMERABLE,
    index=NameValues.item,
    construct=lambda types, *arguments: NameValues(),
    properties=returning("int", Count=lambda values: len(values.fields))
    | returning("List", AllKeys=lambda values: NetList(values.fields), Keys=lambda values: NetList(values.fields)),
    methods=returning("string", Get=NameValues.item)
    | returning(None, Add=NameValues.add, Set=NameValues.set_item, Remove=NameValues.remove)
    | returning("Array", GetValues=lambda values, name: NetArray(values.fields.get(name, []))),
)


def _lower(quoted: str) -> str:
    """HttpUtility writes percent codes in lower case."""
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _html_encode(value: Any) -> str | None:
    return None if value is None else html.escape(text(value)).replace("&#x27;", "&#39;")


def _maybe(function: Any) -> Any:
    return lambda value, *encoding: None if value is None else function(text(value))


WEB_UTILITY = NetType(
    "WebUtility",
    full_name="System.Net.WebUtility",
    statics=returning(
        "string",
        UrlEncode=_maybe(lambda value: quote_plus(value, safe="-_.!*()")),
        UrlDecode=_maybe(unquote_plus),
        HtmlEncode=_html_encode,
        HtmlDecode=_maybe(html.unescape),
    ),
)
HTTP_UTILITY = NetType(
    "HttpUtility",
    full_name="System.Web.HttpUtility",
    statics=returning(
        "string",
        UrlEncode=_maybe(lambda value: _lower(quote_plus(value, safe="-_.!*()"))),
        UrlDecode=_maybe(unquote_plus),
        UrlPathEncode=_maybe(lambda value: _lower(quote(value, safe=_KEPT_IN_URI))),
        HtmlEncode=_html_encode,
        HtmlAttributeEncode=_html_encode,
        HtmlDecode=_maybe(html.unescape),
        JavaScriptStringEncode=_maybe(
            lambda value: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        ),
    )
    | returning("NameValueCollection", ParseQueryString=lambda query, encoding=None: NameValues(text(query))),
)


def _address(value: Any) -> Any:
    try:
        return ipaddress.ip_address(text(value).strip().partition("%")[0])
    except ValueError:
        raise ExpressionFailed("FormatException", "An invalid IP address was specified.") from None


def _try_address(value: Any) -> tuple[bool, Any]:
    try:
        return True, _address(value)
    except ExpressionFailed:
        return False, None


IP_ADDRESS = NetType(
    "IPAddress",
    (ipaddress.IPv4Address, ipaddress.IPv6Address),
    full_name="System.Net.IPAddress",
    construct=lambda types, value: ipaddress.ip_address(bytes(value)),
    properties=returning(
        "AddressFamily", AddressFamily=lambda value: ENUMERATIONS["AddressFamily"](2 if value.version == 4 else 23)
    ),
    methods=returning("byte[]", GetAddressBytes=lambda value: bytearray(value.packed))
    | returning("string", ToString=str)
    | returning("bool", Equals=lambda value, other: value == other),
    statics=returning("IPAddress", Parse=_address)
    | returning("bool", TryParse=_try_address, IsLoopback=lambda value: value.is_loopback),
    constants=returning(
        "IPAddress", Loopback=lambda: ipaddress.ip_address("127.0.0.1"), Any=lambda: ipaddress.ip_address("0.0.0.0")
    ),
)
URI_TYPES = (URI, URI_BUILDER, NAME_VALUES, WEB_UTILITY, HTTP_UTILITY, IP_ADDRESS)
