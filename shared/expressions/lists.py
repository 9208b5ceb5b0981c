"""The collection values: arrays, lists, dictionaries, sets, pairs, tuples, anonymous objects and lazy sequences."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from shared.expressions.errors import ExpressionFailed, argument_null, out_of_range
from shared.expressions.formats import text
from shared.expressions.numbers import Char


class NetArray(list[Any]):
    """``T[]``; a byte array is a Python ``bytearray`` instead."""

    __slots__ = ("element",)

    def __init__(self, items: Iterable[Any] = (), element: Any = None) -> None:
        super().__init__(items)
        self.element = element

    def __str__(self) -> str:
        return f"{self.element.full_name if self.element else 'System.Object'}[]"

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


class NetList(list[Any]):
    """``List<T>``; ``element`` is the type argument, when one was written."""

    __slots__ = ("element",)

    def __init__(self, items: Iterable[Any] = (), element: Any = None) -> None:
        super().__init__(items)
        self.element = element

    def __str__(self) -> str:
        return f"System.Collections.Generic.List`1[{self.element.full_name if self.element else 'System.Object'}]"

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


class Seq:
    """A lazy ``IEnumerable<T>``: evaluated anew each time it is walked, as LINQ does."""

    __slots__ = ("like", "start")

    def __init__(self, start: Callable[[], Iterator[Any]], like: Any = None) -> None:
        self.start = start
        self.like = like
        """A sequence with elements of the same type, by which ``FirstOrDefault`` knows the default."""

    def __iter__(self) -> Iterator[Any]:
        return self.start()

    def __str__(self) -> str:
        return "System.Linq.Enumerable+Iterator`1[System.Object]"


class Pair:
    """``KeyValuePair<TKey, TValue>``."""

    __slots__ = ("Key", "Value")
    is_value: ClassVar[bool] = True

    def __init__(self, key: Any = None, value: Any = None) -> None:
        self.Key = key
        self.Value = value

    def __iter__(self) -> Iterator[Any]:
        return iter((self.Key, self.Value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and (self.Key, self.Value) == (other.Key, other.Value)

    def __hash__(self) -> int:
        return hash((self.Key, self.Value))

    def __str__(self) -> str:
        return f"[{text(self.Key)}, {text(self.Value)}]"


class NetTuple:
    """``(a, b)`` and ``Tuple<...>``: items by position, and by name where names were written."""

    __slots__ = ("items", "names")
    is_value: ClassVar[bool] = True

    def __init__(self, items: Iterable[Any], names: tuple[str | None, ...] = ()) -> None:
        self.items = list(items)
        self.names = names

    def place(self, name: str) -> int | None:
        """The position an element name stands for."""
        if name in self.names:
            return self.names.index(name)
        if name.startswith("Item") and name[4:].isdigit() and 0 < int(name[4:]) <= len(self.items):
            return int(name[4:]) - 1
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NetTuple) and self.items == other.items

    def __hash__(self) -> int:
        return hash(tuple(self.items))

    def __str__(self) -> str:
        return f"({', '.join(text(item) for item in self.items)})"


class Anonymous:
    """``new { A = 1 }``."""

    __slots__ = ("fields",)
    is_value: ClassVar[bool] = True

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anonymous) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(tuple(self.fields.items()))

    def __str__(self) -> str:
        return "{ " + ", ".join(f"{name} = {text(value)}" for name, value in self.fields.items()) + " }"


class Comparer:
    """``StringComparer.X``: how keys and sorted texts compare."""

    __slots__ = ("ignore_case", "ordinal")

    def __init__(self, *, ordinal: bool = False, ignore_case: bool = False) -> None:
        self.ordinal = ordinal
        self.ignore_case = ignore_case

    def key(self, value: Any) -> Any:
        return value.upper() if self.ignore_case and isinstance(value, str) else value

    def __bool__(self) -> bool:
        return self.ignore_case


class NetDictionary:
    """``Dictionary<TKey, TValue>``, in order of insertion; an own comparer may fold the case of keys."""

    __slots__ = ("comparer", "entries", "key_type", "value_type")
    is_dictionary: ClassVar[bool] = True  # JSON writes it as an object

    def __init__(self, comparer: Comparer | None = None, key_type: Any = None, value_type: Any = None) -> None:
        self.entries: dict[Any, Pair] = {}
        self.comparer = comparer
        self.key_type = key_type
        self.value_type = value_type

    def _key(self, key: Any) -> Any:
        if key is None:
            raise argument_null("key")
        return self.comparer.key(key) if self.comparer else key

    def get(self, key: Any, default: Any = None) -> Any:
        pair = self.entries.get(self._key(key))
        return default if pair is None else pair.Value

    def __getitem__(self, key: Any) -> Any:
        pair = self.entries.get(self._key(key))
        if pair is None:
            message = f"The given key '{text(key)}' was not present in the dictionary."
            raise ExpressionFailed("KeyNotFoundException", message)
        return pair.Value

    def __setitem__(self, key: Any, value: Any) -> None:
        folded = self._key(key)
        present = self.entries.get(folded)
        self.entries[folded] = Pair(present.Key if present else key, value)

    def add(self, key: Any, value: Any) -> None:
        if self._key(key) in self.entries:
            message = f"An item with the same key has already been added. Key: {text(key)}"
            raise ExpressionFailed("ArgumentException", message)
        self[key] = value

    def __contains__(self, key: Any) -> bool:
        return self._key(key) in self.entries

    def remove(self, key: Any) -> Pair | None:
        return self.entries.pop(self._key(key), None)

    def default(self) -> Any:
        return self.value_type.default() if self.value_type else None

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.entries.values())

    def __str__(self) -> str:
        arguments = ",".join(one.full_name if one else "System.Object" for one in (self.key_type, self.value_type))
        return f"System.Collections.Generic.Dictionary`2[{arguments}]"


class NetSet:
    """``HashSet<T>``, in order of insertion."""

    __slots__ = ("comparer", "entries")

    def __init__(self, items: Iterable[Any] = (), comparer: Comparer | None = None) -> None:
        self.comparer = comparer
        self.entries: dict[Any, Any] = {}
        for item in items:
            self.add(item)

    def key(self, item: Any) -> Any:
        return self.comparer.key(item) if self.comparer else item

    def add(self, item: Any) -> bool:
        key = self.key(item)
        if key in self.entries:
            return False
        self.entries[key] = item
        return True

    def discard(self, item: Any) -> bool:
        key = self.key(item)
        return self.entries.pop(key, self) is not self

    def __contains__(self, item: Any) -> bool:
        return self.key(item) in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.entries.values())

    def __str__(self) -> str:
        return "System.Collections.Generic.HashSet`1[System.Object]"


class NetQueue(list[Any]):
    """``Queue<T>``: first in, first out."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]


