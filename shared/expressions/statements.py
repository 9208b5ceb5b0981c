"""Statements: each compiles to a closure that gives nothing, BREAK, CONTINUE, or ``(value,)`` for a return."""

from typing import TYPE_CHECKING, Any

from shared.expressions.code import BREAK, CONTINUE, Eval, Frame
from shared.expressions.endings import can_end
from shared.expressions.errors import ExpressionFailed, LimitExceeded, as_net_exception
from shared.expressions.functions import function, parameters
from shared.expressions.operations import condition, thrown, truth
from shared.expressions.patterns import Match, pattern
from shared.message import BodyNotBuffered

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler
from shared.expressions.declarations import Statement, declaration, effect, sequence
from shared.expressions.loops import for_loop, foreach_loop, while_loop

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
        evaluate = c.read(c.caught[-1]).function()
    else:
        c.fail(node, "throw without a value is allowed in a catch only")
        return lambda frame: None

    def run(frame: Frame) -> Any:
        raise thrown(evaluate(frame))

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
                parts.append(declaration(c, one))
            elif one != body and one.type != "comment":
                parts.append(effect(c, one))
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
    "local_declaration_statement": declaration,
    "if_statement": _if,
    "return_statement": _return,
    "throw_statement": _throw,
    "break_statement": lambda c, node: lambda frame: BREAK,
    "continue_statement": lambda c, node: lambda frame: CONTINUE,
    "empty_statement": lambda c, node: lambda frame: None,
    "foreach_statement": foreach_loop,
    "for_statement": for_loop,
    "while_statement": while_loop,
    "do_statement": while_loop,
    "switch_statement": _switch,
    "try_statement": _try,
    "using_statement": _using,
    "checked_statement": _checked,
    "local_function_statement": _local_function,
}
