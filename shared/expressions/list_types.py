"""The C# side of the collections: members of List, arrays, Dictionary, HashSet, Queue, Stack, tuples and pairs."""

from collections.abc import Callable, Iterable
from typing import Any

from shared.expressions.errors import ExpressionFailed, out_of_range
from shared.expressions.formats import hash_code
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import (
    Anonymous,
    Comparer,
    NetArray,
    NetDictionary,
    NetList,
    NetSet,
    NetTuple,
    Pair,
    elements,
    place,
)
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.operators import equals, same, unboxed
from shared.expressions.ordering import key_by, walk
from shared.expressions.run import Run
from shared.expressions.tokens import BYTES_EXTENSIONS

Types = tuple[TypeRef, ...]


def _element(values: Any, item: Any) -> Any:
    """The item as the list's element type has it: an int added to a ``List<double>`` becomes a double."""
    element = getattr(values, "element", None)
    return item if element is None else element.stored(item)


def index_of(values: Iterable[Any], item: Any) -> int:
    return next((i for i, one in enumerate(values) if equals(one, item) or one is item), -1)


def _last_index(values: list[Any], item: Any) -> int:
    at = index_of(values[::-1], item)
    return len(values) - 1 - at if at >= 0 else -1


def _new_list(run: Run, types: Types, source: Any = None) -> NetList:
    element = types[0] if types else None
    items = [] if source is None or isinstance(source, int) else walk(run, source)
    return NetList(items, element)


def _remove(values: list[Any], item: Any) -> bool:
    at = index_of(values, item)
    if at >= 0:
        del values[at]
    return at >= 0


def _remove_all(values: list[Any], match: Callable[[Any], bool]) -> int:
    kept = [item for item in values if not match(item)]
    removed = len(values) - len(kept)
    values[:] = kept
    return removed


def _range(values: list[Any], index: int, count: int) -> slice:
    if index < 0 or count < 0:
        raise out_of_range("index" if index < 0 else "count", "Non-negative number required.")
    if index + count > len(values):
        message = "Offset and length were out of bounds for the array or count is greater than the number of elements."
        raise ExpressionFailed("ArgumentException", message)
    return slice(index, index + count)


def _insert(values: list[Any], index: int, item: Any) -> None:
    if not 0 <= index <= len(values):
        raise out_of_range("index", "Index must be within the bounds of the List.")
    values.insert(index, _element(values, item))


def _insert_range(values: list[Any], index: int, items: Any) -> None:
    values[index:index] = list(elements(items))


def _sort(values: list[Any], comparer: Any = None) -> None:
    values.sort(key=key_by(comparer))


def _find(values: list[Any], match: Callable[[Any], bool], *, last: bool = False) -> Any:
    found = next((item for item in (reversed(values) if last else values) if match(item)), None)
    element = getattr(values, "element", None)
    return element.default() if found is None and element is not None else found


def _copy_to(run: Run, values: Any, target: Any, at: int = 0) -> None:
    items = list(walk(run, values))
    if at + len(items) > len(target):
        raise ExpressionFailed("ArgumentException", "Destination array was not long enough.")
    target[at : at + len(items)] = items


def _add_range(run: Run, values: list[Any], items: Any) -> None:
    values.extend([_element(values, item) for item in walk(run, items)])


