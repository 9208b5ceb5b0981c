"""Edits a YAML file in place of a hand: entries are put in, everything else keeps its comments, order and layout."""

import difflib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken
from ruamel.yaml.util import load_yaml_guess_indent

Outcome = Literal["added", "updated", "unchanged"]


class YamlFile:
    """A mapping of sections that map ids to entries, such as `gateway.yaml`.

    `sections` is the order new sections are put in. YAMLError when `text` is not valid YAML, ValueError when it is not
    such a mapping; an empty text, and sections without entries, are.
    """

    def __init__(self, text: str, sections: Sequence[str]) -> None:
        self._sections = tuple(sections)
        self._crlf = "\r\n" in text
        self._before = text.replace("\r\n", "\n")
        self._yaml = _yaml_like(self._before)
        self._tree = self._yaml.load(self._before) or CommentedMap()
        if not isinstance(self._tree, CommentedMap):
            raise ValueError("the file must be a mapping")
        self._comment_only = self._before if not len(self._tree) else ""
        self._untouched = self._dump() if len(self._tree) else ""
        self._changed = False
        self._entries = _entries_of(self._tree)

    def __contains__(self, place: tuple[str, str]) -> bool:
        return self.entry(*place) is not None

    def entry(self, section: str, id: str) -> Any:
        """The entry as plain data, None when there is none."""
        entries = self._tree.get(section)
        return _plain(entries.get(id)) if isinstance(entries, CommentedMap) else None

    def value(self, section: str) -> Any:
        """A section that is a value of its own, such as the global `policy`; None when it is not there."""
        return _plain(self._tree.get(section))

    def put_value(self, section: str, value: Any) -> Outcome:
        """Set a section that is a value of its own."""
        if section in self._tree:
            return self._set(self._tree, section, value)
        self._put_section(section, value)
        self._changed = True
        return "added"

    def put(self, section: str, id: str, value: Any) -> Outcome:
        """Add an entry, or bring an existing one up to date.

        The keys of a mapping `value` are set; keys the entry has beyond them stay. A key whose value is already the
        same is left alone, any other value is replaced whole.
        """
        entries = self._tree.get(section)
        if entries and not isinstance(entries, CommentedMap):
            raise ValueError(f"{section} must be a mapping")
        if isinstance(entries, CommentedMap) and len(entries):
            if id in entries:
                return self._update(entries, id, value)
            _append(entries, id, _node(value), _column(entries))
        else:
            self._put_section(section, CommentedMap({id: _node(value)}))
        self._changed = True
        return "added"

    def changed(self) -> list[tuple[str, str]]:
        """Section and id of the entries that are no longer what was read: those that were put, and those that share
        an anchor with one of them."""
        # Read anew: what is merged into an entry (`<<`) does not follow an edit of its origin before that.
        tree = self._yaml.load(self.text()) if "*" in self._before else self._tree
        after = _entries_of(tree)
        return [place for place, entry in self._entries.items() if place in after and after[place] != entry]

    def text(self) -> str:
        """The edited file; the very text that was read when nothing changed."""
        text = self._before
        if self._changed:
            text = self._comment_only + _in_layout_of(self._before, self._untouched, self._dump())
        return text.replace("\n", "\r\n") if self._crlf else text

    def _put_section(self, name: str, entries: Any) -> None:
        earlier = [other for other in self._sections[: self._order(name)] if other in self._tree]
        if name in self._tree:  # `apis:` or `apis: {}`
            _replace(self._tree, name, entries)
        elif earlier:
            _insert_after(self._tree, earlier[-1], name, entries)
        else:
            last = next(reversed(self._tree), None)
            self._tree[name] = entries
            if last is not None:
                _add_tail(self._tree, last, "\n")

    def _order(self, name: str) -> int:
        return self._sections.index(name) if name in self._sections else len(self._sections)

    def _update(self, entries: CommentedMap, id: str, value: Any) -> Outcome:
        existing = entries[id]
        if not (isinstance(value, Mapping) and isinstance(existing, CommentedMap)):
            return self._set(entries, id, value)
        outcomes = {self._set(existing, key, new) for key, new in value.items()}
        return "updated" if outcomes - {"unchanged"} else "unchanged"

    def _set(self, mapping: CommentedMap, key: str, value: Any) -> Outcome:
        if key in mapping and _plain(mapping[key]) == _plain(value):
            return "unchanged"
        self._changed = True
        if key in mapping:
            _replace(mapping, key, _node(value))
        else:
            _append(mapping, key, _node(value), _column(mapping))
        return "updated"

    def _dump(self) -> str:
        out = io.StringIO()
        self._yaml.dump(self._tree, out)
        return out.getvalue()


