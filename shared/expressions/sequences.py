"""The LINQ methods that give a sequence, all lazy."""

import itertools
from collections.abc import Iterator
from typing import Any

from shared.expressions.errors import out_of_range
from shared.expressions.lists import (
    Comparer,
    Grouping,
    NetArray,
    NetTuple,
    Seq,
    elements,
)
from shared.expressions.nettypes import TypeRef, returning
from shared.expressions.ordering import Delegate, arity, walk
from shared.expressions.run import Run


def _with_index(function: Delegate) -> Delegate:
    """The function taking element and index, whatever the lambda takes."""
    return function if arity(function) == 2 else lambda item, _index: function(item)


def _select(run: Run, source: Any, selector: Delegate) -> Seq:
    if arity(selector) == 1:
        return Seq(lambda: map(selector, walk(run, source)))
    return Seq(lambda: (selector(item, i) for i, item in enumerate(walk(run, source))))


def _where(run: Run, source: Any, predicate: Delegate) -> Seq:
    if arity(predicate) == 1:
        return Seq(lambda: filter(predicate, walk(run, source)), source)
    return Seq(lambda: (item for i, item in enumerate(walk(run, source)) if predicate(item, i)))


def _select_many(run: Run, source: Any, selector: Delegate, result: Delegate | None = None) -> Seq:
    collect = _with_index(selector)

    def start() -> Iterator[Any]:
        for i, item in enumerate(walk(run, source)):
            for inner in walk(run, collect(item, i)):
                yield result(item, inner) if result else inner

    return Seq(start)


def groups_of(run: Run, source: Any, key: Delegate, element: Delegate | None, comparer: Any) -> dict[Any, Grouping]:
    groups: dict[Any, Grouping] = {}
    for item in walk(run, source):
        value = key(item)
        folded = comparer.key(value) if isinstance(comparer, Comparer) else value
        groups.setdefault(folded, Grouping(value)).items.append(element(item) if element else item)
    return groups


def _group_by(run: Run, source: Any, key: Delegate, *rest: Any) -> Seq:
    functions = [one for one in rest if callable(one)]
    comparer = next((one for one in rest if isinstance(one, Comparer)), None)
    result = next((one for one in functions if arity(one) == 2), None)
    element = next((one for one in functions if arity(one) == 1), None)

    def start() -> Iterator[Any]:
        groups = groups_of(run, source, key, element, comparer).values()
        return (result(group.Key, group) for group in groups) if result else iter(groups)

    return Seq(start)


def _unique(run: Run, source: Any, key: Delegate, seen: set[Any]) -> Iterator[Any]:
    for item in walk(run, source):
        value = key(item)
        if value not in seen:
            seen.add(value)
            yield item


def key_of(comparer: Any) -> Delegate:
    return comparer.key if isinstance(comparer, Comparer) else lambda item: item


def _distinct(run: Run, source: Any, comparer: Any = None) -> Seq:
    return Seq(lambda: _unique(run, source, key_of(comparer), set()))


def _distinct_by(run: Run, source: Any, keySelector: Delegate) -> Seq:
    return Seq(lambda: _unique(run, source, keySelector, set()))