LIST = NetType(
    "List",
    (NetList,),
    full_name="System.Collections.Generic.List`1",
    aliases=("IList", "ICollection", "IReadOnlyList", "IReadOnlyCollection", "ArrayList", "Collection"),
    base=ENUMERABLE,
    construct=_new_list,
    check=lambda value: isinstance(value, list | bytes | bytearray | NetDictionary | NetSet),
    properties=returning("int", Count=len, Capacity=len) | returning("bool", IsReadOnly=lambda values: False),
    methods=returning(
        None,
        Add=lambda values, item: values.append(_element(values, item)),
        AddRange=_add_range,
        Clear=lambda values: values.clear(),
        Insert=_insert,
        InsertRange=_insert_range,
        RemoveAt=lambda values, index: values.pop(place(index, len(values))),
        RemoveRange=lambda values, index, count: values.__delitem__(_range(values, index, count)),
        Reverse=lambda values: values.reverse(),
        Sort=_sort,
        CopyTo=_copy_to,
        TrimExcess=lambda values: None,
        Find=_find,
        FindLast=lambda values, match: _find(values, match, last=True),
        AsReadOnly=lambda values: values,
    )
    | returning(
        "bool",
        Remove=_remove,
        Contains=lambda values, item, comparer=None: _contains(values, item, comparer),
        Exists=lambda values, match: any(map(match, values)),
        TrueForAll=lambda values, match: all(map(match, values)),
    )
    | returning(
        "int",
        IndexOf=lambda values, item: index_of(values, item),
        LastIndexOf=_last_index,
        FindIndex=lambda values, match: next((i for i, item in enumerate(values) if match(item)), -1),
        RemoveAll=_remove_all,
    )
    | returning(
        "List",
        FindAll=lambda values, match: NetList(filter(match, values), values.element),
        ConvertAll=lambda values, convert: NetList(map(convert, values)),
        GetRange=lambda values, index, count: NetList(values[_range(values, index, count)], values.element),
    ),
)


def _contains(values: Iterable[Any], item: Any, comparer: Any) -> bool:
    if isinstance(comparer, Comparer):
        return any(comparer.key(one) == comparer.key(item) for one in values)
    return index_of(values, item) >= 0


def _reverse_array(values: Any, *span: int) -> None:
    part = _range(values, *span) if span else slice(None)
    values[part] = values[part][::-1]


def _copy(run: Run, source: Any, *arguments: Any) -> None:
    start, (target, at, count) = (
        (0, (arguments[0], 0, arguments[1])) if len(arguments) == 2 else (arguments[0], arguments[1:])
    )
    run.charge(count)
    if min(start, at, count) < 0 or start + count > len(source) or at + count > len(target):
        raise ExpressionFailed(
            "ArgumentException", "Source array was not long enough. Check the source index and length."
        )
    target[at : at + count] = source[start : start + count]


def _resize_error(*_arguments: Any) -> None:
    raise ExpressionFailed("NotSupportedException", "Collection was of a fixed size.")


ARRAY = NetType(
    "Array",
    (NetArray, bytearray, bytes),
    full_name="System.Array",
    base=ENUMERABLE,
    properties=returning("int", Length=len, Count=len, Rank=lambda values: 1) | returning("long", LongLength=len),
    methods=returning(
        None,
        CopyTo=_copy_to,
        Clone=lambda values: NetArray(values, values.element) if isinstance(values, NetArray) else bytearray(values),
        GetValue=lambda values, index: values[place(index, len(values))],
        SetValue=lambda values, value, index: values.__setitem__(place(index, len(values)), value),
        Add=_resize_error,
        AsSpan=lambda values, start=0, length=None: values[
            _range(values, start, len(values) - start if length is None else length)
        ],
    )
    | returning(
        "int", GetLength=lambda values, dimension: len(values), GetUpperBound=lambda values, dimension: len(values) - 1
    ),
    statics=returning(
        None,
        Empty=lambda types=(): NetArray(),
        Reverse=_reverse_array,
        Sort=_sort,
        Copy=_copy,
        Clear=lambda values, *span: values.__setitem__(
            slice(None), [values.element.default() if getattr(values, "element", None) else 0] * len(values)
        ),
        Find=lambda values, match: _find(values, match),
        ForEach=lambda run, values, action: [action(item) for item in walk(run, values)] and None,
    )
    | returning(
        "int",
        LastIndexOf=_last_index,
        IndexOf=lambda values, item, start=0: at + start if (at := index_of(values[start:], item)) >= 0 else -1,
        FindIndex=lambda values, match: next((i for i, item in enumerate(values) if match(item)), -1),
    )
    | returning(
        "bool",
        Exists=lambda values, match: any(map(match, values)),
        TrueForAll=lambda values, match: all(map(match, values)),
    )
    | returning(
        "Array",
        FindAll=lambda values, match: NetArray(filter(match, values)),
        ConvertAll=lambda values, convert: NetArray(map(convert, values)),
    ),
)


