"""Lambdas and local functions: Python functions with frames of their own over the frame they were made in."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import conversion
from shared.expressions.code import FIRST_SLOT, RUN, Code, Environment, Eval, Frame
from shared.expressions.nettypes import TypeRef

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

MAKERS = frozenset(("lambda_expression", "anonymous_method_expression", "local_function_statement", "query_expression"))


def makes_functions(node: "Node") -> bool:
    """Whether code within captures variables, so that each round of a loop needs a frame of its own."""
    pending = [node]
    while pending:
        current = pending.pop()
        if current.type in MAKERS:
            return True
        pending.extend(current.named_children)
    return False


Parameter = tuple[str, TypeRef | None, Eval | None]


def parameters(c: "Compiler", node: "Node | None") -> list[Parameter]:
    """Names, declared types and default values; tree-sitter has one node for a lone untyped parameter."""
    if node is None:
        return []
    if node.type in ("implicit_parameter", "identifier"):
        return [(c.text(node), None, None)]
    if any(child.type == "params" for child in node.children):
        c.fail(node, "ref, out and params parameters are not supported")
    found: list[Parameter] = []
    for one in node.named_children:
        if one.type in ("implicit_parameter", "identifier"):
            found.append((c.text(one), None, None))
        elif one.type == "parameter":
            if any(child.type in ("ref", "out", "params", "modifier") for child in one.children):
                c.fail(one, "ref, out and params parameters are not supported")
            kind, name = one.child_by_field_name("type"), one.child_by_field_name("name")
            has_default = any(child.type == "=" for child in one.children)
            default = c.expression(one.named_children[-1]).run if has_default else None
            found.append((c.text(name or one), c.type_reference(kind) if kind else None, default))
    return found


def body_of(c: "Compiler", node: "Node") -> Eval:
    """What calling gives: an expression's value, or what the block returns."""
    if node.type == "arrow_expression_clause":
        node = node.named_children[0]
    if node.type != "block":
        return c.expression(node).run
    block = c.statement(node)

    def run(frame: Frame) -> Any:
        signal = block(frame)
        return signal[0] if type(signal) is tuple else None

    return run


def function(c: "Compiler", names: list[Parameter], body: "Node", result: TypeRef | None) -> Eval:
    """The closure that makes the Python function when evaluated; it takes as many arguments as there are names."""
    environment = c.inner_environment()
    with c.nested(environment) as scope:
        for name, reference, _ in names:
            scope.declare(name, c.static_type(reference), reference)
        evaluate = body_of(c, body)
    converts = [conversion(reference) for _, reference, _ in names]
    convert_result = conversion(result)
    if any(converts) or convert_result:
        evaluate = _converting(converts, evaluate, convert_result)
    defaults = [default for _, _, default in names]
    if any(defaults):
        return _with_defaults(environment, defaults, evaluate)
    return _MAKERS.get(len(names), _many)(environment, evaluate)


def _called(environment: Environment, evaluate: Eval, outer: Frame, arguments: tuple[Any, ...]) -> Any:
    frame = environment.frame(outer)
    frame[FIRST_SLOT : FIRST_SLOT + len(arguments)] = arguments
    run = outer[RUN]
    run.enter()
    try:
        return evaluate(frame)
    finally:
        run.leave()


def _none(environment: Environment, evaluate: Eval) -> Eval:
    return lambda outer: lambda: _called(environment, evaluate, outer, ())


def _one(environment: Environment, evaluate: Eval) -> Eval:
    return lambda outer: lambda a: _called(environment, evaluate, outer, (a,))


def _two(environment: Environment, evaluate: Eval) -> Eval:
    return lambda outer: lambda a, b: _called(environment, evaluate, outer, (a, b))


def _many(environment: Environment, evaluate: Eval) -> Eval:
    return lambda outer: lambda *arguments: _called(environment, evaluate, outer, arguments)


_MAKERS: dict[int, Callable[[Environment, Eval], Eval]] = {0: _none, 1: _one, 2: _two}


def _with_defaults(environment: Environment, defaults: list[Eval | None], evaluate: Eval) -> Eval:
    """A function whose last arguments may be left out."""

    def make(outer: Frame) -> Any:
        def call(*given: Any) -> Any:
            rest = tuple(default(outer) if default is not None else None for default in defaults[len(given) :])
            return _called(environment, evaluate, outer, given + rest)

        return call

    return make


def _converting(converts: list[Any], evaluate: Eval, convert_result: Any) -> Eval:
    """The body with its arguments, and what it returns, as the declared types have them."""

    def body(frame: Frame) -> Any:
        for slot, convert in enumerate(converts, FIRST_SLOT):
            if convert is not None:
                frame[slot] = convert(frame[slot])
        made = evaluate(frame)
        return made if convert_result is None else convert_result(made)

    return body


def _lambda(c: "Compiler", node: "Node") -> Code:
    body = node.child_by_field_name("body")
    if body is None:
        return c.fail(node, "a lambda needs a body")
    if any(one.type in ("async", "modifier") for one in node.children):
        return c.fail(node, "async lambdas are not supported")
    return Code(
        function(c, parameters(c, node.child_by_field_name("parameters")), body, None), c.catalog.find("Delegate")
    )


def _anonymous_method(c: "Compiler", node: "Node") -> Code:
    body = next((one for one in node.named_children if one.type == "block"), None)
    if body is None:
        return c.fail(node, "an anonymous method needs a body")
    return Code(
        function(c, parameters(c, node.child_by_field_name("parameters")), body, None), c.catalog.find("Delegate")
    )


EXPRESSIONS = {"lambda_expression": _lambda, "anonymous_method_expression": _anonymous_method}
