"""JSONPath for ``SelectToken`` and ``SelectTokens``: names, indexes, slices, wildcards, ``..`` and filters."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.json_tokens import JArray, JObject, JToken, JValue

Step = Callable[[Iterable[JToken]], Iterator[JToken]]
Test = Callable[[JToken, JToken], bool]

_NAME = re.compile(r"[^.\[\]()=<>!&|\s,'\"?@]+")
_TOKEN = re.compile(
    r"""\s*(?:(?P<op>&&|\|\||==|!=|<=|>=|<|>|=~|\(|\)|!)|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>true|false|null)(?![\w])|(?P<path>[@$][^\s=<>!&|()]*))"""
)


def bad_path(path: str, reason: str) -> ExpressionFailed:
    return ExpressionFailed("JsonException", f"Path '{path}': {reason}")


def select(root: JToken, path: str, count: Callable[[], None]) -> Iterator[JToken]:
    """All tokens the path leads to, in document order; ``count`` is told of every token looked at."""
    tokens: Iterable[JToken] = (root,)
    for step in _steps(path, root, count):
        tokens = step(tokens)
    return iter(tokens)


def _steps(path: str, root: JToken, count: Callable[[], None]) -> list[Step]:
    steps: list[Step] = []
    at = 1 if path[:1] in ("$", "@") else 0
    while at < len(path):
        if path.startswith("..", at):
            steps.append(_descend(count))
            at += 2
            if path.startswith("[", at):
                continue
        elif path[at] == ".":
            at += 1
        if at >= len(path):
            raise bad_path(path, "Unexpected end while parsing path.")
        if path[at] == "[":
            end = _bracket_end(path, at)
            steps.append(_bracket(path[at + 1 : end].strip(), path, root, count))
            at = end + 1
        elif path[at] == "*":
            steps.append(_children)
            at += 1
        else:
            found = _NAME.match(path, at)
            if not found:
                raise bad_path(path, f"Unexpected character while parsing path: {path[at]}")
            steps.append(_named([found[0]]))
            at = found.end()
    return steps


def _bracket_end(path: str, at: int) -> int:
    depth, quote, i = 0, "", at
    while i < len(path):
        char = path[i]
        if quote:
            if char == "\\":
                i += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    raise bad_path(path, "Path ended with open indexer.")


def _bracket(content: str, path: str, root: JToken, count: Callable[[], None]) -> Step:
    if content == "*":
        return _children
    if content.startswith("?"):
        test = _filter(content[1:].strip(), path, count)
        return lambda tokens: (child for token in tokens for child in values_of(token) if test(child, root))
    names = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", content)
    if names:
        return _named([re.sub(r"\\(.)", r"\1", single or double) for single, double in names])
    if re.fullmatch(r"-?\d*:-?\d*(:-?\d*)?", content):
        parts = slice(*(int(part) if part else None for part in content.split(":")))
        return lambda tokens: (
            child for token in tokens if isinstance(token, JArray) for child in token.children()[parts]
        )
    if re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", content):
        return _indexed([int(part) for part in content.split(",")])
    raise bad_path(path, f"Unexpected character while parsing path indexer: {content[:1]}")


def values_of(token: JToken) -> list[JToken]:
    """The values inside: of an object's properties, of an array."""
    if isinstance(token, JObject):
        return token.values()
    return token.children() if isinstance(token, JArray) else []


def _children(tokens: Iterable[JToken]) -> Iterator[JToken]:
    return (child for token in tokens for child in values_of(token))


def _descend(count: Callable[[], None]) -> Step:
    """``..``: the tokens and everything below them. Several in one path multiply, so each token counts."""

    def step(tokens: Iterable[JToken]) -> Iterator[JToken]:
        pending = list(tokens)[::-1]
        while pending:
            count()
            token = pending.pop()
            yield token
            pending.extend(reversed(values_of(token)))

    return step


def _named(names: list[str]) -> Step:
    def step(tokens: Iterable[JToken]) -> Iterator[JToken]:
        for token in tokens:
            if isinstance(token, JObject):
                for name in names:
                    child = token.child(name)
                    if child is not None:
                        yield child

    return step