class NetStack(list[Any]):
    """``Stack<T>``; the newest item stands first, as its enumeration does."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]


class Grouping:
    """``IGrouping<TKey, T>``: a key and the items that have it."""

    __slots__ = ("Key", "items")

    def __init__(self, key: Any) -> None:
        self.Key = key
        self.items: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class Lookup:
    """``ILookup<TKey, T>``: groups by key; a missing key has no items."""

    __slots__ = ("groups",)

    def __init__(self, groups: dict[Any, Grouping]) -> None:
        self.groups = groups

    def __iter__(self) -> Iterator[Grouping]:
        return iter(self.groups.values())

    def __len__(self) -> int:
        return len(self.groups)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self.groups.get(key) or NetArray()


def elements(value: Any) -> Iterator[Any]:
    """Walk any enumerable; a text gives its chars, a dictionary its pairs."""
    if value is None:
        raise argument_null("source")
    if isinstance(value, str):
        return map(Char, value)
    if isinstance(value, dict):  # `context.Variables`
        return itertools.starmap(Pair, list(value.items()))
    walk = getattr(value, "__iter__", None)
    if walk is None:
        raise ExpressionFailed("InvalidCastException", f"'{text(value)}' is not a sequence.")
    return walk()  # type: ignore[no-any-return]


def place(index: Any, count: int, parameter: str = "index") -> int:
    """A checked position in a list."""
    if type(index) is not int and not isinstance(index, int):
        raise ExpressionFailed("InvalidCastException", f"'{text(index)}' is not an index.")
    if not 0 <= index < count:
        raise out_of_range(parameter)
    return int(index)
