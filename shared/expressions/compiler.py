"""The compiler: walks the syntax tree once, hands each node to its construct, and gathers every problem."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.expressions import (
    assignments,
    chains,
    creation,
    functions,
    literals,
    operations,
    patterns,
    queries,
    statements,
)
from shared.expressions.catalog import Catalog, catalog
from shared.expressions.code import Code, Environment, Frame, Scope, Variable, constant, reader
from shared.expressions.errors import Problem
from shared.expressions.inline import Inline
from shared.expressions.nettypes import NetType, TypeRef
from shared.expressions.syntax import Source

if TYPE_CHECKING:
    from tree_sitter import Node

Statement = Callable[[Frame], Any]
_LOOSER_THAN_A_CAST = frozenset(
    (
        "assignment_expression",
        "as_expression",
        "binary_expression",
        "conditional_expression",
        "is_expression",
        "is_pattern_expression",
        "lambda_expression",
        "range_expression",
        "switch_expression",
    )
)
_UNCHECKED = ("object", "dynamic", "JToken", "var")


class Compiler:
    """Compiles one expression. Constructs live in their own files and call back ``expression`` and ``statement``."""

    def __init__(self, parsed: Source) -> None:
        self.source = parsed.text
        self.tuple_names = parsed.tuple_names
        self.type_names = parsed.type_names
        self.locate = parsed.locate
        self.conditional = parsed.conditional
        self.casts = parsed.casts
        self.tests = parsed.tests
        self.catalog: Catalog = catalog()
        self.problems: list[Problem] = []
        self.scope = Scope(Environment())
        self.caught: list[Variable] = []
        self.own_names: set[str] = set()
        self.mentions: set[str] = set()

    # What constructs need to know of the tree

    def text(self, node: "Node") -> str:
        return self.source[node.start_byte : node.end_byte].decode()

    def fail(self, node: "Node", message: str) -> Code:
        """Note a problem and go on, so that all of them are found."""
        line, column = self.locate(node.start_point.row, node.start_point.column)
        problem = Problem(line, column, message)
        if problem not in self.problems:
            self.problems.append(problem)
        return constant(None, self.catalog.find("dynamic"))

    def near(self, name: str, candidates: Iterable[str]) -> str:
        """``, did you mean X?`` when something similar exists."""
        found = difflib.get_close_matches(name, list(candidates), 1, 0.6)
        return f", did you mean {found[0]}?" if found else ""

    # Expressions and statements

    def expression(self, node: "Node") -> Code:
        if self.casts and node.start_byte in self.casts and node.type not in _LOOSER_THAN_A_CAST:
            code = self.expression_within(node)
            for kind in reversed(self.casts.pop(node.start_byte)):
                code = operations.cast_to(self, kind, code)
            return code
        compile_node = EXPRESSIONS.get(node.type)
        if compile_node is None:
            return self.fail(node, f"{node.type.replace('_', ' ')} '{_short(self.text(node))}' is not supported")
        return compile_node(self, node)

    def expression_within(self, node: "Node") -> Code:
        """Compile the value of a cast that stands before it, without looking for that cast again."""
        kinds = self.casts.pop(node.start_byte)
        code = self.expression(node)
        self.casts[node.start_byte] = kinds
        return code

    def statement(self, node: "Node") -> Statement:
        compile_node = STATEMENTS.get(node.type)
        if compile_node is None:
            self.fail(node, f"{node.type.replace('_', ' ')} is not supported")
            return lambda frame: None
        made: Statement = compile_node(self, node)
        return made

    # Names

    @contextmanager
    def nested(self, environment: Environment | None = None) -> Iterator[Scope]:
        """A scope within the current one; with an environment, one whose variables live in frames of their own."""
        outer = self.scope
        self.scope = Scope(environment or outer.environment, outer)
        try:
            yield self.scope
        finally:
            self.scope = outer

    def inner_environment(self) -> Environment:
        return Environment(self.scope.environment)

    def read(self, variable: Variable) -> Inline:
        return reader(variable.slot, self.scope.depth_of(variable))

    # Types

    def static_type(self, reference: TypeRef | None) -> NetType | None:
        """The type members are checked against; none where C# or we only know it at run time."""
        if reference is None:
            return None
        if reference.nullable and reference.net.is_value:
            return self.catalog.find("Nullable")
        return self.static_net(reference.net)

    def static_net(self, net: NetType | None) -> NetType | None:
        return None if net is None or net.name in _UNCHECKED and net.name != "dynamic" else net

    def type_reference(self, node: "Node") -> TypeRef | None:
        """The type a node names; none for ``var``. Unknown types are a problem and count as ``object``."""
        match node.type:
            case "implicit_type":
                return None
            case "nullable_type":
                inner = self.type_reference(node.named_children[0])
                return TypeRef(inner.net, inner.arguments, True) if inner else None
            case "array_type":
                return self._array_type(node)
            case "generic_name":
                name = self.text(node.named_children[0])
                arguments = self.type_arguments(node.named_children[1])
                return self._named_type(node, name, arguments)
            case "qualified_name" | "member_access_expression" | "alias_qualified_name":
                return self.type_reference(node.named_children[-1])
            case "tuple_type":
                return self._tuple_type(node)
        name = self.type_names.get(node.start_byte) or self.text(node)
        return None if name == "var" else self._named_type(node, name.rpartition(".")[2], ())

    def type_arguments(self, node: "Node") -> tuple[TypeRef, ...]:
        found = (self.type_reference(one) for one in node.named_children)
        return tuple(one for one in found if one is not None)

    def _array_type(self, node: "Node") -> TypeRef:
        element = self.type_reference(node.named_children[0])
        if element is not None and element.net.name == "byte":
            return TypeRef(self.catalog.known("byte[]"))
        return TypeRef(self.catalog.known("Array"), (element,) if element else ())

    def _tuple_type(self, node: "Node") -> TypeRef:
        arguments: list[TypeRef] = []
        names: list[str | None] = []
        for element in node.named_children:
            kind, name = element.child_by_field_name("type"), element.child_by_field_name("name")
            reference = self.type_reference(kind) if kind else None
            arguments.append(reference or TypeRef(self.catalog.known("object")))
            blanked = self.tuple_names.get(kind.start_byte) if kind else None
            names.append(self.text(name) if name else blanked)
        self.own_names.update(name for name in names if name)
        return TypeRef(self.catalog.known("Tuple"), tuple(arguments), names=tuple(names))

    def _named_type(self, node: "Node", name: str, arguments: tuple[TypeRef, ...]) -> TypeRef:
        net = self.catalog.find(name)
        if net is None:
            near = self.near(name, self.catalog.type_names())
            self.fail(node, f"the type '{name}' does not exist in policy expressions{near}")
            net = self.catalog.known("dynamic")
        if net.name == "Nullable" and arguments:
            return TypeRef(arguments[0].net, arguments[0].arguments, True)
        return TypeRef(net, arguments)


def _short(text: str) -> str:
    first = text.strip().split("\n")[0]
    return first if len(first) <= 40 else f"{first[:37]}..."


Expression = Callable[[Any, Any], Code]
EXPRESSIONS: dict[str, Expression] = {
    **literals.EXPRESSIONS,
    **operations.EXPRESSIONS,
    **chains.EXPRESSIONS,
    **assignments.EXPRESSIONS,
    **patterns.EXPRESSIONS,
    **creation.EXPRESSIONS,
    **functions.EXPRESSIONS,
    **queries.EXPRESSIONS,
}
STATEMENTS: Mapping[str, Callable[[Any, Any], Any]] = statements.STATEMENTS
