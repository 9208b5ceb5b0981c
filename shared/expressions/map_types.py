"""The C# side of Dictionary, HashSet, Queue and Stack."""

from typing import Any

from shared.expressions.errors import ExpressionFailed
from shared.expressions.linq import ENUMERABLE
from shared.expressions.list_types import Types
from shared.expressions.lists import (
    Comparer,
    NetDictionary,
    NetList,
    NetQueue,
    NetSet,
    NetStack,
    elements,
)
from shared.expressions.nettypes import NetType, returning
from shared.expressions.operators import equals
from shared.expressions.ordering import walk
from shared.expressions.run import Run


def _new_dictionary(run: Run, types: Types, *arguments: Any) -> NetDictionary:
    comparer = next((one for one in arguments if isinstance(one, Comparer)), None)
    made = NetDictionary(comparer, *types[:2])
    for one in arguments:
        if not isinstance(one, int | Comparer) and one is not None:
            for pair in walk(run, one):
                made.add(pair.Key, pair.Value)
    return made


def _add_pair(values: NetDictionary, key: Any, *value: Any) -> None:
    pair = (key, *value) if value else (key.Key, key.Value)
    values.add(pair[0], _value(values, pair[1]))


def _value(values: NetDictionary, value: Any) -> Any:
    kind = values.value_type
    return value if kind is None else kind.stored(value)


def _try_get(values: NetDictionary, key: Any) -> tuple[bool, Any]:
    if key in values:
        return True, values[key]
    return False, values.default()


def _remove_key(values: NetDictionary, key: Any) -> Any:
    return values.remove(key) is not None


def _try_add(values: NetDictionary, key: Any, value: Any) -> bool:
    if key in values:
        return False
    values[key] = _value(values, value)
    return True


def get_or_default(values: NetDictionary, key: Any, *default: Any) -> Any:
    return values.get(key, default[0] if default else values.default())


DICTIONARY = NetType(
    "Dictionary",
    (NetDictionary,),
    full_name="System.Collections.Generic.Dictionary`2",
    aliases=("IDictionary", "IReadOnlyDictionary", "ConcurrentDictionary", "Hashtable"),
    base=ENUMERABLE,
    construct=_new_dictionary,
    properties=returning("int", Count=len)
    | returning(
        "List",
        Keys=lambda values: NetList([pair.Key for pair in values], values.key_type),
        Values=lambda values: NetList([pair.Value for pair in values], values.value_type),
    ),
    methods=returning(
        None,
        Add=_add_pair,
        Clear=lambda values: values.entries.clear(),
        GetValueOrDefault=get_or_default,
        TryGetValue=_try_get,
    )
    | returning(
        "bool",
        ContainsKey=lambda values, key: key in values,
        ContainsValue=lambda values, value: any(equals(pair.Value, value) for pair in values),
        Contains=lambda values, pair: pair.Key in values,
        Remove=_remove_key,
        TryAdd=_try_add,
    ),
)


def _subset(values: NetSet, other: Any) -> bool:
    keys = {values.key(item) for item in elements(other)}
    return all(key in keys for key in values.entries)


def _intersect(values: NetSet, other: Any) -> None:
    keys = {values.key(item) for item in elements(other)}
    values.entries = {key: item for key, item in values.entries.items() if key in keys}


def _new_set(run: Run, _types: Types, *arguments: Any) -> NetSet:
    comparer = next((one for one in arguments if isinstance(one, Comparer)), None)
    source = next((one for one in arguments if not isinstance(one, Comparer | int) and one is not None), ())
    return NetSet(walk(run, source), comparer)


HASH_SET = NetType(
    "HashSet",
    (NetSet,),
    full_name="System.Collections.Generic.HashSet`1",
    aliases=("ISet", "IReadOnlySet"),
    base=ENUMERABLE,
    construct=_new_set,
    properties=returning("int", Count=len),
    methods=returning(
        "bool",
        Add=lambda values, item: values.add(item),
        Remove=lambda values, item: values.discard(item),
        Contains=lambda values, item: item in values,
        IsSubsetOf=_subset,
        IsSupersetOf=lambda values, other: all(item in values for item in elements(other)),
        Overlaps=lambda values, other: any(item in values for item in elements(other)),
        SetEquals=lambda values, other: _subset(values, other) and all(item in values for item in elements(other)),
    )
    | returning(
        None,
        Clear=lambda values: values.entries.clear(),
        UnionWith=lambda values, other: [values.add(item) for item in elements(other)] and None,
        ExceptWith=lambda values, other: [values.discard(item) for item in list(elements(other))] and None,
        IntersectWith=_intersect,
    ),
)


def _front(values: list[Any], name: str, *, remove: bool) -> Any:
    if not values:
        raise ExpressionFailed("InvalidOperationException", f"{name} empty.")
    return values.pop(0) if remove else values[0]


QUEUE = NetType(
    "Queue",
    (NetQueue,),
    full_name="System.Collections.Generic.Queue`1",
    base=ENUMERABLE,
    construct=lambda run, types, source=(): NetQueue(() if isinstance(source, int) else walk(run, source)),
    properties=returning("int", Count=len),
    methods=returning(
        None,
        Enqueue=lambda values, item: values.append(item),
        Dequeue=lambda values: _front(values, "Queue", remove=True),
        Peek=lambda values: _front(values, "Queue", remove=False),
        Clear=lambda values: values.clear(),
    ),
)


STACK = NetType(
    "Stack",
    (NetStack,),
    full_name="System.Collections.Generic.Stack`1",
    base=ENUMERABLE,
    construct=lambda run, types, source=(): NetStack(() if isinstance(source, int) else list(walk(run, source))[::-1]),
    properties=returning("int", Count=len),
    methods=returning(
        None,
        Push=lambda values, item: values.insert(0, item),
        Pop=lambda values: _front(values, "Stack", remove=True),
        Peek=lambda values: _front(values, "Stack", remove=False),
        Clear=lambda values: values.clear(),
    ),
)


MAP_TYPES = (DICTIONARY, HASH_SET, QUEUE, STACK)
