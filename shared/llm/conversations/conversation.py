"""What a schema knows of the messages of a call: those asked with, those answered, and how a stream tells them."""

from collections.abc import Mapping
from typing import Any

# Strings that come piece by piece; all others a stream tells as a whole.
_GROW = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "arguments", "text", "thinking", "transcript"}
)
_DEEPEST = 32
# Bytes that nobody can read, and numbers.
_LEFT_OUT = frozenset({"data", "logprobs", "signature"})


class Conversation:
    """The messages of one schema; without state. This one, for schemas that are not known, finds none."""

    def asked(self, body: Mapping[str, Any]) -> list[Any]:
        """The messages of a request, each an object with `role` and `content` or as the schema has it."""
        return []

    def answered(self, document: Any) -> list[Any]:
        """The messages of a whole answer; none when it is something else, such as an error."""
        return []

    def growing(self, most: int) -> "Growing":
        """The messages of a streamed answer, of at most `most` characters."""
        return Growing(most)


class Growing:
    """The messages of a stream. What goes past the limit is dropped, and `cut` tells so."""

    def __init__(self, most: int) -> None:
        self.cut = False
        self._room = most

    def add(self, event: Any) -> None:
        """Take what an event says."""

    def messages(self) -> list[Any]:
        """What has been said so far."""
        return []

    def join(self, into: dict[str, Any], delta: Mapping[str, Any], depth: int = 0) -> None:
        """Add a delta: texts grow, items of lists are told by their `index`, objects merge, all else is replaced."""
        for name, value in delta.items():
            if name in _LEFT_OUT or value is None:
                continue
            match value:
                case str() if name in _GROW:
                    self.grow(into, name, value)
                case dict() | list() if depth > _DEEPEST or name not in into and not self._fits(name, None):
                    self.cut = True
                case dict():
                    inner = into.setdefault(name, {})
                    if isinstance(inner, dict):
                        self.join(inner, value, depth + 1)
                case list() if all(isinstance(one, dict) for one in value):
                    items = into.setdefault(name, Items())
                    if isinstance(items, Items):
                        self._add_items(items, value, depth + 1)
                case list() if any(isinstance(one, dict | list) for one in value):
                    pass  # no schema has such a thing
                case list() | str() | int() | float() if self._fits(name, value):
                    into[name] = value

    def grow(self, into: dict[str, Any], name: str, text: str) -> None:
        """Add to a text."""
        parts = into.setdefault(name, Parts())
        if isinstance(parts, Parts) and text:
            if len(text) > self._room:
                self.cut = True
                text = text[: max(0, self._room)]
            self._room -= len(text)
            parts.append(text)

    def item(self, items: "Items", index: object) -> dict[str, Any] | None:
        """The item of a list at a place, made when it is not there; None when there is no room for another."""
        if not isinstance(index, int):
            return None
        if index not in items and self._fits("", ""):
            items[index] = {}
        return items.get(index)

    def _add_items(self, items: "Items", added: list[Any], depth: int) -> None:
        for one in added:
            item = self.item(items, one.get("index", len(items)))
            if item is not None:
                self.join(item, {name: value for name, value in one.items() if name != "index"}, depth)

    def _fits(self, name: str, value: Any) -> bool:
        """Whether there is room for a member, which is taken then. Small things count as well: there may be many."""
        size = 8 + len(name) + (len(str(value)) if isinstance(value, str | list) else 0)
        if size > self._room:
            self.cut = True
            return False
        self._room -= size
        return True


class Parts(list[str]):
    """A text that grows."""


class Items(dict[int, dict[str, Any]]):
    """A list that grows, by index."""


def settled(value: Any) -> Any:
    """What has grown as plain data."""
    match value:
        case Parts():
            return "".join(value)
        case Items():
            return [settled(value[index]) for index in sorted(value)]
        case dict():
            return {name: settled(member) for name, member in value.items()}
    return value


def turns(value: Any, role: str = "user") -> list[Any]:
    """Messages out of what stands where a schema takes a text or a list of messages."""
    match value:
        case None | "" | []:
            return []
        case list() if not isinstance(value[0], int):
            return [turn if isinstance(turn, dict) else {"role": role, "content": turn} for turn in value]
    return [{"role": role, "content": value}]
