"""Operators, casts, conditions and the other expressions that combine values."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.expressions.assignments import step
from shared.expressions.catalog import TypeObject
from shared.expressions.code import RUN, Code, Eval, Frame, constant
from shared.expressions.errors import ExpressionFailed
from shared.expressions.inline import LARGE, Inline, charged, inline
from shared.expressions.operators import BINARY, add, complement, invert, negate, unboxed
from shared.expressions.patterns import is_test
from shared.expressions.ranges import FromEnd, Range
from shared.expressions.run import Run

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

_TESTS = frozenset(("==", "!=", "<", ">", "<=", ">="))


def truth(value: Any) -> bool:
    """A condition's value: a bool, also inside a JSON value."""
    if value is True or value is False:
        return value
    value = unboxed(value)
    if value is True or value is False:
        return value
    if value is None:
        raise ExpressionFailed("InvalidOperationException", "Nullable object must have a value.")
    raise ExpressionFailed("InvalidCastException", "Unable to cast the value of a condition to type 'System.Boolean'.")


def condition(c: "Compiler", node: "Node") -> Eval:
    """The closure of a condition, always giving a Python bool."""
    return tested(c, node).function()


def tested(c: "Compiler", node: "Node") -> Inline:
    """A condition, always giving a Python bool."""
    code = c.expression(node)
    if code.type is not None and code.type.name == "bool":
        return code.inline
    return inline("{truth}({value})", truth=truth, value=code.inline)


def _binary(c: "Compiler", node: "Node") -> Code:
    operator = (node.child_by_field_name("operator") or node.children[1]).type
    left_node, right_node = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left_node is None or right_node is None:
        return c.fail(node, f"the operator {operator} needs two operands")
    if operator in ("&&", "||"):
        return _logical(c, operator, _spine(c, node, operator))
    if operator == "+" and left_node.type == "binary_expression":
        return _long_sum(c, _spine(c, node, operator))
    left, right = c.expression(left_node), c.expression(right_node)
    if operator == "??":
        return _coalesce(left, right)
    if operator not in BINARY:
        return c.fail(node, f"the operator {operator} is not supported")
    made = _combined(c, operator, left, right)
    if left.is_constant and right.is_constant:
        return _folded(made)
    return made


def _combined(c: "Compiler", operator: str, left: Code, right: Code) -> Code:
    known = c.catalog.known
    if operator in _TESTS:
        return Code(_test(operator, left, right), known("bool"))
    if operator == "+":
        texts = {"string"} & {one.type.name for one in (left, right) if one.type is not None}
        return Code(_sum(left, right), known("string") if texts else _number_type(left, right))
    return Code(_computed(operator, left, right), _number_type(left, right))


def _computed(operator: str, left: Code, right: Code) -> Inline:
    return inline("{compute}({left}, {right})", compute=BINARY[operator], left=left.inline, right=right.inline)


def _number_type(left: Code, right: Code) -> Any:
    """Two operands of one numeric type give that type; everything else shows at run time."""
    same = left.type is right.type and left.type is not None and left.type.name in ("int", "long", "double", "decimal")
    return left.type if same else None


def _test(operator: str, left: Code, right: Code) -> Inline:
    if right.is_constant and right.constant is None and operator in ("==", "!="):
        return inline("({left} is None)" if operator == "==" else "({left} is not None)", left=left.inline)
    kind = type(right.constant) if right.is_constant else None
    if kind is int or (kind in (str, bool) and operator in ("==", "!=")):
        # Between values of one of these kinds Python's operator does the same.
        same = f"{{t}} {operator} {{right}} if type({{t}} := {{left}}) is {kind.__name__}"
        template = f"({same} else {{compute}}({{t}}, {{right}}))"
        return inline(template, left=left.inline, right=right.inline, compute=BINARY[operator])
    return _computed(operator, left, right)


def _sum(left: Code, right: Code) -> Inline:
    if left.is_constant and type(left.constant) is str:
        template = "({left} + {t} if type({t} := {right}) is str else {add}({left}, {t}))"
    else:
        template = "({t} + {u} if (type({t} := {left}) is str) & (type({u} := {right}) is str) else {add}({t}, {u}))"
    return charged(inline(template, left=left.inline, right=right.inline, add=add))


