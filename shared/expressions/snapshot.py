"""What mutable values in ``context.Variables`` hold, to undo an evaluation that found a body unread."""

from collections.abc import Callable
from typing import Any

from shared.expressions.json_tokens import JArray, JObject, JProperty, JToken, JValue
from shared.expressions.lists import NetDictionary, NetSet


class Snapshot:
    """Remembers the contents of every list, dictionary, set and JSON token reachable from the variables."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._undo: list[Callable[[], None]] = []
        self._seen: set[int] = set()
        pending = list(variables.values())
        while pending:
            value = pending.pop()
            if id(value) not in self._seen:
                self._seen.add(id(value))
                pending.extend(self._remember(value))

    def _remember(self, value: Any) -> list[Any]:
        match value:
            case JObject():
                return self._content(value, value.members, dict(value.members), value.values())
            case JArray():
                return self._content(value, value.items, list(value.items), value.children())
            case JProperty():
                return self._attribute(value, "_value", value._value, [value._value, value.parent])
            case JValue():
                return self._attribute(value, "Value", value.Value, ())
            case NetDictionary() | NetSet():
                return self._attribute(value, "entries", dict(value.entries), value.entries.values())
            case list() | bytearray():
                content = value[:]
                self._undo.append(lambda: value.__setitem__(slice(None), content))
                return [] if isinstance(value, bytearray) else list(value)
        parts = getattr(value, "parts", None)  # StringBuilder
        if isinstance(parts, list):
            return self._attribute(value, "parts", list(parts), ())
        inner = getattr(value, "Value", None)  # KeyValuePair
        return [inner] if inner is not None else []

    def _content(self, token: JToken, content: Any, before: Any, children: list[JToken]) -> list[Any]:
        """Of a JSON object or array: restored in place, for there may be other tokens around the same content."""
        parent = token.parent

        def undo() -> None:
            content.clear()
            (content.update if isinstance(content, dict) else content.extend)(before)
            token.parent = parent

        self._undo.append(undo)
        return list(children)

    def _attribute(self, owner: Any, name: str, content: Any, children: Any) -> list[Any]:
        def undo() -> None:
            setattr(owner, name, content)
            if isinstance(owner, JToken):
                owner.parent = parent

        parent = owner.parent if isinstance(owner, JToken) else None
        self._undo.append(undo)
        return [child for child in children if not isinstance(child, str | int | float | None)]

    def restore(self) -> None:
        """Put everything back as it was."""
        for undo in self._undo:
            undo()
