"""What a policy document consists of: elements, their attributes and their text, with the lines they stand on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.policies.extent import Expression, Literal, split_value


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute; `value` has its entities decoded, an expression in it is verbatim.

    `line` and `column` (from 1) are those of the name, `value_line` and `value_column` those of the value's first
    character that is not white space.
    """

    name: str
    value: str
    line: int
    column: int
    value_line: int
    value_column: int

    def split(self) -> Literal | Expression:
        """The value as a literal or an expression."""
        return split_value(self.value, self.value_line)


@dataclass(frozen=True, slots=True)
class Text:
    """Text between tags: entities decoded, CDATA unwrapped, no comments. `line` is that of its first character."""

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a policy document.

    `path` names the element from below the root, as in `inbound/choose/when`; the root's own path is its name.
    """

    name: str
    attributes: tuple[Attribute, ...]
    children: "tuple[Element | Text, ...]"
    line: int
    column: int
    path: str
    self_closing: bool = False
    # Where the content stands in the document's text, for `inner_text`. Kept as offsets: a copy per level would make
    # a deep document cost its length times its depth.
    _document: str = field(default="", repr=False, compare=False)
    _start: int = field(default=0, repr=False, compare=False)
    _end: int = field(default=0, repr=False, compare=False)

    def get(self, name: str) -> str | None:
        """The value of an attribute, or None."""
        attribute = self.attribute(name)
        return None if attribute is None else attribute.value

    def attribute(self, name: str) -> Attribute | None:
        """An attribute by its name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def elements(self, name: str | None = None) -> "Iterator[Element]":
        """The child elements in document order, or only those of one name."""
        return (c for c in self.children if isinstance(c, Element) and (name is None or c.name == name))

    def text(self) -> str:
        """The element's own text, untrimmed, without that of child elements."""
        return "".join(child.value for child in self.children if isinstance(child, Text))

    @property
    def text_line(self) -> int:
        """The line on which the element's text begins, blank text aside."""
        for child in self.children:
            if isinstance(child, Text) and (value := child.value.lstrip()):
                return child.line + child.value.count("\n", 0, len(child.value) - len(value))
        return self.line

    def split(self) -> Literal | Expression:
        """The element's own text as a literal or an expression."""
        return split_value(self.text(), self.text_line)

    def inner_text(self) -> str:
        """What a body made from this element holds: the text, or, when there are child elements, the inner markup.

        Markup is given character by character as it stands in the document (a SOAP envelope in set-body keeps its
        entities, CDATA and comments); plain text has its entities decoded and CDATA unwrapped.
        """
        if next(self.elements(), None) is None:
            return self.text()
        return self._document[self._start : self._end]