def _folded(code: Code) -> Code:
    try:
        return constant(code.run([None, Run(None)]), code.type)
    except ExpressionFailed:
        return code


def _spine(c: "Compiler", node: "Node", operator: str) -> "list[Node]":
    """The operands of ``a + b + c``, so that a long chain is neither compiled nor run as a deep nest."""
    operands: list[Node] = []
    current: Node | None = node
    while current is not None and current.type == "binary_expression":
        sign = current.child_by_field_name("operator")
        right = current.child_by_field_name("right")
        if sign is None or right is None or sign.type != operator:
            break
        operands.append(right)
        current = current.child_by_field_name("left")
    if current is not None:
        operands.append(current)
    return operands[::-1]


def _long_sum(c: "Compiler", operands: "list[Node]") -> Code:
    codes = [c.expression(operand) for operand in operands]
    made = codes[0]
    if all(code.is_constant for code in codes):
        for code in codes[1:]:
            made = _folded(_combined(c, "+", made, code))
        return made
    first, *rest = [code.run for code in codes]
    texts = any(code.type is not None and code.type.name == "string" for code in codes)

    def run(frame: Frame) -> Any:
        made = first(frame)
        for part in rest:
            made = add(made, part(frame))
        if type(made) is str and len(made) > LARGE:
            frame[RUN].charge(len(made))
        return made

    return Code(run, c.catalog.known("string") if texts else None)


def _logical(c: "Compiler", operator: str, operands: "list[Node]") -> Code:
    tests = [tested(c, operand) for operand in operands]
    if len(tests) == 2:
        word = "and" if operator == "&&" else "or"
        both = inline(f"({{first}} {word} {{second}})", first=tests[0], second=tests[1])
        return Code(both, c.catalog.known("bool"))
    decide = all if operator == "&&" else any
    runs = [test.function() for test in tests]
    return Code(lambda frame: decide(run(frame) for run in runs), c.catalog.known("bool"))


def _coalesce(left: Code, right: Code) -> Code:
    same = left.type if left.type is right.type else None
    template = "({t} if ({t} := {left}) is not None else {right})"
    return Code(inline(template, left=left.inline, right=right.inline), same)


def _prefix(c: "Compiler", node: "Node") -> Code:
    operator, operand = node.children[0].type, node.children[-1]
    if operator in ("++", "--"):
        return step(c, operand, operator, after=False)
    code = c.expression(operand)
    match operator:
        case "!" if code.type is not None and code.type.name == "bool":
            return Code(inline("(not {value})", value=code.inline), c.catalog.known("bool"))
        case "!":
            return Code(_applied(invert, code), c.catalog.known("bool"))
        case "-":
            made = Code(_applied(negate, code), code.type)
        case "+":
            made = code
        case "~":
            made = Code(_applied(complement, code), code.type)
        case "^":
            return Code(_applied(FromEnd, code))
        case _:
            return c.fail(node, f"the operator {operator} is not supported")
    return _minus_literal(c, operand, made) if code.is_constant else made


def _applied(function: Callable[[Any], Any], code: Code) -> Inline:
    return inline("{function}({value})", function=function, value=code.inline)


def _minus_literal(c: "Compiler", operand: "Node", made: Code) -> Code:
    folded = _folded(made)
    value = folded.constant
    if c.text(operand) == "2147483648":
        return constant(int(value), c.catalog.known("int"))
    return folded


def _range(c: "Compiler", node: "Node") -> Code:
    dots = next((i for i, one in enumerate(node.children) if one.type == ".."), 0)
    before = c.expression(node.children[dots - 1]).run if dots else None
    after = c.expression(node.children[dots + 1]).run if dots + 1 < len(node.children) else None
    return Code(lambda frame: Range(before(frame) if before else None, after(frame) if after else None))


