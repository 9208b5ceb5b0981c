"""JSON values as expressions change them: JObject, JArray, JProperty and JValue, wrapped only where looked at.

A parsed document stays plain Python (dict, list, str, int ...); a token is made around a part of it when an
expression reaches that part, so reading one field of a large body costs the parse and one token. Tokens know what holds
them, and what holds them does not know them: a ring would keep every parsed body in memory until the garbage collector
comes by. Two tokens around the same dict or list are therefore the same object or array. A leaf becomes part of the
document when it is changed. A token may outlive its place, so whoever asks for the holder asks the holder too.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from shared.expressions.dates import DateTime, DateTimeOffset, TimeSpan, json_date, may_be_date
from shared.expressions.enums import Enum, JTokenType
from shared.expressions.errors import ExpressionFailed, out_of_range
from shared.expressions.formats import text
from shared.expressions.lists import Pair
from shared.expressions.numbers import Long

_MISSING = object()
INDENT = 2


class JToken:
    """Base of all JSON values. ``parent`` is the JObject, JArray or JProperty that holds this one."""

    __slots__ = ("parent",)
    type_name: ClassVar[str] = "None"
    parent: "JToken | None"

    def child(self, key: Any) -> "JToken | None":
        message = f"Cannot access child value on Newtonsoft.Json.Linq.{type(self).__name__}."
        raise ExpressionFailed("InvalidOperationException", message)

    def set_child(self, key: Any, value: Any) -> None:
        message = f"Cannot set child value on Newtonsoft.Json.Linq.{type(self).__name__}."
        raise ExpressionFailed("InvalidOperationException", message)

    def children(self) -> "list[JToken]":
        return []

    def replace_child(self, old: "JToken", new: "JToken | None") -> None:
        raise ExpressionFailed("InvalidOperationException", "The parent is missing.")

    def holds(self, token: "JToken") -> bool:
        """Whether the token is in this one still."""
        return False

    def holder(self) -> "JToken | None":
        """What holds this token; none once it was removed or replaced."""
        parent = self.parent
        return parent if parent is not None and parent.holds(self) else None

    def plain(self) -> Any:
        """The value as plain Python, ready for the JSON writer."""
        raise NotImplementedError

    def as_string(self) -> str | None:
        raise ExpressionFailed("ArgumentException", f"Can not convert {self.type_name} to String.")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.children())

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return write(self, indented=True)

    def root(self) -> "JToken":
        token = self
        while (holder := token.holder()) is not None:
            token = holder
        return token

    def path(self) -> str:
        holder = self.holder()
        if holder is None:
            return ""
        above, step = holder.path(), holder.step_to(self)
        return f"{above}.{step}" if above and not step.startswith("[") else above + step

    def step_to(self, token: "JToken") -> str:
        return ""


class JValue(JToken):
    """A leaf: text, number, bool, null or date. ``source`` is the JSON text a date was read from."""

    __slots__ = ("Value", "source", "name")
    is_json_value: ClassVar[bool] = True

    def __init__(self, value: Any = None, source: str | None = None) -> None:
        self.parent = None
        self.Value = value
        self.source = source
        self.name: str | None = None  # in the object that holds it

    def set_value(self, value: Any) -> None:
        self.Value, self.source = value, None
        holder = self.holder()
        if isinstance(holder, JObject) and self.name is not None:
            holder.members[self.name] = self

    @property
    def type_name(self) -> str:  # type: ignore[override]
        value = self.Value
        match value:
            case None:
                return "Null"
            case bool():
                return "Boolean"
            case str():
                return "String"
            case int():
                return "Integer"
            case DateTime() | DateTimeOffset():
                return "Date"
            case TimeSpan():
                return "TimeSpan"
            case bytes() | bytearray():
                return "Bytes"
        return "Guid" if hasattr(value, "hex") and not isinstance(value, float) else "Float"

    def plain(self) -> Any:
        value = self.Value
        if self.source is not None:
            return self.source
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, int):
            return int(value)
        return plain_of(value)

    def as_string(self) -> str | None:
        return None if self.Value is None else text(self.Value)

    def __str__(self) -> str:
        return text(self.Value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JValue) and self.Value == other.Value

    def __hash__(self) -> int:
        return hash(self.Value)


class JContainer(JToken):
    """What object, array and property share."""

    __slots__ = ()

    def adopt(self, value: Any) -> JToken:
        """The value as a token that belongs here; a token that has a place elsewhere is copied, as .NET does."""
        token = token_of(value)
        if token.holder() is not None or (isinstance(token, JContainer) and token == self.root()):
            token = clone(token)
        token.parent = self
        if isinstance(token, JValue):
            token.name = None
        return token


class JObject(JContainer):
    """A JSON object."""

    __slots__ = ("members",)
    type_name = "Object"
    is_value: ClassVar[bool] = True  # the same when made around the same content

    def __init__(self, members: dict[str, Any] | None = None) -> None:
        self.parent = None
        self.members: dict[str, Any] = {} if members is None else members

    def child(self, key: Any) -> JToken | None:
        if not isinstance(key, str):
            message = f"Accessed JObject values with invalid key value: {_shown(key)}. Object property name expected."
            raise ExpressionFailed("ArgumentException", message)
        value = self.members.get(key, _MISSING)
        if value is _MISSING:
            return None
        if isinstance(value, JToken):
            return value
        token = JValue(value) if type(value) is str and not may_be_date(value) else wrapped(value, self)
        if isinstance(token, JValue):
            token.parent, token.name = self, key
        return token

    def set_child(self, key: Any, value: Any) -> None:
        if not isinstance(key, str):
            message = f"Set JObject values with invalid key value: {_shown(key)}. Object property name expected."
            raise ExpressionFailed("ArgumentException", message)
        self.members[str(key)] = self.adopt(value)

    def add(self, name: str, value: Any) -> None:
        if name in self.members:
            message = (
                f"Can not add property {name} to Newtonsoft.Json.Linq.JObject. "
                "Property with the same name already exists on object."
            )
            raise ExpressionFailed("ArgumentException", message)
        self.set_child(name, value)

    def property(self, name: str) -> "JProperty | None":
        return JProperty(name, owner=self) if name in self.members else None

    def children(self) -> list[JToken]:
        return [JProperty(name, owner=self) for name in self.members]

    def values(self) -> list[JToken]:
        return [token for name in list(self.members) if (token := self.child(name)) is not None]

    def replace_child(self, old: JToken, new: JToken | None) -> None:
        name = self.name_of(old)
        if new is None:
            del self.members[name]
        else:
            self.set_child(name, new)

    def name_of(self, token: JToken) -> str:
        if isinstance(token, JValue) and token.name is not None:
            return token.name
        content = content_of(token)
        return next((name for name, value in self.members.items() if content_of(value) is content), "")

    def holds(self, token: JToken) -> bool:
        if isinstance(token, JValue) and token.name is not None:
            value = self.members.get(token.name, _MISSING)
            # What took a leaf's place is a token: documents are plain only where they were read.
            return value is token or (value is not _MISSING and not isinstance(value, JToken))
        content = content_of(token)
        return any(content_of(value) is content for value in self.members.values())

    def step_to(self, token: JToken) -> str:
        name = self.name_of(token)
        return name if name.replace("_", "a").isalnum() else f"['{name}']"

    def plain(self) -> Any:
        return {name: plain(value) for name, value in self.members.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JObject) and self.members is other.members

    def __hash__(self) -> int:
        return id(self.members)


class JArray(JContainer):
    """A JSON array."""

    __slots__ = ("items",)
    type_name = "Array"
    is_value: ClassVar[bool] = True  # the same when made around the same content

    def __init__(self, items: list[Any] | None = None) -> None:
        self.parent = None
        self.items: list[Any] = [] if items is None else items

    def child(self, key: Any) -> JToken | None:
        if isinstance(key, bool) or not isinstance(key, int):
            message = f"Accessed JArray values with invalid key value: {_shown(key)}. Int32 array index expected."
            raise ExpressionFailed("ArgumentException", message)
        if not 0 <= key < len(self.items):
            raise out_of_range("index")
        return self._token(key, self.items[key])

    def _token(self, at: int, value: Any) -> JToken:
        """The token at a place. Leaves have no other mark of theirs, so they are kept."""
        if isinstance(value, JToken):
            return value
        token = wrapped(value, self)
        if isinstance(token, JValue):
            self.items[at] = token
        return token

    def set_child(self, key: Any, value: Any) -> None:
        if isinstance(key, bool) or not isinstance(key, int):
            message = f"Set JArray values with invalid key value: {_shown(key)}. Int32 array index expected."
            raise ExpressionFailed("ArgumentException", message)
        if not 0 <= key < len(self.items):
            raise out_of_range("index")
        self.items[key] = self.adopt(value)

    def children(self) -> list[JToken]:
        return [self._token(at, value) for at, value in enumerate(self.items)]

    def place_of(self, token: Any) -> int:
        """Where this very token is, else -1: Newtonsoft's arrays do not compare values."""
        if not isinstance(token, JToken):
            return -1
        content = content_of(token)
        return next((i for i, value in enumerate(self.items) if content_of(value) is content), -1)

    def holds(self, token: JToken) -> bool:
        content = content_of(token)
        return any(content_of(value) is content for value in self.items)

    def replace_child(self, old: JToken, new: JToken | None) -> None:
        at = self.place_of(old)
        if new is None:
            del self.items[at]
        else:
            self.items[at] = self.adopt(new)

    def step_to(self, token: JToken) -> str:
        return f"[{self.place_of(token)}]"

    def plain(self) -> Any:
        return [plain(value) for value in self.items]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JArray) and self.items is other.items

    def __hash__(self) -> int:
        return id(self.items)


