"""``Body.As<T>()``: a message's body as text, bytes, JSON, XML or form, with and without keeping it."""

from typing import Any
from urllib.parse import parse_qsl

import orjson

from shared.body import sprawls
from shared.expressions.errors import ExpressionFailed, LimitExceeded
from shared.expressions.json_reading import parse
from shared.expressions.json_tokens import JObject, JToken
from shared.expressions.lists import NetArray, NetDictionary
from shared.expressions.nettypes import NetType, TypeRef, returning
from shared.expressions.run import Run
from shared.message import BodyNotBuffered, GatewayResponse

Types = tuple[TypeRef, ...]


class Body:
    """The body of a request or response, read when asked for."""

    __slots__ = ("message",)

    def __init__(self, message: Any) -> None:
        self.message = message

    def take(self, run: Run, keep: bool) -> bytes | None:
        """The bytes; none once an earlier read did not keep them."""
        message = self.message
        if message.consumed or (run.consumed is not None and run.is_consumed(message)):
            return None
        content: bytes | None = message.body
        if content is None:
            raise BodyNotBuffered(message)
        run.charge(len(content))
        if not keep:
            run.consume(message)
        return content


def _text(content: bytes, body: Body) -> str:
    """The body by the charset of its content type; UTF-8 where none is given or known."""
    kind = (body.message.headers.get("Content-Type") or "").lower()
    charset = kind.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return content.decode(charset, "replace").removeprefix("\ufeff")
    except LookupError:
        return content.decode("utf-8", "replace").removeprefix("\ufeff")


def _taken(run: Run, maybe: Body | None, preserve: bool) -> tuple[Body, bytes | None]:
    """The body and its content. The null that a request without a body has in its place reads as an empty one:
    documents that ask before they look and those that do not run both."""
    body = maybe if maybe is not None else Body(GatewayResponse(200))
    return body, body.take(run, preserve is True or maybe is None)


def _as(run: Run, types: Types, maybe: Body | None, preserveContent: bool = False) -> Any:
    """The body as T."""
    if not types:
        raise ExpressionFailed("ArgumentException", "As needs a type.")
    name = types[0].net.name
    body, content = _taken(run, maybe, preserveContent)
    if content is None:
        return None
    if name in ("JObject", "JArray", "JToken", "JValue", "dynamic"):
        return as_json(content, body, name)
    if name == "byte[]":
        return bytearray(content)
    if name in ("string", "object"):
        return _text(content, body)
    if name in ("XElement", "XDocument", "XNode", "XContainer", "XmlDocument"):
        from shared.expressions.xml_nodes import parse_xml

        return parse_xml(_text(content, body), name)
    message = f"The body cannot be read as '{types[0].full_name}'."
    raise ExpressionFailed("NotSupportedException", message)


def as_json(content: bytes, body: Body, name: str) -> JToken | None:
    if not content.strip():
        return None
    if sprawls(content):
        raise LimitExceeded("JSON has too many values")
    try:
        found: Any = orjson.loads(content)
    except ValueError:
        return parse(_text(content, body), name)
    if type(found) is dict and name in ("JObject", "JToken", "dynamic"):
        return JObject(found)
    return parse(_text(content, body), name)


def _form(run: Run, maybe: Body | None, preserveContent: bool = False) -> NetDictionary | None:
    """``AsFormUrlEncodedContent``: names with all their values."""
    body, content = _taken(run, maybe, preserveContent)
    if content is None:
        return None
    made = NetDictionary()
    for name, value in parse_qsl(_text(content, body), keep_blank_values=True, max_num_fields=10_000):
        if name not in made:
            made[name] = NetArray()
        made[name].append(value)
    return made


BODY = NetType(
    "IMessageBody",
    (Body,),
    methods=returning(None, As=_as) | returning("Dictionary", AsFormUrlEncodedContent=_form),
)
