"""Patterns: ``is``, the labels of ``switch``, and switch expressions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import Store, declare
from shared.expressions.code import Code, Frame
from shared.expressions.dynamics import get_dynamic
from shared.expressions.errors import ExpressionFailed
from shared.expressions.nettypes import TypeRef
from shared.expressions.operators import BINARY, equals

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Match = Callable[[Frame, Any], bool]


def pattern(c: "Compiler", node: "Node") -> Match:
    """The closure that tells whether a value matches, and sets the pattern's variables."""
    match node.type:
        case "discard":
            return lambda frame, value: True
        case "constant_pattern":
            return _constant(c, node.named_children[0])
        case "declaration_pattern":
            return _declaration(c, node)
        case "var_pattern":
            store = declare(c, node.named_children[-1], None)
            return lambda frame, value: _stored(frame, store, value)
        case "type_pattern":
            return _type(c, node.child_by_field_name("type") or node.named_children[0])
        case "relational_pattern":
            return _relational(c, node)
        case "negated_pattern":
            inner = pattern(c, node.named_children[-1])
            return lambda frame, value: not inner(frame, value)
        case "and_pattern" | "or_pattern":
            return _both(c, node)
        case "parenthesized_pattern":
            return pattern(c, node.named_children[0])
        case "recursive_pattern":
            return _recursive(c, node)
    return _constant(c, node)


def _stored(frame: Frame, store: Store, value: Any) -> bool:
    store(frame, value)
    return True


def _names_type(c: "Compiler", node: "Node") -> bool:
    if node.type in ("predefined_type", "generic_name", "array_type", "nullable_type"):
        return True
    name = c.text(node.named_children[-1] if node.type == "qualified_name" else node)
    return (
        node.type in ("identifier", "qualified_name")
        and c.scope.find(name) is None
        and c.catalog.find(name) is not None
    )


def _constant(c: "Compiler", node: "Node") -> Match:
    if _names_type(c, node):
        return _type(c, node)
    code = c.expression(node)
    if code.is_constant and code.constant is None:
        return lambda frame, value: value is None
    evaluate = code.run
    return lambda frame, value: equals(value, evaluate(frame))


def is_type(reference: TypeRef) -> Callable[[Any], bool]:
    """``value is T``: numbers match their own kind only, ``object`` anything but null."""
    if reference.net.name in ("object", "dynamic"):
        return lambda value: value is not None
    return reference.holds


def _type(c: "Compiler", node: "Node") -> Match:
    reference = c.type_reference(node)
    if reference is None:
        return lambda frame, value: True
    holds = is_type(reference)
    return lambda frame, value: holds(value)


def _declaration(c: "Compiler", node: "Node") -> Match:
    kind, name = node.child_by_field_name("type"), node.child_by_field_name("name")
    reference = c.type_reference(kind) if kind else None
    store = declare(c, name, reference) if name else None
    holds = is_type(reference) if reference else None

    def matches(frame: Frame, value: Any) -> bool:
        if holds is not None and not holds(value):
            return False
        if store is not None:
            store(frame, value)
        return True

    return matches


def _relational(c: "Compiler", node: "Node") -> Match:
    compare = BINARY[c.text(node.children[0])]
    bound = c.expression(node.named_children[-1]).run

    def matches(frame: Frame, value: Any) -> bool:
        try:
            return bool(compare(value, bound(frame)))
        except ExpressionFailed:
            return False

    return matches


def _both(c: "Compiler", node: "Node") -> Match:
    first, second = pattern(c, node.named_children[0]), pattern(c, node.named_children[-1])
    if node.type == "and_pattern":
        return lambda frame, value: first(frame, value) and second(frame, value)
    return lambda frame, value: first(frame, value) or second(frame, value)


def _recursive(c: "Compiler", node: "Node") -> Match:
    """``T { A: pattern } name`` and ``{ }``."""
    kind, name = node.child_by_field_name("type"), node.child_by_field_name("name")
    tests: list[Match] = [lambda frame, value: value is not None]
    if kind is not None:
        tests.append(_type(c, kind))
    for clause in node.named_children:
        if clause.type == "property_pattern_clause":
            tests.extend(_subpattern(c, one) for one in clause.named_children)
        elif clause.type == "positional_pattern_clause":
            tests.append(_positional(c, clause))
    if name is not None:
        store = declare(c, name, c.type_reference(kind) if kind else None)
        tests.append(lambda frame, value: _stored(frame, store, value))
    return lambda frame, value: all(test(frame, value) for test in tests)


def _subpattern(c: "Compiler", node: "Node") -> Match:
    name = c.text(node.named_children[0])
    if not c.catalog.has_member(name) and name not in c.own_names:
        c.fail(node, f"no supported type has a member '{name}'{c.near(name, c.catalog.member_names())}")
    inner = pattern(c, node.named_children[-1])
    known = c.catalog
    return lambda frame, value: inner(frame, get_dynamic(known, lambda _: value, name)(frame))


def _positional(c: "Compiler", node: "Node") -> Match:
    parts = [pattern(c, one.named_children[-1] if one.type == "subpattern" else one) for one in node.named_children]

    def matches(frame: Frame, value: Any) -> bool:
        items = list(value) if hasattr(value, "__iter__") else []
        return len(items) == len(parts) and all(part(frame, item) for part, item in zip(parts, items, strict=True))

    return matches


def _is(c: "Compiler", node: "Node") -> Code:
    return is_test(c, node.children[0], node.named_children[-1], negated=False)


def is_test(c: "Compiler", value: "Node", wanted: "Node", *, negated: bool) -> Code:
    """``value is wanted`` and ``value is not wanted``."""
    evaluate, matches = c.expression(value).run, pattern(c, wanted)
    return Code(lambda frame: matches(frame, evaluate(frame)) != negated, c.catalog.known("bool"))


def _switch(c: "Compiler", node: "Node") -> Code:
    evaluate = c.expression(node.children[0]).run
    arms: list[tuple[Match, Any, Any]] = []
    for arm in node.named_children:
        if arm.type != "switch_expression_arm":
            continue
        parts = [one for one in arm.named_children if one.type != "comment"]
        with c.nested():
            matches = pattern(c, parts[0])
            guard = next((one for one in parts if one.type == "when_clause"), None)
            when = c.expression(guard.named_children[-1]).run if guard else None
            arms.append((matches, when, c.expression(parts[-1]).run))

    def run(frame: Frame) -> Any:
        value = evaluate(frame)
        for matches, when, result in arms:
            if matches(frame, value) and (when is None or when(frame)):
                return result(frame)
        message = "Non-exhaustive switch expression failed to match its input."
        raise ExpressionFailed("SwitchExpressionException", message)

    return Code(run)


EXPRESSIONS = {"is_pattern_expression": _is, "is_expression": _is, "switch_expression": _switch}
