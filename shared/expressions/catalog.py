"""All types an expression can name, and which members values of each Python class have."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.formats import hash_code, text
from shared.expressions.json_tokens import content_of
from shared.expressions.nettypes import Member, NetType, returning


class TypeObject:
    """``typeof(T)`` and ``value.GetType()``."""

    __slots__ = ("net",)
    is_value = True

    def __init__(self, net: NetType) -> None:
        self.net = net

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeObject) and self.net is other.net

    def __hash__(self) -> int:
        return hash(self.net.name)

    @property
    def python(self) -> tuple[type, ...]:
        return self.net.python

    def __str__(self) -> str:
        return self.net.full_name or self.net.name


def _equals(value: Any, other: Any) -> bool:
    from shared.expressions.list_types import net_equals

    return value is other or net_equals(value, other)


def _static_equals(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and _equals(a, b))


def _get_type(value: Any) -> TypeObject:
    named = catalog().find(value.short_name) if isinstance(value, ExpressionFailed) else None
    return TypeObject(named or catalog().type_of(value) or OBJECT)


OBJECT: NetType = NetType(
    "object",
    full_name="System.Object",
    aliases=("Object",),
    check=lambda value: True,
    cast=lambda target, value: value,
    construct=lambda types: TypeObject(TYPE),
    methods=returning("string", ToString=lambda value, *rest: text(value))
    | returning("int", GetHashCode=hash_code)
    | returning("bool", Equals=_equals)
    | returning("Type", GetType=_get_type),
    statics=returning("bool", Equals=_static_equals, ReferenceEquals=lambda a, b: content_of(a) is content_of(b)),
)
DYNAMIC = NetType("dynamic", cast=lambda target, value: value, check=lambda value: True, dynamic=True)


def _nullable_value(maybe: Any) -> Any:
    if maybe is None:
        raise ExpressionFailed("InvalidOperationException", "Nullable object must have a value.")
    return maybe


def _nullable_text(maybe: Any, *arguments: Any) -> str:
    """A null without a value is the empty text."""
    if maybe is None:
        return ""
    member = catalog().member_of(maybe, "ToString", called=True)
    return text(maybe) if member is None else text(member.function(maybe, *arguments))


NULLABLE = NetType(
    "Nullable",
    dynamic=True,
    properties=returning("bool", HasValue=lambda maybe: maybe is not None) | returning(None, Value=_nullable_value),
    methods=returning(None, GetValueOrDefault=lambda maybe, default=0: default if maybe is None else maybe)
    | returning("string", ToString=_nullable_text),
)
TYPE: NetType = NetType(
    "Type",
    (TypeObject,),
    properties=returning(
        "string",
        Name=lambda value: str(value).rpartition(".")[2],
        FullName=str,
        Namespace=lambda value: str(value).rpartition(".")[0],
    ),
)
DELEGATE = NetType(
    "Delegate",
    aliases=("Func", "Action", "Predicate", "Comparison", "Converter"),
    dynamic=True,
    check=callable,
)
VOID = NetType("void")


class Catalog:
    """Types by C# name and by Python class; what an expression may use and nothing else."""

    def __init__(self, types: Iterable[NetType]) -> None:
        self.types = tuple(types)
        self._by_name: dict[str, NetType] = {}
        self._by_python: dict[type, NetType] = {}
        self._foreign: list[NetType] = []
        self._members: dict[str, list[Member]] = {}
        for net in self.types:
            for name in (net.name, *net.aliases):
                self._by_name[name] = net
            for python in net.python:
                self._by_python.setdefault(python, net)
            if not net.python:
                self._foreign.append(net)
            for name in net.names(static=False):
                self._members.setdefault(name, []).extend(
                    member for called in (True, False) if (member := net.find(name, called=called)) is not None
                )
        self._setters = {name for net in self.types for name in net.settable}

    def find(self, name: str) -> NetType | None:
        return self._by_name.get(name)

    def known(self, name: str) -> NetType:
        return self._by_name[name]

    def type_names(self) -> list[str]:
        return list(self._by_name)

    def has_member(self, name: str) -> bool:
        """Whether any type has an instance member of that name."""
        return name in self._members or name in ("HasValue", "Value", "Invoke")

    def has_setter(self, name: str) -> bool:
        return name in self._setters

    def member_names(self) -> list[str]:
        return list(self._members)

    def generic_methods(self, name: str) -> list[Member]:
        """The methods of that name, of any type, that take type arguments."""
        return [member for member in self._members.get(name, ()) if member.is_method and member.takes_types]

    def null_member(self, name: str) -> Member | None:
        """The extension method that takes a null receiver, if there is one of that name."""
        return next(
            (member for member in self._members.get(name, ()) if member.accepts_null and member.is_method), None
        )

    def type_of(self, value: Any) -> NetType | None:
        """The type of a value by its class or the nearest base of it."""
        for python in type(value).__mro__:
            net = self._by_python.get(python)
            if net is not None:
                return net
        return DELEGATE if callable(value) else None

    def member_of(self, value: Any, name: str, *, called: bool = False) -> Member | None:
        """The member of that name for this value; for the gateway's own objects the first that fits it."""
        net = self.type_of(value)
        if net is not None:
            return net.find(name, called=called) or OBJECT.find(name)
        for candidate in self._foreign:
            member = candidate.find(name, called=called)
            if member is None or member.is_static:
                continue
            if member.is_method:
                return member
            try:
                member.function(value)
            except AttributeError:
                continue
            return member
        return OBJECT.find(name)

    def full_name_of(self, value: Any) -> str:
        """The .NET name of a value's type, as messages show it."""
        net = self.type_of(value)
        return (net.full_name or net.name) if net is not None else type(value).__name__


