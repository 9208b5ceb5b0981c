"""LINQ: the extension methods of ``IEnumerable<T>``, lazy where .NET's are."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
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
from shared.expressions.nettypes import NetType, returning
from shared.expressions.numbers import Long
from shared.expressions.operators import add, divide, unboxed
from shared.expressions.ordering import Delegate, Ordered, order, order_self, sort_key, walk
from shared.expressions.run import Run
from shared.expressions.sequences import SEQUENCES, groups_of, key_of, range_of, repeat_of

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
        return Pair(None, source.default())
    if isinstance(source, dict) or hasattr(type(source), "is_dictionary"):
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


def _to_lookup(run: Run, source: Any, key: Delegate, element: Delegate | None = None, comparer: Any = None) -> Lookup:
    return Lookup(groups_of(run, source, key, element, comparer))


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


def _contains(run: Run, source: Any, value: Any, comparer: Any = None) -> bool:
    key = key_of(comparer)
    wanted = unboxed(key(value))
    return any(unboxed(key(item)) == wanted for item in walk(run, source))


def _sequence_equal(run: Run, source: Any, second: Any, comparer: Any = None) -> bool:
    key = key_of(comparer)
    return [key(item) for item in walk(run, source)] == [key(item) for item in walk(run, second)]


def _to_list(run: Run, source: Any) -> NetList:
    return NetList(walk(run, source), getattr(source, "element", None))


def _to_array(run: Run, source: Any) -> Any:
    if isinstance(source, bytes | bytearray):
        return bytearray(source)
    return NetArray(walk(run, source), getattr(source, "element", None))


def _for_each(run: Run, source: Any, action: Delegate) -> None:
    for item in walk(run, list(elements(source))):
        action(item)


ENUMERABLE = NetType(
    "IEnumerable",
    (Seq, list),
    full_name="System.Collections.Generic.IEnumerable`1",
    aliases=("IEnumerator", "IQueryable"),
    check=lambda value: hasattr(type(value), "__iter__") and not isinstance(value, Pair | NetTuple),
    methods=SEQUENCES
    | returning(
        "IOrderedEnumerable",
        OrderBy=order(False, False),
        OrderByDescending=order(True, False),
        Order=order_self(False),
        OrderDescending=order_self(True),
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
    methods=returning("IOrderedEnumerable", ThenBy=order(False, True), ThenByDescending=order(True, True)),
)


STATIC_ENUMERABLE = NetType(
    "Enumerable",
    statics=returning("IEnumerable", Range=range_of, Repeat=repeat_of, Empty=lambda types=(): NetArray())
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
