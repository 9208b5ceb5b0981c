"""Members and items found by the type a value has at run time: dynamic, ``object``, JSON and lambda parameters."""

from collections.abc import Callable
from typing import Any

from shared.expressions.catalog import Catalog
from shared.expressions.code import RUN, Eval, Frame
from shared.expressions.errors import ExpressionFailed, index_out_of_range, null_reference
from shared.expressions.json_tokens import JArray, JObject, JToken
from shared.expressions.lists import Anonymous, Lookup, NetArray, NetDictionary, NetTuple, place
from shared.expressions.nettypes import Member
from shared.expressions.numbers import Byte
from shared.expressions.ranges import FromEnd, Range
from shared.expressions.strings import char_at


def no_member(catalog: Catalog, value: Any, name: str) -> ExpressionFailed:
    message = f"'{catalog.full_name_of(value)}' does not contain a definition for '{name}'"
    return ExpressionFailed("RuntimeBinderException", message)


def own_field(value: Any, name: str) -> tuple[bool, Any]:
    """A field by a name of the expression's own: of an anonymous object, a tuple or a dynamic JSON object."""
    if isinstance(value, Anonymous) and name in value.fields:
        return True, value.fields[name]
    if isinstance(value, NetTuple) and (at := value.place(name)) is not None:
        return True, value.items[at]
    if isinstance(value, JObject):
        return True, value.child(name)
    return False, None


def method_of(catalog: Catalog, name: str) -> Callable[[Any], Any]:
    """A finder of the method ``name``: by the value's type, or a delegate kept in a field of that name."""
    known: dict[type, Member] = {}

    def find(value: Any) -> Any:
        member = known.get(type(value))
        if member is not None:
            return member
        if value is None:
            return _null_method(catalog, name)
        found = catalog.member_of(value, name, called=True)
        if found is not None and found.is_method:
            known[type(value)] = found
            return found
        has, field = own_field(value, name)
        if has and callable(field):
            return field
        if callable(value) and name == "Invoke":
            return value
        raise no_member(catalog, value, name)

    return find


def _null_method(catalog: Catalog, name: str) -> Member:
    member = catalog.null_member(name)
    if member is None:
        raise null_reference()
    return member


def get_dynamic(catalog: Catalog, receiver: Eval, name: str) -> Eval:
    """``receiver.Name`` by the value's type."""
    known: dict[type, Member] = {}

    def read(frame: Frame) -> Any:
        value = receiver(frame)
        member = known.get(type(value))
        if member is None:
            if value is None:
                return _null_property(name)
            member = catalog.member_of(value, name)
            if member is None or (member.is_method and own_field(value, name)[0]):
                has, field = own_field(value, name)
                if has:
                    return field
                return _nullable_property(catalog, value, name)
            known[type(value)] = member
        if member.is_method:
            run, function = frame[RUN], member.function
            if member.takes_run:
                return lambda *arguments: function(run, value, *arguments)
            return lambda *arguments: function(value, *arguments)
        return member.function(frame[RUN], value) if member.takes_run else member.function(value)

    return read


def _null_property(name: str) -> Any:
    if name == "HasValue":
        return False
    raise null_reference()


def _nullable_property(catalog: Catalog, value: Any, name: str) -> Any:
    match name:
        case "HasValue":
            return True
        case "Value":
            return value
    raise no_member(catalog, value, name)


def get_item(target: Any, key: Any) -> Any:
    """``target[key]`` as the type of the target has it."""
    if type(target) is JObject:
        return target.child(key)
    if isinstance(target, JToken):
        return _token_item(target, key)
    if isinstance(target, NetDictionary | Lookup):
        return target[key]
    if target is None:
        raise null_reference()
    if isinstance(key, Range):
        part = target[key.of(len(target))]
        return NetArray(part, target.element) if isinstance(target, NetArray) else part
    if isinstance(key, FromEnd):
        key = len(target) - key.count
    if isinstance(target, str):
        return char_at(target, key)
    if isinstance(target, bytes | bytearray | NetArray):
        if not isinstance(key, int) or not 0 <= key < len(target):
            raise index_out_of_range()
        return Byte(target[key]) if isinstance(target, bytes | bytearray) else target[key]
    if isinstance(target, list):
        return target[place(key, len(target))]
    at = getattr(target, "item", None)
    if at is not None:
        return at(key)
    if isinstance(target, dict):
        from shared.expressions.members import variable

        return variable(target, key)
    raise ExpressionFailed("RuntimeBinderException", f"Cannot apply indexing with [] to '{type(target).__name__}'")


def _token_item(target: JToken, key: Any) -> Any:
    if isinstance(key, FromEnd) and isinstance(target, JArray):
        key = len(target.items) - key.count
    return target.child(key)


def set_item(target: Any, key: Any, value: Any) -> None:
    """``target[key] = value``."""
    if isinstance(target, JToken):
        target.set_child(key, value)
    elif isinstance(target, NetDictionary):
        kind = target.value_type
        target[key] = value if kind is None else kind.stored(value)
    elif target is None:
        raise null_reference()
    elif isinstance(target, bytearray | NetArray):
        if not isinstance(key, int) or not 0 <= key < len(target):
            raise index_out_of_range()
        target[key] = int(value) & 255 if isinstance(target, bytearray) else _element(target, value)
    elif isinstance(target, list):
        target[place(key, len(target))] = _element(target, value)
    else:
        at = getattr(target, "set_item", None)
        if at is None:
            raise ExpressionFailed(
                "RuntimeBinderException", "Property or indexer cannot be assigned to -- it is read only"
            )
        at(key, value)


def _element(target: Any, value: Any) -> Any:
    element = getattr(target, "element", None)
    return value if element is None else element.stored(value)


def set_property(catalog: Catalog, target: Any, name: str, value: Any) -> None:
    """``target.Name = value`` for the few properties that can be set."""
    if target is None:
        raise null_reference()
    if isinstance(target, JObject):
        target.set_child(name, value)
        return
    if isinstance(target, NetTuple) and (at := target.place(name)) is not None:
        target.items[at] = value
        return
    net = catalog.type_of(target)
    setter = net.setter(name) if net is not None else None
    if setter is None:
        message = f"Property or indexer '{name}' cannot be assigned to -- it is read only"
        raise ExpressionFailed("RuntimeBinderException", message)
    setter(target, value)