def _indexed(indexes: list[int]) -> Step:
    def step(tokens: Iterable[JToken]) -> Iterator[JToken]:
        for token in tokens:
            if isinstance(token, JArray):
                for index in indexes:
                    child = token.child(index) if index < len(token.items) else None
                    if child is not None:
                        yield child

    return step


def _either(first: Test, second: Test) -> Test:
    return lambda token, root: first(token, root) or second(token, root)


def _both(first: Test, second: Test) -> Test:
    return lambda token, root: first(token, root) and second(token, root)


class _Filter:
    """A recursive-descent reader of ``?(...)``: comparisons of paths and literals with && and ||."""

    def __init__(self, text: str, path: str, count: Callable[[], None]) -> None:
        self.path = path
        self.count = count
        self.tokens: list[tuple[str, str]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            at = self._read(text, at)
        self.at = 0

    def _read(self, text: str, at: int) -> int:
        found = _TOKEN.match(text, at)
        if not found or found.lastgroup is None:
            raise bad_path(self.path, "Could not read query operator.")
        kind, value, end = found.lastgroup, found[found.lastgroup], found.end()
        if kind == "path":
            while text[end : end + 1] == "(" or value.count("[") > value.count("]"):
                following = text.find("]", end)
                if following < 0:
                    raise bad_path(self.path, "Path ended with open query.")
                value += text[end : following + 1]
                end = following + 1
        self.tokens.append((kind, value))
        return end

    def take(self, *wanted: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at][1] in wanted and self.tokens[self.at][0] == "op":
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def either(self) -> Test:
        test = self.both()
        while self.take("||"):
            test = _either(test, self.both())
        return test

    def both(self) -> Test:
        test = self.one()
        while self.take("&&"):
            test = _both(test, self.one())
        return test

    def one(self) -> Test:
        if self.take("("):
            test = self.either()
            if not self.take(")"):
                raise bad_path(self.path, "Path ended with open query.")
            return test
        left = self.operand()
        operator = self.take("==", "!=", "<", ">", "<=", ">=", "=~")
        if operator is None:
            return lambda token, root: next(iter(left(token, root)), None) is not None
        right = self.operand()
        return lambda token, root: any(_compare(operator, a, b) for a in left(token, root) for b in right(token, root))

    def operand(self) -> Callable[[JToken, JToken], list[Any]]:
        if self.at >= len(self.tokens):
            raise bad_path(self.path, "Path ended with open query.")
        kind, value = self.tokens[self.at]
        self.at += 1
        if kind == "path":
            return lambda token, root: list(select(root if value.startswith("$") else token, value, self.count))
        if kind == "text":
            literal: Any = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif kind == "number":
            literal = float(value) if re.search(r"[.eE]", value) else int(value)
        elif kind == "word":
            literal = {"true": True, "false": False, "null": None}[value]
        else:
            raise bad_path(self.path, f"Unexpected character while parsing path query: {value}")
        return lambda token, root: [literal]


def _filter(content: str, path: str, count: Callable[[], None]) -> Test:
    if not content.startswith("("):
        raise bad_path(path, "Unexpected character while parsing path indexer: ?")
    reader = _Filter(content, path, count)
    test = reader.either()
    if reader.at != len(reader.tokens):
        raise bad_path(path, "Unexpected text after the query.")
    return test


def _compare(operator: str, a: Any, b: Any) -> bool:
    a = a.Value if isinstance(a, JValue) else a
    b = b.Value if isinstance(b, JValue) else b
    if isinstance(a, JToken) or isinstance(b, JToken):
        return operator == "!="
    if operator == "=~":
        return isinstance(a, str) and isinstance(b, str) and b.strip("/") in a
    alike = type(a) is type(b) or (_number(a) and _number(b)) or (isinstance(a, str) and isinstance(b, str))
    if operator in ("==", "!="):
        return (alike and a == b) == (operator == "==")
    if not alike or a is None:
        return False
    return bool({"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
