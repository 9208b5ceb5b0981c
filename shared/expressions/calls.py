"""Calls, properties and indexers as closures: fixed at load where the type is known, else found by the value's type."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import out_target
from shared.expressions.code import RUN, Code, Eval, Frame
from shared.expressions.dynamics import get_dynamic, get_item, method_of
from shared.expressions.errors import ExpressionFailed, null_reference
from shared.expressions.nettypes import Member, TypeRef

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Types = tuple[TypeRef, ...]
Store = Callable[[Frame, Any], None]
_LARGE = 1024


class Arguments:
    """The arguments of one call: values in order, names where written, and where ``out`` values go."""

    def __init__(self, c: "Compiler", node: "Node | None") -> None:
        self.values: list[Eval] = []
        self.names: list[str | None] = []
        self.outs: list[Store] = []
        for argument in node.named_children if node else ():
            if argument.type == "argument":
                self._add(c, argument)

    def _add(self, c: "Compiler", node: "Node") -> None:
        name = node.child_by_field_name("name")
        inner = [one for one in node.children if one.is_named and one.type != "comment" and one != name]
        modifier = next((one.type for one in node.children if one.type in ("out", "ref", "in")), None)
        if modifier == "out":
            self.outs.append(out_target(c, inner[-1]))
        elif modifier == "ref":
            c.fail(node, "ref arguments are not supported")
        elif inner:
            self.values.append(c.expression(inner[-1]).run)
            self.names.append(c.text(name) if name else None)

    def place(self, c: "Compiler", node: "Node", member: Member, name: str) -> None:
        """Check the number of arguments and bring named ones to their parameter's place."""
        count = len(self.values)
        if any(self.names):
            self._order(member)
        if not member.minimum <= len(self.values) <= member.maximum:
            wanted = member.minimum if count < member.minimum else member.maximum
            c.fail(node, f"'{name}' does not take {count} argument{'' if count == 1 else 's'}, but {wanted}")

    def _order(self, member: Member) -> None:
        known = [one.replace("_", "").lower() for one in member.names]
        wanted = [name.lower() if name else None for name in self.names]
        if all(name is None or name in known for name in wanted):
            places = [known.index(name) if name else i for i, name in enumerate(wanted)]
            if sorted(places) == list(range(len(places))):
                self.values = [self.values[places.index(i)] for i in range(len(places))]


def _bound(member: Member, types: Types) -> Callable[..., Any]:
    """The member's function with its type arguments filled in."""
    function = member.function
    if not member.takes_types:
        return function
    if member.takes_run:
        return lambda run, *arguments: function(run, types, *arguments)
    return lambda *arguments: function(types, *arguments)


def call_static(c: "Compiler", member: Member, node: "Node | None", types: Types) -> Eval:
    """A call of a static method, or (without arguments node) the method itself as a delegate."""
    function = _bound(member, types)
    takes_run = member.takes_run
    if node is None:
        if takes_run:
            return lambda frame: lambda *arguments: function(frame[RUN], *arguments)
        return lambda frame: function
    arguments = Arguments(c, node)
    arguments.place(c, node, member, c.text(node.parent.children[0]) if node.parent else "the method")
    values = arguments.values
    if takes_run:
        run: Eval = lambda frame: function(frame[RUN], *[value(frame) for value in values])  # noqa: E731
    elif len(values) == 1:
        only = values[0]
        run = lambda frame: function(only(frame))  # noqa: E731
    else:
        run = lambda frame: function(*[value(frame) for value in values])  # noqa: E731
    return _with_outs(charged(run), arguments.outs)


def _with_outs(run: Eval, outs: list[Store]) -> Eval:
    """Store what the call gives for ``out`` arguments and give back its result."""
    if not outs:
        return lambda frame: found[0] if type(found := run(frame)) is tuple else found

    def call(frame: Frame) -> Any:
        result, *given = run(frame)
        for store, value in zip(outs, given, strict=False):
            store(frame, value)
        return result

    return call


def charged(run: Eval) -> Eval:
    """Count a large text a call makes against the evaluation's memory."""

    def call(frame: Frame) -> Any:
        made = run(frame)
        if type(made) is str and len(made) > _LARGE:
            frame[RUN].charge(len(made))
        return made

    return call


def call_member(c: "Compiler", code: Code, name: str, member: "Member | str", node: "Node", types: Types) -> Eval:
    """``receiver.Name(arguments)``."""
    arguments = Arguments(c, node)
    if isinstance(member, str):
        return _with_outs(charged(_call_dynamic(c, code.run, name, arguments.values, types)), arguments.outs)
    arguments.place(c, node, member, name)
    run = _call_known(code.run, member, arguments.values, types)
    return _with_outs(charged(run), arguments.outs) if arguments.outs or member.result in ("string", None) else run