class JProperty(JContainer):
    """A name and a value: a view into the object that holds it, or standing alone until added to one."""

    __slots__ = ("Name", "_value")
    type_name = "Property"
    is_json_property: ClassVar[bool] = True

    def __init__(self, name: str, value: Any = None, owner: JObject | None = None) -> None:
        self.Name = name
        self.parent = owner
        self._value: JToken | None = None if owner is not None else self.adopt(value)

    @property
    def owner(self) -> JObject | None:
        return self.parent if isinstance(self.parent, JObject) else None

    @property
    def Value(self) -> JToken | None:
        return self.owner.child(self.Name) if self.owner is not None else self._value

    @property
    def Key(self) -> str:
        """Walking a JObject gives key-value pairs in C#; a property serves as one."""
        return self.Name

    def set_value(self, value: Any) -> None:
        if self.owner is not None:
            self.owner.set_child(self.Name, value)
        else:
            self._value = self.adopt(value)

    def children(self) -> list[JToken]:
        return [value] if (value := self.Value) is not None else []

    def replace_child(self, old: JToken, new: JToken | None) -> None:
        self.set_value(new)

    def holds(self, token: JToken) -> bool:
        return content_of(self.Value) is content_of(token)

    def holder(self) -> JToken | None:
        return self.parent

    def path(self) -> str:
        value = self.Value
        return value.path() if self.owner is not None and value is not None else self.Name

    def plain(self) -> Any:
        return {self.Name: plain(self.Value)}

    def __str__(self) -> str:
        name = json.dumps(self.Name, ensure_ascii=False)
        return f"{name}: {json.dumps(plain(self.Value), ensure_ascii=False, indent=INDENT)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JProperty) and self.Name == other.Name and self.parent is other.parent

    def __hash__(self) -> int:
        return hash(self.Name)


