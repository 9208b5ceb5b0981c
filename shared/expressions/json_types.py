"""The C# side of JSON: reading text, members of the token types, conversions, JsonConvert."""

from collections.abc import Callable, Iterable
from typing import Any

from shared.expressions.enums import Enum, number_of
from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import formatted
from shared.expressions.json_path import select, values_of
from shared.expressions.json_reading import class_name, convert, parse
from shared.expressions.json_tokens import (
    JArray,
    JContainer,
    JObject,
    JProperty,
    JToken,
    JValue,
    array_of,
    clone,
    content_of,
    plain,
    token_of,
    type_of,
    write,
)
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import Anonymous, NetDictionary, NetList, Pair
from shared.expressions.nettypes import NetType, TypeRef, returning
from shared.expressions.ordering import walk
from shared.expressions.run import Run

Types = tuple[TypeRef, ...]


def _parser(kind: str) -> Callable[..., JToken]:
    return lambda json, settings=None: parse(json, kind)


def _from_object(kind: type[JToken]) -> Callable[..., JToken]:
    def make(value: Any, serializer: Any = None) -> JToken:
        if value is None:
            raise argument_null("o")
        token = clone(value) if isinstance(value, JToken) else token_of(value)
        if not isinstance(token, kind):
            message = f"Object serialized to {token.type_name}. {kind.__name__} instance expected."
            raise ExpressionFailed("ArgumentException", message)
        return token

    return make


def _value(types: Types, token: JToken, *key: Any) -> Any:
    found = token.child(key[0]) if key else token
    return convert(types[0], found)


def _values(types: Types, token: JToken, *key: Any) -> NetList:
    """``Values<T>()``: what an object or array has inside; with a key what each of its children has there."""
    inside: Iterable[Any] = values_of(token)
    if key:
        inside = [found for child in token.children() if (found := child.child(key[0])) is not None]
    return NetList([convert(types[0], one) for one in inside] if types else inside)


def _select_token(run: Run, token: JToken, path: str, errorWhenNoMatch: Any = False) -> JToken | None:
    found = list(select(token, path, run.step))
    if len(found) > 1:
        raise ExpressionFailed("JsonException", "Path returned multiple tokens.")
    if not found and errorWhenNoMatch is True:
        raise ExpressionFailed("JsonException", f"Property '{path}' does not exist on {type(token).__name__}.")
    return found[0] if found else None


def _select_tokens(run: Run, token: JToken, path: str, errorWhenNoMatch: Any = False) -> NetList:
    return NetList(select(token, path, run.step))


def _descendants(run: Run, token: JToken, *, own: bool = False) -> NetList:
    found: list[JToken] = [token] if own else []
    pending = token.children()[::-1]
    while pending:
        run.step()
        one = pending.pop()
        found.append(one)
        pending.extend(reversed(one.children()))
    return NetList(found)


def _to_string(token: JToken, formatting: Any = None, *converters: Any) -> str:
    if isinstance(token, JValue) and not isinstance(formatting, Enum):
        return formatted(token.Value, formatting) if isinstance(formatting, str) else str(token)
    if isinstance(formatting, Enum):
        if isinstance(token, JProperty):
            return f"{write(token.Name)}:{write(token.Value, indented=number_of(formatting) == 1)}"
        return write(token, indented=number_of(formatting) == 1)
    return str(token)


def _remove(token: JToken, *name: Any) -> Any:
    if not name:
        return _detach(token, None)
    if isinstance(token, JObject):
        return token.members.pop(name[0], token) is not token
    if isinstance(token, JArray):
        at = token.place_of(name[0])
        if at >= 0:
            del token.items[at]
        return at >= 0
    return token.child(name[0])


