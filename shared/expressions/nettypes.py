"""How a .NET type is described: its members as Python functions, and a reference to it with type arguments."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.expressions.errors import ExpressionFailed

Function = Callable[..., Any]
Usual = Callable[[Any, list[Any]], str | None]
"""From type arguments and literal arguments to a template (see ``inline``) that does the same as the function for the
usual case without calling it: ``{a0}`` is the receiver, which may stand there once, ``{a1}`` ... the arguments,
``{call}`` the function's call for all other cases, with ``{u}`` as its receiver. None where there is no such case."""


class Member:
    """One property, method or static member.

    ``function`` takes the receiver first (not for static ones). A leading parameter named ``run`` asks for the
    running evaluation, one named ``types`` for the type arguments. A method with ``out`` arguments returns a
    tuple: its result, then what goes to each ``out``. A receiver named ``maybe`` may be null (extension methods).
    A function's attribute ``usual`` is what `Usual` says.
    """

    __slots__ = (
        "accepts_null",
        "function",
        "is_method",
        "is_static",
        "maximum",
        "minimum",
        "names",
        "result",
        "takes_run",
        "takes_types",
        "usual",
    )

    def __init__(self, function: Function, result: str | None, *, is_method: bool, is_static: bool) -> None:
        self.function = function
        self.result = result
        self.is_method = is_method
        self.is_static = is_static
        self.usual: Usual | None = getattr(function, "usual", None)
        code = getattr(function, "__code__", None)
        names: tuple[str, ...] = code.co_varnames[: code.co_argcount] if code else ()
        self.takes_run = names[:1] == ("run",)
        names = names[self.takes_run :]
        self.takes_types = names[:1] == ("types",)
        names = names[self.takes_types :]
        self.accepts_null = not is_static and names[:1] == ("maybe",)
        self.names = names if is_static else names[1:]
        self.minimum, self.maximum = 0, 99
        if code:
            defaults = len(getattr(function, "__defaults__", None) or ())
            self.minimum = max(len(self.names) - defaults, 0)
            self.maximum = 99 if code.co_flags & 0x04 else len(self.names)


def returning(result: str | None, **members: Function) -> dict[str, tuple[str | None, Function]]:
    """Members that share a result type, by their C# names; ``None`` when it is not known before the run."""
    return {name: (result, function) for name, function in members.items()}


Members = dict[str, tuple[str | None, Function]]


@dataclass(eq=False)
class NetType:
    """A .NET type: the Python classes its values have, and what can be done with them."""

    name: str
    python: tuple[type, ...] = ()
    full_name: str = ""
    aliases: tuple[str, ...] = ()
    base: "NetType | None" = None
    properties: Members = field(default_factory=dict)
    methods: Members = field(default_factory=dict)
    statics: Members = field(default_factory=dict)
    constants: Members = field(default_factory=dict)
    """Static properties and fields: functions without arguments, or taking ``run``."""
    construct: Function | None = None
    """Takes ``types`` (and ``run`` when it asks) and the constructor's arguments."""
    check: Callable[[Any], bool] | None = None
    cast: "Callable[[TypeRef, Any], Any] | None" = None
    default: Any = None
    is_value: bool = False
    dynamic: bool = False
    """Members are looked up when the value is known, without a check at load."""
    index: Callable[[Any, Any], Any] | None = None
    """The indexer, where it is known by the type alone."""
    settable: dict[str, Callable[[Any, Any], None]] = field(default_factory=dict)
    _members: dict[str, Member] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for group, method, static in (
            (self.properties, False, False),
            (self.methods, True, False),
            (self.statics, True, True),
            (self.constants, False, True),
        ):
            for name, (result, function) in group.items():
                key = f"static {name}" if static else f"{name}()" if method else name
                self._members[key] = Member(function, result, is_method=method, is_static=static)

    def find(self, name: str, *, called: bool = False) -> Member | None:
        """The instance member of that C# name, own or inherited: a method when it is called, else a property."""
        first, second = (f"{name}()", name) if called else (name, f"{name}()")
        return self._inherited(first) or self._inherited(second)

    def _inherited(self, key: str) -> Member | None:
        net: NetType | None = self
        while net is not None:
            if key in net._members:
                return net._members[key]
            net = net.base
        return None

    def find_static(self, name: str) -> Member | None:
        return self._members.get(f"static {name}") or (self.base.find_static(name) if self.base else None)

    def setter(self, name: str) -> Callable[[Any, Any], None] | None:
        return self.settable.get(name) or (self.base.setter(name) if self.base else None)

    def names(self, *, static: bool) -> Iterable[str]:
        own = [
            key.removeprefix("static ").removesuffix("()")
            for key, member in self._members.items()
            if member.is_static == static
        ]
        return [*own, *(self.base.names(static=static) if self.base else ())]

    def holds(self, value: Any) -> bool:
        """Whether ``value is ThisType`` in C#; never for null."""
        if value is None:
            return False
        if self.check:
            return self.check(value)
        return isinstance(value, self.python)


@dataclass(frozen=True, eq=False)
class TypeRef:
    """A type as written in an expression: ``List<string>``, ``int?``, ``JObject[]``."""

    net: NetType
    arguments: "tuple[TypeRef, ...]" = ()
    nullable: bool = False
    names: tuple[str | None, ...] = ()
    """Element names of a tuple type."""

    @property
    def full_name(self) -> str:
        return self.net.full_name or self.net.name

    def default(self) -> Any:
        if self.names and self.net.construct is not None and not self.nullable:
            return self.cast(self.net.construct((), *(element.default() for element in self.arguments)))
        return None if self.nullable else self.net.default

    def holds(self, value: Any) -> bool:
        return self.net.holds(value)

    def cast(self, value: Any) -> Any:
        """An explicit conversion, ``(T)value``, as C# does it at run time."""
        if value is None:
            if self.nullable or not self.net.is_value:
                return None
            raise ExpressionFailed("NullReferenceException", "Object reference not set to an instance of an object.")
        if self.net.cast:
            return self.net.cast(self, value)
        if self.net.holds(value):
            return value
        raise invalid_cast(value, self.full_name)

    def stored(self, value: Any) -> Any:
        """The value as an element of this type: an int among doubles becomes one, a tuple takes the names written."""
        return self.cast(value) if self.net.is_value or self.net.name == "Tuple" else value


def invalid_cast(value: Any, target: str) -> ExpressionFailed:
    from shared.expressions.catalog import full_name_of

    return ExpressionFailed(
        "InvalidCastException", f"Unable to cast object of type '{full_name_of(value)}' to type '{target}'."
    )
