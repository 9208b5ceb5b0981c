"""LINQ: the extension methods of ``IEnumerable<T>``, lazy where .NET's are."""

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from shared.expressions.errors import ExpressionFailed, out_of_range
from shared.expressions.lists import (
    Comparer,
    Grouping,
    Lookup,
    NetArray,
    NetDictionary,
    NetList,
    NetSet,
    NetTuple,
    Pair,
    Seq,
    elements,
)
from shared.expressions.nettypes import NetType, TypeRef, returning
from shared.expressions.numbers import Long
from shared.expressions.operators import add, divide, unboxed
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


def _order(descending: bool, further: bool) -> Delegate:
    def order(run: Run, source: Any, keySelector: Delegate, comparer: Any = None) -> Ordered:
        if further:
            return Ordered(run, source.source, [*source.keys, (keySelector, descending, comparer)])
        return Ordered(run, source, [(keySelector, descending, comparer)])

    return order


def _order_self(descending: bool) -> Delegate:
    return lambda run, source, comparer=None: Ordered(run, source, [(lambda item: item, descending, comparer)])


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


_NOTHING = object()


def _no_elements(predicate: Any) -> ExpressionFailed:
    text = "Sequence contains no matching element" if predicate else "Sequence contains no elements"
    return ExpressionFailed("InvalidOperationException", text)


def _matching(run: Run, source: Any, predicate: Delegate | None) -> Iterator[Any]:
    return filter(predicate, walk(run, source)) if predicate else walk(run, source)


def _single(matching: Iterator[Any]) -> Any:
    found = next(matching, _NOTHING)
    if next(matching, _NOTHING) is not _NOTHING:
        raise ExpressionFailed("InvalidOperationException", "Sequence contains more than one element")
    return found


def _last(matching: Iterator[Any]) -> Any:
    found: Any = _NOTHING
    for item in matching:
        found = item
    return found


def _first(matching: Iterator[Any]) -> Any:
    return next(matching, _NOTHING)


def default_of(source: Any) -> Any:
    """``default(T)`` of a sequence whose element type is known at run time; null else."""
    while isinstance(source, Seq) and source.like is not None:
        source = source.like
    element = getattr(source, "element", None)
    if element is not None:
        return element.default()
    if isinstance(source, NetDictionary):
        return Pair()
    if isinstance(source, bytes | bytearray):
        return 0
    first = source[0] if isinstance(source, list) and source else None
    return type(first)(0) if isinstance(first, bool | int | float | Decimal) else None


def _pick(choose: Delegate, or_default: bool) -> Delegate:
    def pick(run: Run, source: Any, *arguments: Any) -> Any:
        predicate = next((one for one in arguments if callable(one)), None)
        found = choose(_matching(run, source, predicate))
        if found is not _NOTHING:
            return found
        if not or_default:
            raise _no_elements(predicate)
        rest = [one for one in arguments if one is not predicate]
        return rest[0] if rest else default_of(source)

    return pick


def _element_at(run: Run, source: Any, index: int) -> Any:
    found = next(itertools.islice(walk(run, source), max(index, 0), None), _NOTHING) if index >= 0 else _NOTHING
    if found is _NOTHING:
        raise out_of_range("index")
    return found


def _element_at_or_default(run: Run, source: Any, index: int) -> Any:
    return (
        next(itertools.islice(walk(run, source), index, None), default_of(source)) if index >= 0 else default_of(source)
    )


def _any(run: Run, source: Any, predicate: Delegate | None = None) -> bool:
    return next(_matching(run, source, predicate), _NOTHING) is not _NOTHING


def _count(run: Run, source: Any, predicate: Delegate | None = None) -> int:
    return sum(1 for _ in _matching(run, source, predicate))


def _sum(run: Run, source: Any, selector: Delegate | None = None) -> Any:
    total: Any = 0
    for item in walk(run, source):
        value = unboxed(selector(item) if selector else item)
        if value is not None:
            total = add(total, value)
    return total


def _average(run: Run, source: Any, selector: Delegate | None = None) -> Any:
    values = [unboxed(selector(item) if selector else item) for item in walk(run, source)]
    values = [value for value in values if value is not None]
    if not values:
        raise _no_elements(None)
    total = _sum(run, values)
    return divide(total if isinstance(total, Decimal) else float(total), len(values))