def _block_copy(run: Run, source: Any, sourceOffset: int, target: Any, targetOffset: int, count: int) -> None:
    _copy(run, source, sourceOffset, target, targetOffset, count)


BYTES = NetType(
    "byte[]",
    (bytearray, bytes),
    full_name="System.Byte[]",
    base=ARRAY,
    check=lambda value: isinstance(value, bytearray | bytes),
    methods=BYTES_EXTENSIONS,
)


BUFFER = NetType("Buffer", statics=returning(None, BlockCopy=_block_copy))


def _is_pair(value: Any) -> bool:
    return isinstance(value, Pair) or hasattr(type(value), "is_json_property")


PAIR = NetType(
    "KeyValuePair",
    (Pair,),
    full_name="System.Collections.Generic.KeyValuePair`2",
    aliases=("DictionaryEntry",),
    construct=lambda types, key=None, value=None: Pair(key, value),
    check=_is_pair,
    is_value=True,
    default=Pair(),
    properties=returning(None, Key=lambda pair: pair.Key, Value=lambda pair: pair.Value),
    statics=returning("KeyValuePair", Create=lambda key, value: Pair(key, value)),
)


def _cast_tuple(target: TypeRef, value: Any) -> NetTuple:
    if not isinstance(value, NetTuple):
        raise invalid_cast(value, target.full_name)
    if not target.arguments or len(target.arguments) != len(value.items):
        return value
    kinds = target.arguments
    items = [kind.stored(item) for kind, item in zip(kinds, value.items, strict=True)]
    return NetTuple(items, target.names)


TUPLE = NetType(
    "Tuple",
    (NetTuple,),
    full_name="System.Tuple",
    aliases=("ValueTuple",),
    construct=lambda types, *items: NetTuple(items),
    cast=_cast_tuple,
    properties=returning(None, **{f"Item{n}": lambda value, n=n: value.items[n - 1] for n in range(1, 9)}),
    statics=returning("Tuple", Create=lambda *items: NetTuple(items)),
)


ANONYMOUS = NetType("anonymous type", (Anonymous,), full_name="<>f__AnonymousType0", dynamic=True)


STRING_COMPARER = NetType(
    "StringComparer",
    (Comparer,),
    aliases=("IEqualityComparer", "IComparer"),
    constants=returning(
        "StringComparer",
        Ordinal=lambda: Comparer(ordinal=True),
        OrdinalIgnoreCase=lambda: Comparer(ordinal=True, ignore_case=True),
        InvariantCulture=Comparer,
        InvariantCultureIgnoreCase=lambda: Comparer(ignore_case=True),
        CurrentCulture=Comparer,
        CurrentCultureIgnoreCase=lambda: Comparer(ignore_case=True),
    ),
    methods=returning("bool", Equals=lambda comparer, a, b: comparer.key(a) == comparer.key(b))
    | returning(
        "int",
        Compare=lambda comparer, a, b: (
            (key_by(comparer)(a) > key_by(comparer)(b)) - (key_by(comparer)(a) < key_by(comparer)(b))
        ),
        GetHashCode=lambda comparer, value: hash_code(comparer.key(value)),
    ),
)


def net_equals(a: Any, b: Any) -> bool:
    """``a.Equals(b)``: like ``==`` but without conversions between kinds."""
    a, b = unboxed(a), unboxed(b)
    if a is None or b is None:
        return a is b
    return type(a) is type(b) and (same(a, b) or a is b)


LIST_TYPES = (LIST, BYTES, ARRAY, BUFFER, PAIR, TUPLE, ANONYMOUS, STRING_COMPARER)
