"""LINQ query syntax: ``from x in xs where ... orderby ... select ...`` over rows, one frame each."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from shared.expressions.code import RUN, Code, Environment, Eval, Frame
from shared.expressions.lists import Grouping, Seq
from shared.expressions.operations import condition
from shared.expressions.operators import unboxed
from shared.expressions.ordering import sort_key, walk

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

Rows = Callable[[Iterator[Frame]], Iterator[Frame]]


class Query:
    """A query being compiled: its range variables' frame, the row steps so far, and what it gives."""

    def __init__(self, c: "Compiler") -> None:
        self.c = c
        self.environment = c.inner_environment()
        self.steps: list[Rows] = []
        self.result: Callable[[Iterator[Frame]], Iterator[Any]] | None = None

    def clause(self, node: "Node") -> None:
        c = self.c
        match node.type:
            case "from_clause":
                self._from(node)
            case "let_clause":
                self._let(node)
            case "where_clause":
                test = condition(c, node.named_children[-1])
                self.steps.append(lambda rows: (row for row in rows if test(row)))
            case "order_by_clause":
                self._order(node)
            case "join_clause":
                self._join(node)
            case "select_clause":
                give = c.expression(node.named_children[-1]).run
                self.result = lambda rows: (give(row) for row in rows)
            case "group_clause":
                self._group(node)
            case "comment":
                pass
            case _:
                c.fail(node, f"{node.type.replace('_', ' ')} is not supported in a query")

    def _bind(self, name: str) -> int:
        return self.c.scope.declare(name).slot

    def _from(self, node: "Node") -> None:
        c = self.c
        name = node.child_by_field_name("name")
        kind = node.child_by_field_name("type")
        source = c.expression(node.named_children[-1]).run
        reference = c.type_reference(kind) if kind else None
        slot = self._bind(c.text(name or node.named_children[0]))

        def rows_of(rows: Iterator[Frame]) -> Iterator[Frame]:
            for row in rows:
                for item in walk(row[RUN], source(row)):
                    yield _with(row, slot, reference.cast(item) if reference else item)

        self.steps.append(rows_of)

    def _let(self, node: "Node") -> None:
        value = self.c.expression(node.named_children[-1]).run
        slot = self._bind(self.c.text(node.named_children[0]))
        self.steps.append(lambda rows: (_with(row, slot, value(row)) for row in rows))

    def _order(self, node: "Node") -> None:
        keys: list[tuple[Eval, bool]] = []
        for child in node.children[1:]:
            if child.type == "descending":
                keys[-1] = (keys[-1][0], True)
            elif child.is_named and child.type != "comment":
                keys.append((self.c.expression(child).run, False))

        def ordered(rows: Iterator[Frame]) -> Iterator[Frame]:
            found = list(rows)
            for key, descending in reversed(keys):
                found.sort(key=lambda row, key=key: sort_key(key(row)), reverse=descending)  # type: ignore[misc]
            return iter(found)

        self.steps.append(ordered)

    def _join(self, node: "Node") -> None:
        c = self.c
        parts = [one for one in node.named_children if one.type != "comment"]
        if len(parts) != 4:
            c.fail(node, "this form of join is not supported")
            return
        name, source, outer_key = parts[0], c.expression(parts[1]).run, c.expression(parts[2]).run
        slot = self._bind(c.text(name))
        inner_key = c.expression(parts[3]).run

        def joined(rows: Iterator[Frame]) -> Iterator[Frame]:
            for row in rows:
                wanted = unboxed(outer_key(row))
                for item in walk(row[RUN], source(row)):
                    candidate = _with(row, slot, item)
                    if unboxed(inner_key(candidate)) == wanted:
                        yield candidate

        self.steps.append(joined)

    def _group(self, node: "Node") -> None:
        value, key = (self.c.expression(one).run for one in node.named_children[:2])

        def grouped(rows: Iterator[Frame]) -> Iterator[Any]:
            groups: dict[Any, Grouping] = {}
            for row in rows:
                found = key(row)
                groups.setdefault(found, Grouping(found)).items.append(value(row))
            return iter(groups.values())

        self.result = grouped


def _with(row: Frame, slot: int, value: Any) -> Frame:
    made = list(row)
    made[slot] = value
    return made


def _query(c: "Compiler", node: "Node") -> Code:
    query = Query(c)
    clauses = [one for one in node.named_children if one.type != "comment"]
    into = next((i for i, one in enumerate(clauses) if one.type == "identifier" or "into" in one.type), None)
    if into is not None:
        return c.fail(clauses[into], "'into' in a query is not supported")
    with c.nested(query.environment):
        for clause in clauses:
            query.clause(clause)
    steps, result = query.steps, query.result
    if result is None:
        return c.fail(node, "a query ends with select or group")
    return Code(_sequence(query.environment, steps, result), c.catalog.known("IEnumerable"))


def _sequence(environment: Environment, steps: list[Rows], result: Callable[[Iterator[Frame]], Iterator[Any]]) -> Eval:
    def run(outer: Frame) -> Seq:
        def start() -> Iterator[Any]:
            rows: Iterator[Frame] = iter((environment.frame(outer),))
            for one in steps:
                rows = one(rows)
            return result(rows)

        return Seq(start)

    return run


EXPRESSIONS = {"query_expression": _query}