def _extreme(sign: int) -> Delegate:
    def extreme(run: Run, source: Any, selector: Delegate | None = None) -> Any:
        values = [unboxed(selector(item) if selector else item) for item in walk(run, source)]
        values = [value for value in values if value is not None]
        if not values:
            raise _no_elements(None)
        return max(values, key=sort_key) if sign > 0 else min(values, key=sort_key)

    return extreme


def _extreme_by(sign: int) -> Delegate:
    def extreme(run: Run, source: Any, selector: Delegate) -> Any:
        items = list(walk(run, source))
        if not items:
            raise _no_elements(None)
        return (max if sign > 0 else min)(items, key=lambda item: sort_key(selector(item)))

    return extreme


def _aggregate(run: Run, source: Any, *arguments: Any) -> Any:
    items = walk(run, source)
    if len(arguments) == 1:
        value, step = next(items, _NOTHING), arguments[0]
        if value is _NOTHING:
            raise _no_elements(None)
    else:
        value, step = arguments[:2]
    for item in items:
        value = step(value, item)
    return arguments[2](value) if len(arguments) == 3 else value


def _groups(run: Run, source: Any, key: Delegate, element: Delegate | None, comparer: Any) -> dict[Any, Grouping]:
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
        groups = _groups(run, source, key, element, comparer).values()
        return (result(group.Key, group) for group in groups) if result else iter(groups)

    return Seq(start)


def _to_lookup(run: Run, source: Any, key: Delegate, element: Delegate | None = None, comparer: Any = None) -> Lookup:
    return Lookup(_groups(run, source, key, element, comparer))


def _to_dictionary(run: Run, source: Any, *arguments: Any) -> NetDictionary:
    functions = [one for one in arguments if callable(one)]
    made = NetDictionary(next((one for one in arguments if isinstance(one, Comparer)), None))
    for item in walk(run, source):
        key, value = (functions[0](item) if functions else item.Key), item
        if len(functions) > 1:
            value = functions[1](item)
        elif not functions:
            value = item.Value
        made.add(key, value)
    return made


def _unique(run: Run, source: Any, key: Delegate, seen: set[Any]) -> Iterator[Any]:
    for item in walk(run, source):
        value = key(item)
        if value not in seen:
            seen.add(value)
            yield item


def _key_of(comparer: Any) -> Delegate:
    return comparer.key if isinstance(comparer, Comparer) else lambda item: item


def _distinct(run: Run, source: Any, comparer: Any = None) -> Seq:
    return Seq(lambda: _unique(run, source, _key_of(comparer), set()))


def _distinct_by(run: Run, source: Any, keySelector: Delegate) -> Seq:
    return Seq(lambda: _unique(run, source, keySelector, set()))