def full_name_of(value: Any) -> str:
    return catalog().full_name_of(value)


def short_name_of(value: Any) -> str:
    """The C# name of a value's type: ``string``, ``int``; ``<null>`` for null."""
    if value is None:
        return "<null>"
    net = catalog().type_of(value)
    return net.name if net is not None else "object"


@cache
def catalog() -> "Catalog":
    """The one catalog; built at the first expression, since most of a cold start has none."""
    from shared.expressions import (
        certificates,
        convert_types,
        crypto,
        date_types,
        enums,
        exceptions,
        json_convert,
        json_types,
        linq,
        list_types,
        map_types,
        math_types,
        members,
        number_types,
        regexes,
        strings,
        text_types,
        time_zones,
        tokens,
        uris,
        xml_types,
    )

    basic = (OBJECT, DYNAMIC, NULLABLE, TYPE, DELEGATE, VOID)
    queries = (linq.ENUMERABLE, linq.ORDERED, linq.STATIC_ENUMERABLE, linq.GROUPING, linq.LOOKUP)
    types = (
        *basic,
        *queries,
        strings.STRING,
        strings.CHAR,
        *number_types.NUMBER_TYPES,
        *convert_types.CONVERT_TYPES,
        *math_types.MATH_TYPES,
        *list_types.LIST_TYPES,
        *map_types.MAP_TYPES,
        *json_types.JSON_TYPES,
        *json_convert.JSON_CONVERT_TYPES,
        *date_types.DATE_TYPES,
        time_zones.TIME_ZONE,
        *enums.ENUM_TYPES,
        enums.ENUM,
        *exceptions.EXCEPTION_TYPES,
        *text_types.TEXT_TYPES,
        *regexes.REGEX_TYPES,
        *uris.URI_TYPES,
        *crypto.CRYPTO_TYPES,
        *certificates.CERTIFICATE_TYPES,
        *tokens.TOKEN_TYPES,
        *xml_types.XML_TYPES,
        *members.CONTEXT_TYPES,
    )
    return Catalog(types)
