"""Loops: foreach, for, while and do, with a frame per round where the body makes functions."""

from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import Store, declare, spread
from shared.expressions.code import BREAK, CONTINUE, RUN, Environment, Frame
from shared.expressions.errors import ExpressionFailed, null_reference
from shared.expressions.functions import makes_functions
from shared.expressions.lists import elements
from shared.expressions.nettypes import NetType
from shared.expressions.operations import condition

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler
from shared.expressions.declarations import Statement, declaration, effect


class Loop:
    """The body of a loop: with a frame per round when the body makes functions."""

    def __init__(self, c: "Compiler", node: "Node") -> None:
        self.environment: Environment | None = c.inner_environment() if makes_functions(node) else None

    def enter(self, frame: Frame) -> Frame:
        return self.environment.frame(frame) if self.environment is not None else frame


def foreach_loop(c: "Compiler", node: "Node") -> Statement:
    right, body_node = node.child_by_field_name("right"), node.child_by_field_name("body")
    left, kind = node.child_by_field_name("left"), node.child_by_field_name("type")
    if right is None or body_node is None or left is None:
        c.fail(node, "foreach needs a variable, a source and a body")
        return lambda frame: None
    code = c.expression(right)
    source = code.run
    loop = Loop(c, body_node)
    with c.nested(loop.environment):
        store = _foreach_variable(c, left, kind, code.type)
        body = c.statement(body_node)

    def run(frame: Frame) -> Any:
        items = source(frame)
        if items is None:
            raise null_reference()
        step = frame[RUN].step
        count = len(items) if isinstance(items, list) else -1
        for item in elements(items):
            step()
            inner = loop.enter(frame)
            store(inner, item)
            signal = body(inner)
            if count >= 0 and len(items) != count:
                message = "Collection was modified; enumeration operation may not execute."
                if signal is None or signal is CONTINUE:
                    raise ExpressionFailed("InvalidOperationException", message)
            if signal is not None and signal is not CONTINUE:
                return None if signal is BREAK else signal
        return None

    return run


def _foreach_variable(c: "Compiler", left: "Node", kind: "Node | None", source: NetType | None) -> Store:
    if left.type in ("tuple_pattern", "tuple_expression", "declaration_expression"):
        if left.type == "declaration_expression":
            left = left.named_children[-1]
        names = [one.named_children[-1] if one.type == "argument" else one for one in left.named_children]
        stores = [declare(c, one.child_by_field_name("name") or one, None) for one in names]
        return lambda frame, value: spread(frame, stores, value)
    reference = c.type_reference(kind) if kind is not None else None
    store = declare(c, left, reference, source if source is not None and source.name == "dynamic" else None)
    if reference is None or reference.net.name in ("object", "dynamic", "KeyValuePair"):
        return store
    cast = reference.cast
    return lambda frame, value: store(frame, cast(value))


def for_loop(c: "Compiler", node: "Node") -> Statement:
    body_node = node.child_by_field_name("body")
    if body_node is None:
        c.fail(node, "for needs a body")
        return lambda frame: None
    updates = [one for one in node.children_by_field_name("update") if one.is_named]
    condition_node = node.child_by_field_name("condition")
    starts = [one for one in node.children_by_field_name("initializer") if one.is_named]
    with c.nested():
        begin = [declaration(c, one) if one.type == "variable_declaration" else effect(c, one) for one in starts]
        test = condition(c, condition_node) if condition_node is not None else None
        after = [effect(c, one) for one in updates]
        loop = Loop(c, body_node)
        with c.nested(loop.environment):
            body = c.statement(body_node)

    def run(frame: Frame) -> Any:
        for statement in begin:
            statement(frame)
        step = frame[RUN].step
        while test is None or test(frame):
            step()
            signal = body(loop.enter(frame))
            if signal is not None and signal is not CONTINUE:
                return None if signal is BREAK else signal
            for statement in after:
                statement(frame)
        return None

    return run


def while_loop(c: "Compiler", node: "Node") -> Statement:
    test_node, body_node = node.child_by_field_name("condition"), node.child_by_field_name("body")
    parts = [one for one in node.named_children if one.type != "comment"]
    first_is_body = node.type == "do_statement"
    body_node = body_node or parts[0 if first_is_body else -1]
    test_node = test_node or parts[-1 if first_is_body else 0]
    with c.nested():
        test = condition(c, test_node)
        loop = Loop(c, body_node)
        with c.nested(loop.environment):
            body = c.statement(body_node)

    def run(frame: Frame) -> Any:
        step = frame[RUN].step
        going = first_is_body or test(frame)
        while going:
            step()
            signal = body(loop.enter(frame))
            if signal is not None and signal is not CONTINUE:
                return None if signal is BREAK else signal
            going = test(frame)
        return None

    return run
