"""Where a policy expression, @(...) or @{...}, begins and ends: by the lexical rules of C#, without parsing it.

Quotes, brackets and `<` inside strings, characters and comments do not count; interpolation holes are code again
(C# 7 specification, lexical structure; Policy expressions in API Management).
"""

import re
from dataclasses import dataclass
from typing import Literal as OneOf

# What can change the meaning of the characters after it. Everything else in C# code is skipped in one step.
_CODE = re.compile(
    r"""
      (?P<comment>//[^\n]*+|/\*)
    | (?P<xml_comment><!--)
    | (?P<verbatim>(?:\$@|@\$|@)")
    | (?P<interpolated>\$")
    | (?P<string>")
    | (?P<char>')
    | (?P<tag></[A-Za-z_][\w:.\-]*+|/>)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<colon>:)
    """,
    re.VERBOSE,
)
_STRING_REST = re.compile(r'(?:[^"\\\n]|\\.)*+"')
_VERBATIM_REST = re.compile(r'(?:[^"]|"")*+"')
_CHAR_REST = re.compile(r"(?:[^'\\\n]|\\.)++'")
# Up to the end of an interpolated string or the start of a hole in it; {{ and }} stand for the bracket itself.
_INTERPOLATED = re.compile(r'(?:[^"\\\n{}]|\\.|\{\{|\}\})*+(?P<stop>["{}])')
_INTERPOLATED_VERBATIM = re.compile(r'(?:[^"{}]|""|\{\{|\}\})*+(?P<stop>["{}])')
_FORMAT = re.compile(r'[^"{}\n]*+')
_CLOSES = {"(": ")", "[": "]", "{": "}"}
# Stack marks of an interpolation hole: which kind of string goes on after its closing bracket.
_HOLE, _VERBATIM_HOLE = "hole", "verbatim hole"


@dataclass(frozen=True, slots=True)
class Unclosed:
    """An expression without an end: the offset where reading it stopped, and why."""

    at: int
    reason: str


def expression_end(text: str, start: int, comments: list[tuple[int, int]] | None = None) -> int | Unclosed:
    """Find the end of the expression whose `@` is at `start` and whose bracket is the next character.

    Returns the offset after the closing bracket. Takes time in proportion to what it reads, and stops where C# cannot
    go on: at the end of a line inside a string, and at `</name` or `/>`, which no C# code contains.
    """
    stack: list[str] = [_CLOSES[text[start + 1]]]
    at = start + 2
    while stack:
        token = _CODE.search(text, at)
        if token is None:
            return Unclosed(len(text), f"no {_closing(stack[-1])} before the end of the document")
        begin, at = token.span()
        match token.lastgroup:
            case "comment":
                if token[0] == "/*":
                    at = text.find("*/", at) + 2
                    if at == 1:
                        return Unclosed(begin, "the comment opened with /* is not closed")
            case "xml_comment":
                at = text.find("-->", at) + 3
                if at == 2:
                    return Unclosed(begin, "the comment opened with <!-- is not closed")
                if comments is not None:
                    comments.append((begin, at))
            case "string" | "char":
                rest = (_STRING_REST if token[0] == '"' else _CHAR_REST).match(text, at)
                if rest is None:
                    kind = "string" if token[0] == '"' else "character"
                    return Unclosed(begin, f"the {kind} that starts here does not end on its line")
                at = rest.end()
            case "verbatim" if token[0] == '@"':
                rest = _VERBATIM_REST.match(text, at)
                if rest is None:
                    return Unclosed(begin, "the verbatim string that starts here does not end")
                at = rest.end()
            case "interpolated" | "verbatim":
                after = _string_part(text, at, _HOLE if token.lastgroup == "interpolated" else _VERBATIM_HOLE, stack)
                if isinstance(after, Unclosed):
                    return after
                at = after
            case "tag":
                return Unclosed(begin, f"no {_closing(stack[-1])} before {token[0]}")
            case "open":
                stack.append(_CLOSES[token[0]])
            case "colon":
                # At the level of the hole itself a colon starts the format: quotes in it are no strings.
                if stack[-1] in (_HOLE, _VERBATIM_HOLE) and (form := _FORMAT.match(text, at)):
                    at = form.end()
            case _:
                expected = stack.pop()
                if _closing(expected) != token[0]:
                    return Unclosed(begin, f"{token[0]} where {_closing(expected)} is expected")
                if expected in (_HOLE, _VERBATIM_HOLE):
                    after = _string_part(text, at, expected, stack)
                    if isinstance(after, Unclosed):
                        return after
                    at = after
    return at


def _closing(mark: str) -> str:
    return "}" if mark in (_HOLE, _VERBATIM_HOLE) else mark


def _string_part(text: str, at: int, hole: str, stack: list[str]) -> int | Unclosed:
    """Go over literal text of an interpolated string, to its end or into the next hole (pushed on the stack)."""
    part = (_INTERPOLATED if hole == _HOLE else _INTERPOLATED_VERBATIM).match(text, at)
    if part is None:
        return Unclosed(at, "the interpolated string does not end")
    match part["stop"]:
        case "{":
            stack.append(hole)
        case "}":
            return Unclosed(part.end() - 1, "a single } in an interpolated string")
    return part.end()


@dataclass(frozen=True, slots=True)
class Literal:
    """A value without an expression, as written (entities decoded, white space kept)."""

    text: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that is one expression.

    `source` is the C# text between the brackets, verbatim; `line` the line in the document on which it begins.
    """

    kind: OneOf["single", "block"]
    source: str
    line: int


def split_value(value: str, line: int = 1) -> Literal | Expression:
    """Tell a literal from an expression. `line` is that of the value's first character that is not white space.

    An expression is the whole value, white space around it aside: text and expressions cannot be mixed
    (Policy expressions in API Management). Whatever does not fit that is a literal.
    """
    trimmed = value.strip()
    if not trimmed.startswith(("@(", "@{")) or expression_end(trimmed, 0) != len(trimmed):
        return Literal(value)
    return Expression("single" if trimmed[1] == "(" else "block", trimmed[2:-1], line)
