"""Calls, properties and indexers as closures: fixed at load where the type is known, else found by the value's type."""

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import out_target
from shared.expressions.code import RUN, Code, Eval, Frame
from shared.expressions.dynamics import get_dynamic, get_item, method_of
from shared.expressions.errors import ExpressionFailed, null_reference
from shared.expressions.inline import LARGE, Inline, call, charge, inline, not_null
from shared.expressions.inline import name as value_of
from shared.expressions.nettypes import Member, TypeRef
from shared.expressions.run import Run

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Types = tuple[TypeRef, ...]
Store = Callable[[Frame, Any], None]


class Arguments:
    """The arguments of one call: values in order, names where written, and where ``out`` values go."""

    def __init__(self, c: "Compiler", node: "Node | None") -> None:
        self.values: list[Inline] = []
        self.names: list[str | None] = []
        self.outs: list[Store] = []
        for argument in node.named_children if node else ():
            if argument.type == "argument":
                self._add(c, argument)

    @property
    def runs(self) -> list[Eval]:
        """The values as closures."""
        return [value.function() for value in self.values]

    def _add(self, c: "Compiler", node: "Node") -> None:
        name = node.child_by_field_name("name")
        inner = [one for one in node.children if one.is_named and one.type != "comment" and one != name]
        modifier = next((one.type for one in node.children if one.type in ("out", "ref", "in")), None)
        if modifier == "out":
            self.outs.append(out_target(c, inner[-1]))
        elif modifier == "ref":
            c.fail(node, "ref arguments are not supported")
        elif inner:
            self.values.append(c.expression(inner[-1]).inline)
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


def call_static(c: "Compiler", member: Member, node: "Node | None", types: Types) -> Inline:
    """A call of a static method, or (without arguments node) the method itself as a delegate."""
    if node is None:
        function = _bound(member, types)
        if member.takes_run:
            return call(lambda frame: lambda *arguments: function(frame[RUN], *arguments))
        return value_of(function)
    arguments = Arguments(c, node)
    arguments.place(c, node, member, c.text(node.parent.children[0]) if node.parent else "the method")
    return _with_outs(_called(member, types, arguments.values), arguments.outs)


def _called(member: Member, types: Types, values: list[Inline]) -> Inline:
    """The call of a member's function: what it asks for first, then these."""
    parts: dict[str, Any] = {f"a{place}": value for place, value in enumerate(values)}
    if member.takes_types:
        parts = {"types": types} | parts
    listed = [f"{{{part}}}" for part in parts]
    if member.takes_run:
        listed.insert(0, f"frame[{RUN}]")
    template = f"{{function}}({', '.join(listed)})"
    if member.usual is not None and all(value.text in value.names for value in values[1:]):
        usual = member.usual(types, [value.names[value.text] for value in values[1:]])
        template = usual.replace("{call}", template.replace("{a0}", "{u}")) if usual is not None else template
    made = inline(template, function=member.function, **parts)
    made.effects = made.effects or member.takes_run
    return made


def _with_outs(made: Inline, outs: list[Store]) -> Inline:
    """Store what the call gives for ``out`` arguments and give back its result, counted when it is a large text."""
    if not outs:
        told = f"(({{u}} := type({{t}} := {{made}})) is str and len({{t}}) > {LARGE}) or {{u}} is tuple"
        return inline(f"({{result}}(frame[{RUN}], {{t}}) if {told} else {{t}})", made=made, result=_result)
    run = made.function()

    def stored(frame: Frame) -> Any:
        result, *given = run(frame)
        for store, value in zip(outs, given, strict=False):
            store(frame, value)
        return result

    return call(stored)


def _result(run: Run, made: Any) -> Any:
    return made[0] if type(made) is tuple else charge(run, made)


def call_member(c: "Compiler", code: Code, name: str, member: "Member | str", node: "Node", types: Types) -> Inline:
    """``receiver.Name(arguments)``."""
    arguments = Arguments(c, node)
    if isinstance(member, str):
        return _with_outs(call(_call_dynamic(c, code.run, name, arguments.runs, types)), arguments.outs)
    arguments.place(c, node, member, name)
    receiver = code.inline if member.accepts_null or code.never_null else not_null(code.inline)
    made = _called(member, types, [receiver, *arguments.values])
    return _with_outs(made, arguments.outs) if arguments.outs or member.result in ("string", None) else made


def _call_dynamic(c: "Compiler", receiver: Eval, name: str, values: list[Eval], types: Types) -> Eval:
    find = method_of(c.catalog, name)
    bound: dict[Member, Callable[..., Any]] = {}

    def called(frame: Frame) -> Any:
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

    return called


def _delegate(receiver: Eval, function: Callable[..., Any], *, takes_run: bool) -> Eval:
    """A method of a value as a delegate; the value is the one at the time the delegate is made."""

    def make(frame: Frame) -> Any:
        target, run = receiver(frame), frame[RUN]
        if takes_run:
            return lambda *arguments: function(run, target, *arguments)
        return lambda *arguments: function(target, *arguments)

    return make


def get_property(c: "Compiler", code: Code, name: str, member: "Member | str") -> Inline:
    """``receiver.Name``; a method's name without a call gives a delegate."""
    if isinstance(member, str):
        return call(get_dynamic(c.catalog, code.run, name))
    if member.is_method:
        return call(_delegate(code.run, _bound(member, ()), takes_run=member.takes_run))
    receiver = code.inline if member.accepts_null or code.never_null else not_null(code.inline)
    if isinstance(member.function, attrgetter):
        attribute = member.function.__reduce__()[1][0]
        return inline(f"{{receiver}}.{attribute}", receiver=receiver)
    return _called(member, (), [receiver])


def call_delegate(c: "Compiler", code: Code, node: "Node") -> Code:
    """``function(arguments)`` of a lambda, a local function or any delegate value."""
    arguments = Arguments(c, node)
    if arguments.outs:
        return c.fail(node, "out arguments of local functions are not supported")
    target, values = code.run, arguments.runs

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
    key = arguments.values[0]
    fixed = code.type.index if code.type is not None else None
    if fixed is not None:
        receiver = code.inline if code.never_null else not_null(code.inline)
        run = inline("{item}({receiver}, {key})", item=fixed, receiver=receiver, key=key)
        return Code(run, c.catalog.find("string") if code.type is not None and code.type.name == "TextMap" else None)
    return Code(inline("{item}({receiver}, {key})", item=get_item, receiver=code.inline, key=key), _item_type(c, code))


def _item_type(c: "Compiler", code: Code) -> Any:
    return c.catalog.find("dynamic") if code.type is not None and code.type.name == "dynamic" else None