def _shown(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else text(key)


def content_of(token: Any) -> Any:
    """The dict or list an object or array is made around; what its parent may hold in its place."""
    if isinstance(token, JObject):
        return token.members
    return token.items if isinstance(token, JArray) else token


def wrapped(value: Any, parent: JToken | None = None) -> JToken:
    """A token around plain parsed JSON; the plain value becomes the token's storage."""
    token: JToken
    if isinstance(value, dict):
        token = JObject(value)
    elif isinstance(value, list):
        token = JArray(value)
    elif isinstance(value, str):
        date = json_date(value)
        token = JValue(value) if date is None else JValue(date, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        token = JValue(Long(value))
    else:
        token = JValue(value)
    token.parent = parent
    return token


def token_of(value: Any) -> JToken:
    """The token for a value given to JSON: tokens as they are, C# values as ``JToken.FromObject`` makes them."""
    if isinstance(value, JToken):
        return value
    if value is None or isinstance(value, str | int | float | bytes | bytearray | DateTime | DateTimeOffset | TimeSpan):
        return JValue(value)
    made = plain_of(value)
    return wrapped(made) if isinstance(made, dict | list) else JValue(value)


def plain_of(value: Any) -> Any:
    """Plain JSON of a C# value that is not a token: collections, anonymous objects, dates, guids, enums."""
    match value:
        case None | bool() | str() | float():
            return value
        case int():
            return int(value)
        case JToken():
            return value.plain()
        case bytes() | bytearray():
            import base64

            return base64.b64encode(value).decode()
        case DateTime() | DateTimeOffset():
            return value.json_text()
        case Enum():
            return value.number
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    fields = getattr(value, "fields", None)
    if isinstance(fields, dict):
        return {name: plain_of(field) for name, field in fields.items()}
    if isinstance(value, Pair):
        return {"Key": plain_of(value.Key), "Value": plain_of(value.Value)}
    items = getattr(value, "items", None)
    if type(value).__name__ == "NetTuple" and isinstance(items, list):
        return {f"Item{i}": plain_of(item) for i, item in enumerate(items, 1)}
    if isinstance(value, dict):
        return {name: plain_of(one) for name, one in value.items()}
    if getattr(value, "is_dictionary", False):
        return {text(pair.Key): plain_of(pair.Value) for pair in value}
    if hasattr(value, "__iter__"):
        return [plain_of(item) for item in value]
    if type(value).__name__ == "Decimal":
        return int(value) if value == int(value) and value.as_tuple().exponent >= 0 else float(value)
    return text(value)


def plain(value: Any) -> Any:
    """Plain JSON of a part of a document, token or not."""
    if isinstance(value, JToken):
        return value.plain()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def clone(token: JToken) -> JToken:
    """A deep copy without a parent."""
    if isinstance(token, JValue):
        return JValue(token.Value, token.source)
    if isinstance(token, JProperty):
        return JProperty(token.Name, clone(value) if (value := token.Value) is not None else None)
    if isinstance(token, JObject):
        return JObject(plain(token))
    return JArray(plain(token))


def write(value: Any, *, indented: bool = False) -> str:
    """JSON text as Newtonsoft writes it: compact, or with two spaces of indentation."""
    content = plain(value) if isinstance(value, JToken) else plain_of(value)
    if indented:
        return json.dumps(content, ensure_ascii=False, indent=INDENT)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def array_of(values: Iterable[Any]) -> JArray:
    """A JArray whose items are adopted one by one."""
    made = JArray()
    for value in values:
        made.items.append(made.adopt(value))
    return made


def type_of(token: JToken) -> Enum:
    return JTokenType.parse(token.type_name)
