"""Declarations of variables, statements one after the other, and expressions for their effect."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import conversion, declare, default_value, spread
from shared.expressions.code import Code, Eval, Frame
from shared.expressions.creation import array_items, new_object
from shared.expressions.nettypes import TypeRef

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler


Statement = Callable[[Frame], Any]


def sequence(statements: list[Statement]) -> Statement:
    """Statements one after the other, until one leaves."""
    if len(statements) == 1:
        return statements[0]

    def run(frame: Frame) -> Any:
        for statement in statements:
            signal = statement(frame)
            if signal is not None:
                return signal
        return None

    return run


def declaration(c: "Compiler", node: "Node") -> Statement:
    variables = next((one for one in node.named_children if one.type == "variable_declaration"), node)
    kind = variables.child_by_field_name("type") or variables.named_children[0]
    reference = c.type_reference(kind)
    is_constant = any(c.text(one) == "const" for one in node.children if one.type == "modifier")
    made: list[Statement] = []
    for one in variables.named_children:
        if one.type == "variable_declarator":
            made.append(_declarator(c, one, reference, is_constant))
    return sequence(made)


def _declarator(c: "Compiler", node: "Node", reference: TypeRef | None, is_constant: bool) -> Statement:
    name = node.named_children[0]
    value_node = node.named_children[-1] if len(node.named_children) > 1 else None
    if name.type == "tuple_pattern" and value_node is not None:
        return _pattern_declarator(c, name, value_node)
    code = _initial_value(c, value_node, reference)
    if reference is None and value_node is None:
        c.fail(node, f"'{c.text(name)}' needs a value when declared with var")
    store = declare(c, name, reference, code.type)
    variable = c.scope.find(c.text(name))
    if variable is not None:
        variable.is_constant = is_constant
        if reference is None or reference.net.name in ("object", "dynamic"):
            variable.type = c.catalog.find("dynamic") if reference and reference.net.name == "dynamic" else code.type
    evaluate = code.run
    if value_node is None:
        evaluate = _initial_default(reference)

    def run(frame: Frame) -> None:
        store(frame, evaluate(frame))

    if variable is not None and conversion(reference) is None:
        slot = variable.slot

        def direct(frame: Frame) -> None:
            frame[slot] = evaluate(frame)

        return direct
    return run


def _initial_default(reference: TypeRef | None) -> Eval:
    value = reference.default() if reference is not None else None
    return lambda frame: value


def _initial_value(c: "Compiler", node: "Node | None", reference: TypeRef | None) -> Code:
    if node is None:
        return Code(lambda frame: None)
    if node.type == "initializer_expression" and reference is not None:
        is_bytes = reference.net.name == "byte[]"
        element = reference.arguments[0] if reference.arguments else None
        return Code(array_items(c, node, element, is_bytes), reference.net)
    if node.type == "implicit_object_creation_expression" and reference is not None:
        return new_object(c, node, reference)
    return default_value(c, node, reference) or c.expression(node)


def _pattern_declarator(c: "Compiler", name: "Node", value: "Node") -> Statement:
    evaluate = c.expression(value).run
    stores = [declare(c, one, None) for one in name.named_children]
    return lambda frame: spread(frame, stores, evaluate(frame))


def effect(c: "Compiler", node: "Node") -> Statement:
    evaluate = c.expression(node).run

    def run(frame: Frame) -> None:
        evaluate(frame)

    return run
