"""Liquid templates as set-body knows them: DotLiquid's names, no files, bounded in size, steps and time."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Literal

from liquid import BoundTemplate, Environment, RenderContext, Token, is_undefined
from liquid.exceptions import LiquidError

from shared.context import Context
from shared.errors import PolicyFailed
from shared.expressions.date_formats import format_date, parse_date
from shared.expressions.dates import DateTime, json_date
from shared.expressions.errors import ExpressionFailed
from shared.message import GatewayRequest, GatewayResponse, Headers, Url
from shared.policies.conversion import converted, read_for_objects
from shared.policies.xml_body import NotXml, is_json, is_xml, local_name, parse_xml

SECONDS = 2.0
STEPS = 200_000

# https://learn.microsoft.com/azure/api-management/set-body-policy#supported-liquid-filters
FILTERS = """Abs Append AtLeast AtMost Capitalize Compact Currency Date Default DividedBy Downcase Escape First H Join
Last Lstrip Map Minus Modulo NewlineToBr Plus Prepend Remove RemoveFirst Replace ReplaceFirst Round Rstrip Size Slice
Sort Split Strip StripHtml StripNewlines Times Truncate TruncateWords Uniq Upcase UrlDecode UrlEncode""".split()


class TemplateError(Exception):
    """The text is no Liquid template, or uses what set-body does not have."""


class _Bounded(RenderContext):
    """A rendering that ends when it takes too many steps or too long."""

    __slots__ = ("steps",)

    def step(self) -> None:
        """Count a lookup or a filter."""
        self.steps: int = getattr(self, "steps", 0) + 1
        if self.steps > STEPS:
            raise _Exceeded(f"more than {STEPS} steps")
        if self.steps % 256 == 0 and self.globals["(monotonic)"]() > self.globals["(deadline)"]:  # type: ignore[operator]
            raise _Exceeded(f"more than {SECONDS:g} seconds")

    def get(self, path: list[object], **options: Any) -> object:
        """A variable."""
        self.step()
        return super().get(path, **options)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """A filter."""
        self.step()
        return super().filter(name, token)


class _Exceeded(Exception):
    """A template asked for more than it may have."""


class _Template(BoundTemplate):
    context_class = _Bounded


class _DotLiquid(Environment):
    """Liquid without templates from elsewhere. Filters answer to DotLiquid's names and to Liquid's own."""

    template_class = _Template
    loop_iteration_limit = 100_000
    local_namespace_limit = 4_000_000
    output_stream_limit = 16_000_000
    context_depth_limit = 30
    block_nesting_limit = 100

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """The tags and filters there are."""
        super().setup_tags_and_filters(extra=extra)
        for tag in ("include", "render", "liquid", "doc"):
            del self.tags[tag]
        plain = {name.replace("_", ""): function for name, function in self.filters.items()}
        plain |= {"date": _date, "currency": _currency, "h": plain["escape"]}
        self.filters |= {name: plain[name.lower()] for name in FILTERS}
        self.filters = {name: _within(function) for name, function in self.filters.items()}


# `uniq` compares each item with all before it.
MOST_DISTINCT = 5_000
LONGEST_NUMBER = 10_000  # bits


def _within(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that ends the rendering instead of making a text, list or number beyond what may be."""

    @wraps(function)
    def bounded(left: Any = "", *arguments: Any, **options: Any) -> Any:
        most = _DotLiquid.output_stream_limit
        if isinstance(left, range) and len(left) > _DotLiquid.loop_iteration_limit:
            raise _Exceeded(f"a range of {len(left)} numbers")
        match function.__name__, arguments:
            case "replace", (old, new, *_):
                text = str(left)
                if len(text) + text.count(str(old)) * len(str(new)) > most:
                    raise _Exceeded(f"a text of more than {most} characters")
            case "join", (separator, *_):
                if hasattr(left, "__len__") and len(left) * len(str(separator)) > most:
                    raise _Exceeded(f"a text of more than {most} characters")
            case "times", (int() as factor, *_):
                if isinstance(left, int) and left.bit_length() + factor.bit_length() > LONGEST_NUMBER:
                    raise _Exceeded("a number that is too long")
            case "uniq", _:
                if hasattr(left, "__len__") and len(left) > MOST_DISTINCT:
                    raise _Exceeded(f"Uniq of more than {MOST_DISTINCT} items")
        return function(left, *arguments, **options)

    return bounded


def _date(value: object, pattern: object = None, *, context: RenderContext) -> object:
    """A date by a .NET format; what is no date stays as it is, as in DotLiquid."""
    if is_undefined(value) or value is None:
        return ""
    if not isinstance(pattern, str):
        return value
    try:
        now = context.globals["(clock)"]
        moment = DateTime.of(now()) if value in ("now", "today") else parse_date(str(value))  # type: ignore[operator]
        return format_date(moment, pattern)
    except ExpressionFailed:
        return value


_date.with_context = True  # type: ignore[attr-defined]


def _currency(value: object, culture: object = "en-US") -> object:
    """An amount as the invariant machine's en-US shows it, the only culture there is."""
    if culture != "en-US":
        raise _Exceeded(f"Currency knows en-US only, not {culture}")
    try:
        amount = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