def _call_known(receiver: Eval, member: Member, values: list[Eval], types: Types) -> Eval:
    function = _bound(member, types)
    nullable = member.accepts_null
    if member.takes_run:

        def with_run(frame: Frame) -> Any:
            target = receiver(frame)
            if target is None and not nullable:
                raise null_reference()
            return function(frame[RUN], target, *[value(frame) for value in values])

        return with_run
    if len(values) == 1:
        only = values[0]

        def with_one(frame: Frame) -> Any:
            target = receiver(frame)
            if target is None and not nullable:
                raise null_reference()
            return function(target, only(frame))

        return with_one

    def with_any(frame: Frame) -> Any:
        target = receiver(frame)
        if target is None and not nullable:
            raise null_reference()
        return function(target, *[value(frame) for value in values])

    return with_any


def _call_dynamic(c: "Compiler", receiver: Eval, name: str, values: list[Eval], types: Types) -> Eval:
    find = method_of(c.catalog, name)
    bound: dict[Member, Callable[..., Any]] = {}

    def call(frame: Frame) -> Any:
        target = receiver(frame)
        member = find(target)
        if not isinstance(member, Member):
            return member(*[value(frame) for value in values])
        function = bound.get(member)
        if function is None:
            function = bound[member] = _bound(member, types)
        arguments = [value(frame) for value in values]
        if not member.minimum <= len(arguments) <= member.maximum:
            message = f"No overload for method '{name}' takes {len(arguments)} arguments"
            raise ExpressionFailed("RuntimeBinderException", message)
        return function(frame[RUN], target, *arguments) if member.takes_run else function(target, *arguments)

    return call


def _delegate(receiver: Eval, function: Callable[..., Any], *, takes_run: bool) -> Eval:
    """A method of a value as a delegate; the value is the one at the time the delegate is made."""

    def make(frame: Frame) -> Any:
        target, run = receiver(frame), frame[RUN]
        if takes_run:
            return lambda *arguments: function(run, target, *arguments)
        return lambda *arguments: function(target, *arguments)

    return make


def get_property(c: "Compiler", code: Code, name: str, member: "Member | str") -> Eval:
    """``receiver.Name``; a method's name without a call gives a delegate."""
    receiver = code.run
    if isinstance(member, str):
        return get_dynamic(c.catalog, receiver, name)
    function = member.function
    if member.is_method:
        bound = _bound(member, ())
        return _delegate(receiver, bound, takes_run=member.takes_run)
    if member.takes_run:

        def with_run(frame: Frame) -> Any:
            target = receiver(frame)
            if target is None and not member.accepts_null:
                raise null_reference()
            return function(frame[RUN], target)

        return with_run

    if member.accepts_null:
        return lambda frame: function(receiver(frame))

    def plain(frame: Frame) -> Any:
        target = receiver(frame)
        if target is None:
            raise null_reference()
        return function(target)

    return plain


def call_delegate(c: "Compiler", code: Code, node: "Node") -> Code:
    """``function(arguments)`` of a lambda, a local function or any delegate value."""
    arguments = Arguments(c, node)
    if arguments.outs:
        return c.fail(node, "out arguments of local functions are not supported")
    target, values = code.run, arguments.values

    def run(frame: Frame) -> Any:
        function = target(frame)
        if not callable(function):
            raise null_reference()
        return function(*[value(frame) for value in values])

    return Code(run, None)


def indexed(c: "Compiler", code: Code, node: "Node") -> Code:
    """``receiver[key]``."""
    arguments = Arguments(c, node)
    if len(arguments.values) != 1:
        return c.fail(node, "an indexer takes one argument here")
    receiver, key = code.run, arguments.values[0]
    fixed = code.type.index if code.type is not None else None
    if fixed is not None:

        def run(frame: Frame) -> Any:
            target = receiver(frame)
            if target is None:
                raise null_reference()
            return fixed(target, key(frame))

        return Code(run, c.catalog.find("string") if code.type is not None and code.type.name == "TextMap" else None)
    return Code(lambda frame: get_item(receiver(frame), key(frame)), _item_type(c, code))


def _item_type(c: "Compiler", code: Code) -> Any:
    return c.catalog.find("dynamic") if code.type is not None and code.type.name == "dynamic" else None