def _union(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    return Seq(lambda: _unique(run, itertools.chain(elements(source), elements(second)), key_of(comparer), set()))


def _except(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    key = key_of(comparer)
    return Seq(lambda: _unique(run, source, key, {key(item) for item in walk(run, second)}))


def _intersect(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    key = key_of(comparer)

    def start() -> Iterator[Any]:
        wanted = {key(item) for item in walk(run, second)}
        return (item for item in _unique(run, source, key, set()) if key(item) in wanted)

    return Seq(start)


def _zip(run: Run, source: Any, second: Any, result: Delegate | None = None) -> Seq:
    combine = result or (lambda a, b: NetTuple((a, b), ("First", "Second")))
    return Seq(lambda: (combine(a, b) for a, b in zip(walk(run, source), elements(second), strict=False)))


def _join(run: Run, source: Any, inner: Any, outerKey: Delegate, innerKey: Delegate, result: Delegate) -> Seq:
    def start() -> Iterator[Any]:
        groups = groups_of(run, inner, innerKey, None, None)
        for item in walk(run, source):
            for match in walk(run, groups.get(outerKey(item)) or ()):
                yield result(item, match)

    return Seq(start)


def _group_join(run: Run, source: Any, inner: Any, outerKey: Delegate, innerKey: Delegate, result: Delegate) -> Seq:
    def start() -> Iterator[Any]:
        groups = groups_of(run, inner, innerKey, None, None)
        return (result(item, groups.get(outerKey(item)) or NetArray()) for item in walk(run, source))

    return Seq(start)


def _chunk(run: Run, source: Any, size: int) -> Seq:
    def start() -> Iterator[Any]:
        items = walk(run, source)
        while piece := list(itertools.islice(items, max(size, 1))):
            yield NetArray(piece)

    return Seq(start)


def _default_if_empty(run: Run, source: Any, value: Any = None) -> Seq:
    def start() -> Iterator[Any]:
        items = walk(run, source)
        return itertools.chain((next(items, value),), items)

    return Seq(start)


def _cast(run: Run, types: tuple[TypeRef, ...], source: Any) -> Seq:
    return Seq(lambda: map(types[0].cast, walk(run, source)))


def _of_type(run: Run, types: tuple[TypeRef, ...], source: Any) -> Seq:
    return Seq(lambda: filter(types[0].holds, walk(run, source)))


def _take_last(run: Run, source: Any, count: int) -> Seq:
    return Seq(lambda: iter(list(walk(run, source))[-count:] if count > 0 else []))


def _prefix(run: Run, source: Any, before: tuple[Any, ...], after: tuple[Any, ...]) -> Seq:
    return Seq(lambda: itertools.chain(before, walk(run, source), after))


def range_of(run: Run, start: int, count: int) -> Seq:
    if count < 0:
        raise out_of_range("count", "Specified argument was out of the range of valid values.")
    return Seq(lambda: walk(run, range(start, start + count)))


def repeat_of(run: Run, element: Any, count: int) -> Seq:
    return Seq(lambda: walk(run, itertools.repeat(element, count)))


SEQUENCES = returning(
    "IEnumerable",
    Select=_select,
    Where=_where,
    SelectMany=_select_many,
    GroupBy=_group_by,
    Distinct=_distinct,
    DistinctBy=_distinct_by,
    Union=_union,
    Intersect=_intersect,
    Except=_except,
    Zip=_zip,
    Join=_join,
    GroupJoin=_group_join,
    Concat=lambda run, source, second: Seq(lambda: itertools.chain(walk(run, source), walk(run, second))),
    Skip=lambda run, source, count: Seq(lambda: itertools.islice(walk(run, source), max(count, 0), None)),
    Take=lambda run, source, count: Seq(lambda: itertools.islice(walk(run, source), max(count, 0))),
    SkipWhile=lambda run, source, predicate: Seq(lambda: itertools.dropwhile(predicate, walk(run, source))),
    TakeWhile=lambda run, source, predicate: Seq(lambda: itertools.takewhile(predicate, walk(run, source))),
    SkipLast=lambda run, source, count: Seq(lambda: iter(list(walk(run, source))[: -count or None])),
    TakeLast=_take_last,
    Reverse=lambda run, source: Seq(lambda: reversed(list(walk(run, source)))),
    Append=lambda run, source, element: _prefix(run, source, (), (element,)),
    Prepend=lambda run, source, element: _prefix(run, source, (element,), ()),
    DefaultIfEmpty=_default_if_empty,
    Chunk=_chunk,
    Cast=_cast,
    OfType=_of_type,
    AsEnumerable=lambda source: source,
    AsQueryable=lambda source: source,
)
