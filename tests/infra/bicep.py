"""Reads Bicep: text to declarations and expression trees, as far as the templates of infra/ use the language.

Grammar: https://github.com/Azure/bicep/blob/main/docs/grammar.md. What is not understood is a SyntaxError with its
line.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

from tests.infra.tree import (
    Array,
    Call,
    Declaration,
    Expression,
    For,
    If,
    Index,
    Lambda,
    Literal,
    Member,
    Name,
    Object,
    Operation,
    Template,
    Text,
)

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|//[^\n]*|/\*.*?\*/|\#disable-[^\n]*)
      | (?P<newline>\n)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>\d+)
      | (?P<quote>'{3}|')
      | (?P<op>=>|==|!=|<=|>=|&&|\|\||\?\?|\.\?|::|[-+*/%!<>=?:.,@(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", "\\": "\\", "$": "$"}
# Weakest first; all of them group to the left.
_BINARY = (("??",), ("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


@cache
def read(path: Path) -> Template:
    """The template in a file."""
    return parse(path.read_text(), path)


def parse(text: str, path: Path = Path("template.bicep")) -> Template:
    """The template in a text. SyntaxError with file and line for what cannot be read; two declarations of one name (an
    output may have any other's) are such an error too."""
    parser = _Parser(text, path)
    declarations = tuple(parser.declarations())
    seen: set[tuple[bool, str]] = set()
    for one in declarations:
        key = (one.kind == "output", one.name)
        if key in seen:
            raise SyntaxError(f"{path}:{one.line}: {one.name} is declared twice")
        seen.add(key)
    return Template(path, declarations)


class _Parser:
    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self.path = path
        self.at = 0
        self.depth = 0  # inside (), newlines mean nothing

    def declarations(self) -> Iterator[Declaration]:
        self.newlines()
        while self.peek()[0]:
            decorators = []
            while self.take("@"):
                call = self.postfix()
                if not isinstance(call, Call):
                    self.fail("a decorator is a call")
                decorators.append(call)
                self.newlines()
            yield self.declaration(tuple(decorators))
            kind, word = self.peek()
            if kind and kind != "newline":
                self.fail(f"{word!r} after the end of a declaration")
            self.newlines()

    def declaration(self, decorators: tuple[Call, ...]) -> Declaration:
        line = self.line
        kind = self.word()
        match kind:
            case "targetScope":
                self.expect("=")
                return Declaration(kind, kind, line, self.expression())
            case "param":
                name, type = self.word(), self.word()
                default = self.expression() if self.take("=") else None
                return Declaration(kind, name, line, default, type, decorators=decorators)
            case "var":
                name = self.word()
                self.expect("=")
                return Declaration(kind, name, line, self.expression())
            case "output":
                name, type = self.word(), self.word()
                self.expect("=")
                return Declaration(kind, name, line, self.expression(), type, decorators=decorators)
            case "resource" | "module":
                name, type = self.word(), self.string().plain
                existing = kind == "resource" and bool(self.take("existing"))
                self.expect("=")
                return Declaration(kind, name, line, self.declared(), type or "", existing, decorators)
        self.fail(f"{kind!r} begins no declaration")

    def declared(self) -> Expression:
        """The body of a resource or module: an object, with a condition, or an array of them from a loop."""
        if self.take("if"):
            self.expect("(")
            condition = self.grouped()
            return If(condition, self.declared())
        return self.expression()

    def expression(self) -> Expression:
        start = self.at
        if (names := self.lambda_names()) is not None:
            return Lambda(names, self.expression())
        self.at = start
        condition = self.binary(0)
        if not self.take_next_line("?"):
            return condition
        then = self.expression()
        self.newlines()
        self.expect(":")
        return Operation("?", (condition, then, self.expression()))

    def lambda_names(self) -> tuple[str, ...] | None:
        names: list[str] = []
        if self.peek()[0] == "name":
            names.append(self.word())
        elif self.take("("):
            while self.peek()[0] == "name":
                names.append(self.word())
                self.take(",")
            if not self.take(")"):
                return None
        return tuple(names) if self.take("=>") else None

    def binary(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while operator := self.take_next_line(*_BINARY[level]):
            left = Operation(operator, (left, self.binary(level + 1)))
        return left

    def unary(self) -> Expression:
        if operator := self.take("!", "-"):
            return Operation(operator, (self.unary(),))
        return self.postfix()

    def postfix(self) -> Expression:
        node = self.primary()
        while True:
            if self.take(".", ".?", "::"):
                node = Member(node, self.word())
            elif self.take("["):
                node = Index(node, self.expression())
                self.expect("]")
            elif isinstance(node, Name | Member) and self.take("("):
                node = Call(node, tuple(self.arguments()))
            elif self.peek() == ("op", "!"):
                self.next()  # `module!.outputs`: it is there, says the author
            else:
                return node

    def arguments(self) -> Iterator[Expression]:
        self.depth += 1
        while not self.take(")"):
            yield self.expression()
            if not self.take(",") and self.peek() != ("op", ")"):
                self.fail(f"{self.peek()[1]!r} between arguments")
        self.depth -= 1

    def primary(self) -> Expression:
        kind, word = self.peek()
        match kind, word:
            case "quote", _:
                return self.string()
            case "number", _:
                return Literal(int(self.next()[1]))
            case "name", "true" | "false" | "null":
                return Literal({"true": True, "false": False, "null": None}[self.next()[1]])
            case "name", _:
                return Name(self.next()[1])
            case "op", "{":
                return self.object()
            case "op", "[":
                return self.array()
            case "op", "(":
                self.next()
                return self.grouped()
        self.fail(f"{word!r} begins no expression")

    def grouped(self) -> Expression:
        self.depth += 1
        inner = self.expression()
        self.depth -= 1
        self.expect(")")
        return inner

    def object(self) -> Object:
        self.expect("{")
        outside, self.depth = self.depth, 0
        items = []
        self.separators()
        while not self.take("}"):
            key = self.string() if self.peek()[0] == "quote" else Text((self.word(),))
            self.expect(":")
            items.append((key, self.expression()))
            if not self.separators() and self.peek() != ("op", "}"):
                self.fail(f"{self.peek()[1]!r} after a property")
        self.depth = outside
        return Object(tuple(items))

    def array(self) -> Expression:
        self.expect("[")
        outside, self.depth = self.depth, 0
        self.separators()
        if self.take("for"):
            node: Expression = self.loop()
        else:
            items = []
            while self.peek() != ("op", "]"):
                items.append(self.expression())
                if not self.separators() and self.peek() != ("op", "]"):
                    self.fail(f"{self.peek()[1]!r} after an item")
            node = Array(tuple(items))
        self.expect("]")
        self.depth = outside
        return node

    def loop(self) -> For:
        names = []
        if self.take("("):
            names.append(self.word())
            self.expect(",")
            names.append(self.word())
            self.expect(")")
        else:
            names.append(self.word())
        self.expect("in")
        source = self.expression()
        self.expect(":")
        body = self.declared()
        self.newlines()
        return For(tuple(names), source, body)

    def string(self) -> Text:
        kind, quote = self.next()
        if kind != "quote":
            self.fail(f"{quote!r} where a string is due")
        if quote == "'''":
            end = self.text.find("'''", self.at)
            if end < 0:
                self.fail("a string without end")
            text, self.at = self.text[self.at : end], end + 3
            return Text((text.removeprefix("\n"),))
        parts: list[str | Expression] = []
        literal = ""
        while (character := self.text[self.at : self.at + 1]) != "'":
            if character in ("", "\n"):
                self.fail("a string without end")
            self.at += 1
            if character == "\\":
                escape = self.text[self.at : self.at + 1]
                if escape not in _ESCAPES:
                    self.fail(f"no escape: \\{escape}")
                literal += _ESCAPES[escape]
                self.at += 1
            elif character == "$" and self.text[self.at : self.at + 1] == "{":
                self.at += 1
                parts += [literal] if literal else []
                literal = ""
                parts.append(self.expression())
                self.expect("}")
            else:
                literal += character
        self.at += 1
        return Text((*parts, literal) if literal or not parts else tuple(parts))

    def peek(self) -> tuple[str, str]:
        """Kind and text of the next token, ("", "") at the end."""
        start = self.at
        token = self.next()
        self.at = start if not token[0] else self.at - len(token[1])
        return token

    def next(self) -> tuple[str, str]:
        while self.at < len(self.text):
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                self.fail(f"{self.text[self.at]!r} is no Bicep")
            self.at = match.end()
            if match.lastgroup != "skip" and not (match.lastgroup == "newline" and self.depth):
                return str(match.lastgroup), match[0]
        return "", ""

    def take(self, *words: str) -> str:
        """The next token if it is one of these words, else "" and nothing is taken."""
        start = self.at
        kind, word = self.next()
        if kind in ("op", "name") and word in words:
            return word
        self.at = start
        return ""

    def take_next_line(self, *operators: str) -> str:
        """The same for an operator, which may begin the next line."""
        start = self.at
        self.newlines()
        if not (found := self.take(*operators)):
            self.at = start
        return found

    def newlines(self) -> None:
        start = self.at
        while self.next()[0] == "newline":
            start = self.at
        self.at = start

    def separators(self) -> bool:
        """Take newlines and commas; whether there were any."""
        start = before = self.at
        while self.next() in (("newline", "\n"), ("op", ",")):
            start = self.at
        self.at = start
        return start != before

    def word(self) -> str:
        kind, word = self.next()
        if kind != "name":
            self.fail(f"{word!r} where a name is due")
        return word

    def expect(self, word: str) -> None:
        if not self.take(word):
            self.fail(f"{self.peek()[1]!r} where {word!r} is due")

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def fail(self, what: str) -> NoReturn:
        raise SyntaxError(f"{self.path}:{self.line}: {what}")
