"""Literals: numbers, characters, and texts in all of C#'s forms, with interpolation."""

import re
from typing import TYPE_CHECKING, Any

from shared.expressions.code import Code, Eval, Frame, constant
from shared.expressions.formats import aligned, formatted, text
from shared.expressions.numbers import INT_MAX, Char, Long, Single, UInt, ULong

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{1,4})|(.))", re.DOTALL)
_SIMPLE = {"0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescaped(literal: str) -> str:
    """The content of a regular literal, its escapes resolved; surrogate pairs become one character."""

    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        return chr(min(int(code, 16), 0x10FFFF)) if code else _SIMPLE.get(found[4], found[4])

    made = _ESCAPE.sub(one, literal)
    if re.search("[\ud800-\udfff]", made):
        made = made.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return made


def _string(c: "Compiler", node: "Node") -> Code:
    literal = c.text(node)
    body = literal[1 : literal.rindex('"')]
    return constant(unescaped(body), c.catalog.known("string"))


def _verbatim(c: "Compiler", node: "Node") -> Code:
    literal = c.text(node)
    return constant(literal[2 : literal.rindex('"')].replace('""', '"'), c.catalog.known("string"))


def _raw(c: "Compiler", node: "Node") -> Code:
    literal = c.text(node).rstrip("u8U")
    quotes = len(literal) - len(literal.lstrip('"'))
    return constant(_dedented(literal[quotes:-quotes]), c.catalog.known("string"))


def _dedented(body: str) -> str:
    """A raw text over several lines loses its first and last line break and the last line's indentation."""
    if "\n" not in body:
        return body
    lines = body.replace("\r\n", "\n").split("\n")[1:]
    indent = lines.pop()
    return "\n".join(line.removeprefix(indent) for line in lines)


def _char(c: "Compiler", node: "Node") -> Code:
    value = unescaped(c.text(node)[1:-1])
    if len(value) != 1:
        return c.fail(node, "a character literal has exactly one character")
    return constant(Char(value), c.catalog.known("char"))


def _integer(c: "Compiler", node: "Node") -> Code:
    literal = c.text(node).lower().replace("_", "")
    suffix = re.search(r"(?<![0-9a-f])[ul]+$|[ul]+$", literal)
    digits = literal[: suffix.start()] if suffix else literal
    value = int(digits, 0) if digits[:2] in ("0x", "0b") else int(digits)
    kinds: list[tuple[str, type[int], int]] = [
        ("int", int, INT_MAX),
        ("uint", UInt, UInt.high),
        ("long", Long, Long.high),
        ("ulong", ULong, ULong.high),
    ]
    letters = suffix[0] if suffix else ""
    for name, kind, high in kinds:
        fits = ("l" not in letters or "long" in name) and ("u" not in letters or name[0] == "u")
        if fits and value <= high:
            return constant(value if kind is int else kind(value), c.catalog.known(name))
    return c.fail(node, f"the number {literal} is too large")


def _real(c: "Compiler", node: "Node") -> Code:
    from decimal import Decimal

    literal = c.text(node).lower().replace("_", "")
    digits = literal.rstrip("fdm")
    match literal[-1]:
        case "m":
            return constant(Decimal(digits), c.catalog.known("decimal"))
        case "f":
            return constant(Single(digits), c.catalog.known("float"))
    return constant(float(digits), c.catalog.known("double"))


def _boolean(c: "Compiler", node: "Node") -> Code:
    return constant(c.text(node) == "true", c.catalog.known("bool"))


def _interpolated(c: "Compiler", node: "Node") -> Code:
    """``$"..."``: the texts are what lies between the holes, so nothing of the source is lost."""
    start_token = c.text(node.children[0])
    verbatim = "@" in start_token
    raw = c.text(node).lstrip("$@").startswith('"""')
    at, end = node.children[1].end_byte, node.children[-1].start_byte
    parts: list[str | Eval] = []

    def add_text(stop: int) -> None:
        piece = c.source[at:stop].decode()
        if not raw:
            piece = piece.replace('""', '"') if verbatim else piece
            piece = piece if verbatim else unescaped(piece)
            piece = piece.replace("{{", "{").replace("}}", "}")
        if piece:
            parts.append(piece)

    for child in node.children:
        if child.type == "interpolation":
            add_text(child.start_byte)
            parts.append(_hole(c, child))
            at = child.end_byte
    add_text(end)
    return Code(_joined(parts), c.catalog.known("string"))


def _hole(c: "Compiler", node: "Node") -> Eval:
    inner = [one for one in node.named_children if not one.type.startswith("interpolation_") and one.type != "comment"]
    if not inner:
        return c.fail(node, "an interpolation needs an expression").run
    value = c.expression(inner[0]).run
    width: Code | None = None
    specifier: str | None = None
    for child in node.named_children:
        if child.type == "interpolation_alignment_clause":
            width = c.expression(child.named_children[-1])
        elif child.type == "interpolation_format_clause":
            specifier = c.text(child)[1:]
    if width is None and specifier is None:
        return lambda frame: text(value(frame))
    places = width.constant if width is not None and isinstance(width.constant, int) else 0
    return lambda frame: aligned(formatted(value(frame), specifier), places)


def _joined(parts: list[str | Eval]) -> Eval:
    evaluate: list[Any] = [part if callable(part) else None for part in parts]
    texts = [part if isinstance(part, str) else "" for part in parts]
    pairs = list(zip(evaluate, texts, strict=True))

    def run(frame: Frame) -> str:
        made = "".join([shown if part is None else part(frame) for part, shown in pairs])
        if len(made) > 1024:
            frame[1].charge(len(made))
        return made

    return run


EXPRESSIONS = {
    "string_literal": _string,
    "verbatim_string_literal": _verbatim,
    "raw_string_literal": _raw,
    "character_literal": _char,
    "integer_literal": _integer,
    "real_literal": _real,
    "boolean_literal": _boolean,
    "null_literal": lambda c, node: constant(None),
    "interpolated_string_expression": _interpolated,
}