def _conditional(c: "Compiler", node: "Node") -> Code:
    parts = [node.child_by_field_name(name) for name in ("condition", "consequence", "alternative")]
    if any(part is None for part in parts):
        return c.fail(node, "a conditional needs a condition and two values")
    test = tested(c, parts[0])  # type: ignore[arg-type]
    yes, no = c.expression(parts[1]), c.expression(parts[2])  # type: ignore[arg-type]
    chosen = inline("({yes} if {test} else {no})", test=test, yes=yes.inline, no=no.inline)
    names = {one.type.name if one.type else None for one in (yes, no)}
    if names == {"int", "double"} or names == {"long", "double"}:
        return Code(inline("float({chosen})", chosen=chosen), c.catalog.known("double"))
    return Code(chosen, yes.type if yes.type is no.type else None)


def _cast(c: "Compiler", node: "Node") -> Code:
    kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
    if kind is None or value is None:
        return c.fail(node, "a cast needs a type and a value")
    return cast_to(c, kind, c.expression(value))


def cast_to(c: "Compiler", kind: "Node", code: Code) -> Code:
    """``(kind)value``."""
    reference = c.type_reference(kind)
    if reference is None or reference.net.name in ("object", "dynamic"):
        return Code(code.inline, reference.net if reference and reference.net.name == "dynamic" else None)
    text = "({t} if type({t} := {value}) is str else {cast}({t}))"
    template = text if reference.net.name == "string" else "{cast}({value})"
    return Code(inline(template, value=code.inline, cast=reference.cast), c.static_type(reference))


def _as(c: "Compiler", node: "Node") -> Code:
    value, kind = node.child_by_field_name("left"), node.child_by_field_name("right")
    if value is None or kind is None:
        return c.fail(node, "'as' needs a value and a type")
    negated = c.tests.get(node.children[1].start_byte)
    if negated is not None:
        return is_test(c, value, kind, negated=negated)
    reference, evaluate = c.type_reference(kind), c.expression(value).run
    if reference is None:
        return c.fail(kind, "'as' needs a type")
    holds = reference.holds

    def run(frame: Frame) -> Any:
        found = evaluate(frame)
        return found if holds(found) else None

    return Code(run, c.static_type(reference))


def _parenthesized(c: "Compiler", node: "Node") -> Code:
    inner = [one for one in node.named_children if one.type != "comment"]
    return c.expression(inner[0]) if inner else c.fail(node, "nothing stands within the parentheses")


def _checked(c: "Compiler", node: "Node") -> Code:
    """``unchecked`` is how we compute; ``checked`` would have to throw on overflow."""
    if c.text(node).startswith("checked"):
        return c.fail(node, "checked arithmetic is not supported")
    return c.expression(node.named_children[0])


def _throw(c: "Compiler", node: "Node") -> Code:
    evaluate = c.expression(node.named_children[0]).run

    def run(frame: Frame) -> Any:
        raise thrown(evaluate(frame))

    return Code(run, c.catalog.find("dynamic"))


def thrown(value: Any) -> Exception:
    """What ``throw value`` raises."""
    if isinstance(value, ExpressionFailed):
        return value
    return ExpressionFailed("NullReferenceException", "Object reference not set to an instance of an object.")


def _typeof(c: "Compiler", node: "Node") -> Code:
    kind = node.child_by_field_name("type")
    reference = c.type_reference(kind) if kind else None
    if reference is None:
        return c.fail(node, "typeof needs a type")
    return constant(TypeObject(reference.net), c.catalog.known("Type"))


def _default(c: "Compiler", node: "Node") -> Code:
    kind = node.child_by_field_name("type")
    reference = c.type_reference(kind) if kind else None
    return constant(reference.default() if reference else None, c.static_type(reference))


EXPRESSIONS = {
    "binary_expression": _binary,
    "prefix_unary_expression": _prefix,
    "conditional_expression": _conditional,
    "cast_expression": _cast,
    "as_expression": _as,
    "parenthesized_expression": _parenthesized,
    "checked_expression": _checked,
    "throw_expression": _throw,
    "typeof_expression": _typeof,
    "default_expression": _default,
    "range_expression": _range,
}