def _union(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    return Seq(lambda: _unique(run, itertools.chain(elements(source), elements(second)), _key_of(comparer), set()))


def _except(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    key = _key_of(comparer)
    return Seq(lambda: _unique(run, source, key, {key(item) for item in walk(run, second)}))


def _intersect(run: Run, source: Any, second: Any, comparer: Any = None) -> Seq:
    key = _key_of(comparer)

    def start() -> Iterator[Any]:
        wanted = {key(item) for item in walk(run, second)}
        return (item for item in _unique(run, source, key, set()) if key(item) in wanted)

    return Seq(start)


def _zip(run: Run, source: Any, second: Any, result: Delegate | None = None) -> Seq:
    combine = result or (lambda a, b: NetTuple((a, b), ("First", "Second")))
    return Seq(lambda: (combine(a, b) for a, b in zip(walk(run, source), elements(second), strict=False)))


def _join(run: Run, source: Any, inner: Any, outerKey: Delegate, innerKey: Delegate, result: Delegate) -> Seq:
    def start() -> Iterator[Any]:
        groups = _groups(run, inner, innerKey, None, None)
        for item in walk(run, source):
            for match in walk(run, groups.get(outerKey(item)) or ()):
                yield result(item, match)

    return Seq(start)


def _group_join(run: Run, source: Any, inner: Any, outerKey: Delegate, innerKey: Delegate, result: Delegate) -> Seq:
    def start() -> Iterator[Any]:
        groups = _groups(run, inner, innerKey, None, None)
        return (result(item, groups.get(outerKey(item)) or NetArray()) for item in walk(run, source))

    return Seq(start)


def _contains(run: Run, source: Any, value: Any, comparer: Any = None) -> bool:
    key = _key_of(comparer)
    wanted = unboxed(key(value))
    return any(unboxed(key(item)) == wanted for item in walk(run, source))


def _sequence_equal(run: Run, source: Any, second: Any, comparer: Any = None) -> bool:
    key = _key_of(comparer)
    return [key(item) for item in walk(run, source)] == [key(item) for item in walk(run, second)]


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


def _to_list(run: Run, source: Any) -> NetList:
    return NetList(walk(run, source), getattr(source, "element", None))


def _to_array(run: Run, source: Any) -> Any:
    if isinstance(source, bytes | bytearray):
        return bytearray(source)
    return NetArray(walk(run, source), getattr(source, "element", None))


def _take_last(run: Run, source: Any, count: int) -> Seq:
    return Seq(lambda: iter(list(walk(run, source))[-count:] if count > 0 else []))


def _for_each(run: Run, source: Any, action: Delegate) -> None:
    for item in walk(run, list(elements(source))):
        action(item)


def _prefix(run: Run, source: Any, before: tuple[Any, ...], after: tuple[Any, ...]) -> Seq:
    return Seq(lambda: itertools.chain(before, walk(run, source), after))


def _range(run: Run, start: int, count: int) -> Seq:
    if count < 0:
        raise out_of_range("count", "Specified argument was out of the range of valid values.")
    return Seq(lambda: walk(run, range(start, start + count)))


def _repeat(run: Run, element: Any, count: int) -> Seq:
    return Seq(lambda: walk(run, itertools.repeat(element, count)))


_SEQUENCES = returning(
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

ENUMERABLE = NetType(
    "IEnumerable",
    (Seq, list),
    full_name="System.Collections.Generic.IEnumerable`1",
    aliases=("IEnumerator", "IQueryable"),
    check=lambda value: hasattr(type(value), "__iter__") and not isinstance(value, Pair | NetTuple),
    methods=_SEQUENCES
    | returning(
        "IOrderedEnumerable",
        OrderBy=_order(False, False),
        OrderByDescending=_order(True, False),
        Order=_order_self(False),
        OrderDescending=_order_self(True),
    )
    | returning(
        None,
        First=_pick(_first, False),
        FirstOrDefault=_pick(_first, True),
        Last=_pick(_last, False),
        LastOrDefault=_pick(_last, True),
        Single=_pick(_single, False),
        SingleOrDefault=_pick(_single, True),
        ElementAt=_element_at,
        ElementAtOrDefault=_element_at_or_default,
        Sum=_sum,
        Average=_average,
        Min=_extreme(-1),
        Max=_extreme(1),
        MinBy=_extreme_by(-1),
        MaxBy=_extreme_by(1),
        Aggregate=_aggregate,
        ToArray=_to_array,
        ForEach=_for_each,
    )
    | returning(
        "bool",
        Any=_any,
        All=lambda run, source, predicate: all(map(predicate, walk(run, source))),
        Contains=_contains,
        SequenceEqual=_sequence_equal,
    )
    | returning("int", Count=_count)
    | returning("long", LongCount=lambda run, source, predicate=None: Long(_count(run, source, predicate)))
    | returning("List", ToList=_to_list)
    | returning("Dictionary", ToDictionary=_to_dictionary)
    | returning("HashSet", ToHashSet=lambda run, source, comparer=None: NetSet(walk(run, source), comparer))
    | returning("ILookup", ToLookup=_to_lookup),
)

ORDERED = NetType(
    "IOrderedEnumerable",
    (Ordered,),
    base=ENUMERABLE,
    methods=returning("IOrderedEnumerable", ThenBy=_order(False, True), ThenByDescending=_order(True, True)),
)

STATIC_ENUMERABLE = NetType(
    "Enumerable",
    statics=returning("IEnumerable", Range=_range, Repeat=_repeat, Empty=lambda types=(): NetArray())
    | {name: (result, function) for name, (result, function) in ENUMERABLE.methods.items()},
)

GROUPING = NetType("IGrouping", (Grouping,), base=ENUMERABLE, properties=returning(None, Key=lambda group: group.Key))
LOOKUP = NetType(
    "ILookup",
    (Lookup,),
    aliases=("Lookup",),
    base=ENUMERABLE,
    properties=returning("int", Count=len),
    methods=returning("bool", Contains=lambda lookup, key: key in lookup.groups),
)