def _detach(token: JToken, new: Any) -> None:
    """``Remove()`` and ``Replace(value)``: change the place that holds this token."""
    if isinstance(token, JProperty):
        owner = token.owner
        if owner is None:
            raise ExpressionFailed("InvalidOperationException", "The parent is missing.")
        if isinstance(new, JProperty):
            members = list(owner.members.items())
            owner.members.clear()
            for name, value in members:
                if name == token.Name:
                    owner.set_child(new.Name, new.Value)
                else:
                    owner.members[name] = value
        else:
            owner.members.pop(token.Name, None)
        return
    holder = token.holder()
    if holder is None:
        raise ExpressionFailed("InvalidOperationException", "The parent is missing.")
    holder.replace_child(token, None if new is None else token_of(new))


def _replace(token: JToken, value: Any) -> None:
    _detach(token, value if value is not None else JValue(None))


def _add(token: JToken, *arguments: Any) -> None:
    if isinstance(token, JArray):
        token.items.append(token.adopt(arguments[0]))
    elif isinstance(token, JObject) and len(arguments) == 2:
        token.add(arguments[0], arguments[1])
    elif isinstance(token, JObject) and isinstance(arguments[0], JProperty):
        token.add(arguments[0].Name, arguments[0].Value)
    elif isinstance(token, JObject) and isinstance(arguments[0], Pair):
        token.add(arguments[0].Key, arguments[0].Value)
    elif isinstance(token, JObject) and (isinstance(arguments[0], JObject) or hasattr(arguments[0], "__iter__")):
        for one in arguments[0]:
            _add(token, one)
    else:
        added = token_of(arguments[0])
        message = f"Can not add {class_name(added)} to {class_name(token)}."
        raise ExpressionFailed("ArgumentException", message)


def _insert(token: JArray, index: int, value: Any) -> None:
    if not 0 <= index <= len(token.items):
        raise ExpressionFailed("ArgumentOutOfRangeException", "Index must be within the bounds of the List.")
    token.items.insert(index, token.adopt(value))


def _add_first(token: JToken, value: Any) -> None:
    if isinstance(token, JArray):
        token.items.insert(0, token.adopt(value))
    elif isinstance(token, JObject) and isinstance(value, JProperty):
        rest = dict(token.members)
        token.members.clear()
        _add(token, value)
        token.members.update(rest)
    else:
        raise ExpressionFailed("ArgumentException", f"Can not add to {class_name(token)}.")


def _insert_property(token: JObject, at: int, value: JProperty) -> None:
    members = list(token.members.items())
    token.add(value.Name, value.Value)
    for name, _ in members[at:]:
        token.members[name] = token.members.pop(name)


def _beside(offset: int) -> Callable[[JToken, Any], None]:
    def add(token: JToken, value: Any) -> None:
        holder = token.holder()
        if isinstance(token, JProperty) and isinstance(holder, JObject) and isinstance(value, JProperty):
            return _insert_property(holder, list(holder.members).index(token.Name) + offset, value)
        if not isinstance(holder, JArray):
            raise ExpressionFailed("InvalidOperationException", "The parent is missing.")
        _insert(holder, holder.place_of(token) + offset, value)

    return add


def get_value(token: JObject, name: str, comparison: Any = None) -> JToken | None:
    exact = token.child(name)
    if exact is not None or comparison is None or number_of(comparison) not in (1, 3, 5):
        return exact
    match = next((one for one in token.members if one.lower() == name.lower()), None)
    return token.child(match) if match is not None else None


def _try_get_value(token: JObject, name: str, comparison: Any = None) -> tuple[bool, JToken | None]:
    found = get_value(token, name, comparison)
    return found is not None, found


def _merge(token: JContainer, content: Any, settings: Any = None) -> None:
    handling = number_of(settings.get("MergeArrayHandling")) if settings is not None else 0
    merge_null = number_of(settings.get("MergeNullValueHandling")) == 1 if settings is not None else False
    _merge_into(token, token_of(content), handling, merge_null)


