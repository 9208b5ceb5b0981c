"""C# text to a syntax tree by tree-sitter, with the places of what it could not read."""

import re
from functools import cache
from typing import TYPE_CHECKING

from shared.expressions.errors import ExpressionErrors, Problem

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

# An expression becomes the value of a return, a block a block, so that both are read by C#'s own rules.
_EXPRESSION = b"return ", b"\n;"
_BLOCK = b"{", b"\n}"
MAX_SOURCE = 200_000
MAX_DEPTH = 400
_REPAIRS = 10  # one repair can bring the next to light


class Source:
    """One expression's text and tree; ``root`` is the value of an ``@(...)`` or the block of an ``@{...}``."""

    def __init__(self, text: str, *, block: bool, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        before, after = _BLOCK if block else _EXPRESSION
        self.shift = len(before)
        if len(text) > MAX_SOURCE:
            raise ExpressionErrors(file, [Problem(line, column, f"an expression has at most {MAX_SOURCE} characters")])
        try:
            self.text = before + text.replace("\0", " ").encode() + after
        except UnicodeEncodeError:
            raise ExpressionErrors(file, [Problem(line, column, "the expression is not valid Unicode text")]) from None
        if not text.strip() and not block:
            raise ExpressionErrors(file, [Problem(line, column, "the expression is empty")])
        self.conditional: set[int] = set()
        self.casts: dict[int, list[Node]] = {}
        self.tests: dict[int, bool] = {}
        self.tuple_names: dict[int, str] = {}
        self.type_names: dict[int, str] = {}
        written = self.text
        root = parser().parse(written).root_node
        for _ in range(_REPAIRS):
            repaired = self._repaired(root, written)
            if repaired == written:
                break
            written = repaired
            root = parser().parse(written).root_node
        self._refuse_errors(root)
        self.root = self._root(root, block=block)

    def _repaired(self, root: "Node", written: bytes) -> bytes:
        """Text of the same length in which tree-sitter's C# grammar binds as C# does.

        The grammar takes all of ``a && b`` for the receiver in ``a && b?.c``: there ``?`` is written as the postfix
        ``!``, which binds tightly, and remembered in ``conditional``. It reads ``b + (T)a.Get<U>(x)`` as two
        comparisons: there the cast is blanked out, and remembered in ``casts`` by the start of its value. It takes
        all of ``T && b`` for the pattern in ``a is T && b``: there ``is`` is written as ``as``, and remembered in
        ``tests`` with whether ``not`` followed; before a literal it becomes ``==`` or ``!=``. It reads the cast of
        a signed value in ``(a) + b``: there the parentheses are blanked out. It reads ``new List<(A a, B b)> { }`` as
        a comparison, unless the tuple's elements have no names: they are blanked out, and remembered in
        ``tuple_names`` by the start of the element's type. It reads ``b < a.Get<U>(x)`` as comparisons, too, unless U
        is a keyword: there ``int`` stands for it, and it is remembered in ``type_names`` by its start. It misses the
        hole after an escaped brace in ``$"{{{a}"``: there other letters stand for the escaped brace.
        """
        made = bytearray(written)
        pending = [root]
        while pending:
            node = pending.pop()
            pending.extend(node.named_children)
            if node.type == "conditional_access_expression" and node.children[1].type == "?":
                self.conditional.add(node.children[1].start_byte)
                made[node.children[1].start_byte] = ord("!")
            elif node.type == "binary_expression" and node.children[1].type == "<":
                self._blank_casts(node.children[0], made)
                self._blank_tuple_names(node, made)
            elif node.type == "binary_expression" and node.children[1].type == ">":
                self._plain_type(node, made)
            elif node.type == "is_pattern_expression":
                self._end_pattern(node, made)
            elif node.type == "interpolated_string_expression":
                _open_holes(node, made)
            elif node.type == "cast_expression":
                _open_sum(node, made)
        return bytes(made)

    def _end_pattern(self, node: "Node", made: bytearray) -> None:
        word = next((one for one in node.children if one.type == "is"), None)
        pattern = node.named_children[-1]
        negated = pattern.type == "negated_pattern"
        inner = pattern.named_children[-1] if negated else pattern
        value = inner.named_children[0] if inner.type == "constant_pattern" and inner.named_children else None
        if word is None or value is None or value.type != "binary_expression":
            return
        while value.type == "binary_expression":
            value = value.children[0]
        if negated:
            made[pattern.start_byte : pattern.start_byte + 3] = b"   "
        if value.type.endswith("_literal"):
            made[word.start_byte : word.end_byte] = b"!=" if negated else b"=="
        else:
            made[word.start_byte : word.end_byte] = b"as"
            self.tests[word.start_byte] = negated

    def _blank_casts(self, node: "Node", made: bytearray) -> None:
        kinds: list[Node] = []
        while node.type in ("binary_expression", "prefix_unary_expression"):
            node = node.children[-1]  # what stands before the < sign
        start = node.start_byte
        while node.type == "cast_expression":
            kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
            if kind is None or value is None:
                return
            kinds.append(kind)
            node = value
        if kinds:
            made[start : node.start_byte] = b" " * (node.start_byte - start)
            self.casts[node.start_byte] = kinds

    def _blank_tuple_names(self, node: "Node", made: bytearray) -> None:
        made_of, elements = node.children[0], node.children[-1]
        if made_of.type != "object_creation_expression" or elements.type != "tuple_expression":
            return
        for argument in elements.named_children:
            inner = argument.named_children[0]
            kind, name = inner.child_by_field_name("type"), inner.child_by_field_name("name")
            if inner.type == "declaration_expression" and kind is not None and name is not None:
                self.tuple_names[kind.start_byte] = self.text[name.start_byte : name.end_byte].decode()
                made[name.start_byte : name.end_byte] = b" " * (name.end_byte - name.start_byte)

    def _plain_type(self, node: "Node", made: bytearray) -> None:
        """C# section 6.2.5: what stands between angle brackets before a parenthesis is a type argument."""
        compared, after = node.children[0], node.children[-1]
        if compared.type != "binary_expression" or compared.children[1].type != "<":
            return
        kind = compared.children[-1]
        size = kind.end_byte - kind.start_byte
        if kind.type in ("identifier", "member_access_expression") and size > 2 and made[after.start_byte] == ord("("):
            self.type_names[kind.start_byte] = self.text[kind.start_byte : kind.end_byte].decode()
            made[kind.start_byte : kind.end_byte] = b"int".ljust(size)

    def locate(self, row: int, column: int) -> tuple[int, int]:
        """Line and column in the document of a place in the tree."""
        return self.line + row, (column - self.shift + self.column if row == 0 else column + 1)

    def _problem(self, node: "Node", message: str) -> Problem:
        return Problem(*self.locate(node.start_point.row, node.start_point.column), message)

    def _refuse_errors(self, root: "Node") -> None:
        problems: list[Problem] = []
        pending = [(root, 0)]
        while pending:
            node, depth = pending.pop()
            if depth > MAX_DEPTH:
                problems.append(self._problem(node, "the expression is nested too deeply"))
                break
            empty = node.start_byte == node.end_byte and node.has_error and not node.children
            if (node.is_missing or empty) and node.type != "!":  # a value as a statement is refused by name later
                problems.append(self._problem(node, f"'{node.type}' is missing here"))
            elif node.type == "ERROR":
                problems.append(self._problem(node, f"this is not valid C#: '{_excerpt(self.text, node)}'"))
                continue
            if node.has_error or depth > MAX_DEPTH // 2 or node is root:
                pending.extend((child, depth + 1) for child in reversed(node.children))
            else:
                pending.extend((child, depth + 1) for child in reversed(node.named_children))
        if problems:
            raise ExpressionErrors(self.file, sorted(problems))

    def _root(self, root: "Node", *, block: bool) -> "Node":
        statements = [one for one in root.named_children if one.type != "comment"]
        wanted = "block" if block else "return_statement"
        inner = statements[0].named_children[0] if len(statements) == 1 and statements[0].named_children else None
        if inner is None or inner.type != wanted:
            other = statements[-1] if statements else root
            raise ExpressionErrors(self.file, [self._problem(other, "this is not one expression")])
        if block:
            return inner
        values = [one for one in inner.named_children if one.type != "comment"]
        if len(values) != 1:
            raise ExpressionErrors(self.file, [self._problem(inner, "the expression is empty")])
        return values[0]


def _open_holes(node: "Node", made: bytearray) -> None:
    for part in node.children:
        if part.type == "string_content":
            for run in re.finditer(rb"(?<!\{)(?:\{\{)+(?=\{(?!\{))", made[part.start_byte : part.end_byte]):
                at = part.start_byte
                made[at + run.start() : at + run.end()] = b"_" * (run.end() - run.start())


def _open_sum(node: "Node", made: bytearray) -> None:
    """C# section 12.9.7: before a sign, only a keyword type in parentheses makes a cast."""
    kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
    if kind is None or value is None or value.type != "prefix_unary_expression" or kind.type == "predefined_type":
        return
    close = next((one for one in node.children if one.type == ")"), None)
    if value.children[0].type in ("+", "-") and close is not None:
        made[node.start_byte : node.start_byte + 1] = b" "
        made[close.start_byte : close.end_byte] = b" "


def _excerpt(text: bytes, node: "Node") -> str:
    shown = " ".join(text[node.start_byte : node.end_byte].decode(errors="replace").split())
    return shown if len(shown) <= 50 else f"{shown[:47]}..."


@cache
def parser() -> "Parser":
    """The C# parser, imported with the first expression."""
    import tree_sitter_c_sharp
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_c_sharp.language()))
