"""Assignments to variables, items, properties and tuples; ``++``, ``--``, and where ``out`` values go."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.expressions.code import PARENT, Code, Eval, Frame, constant, writer
from shared.expressions.dynamics import get_dynamic, get_item, set_item, set_property
from shared.expressions.errors import ExpressionFailed, null_reference
from shared.expressions.nettypes import NetType, TypeRef
from shared.expressions.numbers import INT_MAX, Char
from shared.expressions.operators import BINARY

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Store = Callable[[Frame, Any], None]


class Place(NamedTuple):
    """Something that can be assigned to. ``prepare`` evaluates what it needs once, before the value."""

    prepare: Callable[[Frame], Any]
    load: Callable[[Frame, Any], Any]
    store: Callable[[Frame, Any, Any], None]
    type: NetType | None = None


def conversion(reference: TypeRef | None) -> Callable[[Any], Any] | None:
    """What assigning to a variable of a type does to a value; none where the value stays as it is."""
    if reference is None:
        return None
    name = reference.net.name
    if name == "int" and not reference.nullable:
        cast = reference.cast
        return lambda value: value if type(value) is int else cast(value)
    if reference.net.is_value or name == "Tuple":
        return reference.cast
    if name == "string":
        cast_text = reference.cast
        return lambda value: value if type(value) is str or value is None else cast_text(value)
    return None


def default_value(c: "Compiler", node: "Node", reference: TypeRef | None) -> Code | None:
    """``default`` without a type takes the type of what it is assigned to."""
    if node.type == "default_expression" and node.child_by_field_name("type") is None and reference is not None:
        return constant(reference.default(), c.static_type(reference))
    return None


def place_of(c: "Compiler", node: "Node") -> Place | None:
    """The place an assignable expression stands for; none (and a problem) when it is not assignable."""
    match node.type:
        case "identifier" | "discard":
            return _variable_place(c, node)
        case "element_access_expression":
            return _item_place(c, node)
        case "member_access_expression":
            return _property_place(c, node)
        case "parenthesized_expression":
            return place_of(c, node.named_children[0])
    c.fail(node, f"'{c.text(node)}' cannot be assigned to")
    return None


def _variable_place(c: "Compiler", node: "Node") -> Place | None:
    name = c.text(node)
    variable = c.scope.find(name)
    if variable is None:
        if name == "_":
            return Place(lambda frame: None, lambda frame, _: None, lambda frame, _, value: None)
        near = c.near(name, c.scope.visible())
        c.fail(node, f"the name '{name}' does not exist here{near}")
        return None
    if variable.is_constant:
        c.fail(node, f"'{name}' is a constant and cannot be assigned to")
        return None
    read, write, convert = (
        c.read(variable).function(),
        writer(variable.slot, c.scope.depth_of(variable)),
        conversion(variable.reference),
    )
    if convert is None:
        return Place(
            lambda frame: None, lambda frame, _: read(frame), lambda frame, _, value: write(frame, value), variable.type
        )
    return Place(
        lambda frame: None,
        lambda frame, _: read(frame),
        lambda frame, _, value: write(frame, convert(value)),
        variable.type,
    )


def _item_place(c: "Compiler", node: "Node") -> Place | None:
    target = c.expression(node.child_by_field_name("expression") or node.children[0])
    keys = [
        one
        for one in (node.child_by_field_name("subscript") or node.children[-1]).named_children
        if one.type == "argument"
    ]
    if target.type is not None and target.type.name in ("Variables", "TextMap", "Headers"):
        c.fail(node, f"'{c.text(node)}' cannot be assigned to -- it is read only")
        return None
    if len(keys) != 1:
        c.fail(node, "an indexer takes one argument here")
        return None
    receiver, key = target.run, c.expression(keys[0].named_children[-1]).run
    return Place(
        lambda frame: (receiver(frame), key(frame)),
        lambda frame, at: get_item(*at),
        lambda frame, at, value: set_item(at[0], at[1], value),
    )


def _property_place(c: "Compiler", node: "Node") -> Place | None:
    target = c.expression(node.child_by_field_name("expression") or node.children[0])
    name_node = node.child_by_field_name("name") or node.children[-1]
    name, known = c.text(name_node), c.catalog
    net = target.type
    if net is not None and not net.dynamic and net.setter(name) is None and name not in c.own_names:
        c.fail(name_node, f"'{net.name}.{name}' cannot be assigned to")
        return None
    if net is None and name not in c.own_names and not known.has_setter(name):
        c.fail(name_node, f"no supported type has a member '{name}' that can be assigned to")
        return None
    receiver = target.run
    return Place(
        receiver,
        lambda frame, at: get_dynamic(known, lambda _: at, name)(frame),
        lambda frame, at, value: set_property(known, at, name, value),
    )


def _assignment(c: "Compiler", node: "Node") -> Code:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    operator_node = node.child_by_field_name("operator")
    if left is None or right is None:
        return c.fail(node, "an assignment needs a place and a value")
    operator = c.text(operator_node) if operator_node else "="
    if left.type in ("tuple_expression", "declaration_expression", "tuple_pattern"):
        return _deconstruction(c, left, right)
    reference = None
    if left.type == "identifier" and (variable := c.scope.find(c.text(left))) is not None:
        reference = variable.reference
    value = default_value(c, right, reference) or c.expression(right)
    place = place_of(c, left)
    if place is None:
        return value
    match operator:
        case "=":
            return _plain(place, value)
        case "??=":
            return _when_null(place, value)
    if operator[:-1] not in BINARY:
        return c.fail(node, f"the operator {operator} is not supported")
    return _compound(place, operator[:-1], value.run)


def _plain(place: Place, value: Code) -> Code:
    prepare, store, evaluate = place.prepare, place.store, value.run

    def run(frame: Frame) -> Any:
        at = prepare(frame)
        made = evaluate(frame)
        store(frame, at, made)
        return made

    return Code(run, value.type)


def _when_null(place: Place, value: Code) -> Code:
    evaluate = value.run

    def run(frame: Frame) -> Any:
        at = place.prepare(frame)
        found = place.load(frame, at)
        if found is None:
            found = evaluate(frame)
            place.store(frame, at, found)
        return found

    return Code(run, place.type)


def _compound(place: Place, operator: str, evaluate: Eval) -> Code:
    compute = BINARY[operator]

    def run(frame: Frame) -> Any:
        at = place.prepare(frame)
        made = compute(place.load(frame, at), evaluate(frame))
        if type(made) is str and len(made) > 1024:
            frame[1].charge(len(made))
        place.store(frame, at, made)
        return made

    return Code(run, place.type)


def step(c: "Compiler", operand: "Node", operator: str, *, after: bool) -> Code:
    """``++`` and ``--``; after the operand they give the value from before."""
    place = place_of(c, operand)
    if place is None:
        return constant(None)
    amount = 1 if operator == "++" else -1
    add = BINARY["+"]

    def run(frame: Frame) -> Any:
        at = place.prepare(frame)
        old = place.load(frame, at)
        if old is None:
            raise null_reference()
        new = old + amount if type(old) is int and -INT_MAX < old < INT_MAX else add(old, amount)
        if type(new) is not type(old) and isinstance(old, int | Char):  # a char stays one, a byte too
            kind = c.catalog.type_of(old)
            new = new if kind is None else TypeRef(kind).cast(new)
        place.store(frame, at, new)
        return old if after else new

    return Code(run, place.type)


def _postfix(c: "Compiler", node: "Node") -> Code:
    operator = node.children[-1].type
    if operator == "!":
        return c.expression(node.children[0])
    return step(c, node.children[0], operator, after=True)


def declare(c: "Compiler", name_node: "Node", reference: TypeRef | None, kind: NetType | None = None) -> Store:
    """Declare a variable and give the closure that sets it."""
    name = c.text(name_node)
    if name == "_":
        return lambda frame, value: None
    variable = c.scope.declare(name, c.static_type(reference) if reference else kind, reference)
    slot, convert = variable.slot, conversion(reference)
    depth = c.scope.depth_of(variable)

    def store(frame: Frame, value: Any) -> None:
        for _ in range(depth):
            frame = frame[PARENT]
        frame[slot] = value if convert is None else convert(value)

    return store


def out_target(c: "Compiler", node: "Node") -> Store:
    """Where an ``out`` argument goes: ``out var x``, ``out int x``, ``out x`` or ``out _``."""
    if node.type == "declaration_expression":
        kind, name = node.child_by_field_name("type"), node.child_by_field_name("name")
        if name is None:
            c.fail(node, "an out variable needs a name")
            return lambda frame, value: None
        return declare(c, name, c.type_reference(kind) if kind else None)
    place = place_of(c, node)
    if place is None:
        return lambda frame, value: None
    return lambda frame, value: place.store(frame, place.prepare(frame), value)


def targets(c: "Compiler", node: "Node") -> list[Store]:
    """The places of ``(a, var b)`` and ``var (a, b)``, in order."""
    stores: list[Store] = []
    for child in node.named_children:
        inner = child.named_children[-1] if child.type == "argument" else child
        if node.type == "tuple_pattern":
            stores.append(declare(c, inner, None))
        elif inner.type in ("tuple_expression", "tuple_pattern"):
            nested = targets(c, inner)
            stores.append(lambda frame, value, nested=nested: spread(frame, nested, value))  # type: ignore[misc]
        else:
            stores.append(out_target(c, inner))
    return stores


def spread(frame: Frame, stores: list[Store], value: Any) -> None:
    """Hand the parts of a tuple or pair to their places."""
    if value is None:
        raise null_reference()
    parts = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else []
    if hasattr(type(value), "is_json_property"):
        parts = [value.Name, value.Value]
    if len(parts) != len(stores):
        raise ExpressionFailed("RuntimeBinderException", f"Cannot deconstruct a value into {len(stores)} variables")
    for store, part in zip(stores, parts, strict=True):
        store(frame, part)


def _deconstruction(c: "Compiler", left: "Node", right: "Node") -> Code:
    value = c.expression(right)
    if left.type == "declaration_expression":
        left = left.named_children[-1]
    stores = targets(c, left)
    evaluate = value.run

    def run(frame: Frame) -> Any:
        made = evaluate(frame)
        spread(frame, stores, made)
        return made

    return Code(run)


EXPRESSIONS = {
    "assignment_expression": _assignment,
    "postfix_unary_expression": _postfix,
}