LIQUID = _DotLiquid()


class LiquidTemplate:
    """A template, parsed once. TemplateError when it is none or names a filter that set-body does not have."""

    def __init__(self, source: str) -> None:
        try:
            self._template = LIQUID.from_string(source)
            unknown = sorted(set(self._template.analyze().filters) - set(LIQUID.filters))
        except LiquidError as error:
            raise TemplateError(str(error).splitlines()[0]) from error
        if unknown:
            raise TemplateError(f"unknown filter {unknown[0]}")

    async def render(
        self, ctx: Context, message: GatewayRequest | GatewayResponse, *, nil: Literal["blank", "null"], dates: bool
    ) -> str:
        """The text for a message, whose body is read; with `dates` its texts that are dates read as such.
        PolicyFailed when the body is not what its Content-Type says, or the template goes too far; errors as
        `read_for_objects`."""
        monotonic, clock = ctx.services.monotonic, ctx.services.clock
        kind = _kind(message.headers.get("content-type") or "")
        body = await (message.read() if kind == "text" else read_for_objects(message, kind))
        context = _context(ctx)

        def rendered(data: bytes) -> str:
            return self._template.render(
                {
                    "body": _body(data, kind, nil, dates),
                    "context": context,
                    "(clock)": clock,
                    "(monotonic)": monotonic,
                    "(deadline)": monotonic() + SECONDS,
                }
            )

        try:
            return await converted(rendered, body)
        except (LiquidError, NotXml, ValueError, ArithmeticError, RecursionError, _Exceeded) as error:
            raise PolicyFailed(detail=f"Liquid: {error}") from error


class _Names(Mapping[str, Any]):
    """A mapping that does not look at the case of names."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = {name.lower(): value for name, value in entries.items()}

    def __getitem__(self, name: str) -> Any:
        return self._entries[str(name).lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _kind(content_type: str) -> Literal["JSON", "XML", "text"]:
    return "JSON" if is_json(content_type) else "XML" if is_xml(content_type) else "text"


def _body(data: bytes, kind: Literal["JSON", "XML", "text"], nil: str, dates: bool) -> object:
    """What the template sees as `body`: objects and lists for JSON and XML, else text."""
    if not data:
        return ""
    match kind:
        case "JSON":
            return _with_dates(json.loads(data)) if dates else json.loads(data)
        case "XML":
            root = parse_xml(data)
            return _Names({local_name(root): _node(root, "" if nil == "blank" else None)})
        case "text":
            return data.decode("utf-8", "replace")


def _with_dates(value: object) -> object:
    """JSON values with the texts that are dates as .NET's invariant culture writes a DateTime."""
    match value:
        case str():
            date = json_date(value)
            return value if date is None else format_date(date, "MM/dd/yyyy HH:mm:ss")
        case dict():
            return {name: _with_dates(item) for name, item in value.items()}
        case list():
            return [_with_dates(item) for item in value]
    return value


NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


def _node(element: Any, nil: str | None) -> object:
    """An element as text when it has nothing but text, else by the names of its children and attributes (`@name`)
    without prefixes; children of the same name are a list."""
    if element.get(NIL) in ("true", "1"):
        return nil
    entries: dict[str, Any] = {}
    for child in element.iterchildren("*"):
        name, value = local_name(child).lower(), _node(child, nil)
        if name in entries:
            if not isinstance(entries[name], list):
                entries[name] = [entries[name]]
            entries[name].append(value)
        else:
            entries[name] = value
    text = "".join(element.itertext(with_tail=False)) if not entries else (element.text or "").strip()
    attributes = {f"@{name.rpartition('}')[2]}": value for name, value in element.attrib.items()}
    if not entries and not attributes:
        return text
    return _Names({**attributes, **entries, **({"#text": text} if text else {})})


def _context(ctx: Context) -> dict[str, Any]:
    """What the template sees as `context`."""
    request, response = ctx.request, ctx.response
    return {
        "Request": {
            "Method": request.method,
            "OriginalMethod": ctx.operation.method if ctx.operation is not None else request.method,
            "Url": _url(request.url),
            "OriginalUrl": _url(request.original_url),
            "IpAddress": request.ip_address,
            "MatchedParameters": request.matched_parameters,
            "HasBody": bool(request.body) or request.stream is not None,
            "ClientCertificates": [],
            "Headers": _headers(request.headers),
        },
        "Response": {
            "StatusCode": response.status_code,
            "Method": request.method,
            "Headers": _headers(response.headers),
        }
        if response is not None
        else None,
        "Variables": dict(ctx.variables),
    }


def _url(url: Url) -> dict[str, Any]:
    return {
        "Scheme": url.scheme,
        "Host": url.host,
        "Port": url.port,
        "Path": url.path,
        "Query": {name: ",".join(values) for name, values in url.query().items()},
        "QueryString": url.query_string,
        "ToUri": str(url),
        "ToString": str(url),
    }


def _headers(headers: Headers) -> _Names:
    return _Names({name: headers.get(name) for name, _ in headers.items()})
