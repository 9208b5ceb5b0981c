"""JsonConvert and the settings of reading, writing and merging."""

from collections.abc import Callable
from typing import Any

from shared.expressions.enums import Enum
from shared.expressions.errors import argument_null
from shared.expressions.formats import text
from shared.expressions.json_reading import convert, read_json
from shared.expressions.json_tokens import (
    JArray,
    JObject,
    JToken,
    JValue,
    wrapped,
    write,
)
from shared.expressions.json_types import Types, get_value
from shared.expressions.lists import Anonymous, NetArray
from shared.expressions.nettypes import NetType, returning


def _serialize(value: Any, *arguments: Any) -> str:
    indented = any(isinstance(one, Enum) and str(one) == "Indented" for one in arguments)
    return write(value, indented=indented)


def _deserialize(types: Types, value: Any, *settings: Any) -> Any:
    if value is None:
        raise argument_null("value")
    if not text(value).strip():
        return types[0].default() if types else None
    token = wrapped(read_json(value))
    return convert(types[0], token) if types else token


def _deserialize_anonymous(value: Any, shape: Any, *settings: Any) -> Any:
    return _shaped(wrapped(read_json(value)), shape)


def _shaped(token: JToken | None, shape: Any) -> Any:
    """The token read into the shape of an anonymous object, by name without case."""
    if isinstance(shape, Anonymous) and isinstance(token, JObject):
        return Anonymous({name: _shaped(get_value(token, name, 5), sample) for name, sample in shape.fields.items()})
    if isinstance(token, JValue):
        return int(token.Value) if type(shape) is int and isinstance(token.Value, int) else token.Value
    if isinstance(token, JArray) and isinstance(shape, list):
        return NetArray([_shaped(one, shape[0] if shape else None) for one in token.children()])
    return token


JSON_CONVERT = NetType(
    "JsonConvert",
    statics=returning("string", SerializeObject=_serialize, ToString=write)
    | returning(None, DeserializeObject=_deserialize, DeserializeAnonymousType=_deserialize_anonymous),
    constants=returning("string", Null=lambda: "null"),
)


class Settings:
    """``JsonSerializerSettings`` and ``JsonMergeSettings``: named options, set by an initialiser."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        return self.options.get(name)


def _option(name: str) -> Callable[[Any, Any], None]:
    return lambda settings, value: settings.options.__setitem__(name, value)


_OPTIONS = ("DateParseHandling", "NullValueHandling", "MergeArrayHandling", "MergeNullValueHandling", "Formatting")


SETTINGS = NetType(
    "JsonSerializerSettings",
    (Settings,),
    aliases=("JsonMergeSettings", "JsonLoadSettings"),
    construct=lambda types: Settings(),
    properties={name: (None, lambda settings, name=name: settings.get(name)) for name in _OPTIONS},
    settable={name: _option(name) for name in _OPTIONS},
)


JSON_CONVERT_TYPES = (JSON_CONVERT, SETTINGS)
