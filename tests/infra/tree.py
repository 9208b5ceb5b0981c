"""What a Bicep file is made of: declarations and expression trees."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Literal:
    """A number, true, false or null."""

    value: int | bool | None


@dataclass(frozen=True)
class Text:
    """A string: texts and the expressions between them."""

    parts: "tuple[str | Expression, ...]"

    @property
    def plain(self) -> str | None:
        """The text, if no expression is in it."""
        texts = [part for part in self.parts if isinstance(part, str)]
        return "".join(texts) if len(texts) == len(self.parts) else None


@dataclass(frozen=True)
class Name:
    """A symbol."""

    id: str


@dataclass(frozen=True)
class Object:
    """Properties in order. A key is a Text."""

    items: "tuple[tuple[Text, Expression], ...]"

    def get(self, *path: str) -> "Expression | None":
        """The value at a path of keys; None when there is none."""
        value: Expression | None = self
        for key in path:
            if not isinstance(value, Object):
                return None
            value = next((item for name, item in value.items if name.plain == key), None)
        return value


@dataclass(frozen=True)
class Array:
    """Items in order."""

    items: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Member:
    """`base.name`, `base.?name`."""

    base: "Expression"
    name: str


@dataclass(frozen=True)
class Index:
    """`base[index]`."""

    base: "Expression"
    index: "Expression"


@dataclass(frozen=True)
class Call:
    """`function(arguments)`; `function` is a Name or a Member."""

    function: "Name | Member"
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Operation:
    """An operator and its operands: one, two, or three for `?`."""

    operator: str
    operands: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Lambda:
    """`names => body`."""

    names: tuple[str, ...]
    body: "Expression"


@dataclass(frozen=True)
class For:
    """`[for names in source: body]`."""

    names: tuple[str, ...]
    source: "Expression"
    body: "Expression"


@dataclass(frozen=True)
class If:
    """`if (condition) body`, the body of a resource or module."""

    condition: "Expression"
    body: "Expression"


Expression = Literal | Text | Name | Object | Array | Member | Index | Call | Operation | Lambda | For | If


@dataclass(frozen=True)
class Declaration:
    """One statement. `kind`: targetScope, param, var, resource, module or output. `type` is a param's or output's type,
    a resource's `Type@version`, a module's path; `existing` marks a resource that is only referred to."""

    kind: str
    name: str
    line: int
    value: Expression | None
    type: str = ""
    existing: bool = False
    decorators: tuple[Call, ...] = ()

    @property
    def body(self) -> Object:
        """The object a resource or module is declared with, without its loop and condition."""
        value = self.value
        while isinstance(value, For | If):
            value = value.body
        assert isinstance(value, Object), f"{self.name} has no body"
        return value


@dataclass(frozen=True)
class Template:
    """The declarations of one file."""

    path: Path
    declarations: tuple[Declaration, ...] = field(repr=False)

    def of(self, kind: str) -> dict[str, Declaration]:
        """The declarations of one kind, by name."""
        return {one.name: one for one in self.declarations if one.kind == kind}


def walk(node: Expression | None) -> Iterator[Expression]:
    """A node and all below it."""
    if node is None:
        return
    yield node
    for child in children(node):
        yield from walk(child)


def children(node: Expression) -> Iterator[Expression]:
    """The expressions a node is made of."""
    match node:
        case Text(parts):
            yield from (part for part in parts if not isinstance(part, str))
        case Object(items):
            for key, value in items:
                yield key
                yield value
        case Array(items):
            yield from items
        case Member(base):
            yield base
        case Index(base, index):
            yield from (base, index)
        case Call(function, arguments):
            yield function
            yield from arguments
        case Operation(_, operands):
            yield from operands
        case Lambda(_, body):
            yield body
        case For(_, source, body):
            yield from (source, body)
        case If(condition, body):
            yield from (condition, body)
