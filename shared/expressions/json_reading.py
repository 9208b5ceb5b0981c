"""JSON text to values, and tokens to the C# values they stand for."""

import contextlib
import json
import re
from typing import Any

from shared.body import sprawls
from shared.expressions.errors import ExpressionFailed, LimitExceeded, argument_null
from shared.expressions.formats import text
from shared.expressions.json_tokens import (
    JArray,
    JObject,
    JProperty,
    JToken,
    JValue,
    wrapped,
)
from shared.expressions.lists import NetArray, NetDictionary, NetList
from shared.expressions.nettypes import TypeRef

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(source: Any) -> Any:
    """JSON text, or what Newtonsoft takes for it, as plain Python; ``JsonReaderException`` with the place where it goes
    wrong.
    """
    if source is None:
        raise argument_null("value")
    content = text(source).lstrip("\ufeff")
    if sprawls(content):
        raise LimitExceeded("JSON has too many values")
    try:
        return _loaded(content)
    except json.JSONDecodeError as error:
        raise _reader_error(content, error) from None
    except RecursionError:
        raise ExpressionFailed("JsonReaderException", "The reader's MaxDepth of 64 has been exceeded.") from None
    except ValueError as error:
        raise ExpressionFailed("JsonReaderException", f"JSON integer is too large to parse. ({error})") from None


def _loaded(content: str) -> Any:
    found = _leniently(content)
    if _HALF.search(content) is None:
        return found
    # Half a surrogate pair has no UTF-8; .NET writes the replacement character, too, when a text leaves it.
    whole = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(whole)


def _leniently(content: str) -> Any:
    try:
        return json.loads(content, strict=False)
    except json.JSONDecodeError:
        from shared.expressions.json_beyond import as_json

        read = as_json(content)
        if read is not None:
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(read, strict=False)
        raise


def _reader_error(content: str, error: json.JSONDecodeError) -> ExpressionFailed:
    place = f"Path '', line {error.lineno}, position {max(error.colno - 1, 0)}."
    if not content.strip():
        message = "Error reading JToken from JsonReader. Path '', line 0, position 0."
    elif error.pos >= len(content.rstrip()):
        message = f"Unexpected end of content while loading JSON. {place}"
    elif error.msg == "Extra data":
        message = f"Additional text encountered after finished reading JSON content: {content[error.pos]}. {place}"
    else:
        message = f"Unexpected character encountered while parsing value: {content[error.pos]}. {place}"
    return ExpressionFailed("JsonReaderException", message)


def parse(source: Any, kind: str) -> JToken:
    """``JObject.Parse`` and its siblings: the token, of that kind only."""
    token = wrapped(read_json(source))
    wanted = {"JObject": "object", "JArray": "array"}.get(kind)
    if wanted is not None and type(token).__name__ != kind:
        found = {"JObject": "StartObject", "JArray": "StartArray"}.get(type(token).__name__, token.type_name)
        message = f"Current JsonReader item is not an {wanted}: {found}. Path '', line 1, position 1."
        raise ExpressionFailed("JsonReaderException", f"Error reading {kind} from JsonReader. {message}")
    return token


def convert(target: TypeRef, value: Any) -> Any:
    """``token.Value<T>()`` and ``token.ToObject<T>()``: the token itself, or the C# value it stands for."""
    if value is None:
        return target.default()
    if not isinstance(value, JToken):
        return target.cast(value)
    name = target.net.name
    if isinstance(value, JProperty):
        return convert(target, value.Value)
    if target.holds(value) and name != "IEnumerable":
        return value
    if isinstance(value, JValue) and value.Value is None:
        return target.default()
    if name in ("List", "Array", "IEnumerable", "HashSet"):
        return _collection(target, value)
    if name == "Dictionary":
        return _dictionary(target, value)
    if name in ("object", "dynamic"):
        return value.Value if isinstance(value, JValue) else value
    if not isinstance(value, JValue):
        message = f"Cannot cast {class_name(value)} to Newtonsoft.Json.Linq.JToken."
        raise ExpressionFailed("InvalidCastException", message)
    return target.cast(value)


def _item(target: TypeRef, value: Any) -> Any:
    """What stands in a collection: a leaf read as ``object`` is the C# value, as Newtonsoft reads it."""
    plain = target.net.name in ("object", "dynamic") and isinstance(value, JValue)
    return value.Value if plain else convert(target, value)


def class_name(value: JToken) -> str:
    return f"Newtonsoft.Json.Linq.{type(value).__name__}"


def _collection(target: TypeRef, value: JToken) -> Any:
    if not isinstance(value, JArray):
        message = f"Cannot deserialize the current JSON {value.type_name.lower()} into type '{target.full_name}'."
        raise ExpressionFailed("JsonSerializationException", message)
    element = target.arguments[0] if target.arguments else None
    items = [_item(element, item) if element else item for item in value.children()]
    if target.net.name == "HashSet":
        return target.net.construct(None, target.arguments, items) if target.net.construct else items
    return NetArray(items, element) if target.net.name == "Array" else NetList(items, element)


def _dictionary(target: TypeRef, value: JToken) -> NetDictionary:
    if not isinstance(value, JObject):
        message = f"Cannot deserialize the current JSON {value.type_name.lower()} into type '{target.full_name}'."
        raise ExpressionFailed("JsonSerializationException", message)
    made = NetDictionary(None, *target.arguments[:2])
    for name in list(value.members):
        child = value.child(name)
        made[name] = _item(target.arguments[1], child) if len(target.arguments) > 1 else child
    return made
