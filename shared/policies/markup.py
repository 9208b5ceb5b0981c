"""The lax XML of policy documents: markup in, tree and problems out, with expressions kept apart from the markup.

API Management stores documents in "rawxml" form: XML in which an expression may hold any character unescaped. Where an
expression stands is therefore found first, by the rules of C# (`extent`), and everything around it is XML 1.0.
Entities in an expression are decoded before C# is looked at, as documents in "xml" form need it (`&quot;` is the
quote of a string there) and as the service does for half-escaped ones (`&amp;&amp;` beside raw quotes); an expression
that ends nowhere when decoded is read as it stands, so that a raw `"&quot;"` in C# survives.

Line ends are normalized as XML asks (section 2.11). Line breaks in attributes become spaces (section 3.3.3) except
inside expressions, where a `//` comment would otherwise swallow the rest.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from shared.errors import Problem
from shared.policies.entities import NOT_XML, DecodedText, decoded, stray_ampersands
from shared.policies.extent import Unclosed, expression_end
from shared.policies.nodes import Attribute, Element, Text

MAX_PROBLEMS = 100

_NAME = r"[A-Za-z_:\u00C0-\uFFFD][\w:.\-]*+"
_OPEN_TAG = re.compile(rf"<({_NAME})")
_CLOSE_TAG = re.compile(rf"</\s*+({_NAME})\s*+>")
_ATTRIBUTE = re.compile(rf"({_NAME})(\s*+=\s*+)?")
_SPACE = re.compile(r"[ \t\n]*+")
# Around a value any white space is trimmed, also the no-break space that comes with text copied from a web page.
_BLANK = re.compile(r"\s*+")
_BARE_VALUE = re.compile(r"[^\s>\"'/]++")
_EXPRESSION = re.compile(r"(?<!@)@[({]")
_TEXT_STOP = re.compile(r"<|(?<!@)@[({]")
_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\])?+[^>]*+>")
_LINE_SPACE = re.compile(r"[\t\n]")
# Where reading goes on after a tag that makes no sense: a > that ends its line or is followed by markup.
_TAG_END = re.compile(r"/?>[ \t]*+(?=[\n<]|\Z)")


class _GiveUp(Exception):
    """Reading on would take too long or say nothing new."""


@dataclass(slots=True)
class _Open:
    """An element whose end tag has not been read yet."""

    name: str
    attributes: tuple[Attribute, ...]
    at: int
    path: str
    content: int
    children: list[Element | Text] = field(default_factory=list)
    blank: bool = True
    expression: bool = False


def read_markup(text: str, file: str, max_depth: int) -> tuple[Element | None, list[Problem]]:
    """Read a document. Returns its root, as far as there is one, and everything wrong with it."""
    reader = _Reader(text.replace("\r\n", "\n").replace("\r", "\n"), file, max_depth)
    try:
        reader.read()
    except _GiveUp:
        pass
    return reader.root, reader.problems


class _Reader:
    def __init__(self, text: str, file: str, max_depth: int) -> None:
        self.text = text
        self.file = file
        self.max_depth = max_depth
        self.at = 0
        self.root: Element | None = None
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.decoded = DecodedText(text)
        # What may be read in vain for expressions that do not end; a bound on the whole, not on each.
        self.vain = 4 * len(text) + 1000

    def read(self) -> None:
        for wrong in NOT_XML.finditer(self.text):
            self.problem(wrong.start(), f"the character U+{ord(wrong[0]):04X} is not allowed")
        while self.at < len(self.text):
            if self.text[self.at] == "<" and self.markup():
                continue
            self.character_data()
        for element in reversed(self.stack):
            self.problem(element.at, f"<{element.name}> is not closed", element.path)
        while self.stack:
            self.close_top(len(self.text))

    # Places and problems

    def place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def problem(self, at: int, reason: str, path: str | None = None) -> None:
        line, column = self.place(at)
        where = path if path is not None else self.stack[-1].path if self.stack else ""
        self.problems.append(Problem(self.file, line, where, f"{reason} (column {column})"))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _GiveUp

    # Markup

    def markup(self) -> bool:
        """Read the tag, comment or section at the current `<`. False when it is none of these."""
        match self.text[self.at : self.at + 2]:
            case "<!":
                return self.declaration()
            case "<?":
                self.skip_past("?>", "the processing instruction is not closed")
                return True
            case "</":
                return self.end_tag()
            case _:
                return self.start_tag()

    def skip_past(self, end: str, reason: str) -> None:
        found = self.text.find(end, self.at)
        if found < 0:
            self.problem(self.at, reason)
            raise _GiveUp
        self.at = found + len(end)

    def declaration(self) -> bool:
        start = self.at
        if self.text.startswith("<!--", start):
            self.at += 4
            self.skip_past("-->", "the comment is not closed")
            return True
        if self.text.startswith("<![CDATA[", start):
            self.skip_past("]]>", "the CDATA section is not closed")
            self.add_text(self.text[start + 9 : self.at - 3], start + 9)
            return True
        if self.text.startswith("<!DOCTYPE", start):
            self.problem(start, "a document type declaration is not allowed")
            doctype = _DOCTYPE.match(self.text, start)
            if doctype is None:
                raise _GiveUp
            self.at = doctype.end()
            return True
        return False

    def end_tag(self) -> bool:
        tag = _CLOSE_TAG.match(self.text, self.at)
        if tag is None:
            return False
        name = tag[1]
        open_names = [element.name for element in self.stack]
        if name in open_names:
            while self.stack[-1].name != name:
                top = self.stack[-1]
                self.problem(top.at, f"<{top.name}> is not closed before {tag[0]}", top.path)
                self.close_top(self.at)
            self.close_top(self.at)
        elif self.stack and _alike(name, self.stack[-1].name):
            top = self.stack[-1]
            self.problem(self.at, f"{tag[0]} does not match <{top.name}> of line {self.place(top.at)[0]}")
            self.close_top(self.at)
        else:
            self.problem(self.at, f"{tag[0]} closes nothing")
        self.at = tag.end()
        return True

    def start_tag(self) -> bool:
        tag = _OPEN_TAG.match(self.text, self.at)
        if tag is None:
            return False
        start, name = self.at, tag[1]
        if not self.stack and self.root is not None:
            self.problem(start, f"<{name}> after the end of the document", "")
            raise _GiveUp
        if len(self.stack) >= self.max_depth:
            self.problem(start, f"elements are nested more than {self.max_depth} deep")
            raise _GiveUp
        path = "/".join([self.stack[-1].path, name] if len(self.stack) > 1 else [name])
        self.at = tag.end()
        element = _Open(name, (), start, path, 0)
        if self.stack:
            self.stack[-1].blank = False
        self.stack.append(element)
        element.attributes = self.attributes(name)
        closed = self.text.startswith("/>", self.at)
        self.at = min(self.at + (2 if closed else 1), len(self.text))
        element.content = self.at
        if closed:
            self.close_top(self.at, self_closing=True)
        return True

    def close_top(self, end: int, *, self_closing: bool = False) -> None:
        done = self.stack.pop()
        line, column = self.place(done.at)
        element = Element(
            done.name,
            done.attributes,
            tuple(done.children),
            line,
            column,
            done.path,
            self_closing,
            self.text,
            done.content,
            end,
        )
        if self.stack:
            self.stack[-1].children.append(element)
        else:
            self.root = element

    # Attributes

    def attributes(self, element: str) -> tuple[Attribute, ...]:
        """Read a start tag from after its name up to its `>` or `/>`, which is left to the caller."""
        found: dict[str, Attribute] = {}
        while True:
            before = self.at
            self.at = _end_of(_SPACE, self.text, self.at)
            if self.at >= len(self.text):
                self.problem(self.stack[-1].at, f"the tag <{element} is not closed")
                raise _GiveUp
            if self.text.startswith((">", "/>"), self.at):
                return tuple(found.values())
            name = _ATTRIBUTE.match(self.text, self.at)
            if name is None:
                self.lost_in_tag(f"unexpected {self.text[self.at]} in the tag <{element}>")
                return tuple(found.values())
            if self.at == before:
                after = self.text[name.end() : name.end() + 1]
                if not name[2] or after not in ("'", '"'):
                    self.lost_in_tag(f"unexpected {name[1]} after a closing quote in the tag <{element}>")
                    return tuple(found.values())
                self.problem(self.at, f"white space is missing before the attribute {name[1]}")
            attribute = self.attribute(name)
            if attribute is None:
                return tuple(found.values())
            if attribute.name in found:
                self.problem(name.start(), f"the attribute {attribute.name} is given twice")
            found.setdefault(attribute.name, attribute)

    def attribute(self, name: re.Match[str]) -> Attribute | None:
        """Read one attribute. None when the rest of the tag had to be skipped."""
        self.at = name.end()
        line, column = self.place(name.start())
        quote = self.text[self.at : self.at + 1] if name[2] else ""
        if quote not in ("'", '"'):
            bare_at = self.at
            self.at = self.bare_end(bare_at) if name[2] else bare_at
            wrong = "has no value" if self.at == bare_at else "must have its value in quotes"
            self.problem(name.start(), f"the attribute {name[1]} {wrong}")
            return Attribute(name[1], self.text[bare_at : self.at], line, column, *self.place(bare_at))
        self.at += 1
        value_place = self.place(_end_of(_BLANK, self.text, self.at))
        value = self.quoted(name[1], quote)
        return None if value is None else Attribute(name[1], value, line, column, *value_place)

    def bare_end(self, at: int) -> int:
        """Where a value without quotes ends, as far as one can tell."""
        if _EXPRESSION.match(self.text, at) and (end := self.extent(at)):
            return end
        bare = _BARE_VALUE.match(self.text, at)
        return bare.end() if bare else at

    def quoted(self, name: str, quote: str) -> str | None:
        """Read a quoted value up to and past its closing quote. None when it could not be found."""
        start = self.at
        begin = _end_of(_BLANK, self.text, start)
        if _EXPRESSION.match(self.text, begin):
            end = self.expression(begin, lambda end: self.text.startswith(quote, _end_of(_BLANK, self.text, end)))
            if isinstance(end, Unclosed):
                # A bracket left open makes the quote that was meant to end the value start a string instead.
                reason = (
                    "a bracket is open at the closing quote" if self.text[end.at : end.at + 1] == quote else end.reason
                )
                self.lost_in_tag(f"the expression in the attribute {name} is not closed: {reason}", end.at)
                return None
            self.at = _end_of(_BLANK, self.text, end[1]) + 1
            return end[0]
        end_of_value = self.literal_end(start, quote)
        lt = self.raw_lt(start, end_of_value)
        if end_of_value < 0 or (lt >= 0 and self.text.find("\n", start, end_of_value) >= 0):
            self.lost_in_tag(f"the value of the attribute {name} is not closed")
            return None
        if lt >= 0:
            self.problem(lt, f"a raw < in the attribute {name}; write &lt;")
        self.at = end_of_value + 1
        return self.decode(start, end_of_value, attribute=True)

    def literal_end(self, start: int, quote: str) -> int:
        """Find the closing quote of a value that does not begin with an expression, or -1.

        An expression in the middle is never evaluated but may hold quotes: they count as part of it when the value
        would otherwise end where no value can end.
        """
        at = start
        while True:
            end = self.text.find(quote, at)
            inside = _EXPRESSION.search(self.text, at, end) if end >= 0 else None
            if inside is None or self.text[end + 1 : end + 2] in " \t\n/>?":
                return end
            inside_end = self.extent(inside.start())
            if inside_end is None:
                return end
            at = inside_end

    def raw_lt(self, start: int, end: int) -> int:
        """The first `<` outside an embedded expression, or -1."""
        at = self.text.find("<", start, end)
        return -1 if at >= 0 and _EXPRESSION.search(self.text, start, at) else at

    def lost_in_tag(self, reason: str, at: int | None = None) -> None:
        """Report a tag that cannot be read further, once, and go on at its likely end."""
        self.at = max(self.at, at or 0)
        self.problem(self.at, reason)
        end = _TAG_END.search(self.text, self.at)
        if end is None:
            raise _GiveUp
        self.at = end.start()

    # Text and expressions

    def character_data(self) -> None:
        """Read text up to the next tag; a `<` at the current place is none."""
        if not self.stack:
            return self.text_outside()
        top = self.stack[-1]
        if top.blank and (begin := _end_of(_BLANK, self.text, self.at)) < len(self.text):
            if _EXPRESSION.match(self.text, begin):
                return self.whole_expression(top, begin)
        start = scanned = self.at
        while stop := _TEXT_STOP.search(self.text, scanned):
            scanned = stop.start()
            if stop[0] != "<":
                scanned = self.extent(scanned) or scanned + 2
            elif self.is_markup(scanned):
                break
            else:
                self.problem(scanned, "a raw < in text; write &lt;")
                scanned += 1
        self.at = stop.start() if stop else len(self.text)
        self.add_text(self.decode(start, self.at), start)

    def text_outside(self) -> None:
        end = self.text.find("<", self.at + 1)
        end = end if end >= 0 else len(self.text)
        if self.text[self.at : end].strip():
            self.problem(_end_of(_BLANK, self.text, self.at), "text outside the document's root element")
        self.at = end

    def is_markup(self, at: int) -> bool:
        return (
            self.text.startswith(("<!--", "<![CDATA[", "<!DOCTYPE", "<?"), at)
            or _OPEN_TAG.match(self.text, at) is not None
            or _CLOSE_TAG.match(self.text, at) is not None
        )

    def add_text(self, value: str, at: int) -> None:
        if not self.stack:
            return self.problem(at, "text outside the document's root element")
        top = self.stack[-1]
        if value.strip():
            if top.expression:
                self.problem(at, "text beside an expression: the expression must be the whole value")
                top.expression = False
            top.blank = False
        if value:
            top.children.append(Text(value, self.place(at)[0]))

    def whole_expression(self, top: _Open, begin: int) -> None:
        """Read an element's text that begins with an expression."""
        start = self.at
        end = self.expression(begin, lambda end: True)
        if not isinstance(end, Unclosed):
            source, self.at = end
            self.add_text(self.text[start:begin] + source, start)
            top.expression = True
            return
        self.problem(end.at, f"the expression is not closed: {end.reason}")
        tag = self.text.find(f"</{top.name}", begin)
        self.at = tag if tag >= 0 else begin + 2
        top.blank = False

    def expression(self, at: int, fits: Callable[[int], bool]) -> tuple[str, int] | Unclosed:
        """The text and the end of the expression at an offset: decoded, or else as it stands."""
        text = self.decoded.text
        begin = self.decoded.from_raw(at)
        comments: list[tuple[int, int]] = []
        end = expression_end(text, begin, comments)
        if isinstance(end, int) and fits(raw_end := self.decoded.to_raw(end)):
            return _without(comments, text, begin, end), raw_end
        if text is not self.text:
            comments = []
            raw = expression_end(self.text, at, comments)
            if isinstance(raw, int) and fits(raw):
                return _without(comments, self.text, at, raw), raw
        if isinstance(end, Unclosed):
            failed = Unclosed(self.decoded.to_raw(end.at), end.reason)
        else:
            failed = Unclosed(self.decoded.to_raw(end), "something follows the closing bracket")
        self.vain -= failed.at - at
        if self.vain < 0:
            self.problem(failed.at, f"the expression is not closed: {failed.reason}")
            raise _GiveUp
        return failed

    def extent(self, at: int) -> int | None:
        """The end of an expression that is not a whole value, as it stands; None when it has none."""
        if self.vain < 0:
            return None
        end = expression_end(self.text, at)
        if isinstance(end, int):
            return end
        self.vain -= end.at - at
        return None

    def decode(self, start: int, end: int, *, attribute: bool = False) -> str:
        """Literal text with its entities decoded; a stray `&` is a problem, but for an expression somewhere in it."""
        raw = self.text[start:end]
        if attribute:
            raw = _LINE_SPACE.sub(" ", raw)
        if _EXPRESSION.search(raw) is None:
            for stray in stray_ampersands(raw):
                self.problem(start + stray, "a raw & or an unknown entity; write &amp;")
        return decoded(raw)


def _without(comments: list[tuple[int, int]], text: str, start: int, end: int) -> str:
    """A part of the text without its XML comments, whose line breaks stay so that lines can still be counted."""
    parts: list[str] = []
    for first, last in comments:
        parts += (text[start:first], "\n" * text.count("\n", first, last))
        start = last
    return "".join(parts) + text[start:end]


def _end_of(run: re.Pattern[str], text: str, at: int) -> int:
    found = run.match(text, at)
    return found.end() if found else at


def _alike(one: str, other: str) -> bool:
    """Whether a name looks like a misspelt other one."""
    return max(len(one), len(other)) < 64 and SequenceMatcher(None, one, other).ratio() > 0.6
