"""Statements: each compiles to a closure that gives nothing, BREAK, CONTINUE, or ``(value,)`` for a return."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import Store, conversion, declare, default_value, spread
from shared.expressions.code import RUN, Code, Environment, Eval, Frame
from shared.expressions.creation import array_items, new_object
from shared.expressions.endings import can_end
from shared.expressions.errors import ExpressionFailed, LimitExceeded, as_net_exception, null_reference
from shared.expressions.functions import function, makes_functions, parameters
from shared.expressions.lists import elements
from shared.expressions.nettypes import TypeRef
from shared.expressions.operations import condition, thrown, truth
from shared.expressions.patterns import Match, pattern
from shared.message import BodyNotBuffered

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Statement = Callable[[Frame], Any]
BREAK, CONTINUE = "break", "continue"
_EFFECTS = frozenset(
    (
        "assignment_expression",
        "invocation_expression",
        "conditional_access_expression",
        "postfix_unary_expression",
        "prefix_unary_expression",
        "object_creation_expression",
        "parenthesized_expression",
        "await_expression",
    )
)


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


def block_of(c: "Compiler", nodes: "list[Node]") -> Statement:
    """Statements in a scope; local functions are known in all of it, also before their place."""
    with c.nested():
        for node in nodes:
            if node.type == "local_function_statement":
                name = node.child_by_field_name("name")
                if name is not None:
                    c.scope.declare(c.text(name), c.catalog.find("Delegate"))
        compiled = [(node.type == "local_function_statement", c.statement(node)) for node in nodes]
        first = [statement for is_function, statement in compiled if is_function]
        return sequence([*first, *(statement for is_function, statement in compiled if not is_function)])


def _block(c: "Compiler", node: "Node") -> Statement:
    return block_of(c, [one for one in node.named_children if one.type != "comment"])


def _expression(c: "Compiler", node: "Node") -> Statement:
    inner = node.named_children[0]
    while inner.type == "postfix_unary_expression" and inner.children[-1].type == "!":
        inner = inner.children[0]
    if inner.type not in _EFFECTS:
        c.fail(inner, f"'{c.text(inner)[:40]}' is a value, not a statement")
    evaluate = c.expression(inner).run

    def run(frame: Frame) -> None:
        evaluate(frame)

    return run


def _declaration(c: "Compiler", node: "Node") -> Statement:
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


def _if(c: "Compiler", node: "Node") -> Statement:
    """An if with all its ``else if``, as a list: a long one must not become a deep nest."""
    branches: list[tuple[Eval, Statement]] = []
    otherwise: Statement | None = None
    current: Node | None = node
    while current is not None:
        test_node, yes = current.child_by_field_name("condition"), current.child_by_field_name("consequence")
        if test_node is None or yes is None:
            c.fail(current, "an if needs a condition and a statement")
            break
        branches.append((condition(c, test_node), _scoped(c, yes)))
        no = current.child_by_field_name("alternative")
        if no is not None and no.type == "if_statement":
            current = no
        else:
            otherwise, current = (_scoped(c, no) if no is not None else None), None
    return _branching(branches, otherwise)


def _branching(branches: list[tuple[Eval, Statement]], otherwise: Statement | None) -> Statement:
    def run(frame: Frame) -> Any:
        for test, statement in branches:
            if test(frame):
                return statement(frame)
        return otherwise(frame) if otherwise is not None else None

    return run


def _scoped(c: "Compiler", node: "Node") -> Statement:
    with c.nested():
        return c.statement(node)


def _return(c: "Compiler", node: "Node") -> Statement:
    values = [one for one in node.named_children if one.type != "comment"]
    if not values:
        return lambda frame: (None,)
    code = c.expression(values[0])
    if code.is_constant:
        signal = (code.constant,)
        return lambda frame: signal
    evaluate = code.run
    return lambda frame: (evaluate(frame),)


def _throw(c: "Compiler", node: "Node") -> Statement:
    values = [one for one in node.named_children if one.type != "comment"]
    if values:
        evaluate: Eval = c.expression(values[0]).run
    elif c.caught:
        evaluate = c.read(c.caught[-1])
    else:
        c.fail(node, "throw without a value is allowed in a catch only")
        return lambda frame: None

    def run(frame: Frame) -> Any:
        raise thrown(evaluate(frame))

    return run


class Loop:
    """The body of a loop: with a frame per round when the body makes functions."""

    def __init__(self, c: "Compiler", node: "Node") -> None:
        self.environment: Environment | None = c.inner_environment() if makes_functions(node) else None

    def enter(self, frame: Frame) -> Frame:
        return self.environment.frame(frame) if self.environment is not None else frame


def _foreach(c: "Compiler", node: "Node") -> Statement:
    right, body_node = node.child_by_field_name("right"), node.child_by_field_name("body")
    left, kind = node.child_by_field_name("left"), node.child_by_field_name("type")
    if right is None or body_node is None or left is None:
        c.fail(node, "foreach needs a variable, a source and a body")
        return lambda frame: None
    source = c.expression(right).run
    loop = Loop(c, body_node)
    with c.nested(loop.environment):
        store = _foreach_variable(c, left, kind)
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


def _foreach_variable(c: "Compiler", left: "Node", kind: "Node | None") -> Store:
    if left.type in ("tuple_pattern", "tuple_expression", "declaration_expression"):
        if left.type == "declaration_expression":
            left = left.named_children[-1]
        names = [one.named_children[-1] if one.type == "argument" else one for one in left.named_children]
        stores = [declare(c, one.child_by_field_name("name") or one, None) for one in names]
        return lambda frame, value: spread(frame, stores, value)
    reference = c.type_reference(kind) if kind is not None else None
    store = declare(c, left, reference)
    if reference is None or reference.net.name in ("object", "dynamic", "KeyValuePair"):
        return store
    cast = reference.cast
    return lambda frame, value: store(frame, cast(value))


def _for(c: "Compiler", node: "Node") -> Statement:
    body_node = node.child_by_field_name("body")
    if body_node is None:
        c.fail(node, "for needs a body")
        return lambda frame: None
    updates = [one for one in node.children_by_field_name("update") if one.is_named]
    condition_node = node.child_by_field_name("condition")
    starts = [one for one in node.children_by_field_name("initializer") if one.is_named]
    with c.nested():
        begin = [_declaration(c, one) if one.type == "variable_declaration" else _effect(c, one) for one in starts]
        test = condition(c, condition_node) if condition_node is not None else None
        after = [_effect(c, one) for one in updates]
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


def _effect(c: "Compiler", node: "Node") -> Statement:
    evaluate = c.expression(node).run

    def run(frame: Frame) -> None:
        evaluate(frame)

    return run


def _while(c: "Compiler", node: "Node") -> Statement:
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


def _switch(c: "Compiler", node: "Node") -> Statement:
    value, body = node.child_by_field_name("value"), node.child_by_field_name("body")
    if value is None or body is None:
        c.fail(node, "switch needs a value and a body")
        return lambda frame: None
    if value.type == "tuple_expression" and len(value.named_children) == 1:
        value = value.named_children[0].named_children[-1]
    evaluate = c.expression(value).run
    labels: list[tuple[Match, Eval | None, int]] = []
    bodies: list[Statement] = []
    default = -1
    with c.nested():
        waiting: list[tuple[Match, Eval | None]] = []
        default_waits = False
        for section in body.named_children:
            if section.type != "switch_section":
                continue
            found, is_default, statements = _section(c, section)
            waiting += found
            default_waits = default_waits or is_default
            if not statements:
                continue  # several labels share the next section's statements
            labels += [(matches, when, len(bodies)) for matches, when in waiting]
            default = len(bodies) if default_waits else default
            waiting, default_waits = [], False
            bodies.append(sequence([c.statement(one) for one in statements]))

    def run(frame: Frame) -> Any:
        found = evaluate(frame)
        at = default
        for matches, when, body_at in labels:
            if matches(frame, found) and (when is None or truth(when(frame))):
                at = body_at
                break
        signal = bodies[at](frame) if at >= 0 else None
        return None if signal is BREAK else signal

    return run


def _section(c: "Compiler", node: "Node") -> "tuple[list[tuple[Match, Eval | None]], bool, list[Node]]":
    """The labels of a section (pattern and guard), whether ``default`` is one, and its statements."""
    labels: list[tuple[Match, Eval | None]] = []
    is_default = False
    statements: list[Node] = []
    for child in node.children:
        match child.type:
            case "default":
                is_default = True
            case "when_clause" if labels:
                labels[-1] = (labels[-1][0], c.expression(child.named_children[-1]).run)
            case "case" | ":" | "comment":
                pass
            case _ if child.type.endswith("_statement") or child.type == "block":
                statements.append(child)
            case _:
                labels.append((pattern(c, child), None))
    return labels, is_default, statements


class Catch:
    """A compiled catch clause."""

    def __init__(self, c: "Compiler", node: "Node") -> None:
        declaration = next((one for one in node.named_children if one.type == "catch_declaration"), None)
        kind = declaration.child_by_field_name("type") if declaration else None
        name = declaration.child_by_field_name("name") if declaration else None
        reference = c.type_reference(kind) if kind else None
        self.name = reference.net.name if reference else "Exception"
        exception = c.catalog.known("Exception")
        if reference is not None and not reference.net.name.endswith("Exception"):
            c.fail(kind or node, f"'{reference.net.name}' is not an exception type")
        with c.nested():
            variable = c.scope.declare(c.text(name) if name else " caught", exception)
            self.slot = variable.slot
            c.caught.append(variable)
            guard = next((one for one in node.named_children if one.type == "catch_filter_clause"), None)
            self.when = condition(c, guard.named_children[-1]) if guard else None
            body = node.child_by_field_name("body")
            self.body = c.statement(body) if body else sequence([lambda frame: None])
            c.caught.pop()

    def takes(self, frame: Frame, failure: ExpressionFailed) -> bool:
        if not failure.is_a(self.name):
            return False
        frame[self.slot] = failure
        return self.when is None or self.when(frame)


def _try(c: "Compiler", node: "Node") -> Statement:
    body_node = node.child_by_field_name("body")
    body = c.statement(body_node) if body_node else sequence([lambda frame: None])
    catches = [Catch(c, one) for one in node.named_children if one.type == "catch_clause"]
    final_node = next((one for one in node.named_children if one.type == "finally_clause"), None)
    final = c.statement(final_node.named_children[-1]) if final_node else None

    def guarded(frame: Frame) -> Any:
        try:
            return body(frame)
        except (BodyNotBuffered, LimitExceeded):
            raise
        except Exception as error:
            failure = as_net_exception(error)
            for catch in catches:
                if catch.takes(frame, failure):
                    return catch.body(frame)
            raise failure from error

    def with_finally(frame: Frame) -> Any:
        try:
            signal = guarded(frame)
        except (BodyNotBuffered, LimitExceeded):
            raise
        except Exception:
            final(frame)  # type: ignore[misc]
            raise
        final(frame)  # type: ignore[misc]
        return signal

    return guarded if final is None else with_finally


def _using(c: "Compiler", node: "Node") -> Statement:
    """What is used holds nothing outside the expression, so there is nothing to dispose of."""
    body = node.child_by_field_name("body")
    with c.nested():
        parts: list[Statement] = []
        for one in node.named_children:
            if one.type == "variable_declaration":
                parts.append(_declaration(c, one))
            elif one != body and one.type != "comment":
                parts.append(_effect(c, one))
        parts.append(c.statement(body) if body else sequence([lambda frame: None]))
        return sequence(parts)


def _checked(c: "Compiler", node: "Node") -> Statement:
    """``unchecked { }`` is how we compute; ``checked { }`` would have to throw on overflow."""
    if node.children[0].type == "checked":
        c.fail(node, "checked arithmetic is not supported")
    return c.statement(node.named_children[-1])


def _local_function(c: "Compiler", node: "Node") -> Statement:
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    kind = node.child_by_field_name("type") or node.child_by_field_name("returns")
    if name is None or body is None:
        c.fail(node, "a local function needs a name and a body")
        return lambda frame: None
    result = c.type_reference(kind) if kind is not None and c.text(kind) != "void" else None
    if result is not None and body.type == "block" and can_end(c, body):
        c.fail(name, f"'{c.text(name)}': not all code paths return a value")
    variable = c.scope.find(c.text(name))
    make = function(c, parameters(c, node.child_by_field_name("parameters")), body, result)
    slot = variable.slot if variable is not None else c.scope.declare(c.text(name)).slot

    def run(frame: Frame) -> None:
        frame[slot] = make(frame)

    return run


STATEMENTS = {
    "block": _block,
    "expression_statement": _expression,
    "local_declaration_statement": _declaration,
    "if_statement": _if,
    "return_statement": _return,
    "throw_statement": _throw,
    "break_statement": lambda c, node: lambda frame: BREAK,
    "continue_statement": lambda c, node: lambda frame: CONTINUE,
    "empty_statement": lambda c, node: lambda frame: None,
    "foreach_statement": _foreach,
    "for_statement": _for,
    "while_statement": _while,
    "do_statement": _while,
    "switch_statement": _switch,
    "try_statement": _try,
    "using_statement": _using,
    "checked_statement": _checked,
    "local_function_statement": _local_function,
}
