"""Walking sequences within the budget, and sorting them as .NET compares."""

from collections.abc import Callable, Iterator
from functools import cmp_to_key
from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.lists import (
    Comparer,
    Seq,
    elements,
)
from shared.expressions.operators import unboxed
from shared.expressions.run import Run

Delegate = Callable[..., Any]


def arity(function: Delegate) -> int:
    """How many parameters a lambda has; a method given by name takes one."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:
        return 1
    return int(code.co_argcount) - len(getattr(function, "__defaults__", None) or ())


def walk(run: Run, source: Any) -> Iterator[Any]:
    """The elements, each counted against the evaluation's budget."""
    for item in elements(source):
        run.step()
        yield item


def sort_key(value: Any) -> Any:
    """A key that orders as ``Comparer<T>.Default``: null first, texts by letters before case."""
    value = unboxed(value)
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value.lower(), value.swapcase())
    return (1, value)


def key_by(comparer: Any) -> Delegate:
    if isinstance(comparer, Comparer):
        if not comparer.ordinal:
            return lambda value: sort_key(comparer.key(value))
        return lambda value: (0,) if value is None else (1, comparer.key(value))
    if comparer is not None and callable(comparer):
        return cmp_to_key(comparer)
    return sort_key


def _after(select: Delegate, key: Delegate) -> Delegate:
    return lambda item: key(select(item))


class Ordered(Seq):
    """``IOrderedEnumerable<T>``: a source and the keys it is sorted by, most important first."""

    __slots__ = ("keys", "run", "source")

    def __init__(self, run: Run, source: Any, keys: list[tuple[Delegate, bool, Any]]) -> None:
        self.run = run
        self.source = source
        self.keys = keys
        super().__init__(self._sorted, source)

    def _sorted(self) -> Iterator[Any]:
        items = list(walk(self.run, self.source))
        for select, descending, comparer in reversed(self.keys):
            key = key_by(comparer)
            try:
                items.sort(key=_after(select, key), reverse=descending)
            except TypeError:
                message = "Failed to compare two elements in the array."
                raise ExpressionFailed("InvalidOperationException", message) from None
        return iter(items)


def order(descending: bool, further: bool) -> Delegate:
    def order(run: Run, source: Any, keySelector: Delegate, comparer: Any = None) -> Ordered:
        if further:
            return Ordered(run, source.source, [*source.keys, (keySelector, descending, comparer)])
        return Ordered(run, source, [(keySelector, descending, comparer)])

    return order


def order_self(descending: bool) -> Delegate:
    return lambda run, source, comparer=None: Ordered(run, source, [(lambda item: item, descending, comparer)])
