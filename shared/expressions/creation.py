"""``new``: objects with constructor and initialiser, arrays, anonymous objects and tuples."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.calls import Arguments
from shared.expressions.code import RUN, Code, Eval, Frame
from shared.expressions.dynamics import method_of, set_item, set_property
from shared.expressions.errors import out_of_range
from shared.expressions.lists import Anonymous, NetArray, NetTuple
from shared.expressions.nettypes import TypeRef

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Fill = Callable[[Frame, Any], None]


def _object(c: "Compiler", node: "Node") -> Code:
    kind = node.child_by_field_name("type")
    reference = c.type_reference(kind) if kind else None
    if reference is None:
        return c.fail(node, "new() needs a type here")
    return new_object(c, node, reference)


def new_object(c: "Compiler", node: "Node", reference: TypeRef) -> Code:
    """``new T(arguments) { ... }`` of a type already known, as a ``new()`` takes it from the declaration."""
    if reference.net.construct is None:
        if reference.net.name != "dynamic":
            c.fail(node, f"'{reference.net.name}' cannot be made with new")
        return Code(lambda frame: None, c.catalog.known("dynamic"))
    arguments = node.child_by_field_name("arguments")
    values = Arguments(c, arguments).runs
    construct = _constructor(reference, values)
    initializer = node.child_by_field_name("initializer")
    kind_after = c.static_net(reference.net)
    if initializer is None:
        return Code(construct, kind_after)
    fills = _initializer(c, initializer, reference)

    def run(frame: Frame) -> Any:
        made = construct(frame)
        for fill in fills:
            fill(frame, made)
        return made

    return Code(run, kind_after)


def _constructor(reference: TypeRef, values: list[Eval]) -> Eval:
    construct, types = reference.net.construct, reference.arguments
    assert construct is not None
    code = getattr(construct, "__code__", None)
    if code is not None and code.co_varnames[:1] == ("run",):
        return lambda frame: construct(frame[RUN], types, *[value(frame) for value in values])
    return lambda frame: construct(types, *[value(frame) for value in values])


def _initializer(c: "Compiler", node: "Node", reference: TypeRef) -> list[Fill]:
    """``{ a, b }``, ``{ {k, v} }``, ``{ ["k"] = v }`` and ``{ Name = v }``."""
    fills: list[Fill] = []
    for part in node.named_children:
        if part.type == "comment":
            continue
        left = part.child_by_field_name("left") if part.type == "assignment_expression" else None
        right = part.child_by_field_name("right") if part.type == "assignment_expression" else None
        if (
            left is not None
            and right is not None
            and left.type in ("element_binding_expression", "bracketed_argument_list")
        ):
            fills.append(_item_fill(c, left, right))
        elif left is not None and right is not None and left.type == "identifier":
            fills.append(_property_fill(c, left, right, reference))
        elif part.type == "initializer_expression":
            fills.append(_add_fill(c, [one for one in part.named_children if one.type != "comment"]))
        else:
            fills.append(_add_fill(c, [part]))
    return fills


def _item_fill(c: "Compiler", left: "Node", right: "Node") -> Fill:
    keys = Arguments(c, left).runs or [c.expression(left.named_children[-1]).run]
    key, value = keys[0], _value(c, right)
    return lambda frame, made: set_item(made, key(frame), value(frame))


def _property_fill(c: "Compiler", left: "Node", right: "Node", reference: TypeRef) -> Fill:
    name, net, known = c.text(left), reference.net, c.catalog
    if net.setter(name) is None and not net.dynamic:
        near = c.near(name, net.settable)
        c.fail(left, f"'{net.name}' has no member '{name}' that can be set{near}")
        return lambda frame, made: None
    value = _value(c, right)
    return lambda frame, made: set_property(known, made, name, value(frame))


def _value(c: "Compiler", node: "Node") -> Eval:
    if node.type == "initializer_expression":
        c.fail(node, "an initialiser within an initialiser is not supported here")
        return lambda frame: None
    return c.expression(node).run


def _add_fill(c: "Compiler", nodes: "list[Node]") -> Fill:
    values = [c.expression(one).run for one in nodes]
    find = method_of(c.catalog, "Add")

    def fill(frame: Frame, made: Any) -> None:
        frame[RUN].step()
        member = find(made)
        arguments = [value(frame) for value in values]
        if member.takes_run:
            member.function(frame[RUN], made, *arguments)
        else:
            member.function(made, *arguments)

    return fill


def _array(c: "Compiler", node: "Node") -> Code:
    """``new T[n]``, ``new T[] { ... }`` and ``new[] { ... }``."""
    kind = node.child_by_field_name("type")
    reference = c.type_reference(kind) if kind else None
    element = reference.arguments[0] if reference is not None and reference.arguments else None
    is_bytes = reference is not None and reference.net.name == "byte[]"
    items = next((one for one in node.named_children if one.type == "initializer_expression"), None)
    if items is not None:
        return Code(array_items(c, items, element, is_bytes), c.catalog.known("byte[]" if is_bytes else "Array"))
    rank = next((one for one in (kind.named_children if kind else ()) if one.type == "array_rank_specifier"), None)
    sizes = [one for one in rank.named_children if one.type != "comment"] if rank else []
    if len(sizes) != 1:
        return c.fail(node, "an array needs one size or its items")
    size = c.expression(sizes[0]).run

    def run(frame: Frame) -> Any:
        count = size(frame)
        if count < 0:
            raise out_of_range("length", "Non-negative number required.")
        frame[RUN].charge(count)
        if is_bytes:
            return bytearray(count)
        return NetArray([element.default() if element else None] * count, element)

    return Code(run, c.catalog.known("byte[]" if is_bytes else "Array"))


def array_items(c: "Compiler", node: "Node", element: TypeRef | None, is_bytes: bool) -> Eval:
    """The items between braces as an array."""
    values = [
        array_items(c, one, None, False) if one.type == "initializer_expression" else c.expression(one).run
        for one in node.named_children
        if one.type != "comment"
    ]
    convert = element.stored if element is not None else None

    def run(frame: Frame) -> Any:
        made = [value(frame) for value in values]
        if is_bytes:
            return bytearray(int(one) & 255 for one in made)
        return NetArray([convert(one) for one in made] if convert else made, element)

    return run


def _anonymous(c: "Compiler", node: "Node") -> Code:
    """``new { A = 1, x.B, c }``; a name not written is the last name of the value."""
    fields: list[tuple[str, Eval]] = []
    children = [one for one in node.children if one.type not in ("new", "{", "}", ",", "comment")]
    at = 0
    while at < len(children):
        if at + 2 < len(children) and children[at + 1].type == "=":
            name, value = c.text(children[at]), children[at + 2]
            at += 3
        elif children[at].type == "assignment_expression":
            name, value = c.text(children[at].children[0]), children[at].children[-1]
            at += 1
        else:
            value = children[at]
            name = c.text(value).replace("?", "").rpartition(".")[2]
            at += 1
        c.own_names.add(name)
        fields.append((name, c.expression(value).run))
    return Code(
        lambda frame: Anonymous({name: value(frame) for name, value in fields}), c.catalog.known("anonymous type")
    )


def _tuple(c: "Compiler", node: "Node") -> Code:
    names: list[str | None] = []
    values: list[Eval] = []
    for argument in node.named_children:
        if argument.type != "argument":
            continue
        name = argument.child_by_field_name("name")
        inner = argument.named_children[-1]
        inferred = (
            c.text(inner).rpartition(".")[2] if inner.type in ("identifier", "member_access_expression") else None
        )
        names.append(c.text(name) if name else inferred)
        values.append(c.expression(inner).run)
    c.own_names.update(name for name in names if name)
    fixed = tuple(names)
    return Code(lambda frame: NetTuple([value(frame) for value in values], fixed))


def _initializer_alone(c: "Compiler", node: "Node") -> Code:
    """``string[] a = { ... }``."""
    return Code(array_items(c, node, None, False), c.catalog.known("Array"))


EXPRESSIONS = {
    "object_creation_expression": _object,
    "array_creation_expression": _array,
    "implicit_array_creation_expression": _array,
    "anonymous_object_creation_expression": _anonymous,
    "implicit_object_creation_expression": _object,
    "tuple_expression": _tuple,
    "initializer_expression": _initializer_alone,
}