def _yaml_like(text: str) -> YAML:
    """A round-trip reader and writer that indents as `text` does and never folds a line."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    _, indent, offset = load_yaml_guess_indent(text) if text.strip() else (None, None, None)
    mapping = _mapping_indent(text)
    yaml.indent(mapping=mapping, sequence=(indent or mapping + 2) if offset else mapping, offset=offset or 0)
    if not indent:
        yaml.indent(mapping=mapping, sequence=mapping + 2, offset=mapping)
    yaml.explicit_start = text.startswith("---")
    return yaml


def _mapping_indent(text: str) -> int:
    """The indentation of the first line that has one and starts a key."""
    for line in text.splitlines():
        stripped = line.lstrip(" ")
        if stripped != line and stripped[:1] not in ("#", "-", ""):
            return len(line) - len(stripped)
    return 2


def _in_layout_of(original: str, untouched: str, edited: str) -> str:
    """`edited` with the lines that did not change as they stand in `original`.

    `untouched` is `original` read and written without an edit: it differs in spelling only (`null`, `{ a: b }`).
    """
    same, new = (text.splitlines(keepends=True) for text in (untouched, edited))
    spelled = _spelled(original, same)
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, same, new, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        lines += spelled[start:end] if tag == "equal" else new[new_start:new_end]
    return "".join(lines)


def _spelled(original: str, lines: list[str]) -> list[str]:
    """For each of `lines` what it is in `original`, with any lines that were lost on the way."""
    old = original.splitlines(keepends=True)
    if old and not old[-1].endswith("\n"):
        old[-1] += "\n"
    if len(old) == len(lines):
        return old
    bare, written = (["".join(line.split()) for line in text] for text in (old, lines))
    found, lost = list(lines), ""
    for tag, start, end, line, line_end in difflib.SequenceMatcher(None, bare, written, autojunk=False).get_opcodes():
        if tag == "delete":
            lost = "".join(old[start:end])
        elif end - start == line_end - line:
            found[line:line_end] = old[start:end]
        if lost and line < len(found) and tag != "delete":
            found[line], lost = lost + found[line], ""
    return found


def _entries_of(tree: CommentedMap) -> dict[tuple[str, str], Any]:
    sections = [(name, entries) for name, entries in tree.items() if isinstance(entries, CommentedMap)]
    return {(name, id): _plain(entry) for name, entries in sections for id, entry in entries.items()}


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


def _node(value: Any) -> Any:
    """Plain data as ruamel nodes: mappings in block style, lists of scalars on one line."""
    if isinstance(value, Mapping):
        return CommentedMap((key, _node(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        node = CommentedSeq(_node(item) for item in value)
        if not any(isinstance(item, Mapping | list | tuple) for item in value):
            node.fa.set_flow_style()
        return node
    return value


# A comment belongs, for ruamel, to the last leaf before it. What follows an entry would therefore stay with that leaf
# when something is put behind it: `# ---- APIs ----` would end up in the middle of the backends.


def _append(mapping: CommentedMap, key: str, value: Any, column: int) -> None:
    tail = _cut_tail(mapping, next(reversed(mapping)), column) if len(mapping) else ""
    mapping[key] = value
    _add_tail(mapping, key, tail)


def _insert_after(mapping: CommentedMap, predecessor: str, key: str, value: Any) -> None:
    tail = _cut_tail(mapping, predecessor, 1)
    mapping.insert(list(mapping).index(predecessor) + 1, key, value)
    _add_tail(mapping, predecessor, "\n")
    _add_tail(mapping, key, tail)


def _replace(mapping: CommentedMap, key: str, value: Any) -> None:
    tail = _cut_tail(mapping, key, 1_000_000)
    mapping[key] = value
    _add_tail(mapping, key, tail)


def _column(mapping: CommentedMap) -> int:
    """The column the keys of a mapping stand in: comments left of it belong to what follows the mapping."""
    positions = (mapping.lc.data or {}).values()
    return min((position[1] for position in positions), default=0)


def _leaf(mapping: CommentedMap, key: Any) -> tuple[Any, Any, int]:
    """Where ruamel keeps the comment that follows an entry: the container, the key in it, the slot."""
    container: Any = mapping
    while True:
        value = container[key]
        if isinstance(value, CommentedMap) and len(value) and not value.fa.flow_style():
            container, key = value, next(reversed(value))
        elif isinstance(value, CommentedSeq) and len(value) and not value.fa.flow_style():
            container, key = value, len(value) - 1
        else:
            return container, key, 2 if isinstance(container, CommentedMap) else 0


def _cut_tail(mapping: CommentedMap, key: Any, column: int) -> str:
    """Take the comment lines that follow an entry off it, from the first one left of `column` on.

    The rest of the entry's last line (a comment beside its value) stays.
    """
    container, leaf, slot = _leaf(mapping, key)
    tokens = container.ca.items.get(leaf)
    token = tokens[slot] if tokens and len(tokens) > slot else None
    if not isinstance(token, CommentToken):
        return ""
    first, newline, rest = token.value.partition("\n")
    start = 0
    if isinstance(container[leaf], FoldedScalarString | LiteralScalarString):
        first, newline, rest = "", "", token.value  # a block scalar ends its own line
        start = 1 if token.start_mark.column >= column else 0  # ruamel strips the first comment's indentation
    lines = rest.splitlines(keepends=True)
    ours = (number for number, line in enumerate(lines) if number >= start and _left_of(line, column))
    at = next(ours, len(lines))
    while at > start and not lines[at - 1].strip():
        at -= 1
    kept = first + newline + "".join(lines[:at])
    if kept:
        token.value = kept
    else:
        tokens[slot] = None
    return "".join(lines[at:])


def _left_of(line: str, column: int) -> bool:
    return bool(line.strip()) and len(line) - len(line.lstrip()) < column


def _add_tail(mapping: CommentedMap, key: Any, tail: str) -> None:
    if not tail:
        return
    container, leaf, slot = _leaf(mapping, key)
    tokens = container.ca.items.setdefault(leaf, [None, None, None, None])
    token = tokens[slot]
    if isinstance(token, CommentToken):
        token.value += tail
    else:
        tokens[slot] = CommentToken("\n" + tail, CommentMark(0), None)