def _merge_into(token: JToken, other: JToken, handling: int, merge_null: bool) -> None:
    if isinstance(token, JArray) and isinstance(other, JArray):
        if handling == 2:
            token.items.clear()
        known = [plain(item) for item in token.items]
        token.items += [token.adopt(item) for item in other.children() if handling != 1 or plain(item) not in known]
    elif isinstance(token, JObject) and isinstance(other, JObject):
        for name in list(other.members):
            mine, theirs = token.child(name), other.child(name)
            if isinstance(mine, JContainer) and type(mine) is type(theirs):
                _merge_into(mine, theirs, handling, merge_null)
            elif mine is None or merge_null or not (isinstance(theirs, JValue) and theirs.Value is None):
                token.set_child(name, theirs)


def _parent(token: JToken) -> JToken | None:
    holder = token.holder()
    if isinstance(holder, JObject) and not isinstance(token, JProperty):
        return JProperty(holder.name_of(token), owner=holder)
    return holder


def _sibling(offset: int) -> Callable[[JToken], JToken | None]:
    def find(token: JToken) -> JToken | None:
        holder = token.holder()
        siblings = holder.children() if holder is not None else []
        same = isinstance(token, JProperty)  # made anew each time it is looked at
        content = content_of(token)
        at = next((i for i, one in enumerate(siblings) if content_of(one) is content or (same and one == token)), None)
        return siblings[at + offset] if at is not None and 0 <= at + offset < len(siblings) else None

    return find


def _end(at: int) -> Callable[[JToken], JToken | None]:
    return lambda token: children[at] if (children := token.children()) else None


def _ancestors(token: JToken) -> NetList:
    found = []
    current = _parent(token)
    while current is not None:
        found.append(current)
        current = _parent(current)
    return NetList(found)


def _children_of(types: Types, token: JToken) -> NetList:
    return NetList([one for one in token.children() if not types or types[0].holds(one)])


def _count(token: JToken) -> int:
    return len(token.members) if isinstance(token, JObject) else len(token.children())


def _to_object(types: Types, token: JToken, *settings: Any) -> Any:
    return convert(types[0], token) if types else token


TOKEN = NetType(
    "JToken",
    (JToken,),
    full_name="Newtonsoft.Json.Linq.JToken",
    aliases=("JContainer", "IJEnumerable"),
    base=ENUMERABLE,
    properties=returning("JTokenType", Type=type_of)
    | returning("bool", HasValues=lambda token: bool(token.children()))
    | returning("string", Path=lambda token: token.path())
    | returning(
        "JToken",
        Parent=_parent,
        Next=_sibling(1),
        Previous=_sibling(-1),
        Root=lambda token: token.root(),
        First=_end(0),
        Last=_end(-1),
    ),
    methods=returning(None, Value=_value, ToObject=_to_object)
    | returning("List", Values=_values, Children=_children_of)
    | returning("JToken", SelectToken=_select_token, DeepClone=clone)
    | returning("IEnumerable", SelectTokens=_select_tokens)
    | returning("string", ToString=_to_string)
    | returning(
        None,
        Remove=_remove,
        Replace=_replace,
        AddAfterSelf=_beside(1),
        AddBeforeSelf=_beside(0),
        Ancestors=_ancestors,
        Add=_add,
        AddFirst=_add_first,
        Merge=_merge,
        ReplaceAll=lambda token, *content: _replace_all(token, content),
        RemoveAll=lambda token: _replace_all(token, ()),
        WriteTo=lambda token, *writer: None,
    )
    | returning(
        "IEnumerable",
        Descendants=_descendants,
        DescendantsAndSelf=lambda run, token: _descendants(run, token, own=True),
        AncestorsAndSelf=lambda token: NetList([token, *_ancestors(token)]),
    ),
    statics=returning("JToken", Parse=_parser("JToken"), FromObject=_from_object(JToken))
    | returning("bool", DeepEquals=lambda a, b: (a is None) == (b is None) and plain(a) == plain(b)),
)


def _replace_all(token: JToken, content: tuple[Any, ...]) -> None:
    if isinstance(token, JObject):
        token.members.clear()
    elif isinstance(token, JArray):
        token.items.clear()
    for one in content:
        _add(token, one)


def _new_object(run: Run, types: Types, *content: Any) -> JObject:
    made = JObject()
    for one in content:
        if isinstance(one, JObject):
            return JObject(plain(one))
        for part in [one] if isinstance(one, JProperty | Pair) else walk(run, one):
            _add(made, part)
    return made


def _new_array(run: Run, types: Types, *content: Any) -> JArray:
    if len(content) == 1 and isinstance(content[0], JArray):
        return array_of(map(clone, content[0].children()))
    items: list[Any] = []
    for one in content:
        spread = hasattr(type(one), "__iter__") and not isinstance(one, str | JToken | bytes | bytearray | Anonymous)
        items.extend(walk(run, one) if spread else [one])
    return array_of(items)


def _new_property(run: Run, types: Types, name: str, *content: Any) -> JProperty:
    if name is None:
        raise argument_null("name")
    value = content[0] if len(content) == 1 else _new_array(run, types, *content) if content else None
    if (
        len(content) == 1
        and not isinstance(value, str | JToken)
        and hasattr(type(value), "__iter__")
        and not isinstance(value, NetDictionary)
    ):
        value = _new_array(run, types, value)
    return JProperty(name, value)


OBJECT = NetType(
    "JObject",
    (JObject,),
    full_name="Newtonsoft.Json.Linq.JObject",
    base=TOKEN,
    construct=_new_object,
    properties=returning("int", Count=_count),
    methods=returning(
        "bool",
        ContainsKey=lambda token, name: name in token.members,
        TryGetValue=_try_get_value,
        Remove=_remove,
    )
    | returning("JToken", GetValue=get_value)
    | returning("JProperty", Property=lambda token, name, comparison=None: token.property(name))
    | returning(
        "IEnumerable",
        Properties=lambda token: NetList(token.children()),
        PropertyValues=lambda token: NetList(token.values()),
    ),
    statics=returning("JObject", Parse=_parser("JObject"), FromObject=_from_object(JObject)),
)


ARRAY = NetType(
    "JArray",
    (JArray,),
    full_name="Newtonsoft.Json.Linq.JArray",
    base=TOKEN,
    construct=_new_array,
    properties=returning("int", Count=_count),
    methods=returning(
        None,
        Insert=_insert,
        RemoveAt=lambda token, index: token.child(index) and token.items.pop(index) and None,
        Clear=lambda token: token.items.clear(),
    )
    | returning("bool", Contains=lambda token, item: token.place_of(item) >= 0)
    | returning("int", IndexOf=lambda token, item: token.place_of(item)),
    statics=returning("JArray", Parse=_parser("JArray"), FromObject=_from_object(JArray)),
)


VALUE = NetType(
    "JValue",
    (JValue,),
    full_name="Newtonsoft.Json.Linq.JValue",
    base=TOKEN,
    construct=lambda types, value=None: JValue(value.Value if isinstance(value, JValue) else value),
    properties=returning(None, Value=lambda token: token.Value),
    statics=returning("JValue", CreateString=JValue, CreateNull=JValue, CreateUndefined=JValue),
    settable={"Value": lambda token, value: token.set_value(value)},
)


PROPERTY = NetType(
    "JProperty",
    (JProperty,),
    full_name="Newtonsoft.Json.Linq.JProperty",
    base=TOKEN,
    construct=_new_property,
    properties=returning("string", Name=lambda token: token.Name, Key=lambda token: token.Name)
    | returning("JToken", Value=lambda token: token.Value),
    settable={"Value": lambda token, value: token.set_value(value)},
)


JSON_TYPES = (TOKEN, OBJECT, ARRAY, VALUE, PROPERTY)
