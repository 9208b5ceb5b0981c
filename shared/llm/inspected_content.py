"""What a content check has to see of a request, of an answer and of one event of a stream: every text, every image.

Nothing is left out because its shape is unknown: known fields say who speaks, all other strings are inspected as well.
Only what never is a text for the model or the reader is skipped (`SYMBOLS`, `SEALED`), and what no check can read is
told as `opaque`, so that a policy can refuse it.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

Voice = Literal["user", "document", "application"]
"""Who speaks: the user (and whoever is not known), a document or tool result, or the application (system prompts, the
assistant's own turns, tool definitions). Attacks on the prompt come from the first two."""

Path = tuple[str | int, ...]

# Members whose value is a name or a code. One that has white space, or is long, is inspected all the same.
SYMBOLS = frozenset(
    "anthropic_version background call_id completion_id conversation deployment detail effort encoding_format "
    "file_id finish_reason finishReason format id include item_id media_type message_id mime_type mimeType modalities "
    "model modelVersion object obfuscation output_format phase previous_response_id prompt_cache_key "
    "prompt_cache_retention quality reasoning_effort required response_format responseId response_id role "
    "safety_identifier service_tier severity size status stop_reason system_fingerprint tool_call_id tool_choice "
    "tool_use_id toolUseId truncation ttl type user verbosity voice".split()
)
_SPACE = re.compile(r"\s")
_SYMBOL = re.compile(r"[^\s\0]{0,128}")
# What only the provider can read (it made it, or refuses what it did not make), and numbers in disguise.
SEALED = frozenset({"encrypted_content", "signature", "embedding", "logprobs", "thoughtSignature"})
# Members that hold what is said; a text of its own each. All others of a message are small things: taken together.
SAID = frozenset(
    "arguments content data delta input instructions output output_text partial_json prompt reasoning "
    "reasoning_content refusal summary system text thinking transcript".split()
)
# What a Responses answer repeats of its request.
_ECHOED = frozenset({"instructions", "tools", "metadata", "input", "tool_choice", "text", "prompt", "reasoning"})
_DOCUMENT_TYPES = ("tool_result", "_output", "document", "search_result", "_call_result", "file_search_call")
_APPLICATION_ROLES = frozenset({"system", "developer", "assistant", "model"})
_ROLES = _APPLICATION_ROLES | {"user"}
_TURNS = frozenset({"messages", "input", "contents"})
_DEFINITIONS = frozenset({"tools", "functions", "response_format", "output_format"})
# The vocabulary of definitions, which every tool repeats.
_GRAMMAR = frozenset(
    "additionalProperties anyOf description enum function input_schema items json_schema name parameters properties "
    "required schema strict type format".split()
)
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.I)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]{1024,}={0,2}\s*")

TOGETHER = 1_000
"""Characters up to which small texts are inspected as one: what Content Safety bills as one record."""

MANY = 16
"""A list of more plain texts than this (inputs of embeddings) is inspected together, as small things are."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text to inspect."""

    text: str
    voice: Voice = "user"


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its bytes in base64, or where it is (a URL, a file id), which nobody here can look at."""

    base64: str = ""
    elsewhere: str = ""


@dataclass(slots=True)
class Content:
    """All there is to inspect. `opaque` names what no check can read: audio, files, token ids."""

    texts: list[Text] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)


def request_content(body: bytes, content_type: str = "") -> Content:
    """What of a request's body reaches the model."""
    content = Content()
    if content_type.lower().startswith("multipart/"):
        _form(body, content_type, content)
    elif body:
        _read(body, content_type, content, _request)
    return content


def answer_content(body: bytes, content_type: str = "") -> Content:
    """What a whole answer says."""
    content = Content()
    if body:
        _read(body, content_type, content, _answer)
    return content


def _read(body: bytes, content_type: str, content: Content, look: Callable[[Any, Content], None]) -> None:
    try:
        look(parse_json(body), content)
    except RecursionError:
        content.opaque.append("JSON nested too deeply")
        _file(body, content_type or "a body of unknown type", content, "user")
    except ValueError:
        if content_type.lower().startswith("application/x-www-form-urlencoded"):
            body = unquote_to_bytes(body.replace(b"+", b" "))
        _file(body, content_type or "a body of unknown type", content, "user")


def event_content(data: bytes, content: Content) -> list[tuple[Path, str]]:
    """The texts an event adds to a stream, each with the path it stands at: texts of the same path continue each other.
    Images and what is opaque go into `content`."""
    if not data or data == b"[DONE]":
        return []
    try:
        document = parse_json(data)
        if not isinstance(document, Mapping):
            return [(("data",), data.decode("utf-8", "replace"))]  # a number is a text as well, to who shows it
        if isinstance(response := document.get("response"), Mapping):
            kept = {name: value for name, value in response.items() if name not in _ECHOED}
            document = {**document, "response": kept}
        return [(leaf.path, leaf.text) for leaf in _Reader(content, answer=True).leaves(document)]
    except RecursionError:
        content.opaque.append("JSON nested too deeply")
    except ValueError:
        pass
    return [(("data",), data.decode("utf-8", "replace"))]


def parse_json(data: bytes) -> Any:
    """JSON in which no member can hide behind another of the same name: the backend may take the one that `json` would
    drop. ValueError when it is no JSON."""
    return json.loads(data, object_pairs_hook=_all_members)


def unescaped(text: str) -> str:
    r"""The text with the escapes of JSON undone: models write `é` in the arguments of their calls."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


_HIDDEN = "\0again"
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(["\\/bfnrt]))')
_SHORT = {"b": " ", "f": " ", "n": "\n", "r": "\n", "t": "\t"}


def _character(escape: re.Match[str]) -> str:
    high, low, short = escape.groups()
    if short:
        return _SHORT.get(short, short)
    try:
        return bytes.fromhex(high + (low or "")).decode("utf-16-be", "surrogatepass")
    except UnicodeDecodeError:
        return escape[0]


def _all_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Each value once, in its place or here: with both, what is nested would be read again at every level.
        members = {}
        hidden: list[Any] = []
        for name, value in pairs:
            if name in members:
                hidden.append(members[name])
            members[name] = value
        members[_HIDDEN] = hidden
    return members


@dataclass(frozen=True, slots=True)
class _Leaf:
    path: Path
    text: str
    said: bool


class _Reader:
    """Goes through JSON and gives its texts in order; images and opaque things go into `content`."""

    def __init__(self, content: Content, *, answer: bool = False) -> None:
        self._content = content
        self._answer = answer

    def leaves(self, value: Any, path: Path = (), key: str = "") -> Iterator[_Leaf]:
        match value:
            case str():
                yield from self._string(value, path, key)
            case Mapping():
                yield from self._members(value, path, key)
            case list():
                if key in ("prompt", "input") and _are_tokens(value):
                    self._content.opaque.append("token ids")
                for number, item in enumerate(value):
                    yield from self.leaves(item, (*path, _place(item, number)), key)

    def _members(self, value: Mapping[str, Any], path: Path, key: str) -> Iterator[_Leaf]:
        kind = value.get("type")
        if path == ():
            path = _place_of_event(value)
        media = value.get("media_type") or value.get("mime_type") or value.get("mimeType")
        data = value.get("data")
        if isinstance(media, str) and isinstance(data, str) and kind != "text":
            _encoded(media, data, self._content)
            value = {name: member for name, member in value.items() if name != "data"}
        elif key == "input_audio" or (key == "audio" and isinstance(data, str)):
            # What the model says it has said; what a caller says of a recording is worth nothing.
            if not (self._answer and isinstance(value.get("transcript"), str)):
                self._content.opaque.append("audio")
            value = {name: member for name, member in value.items() if name != "data"}
        elif kind == "redacted_thinking" and isinstance(data, str) and not _SPACE.search(data):
            value = {name: member for name, member in value.items() if name != "data"}
        elif isinstance(kind, str) and kind.endswith("audio.delta"):
            self._content.opaque.append("audio")
            return
        if key == "input" and "type" not in value and "role" not in value:
            # The input of a tool call: its names reach the model as well.
            yield _Leaf(path, json.dumps(value, ensure_ascii=False), True)
            return
        if isinstance(file := value.get("file_id"), str):
            self._elsewhere(file, image=isinstance(kind, str) and "image" in kind)
        for name, member in value.items():
            if name == "file_id" or (name in SEALED and not (isinstance(member, str) and _SPACE.search(member))):
                continue
            if kind == "image" and name == "source" and isinstance(member, Mapping) and "url" in member:
                self._content.images.append(Image(elsewhere=str(member["url"])))
                continue
            yield from self.leaves(member, (*path, name), name if name != "url" else key)

    def _string(self, text: str, path: Path, key: str) -> Iterator[_Leaf]:
        if not text or (key in SYMBOLS and _SYMBOL.fullmatch(text)):
            return
        if key == "b64_json" or key == "partial_image_b64" or (key == "result" and _BASE64.fullmatch(text)):
            self._content.images.append(Image(text))
        elif found := _DATA_URL.match(text):
            _encoded(found[1], text[found.end() :], self._content)
        elif key in ("image_url", "file_url"):
            self._elsewhere(text, image=key == "image_url")
        elif key == "file_data":
            _encoded("", text, self._content)
        elif key not in SAID and len(text) > TOGETHER and _BASE64.fullmatch(text):
            self._content.opaque.append(f"{key or 'a value'} in base64")
        else:
            yield _Leaf(path, unescaped(text) if key in ("arguments", "partial_json") else text, key in SAID)

    def _elsewhere(self, where: str, *, image: bool) -> None:
        if image:
            self._content.images.append(Image(elsewhere=where))
        else:
            self._content.opaque.append("a file")


def _request(document: Any, content: Content) -> None:
    if not isinstance(document, Mapping):
        _add(_Reader(content).leaves(document), "user", content)
        return
    rest: list[_Leaf] = []
    for name, value in document.items():
        if name in ("input", "prompt") and isinstance(value, list) and len(value) > MANY and _are_texts(value):
            content.texts += _together(value, "user")
        elif name in _TURNS and isinstance(value, list) and not _are_tokens(value):
            for turn in value:
                _turn(turn, content)
        elif name in _DEFINITIONS and isinstance(value, list | dict) or name == "text" and isinstance(value, dict):
            for definition in value if isinstance(value, list) else [value]:
                content.texts += _together(_names_and_texts(definition), "application")
        elif name in ("system", "instructions", "prediction", "metadata"):
            _add(_Reader(content).leaves(value, (), name), "application", content, whole=True)
        else:
            rest += _Reader(content).leaves(value, (name,), name)
    _add(rest, "user", content)


def _answer(document: Any, content: Content) -> None:
    if isinstance(document, Mapping) and document.get("object") == "response":
        document = {name: value for name, value in document.items() if name not in _ECHOED}
    _add(_Reader(content, answer=True).leaves(document), "application", content)


def _turn(turn: Any, content: Content, voice: Voice = "user") -> None:
    """One message or item; a tool result or document inside speaks for itself."""
    if isinstance(turn, Mapping):
        voice = _voice(turn, voice)
        parts = turn.get("content")
        if isinstance(parts, str) and len(turn) == 2 and turn.get("role") in _ROLES:
            content.texts.append(Text(parts, voice))  # what most messages are
            return
        if isinstance(parts, list) and any(_is_document(part) for part in parts):
            own = [part for part in parts if not _is_document(part)]
            _turn({**turn, "content": own}, content, voice)
            for part in parts:
                if _is_document(part):
                    _add(_Reader(content).leaves(part), "document", content, whole=True)
            return
    _add(_Reader(content).leaves(turn, (), "input" if isinstance(turn, str) else ""), voice, content, whole=True)


def _voice(turn: Mapping[str, Any], default: Voice) -> Voice:
    role = turn.get("role")
    if _HIDDEN in turn:
        return default  # it may have another role as well
    if role in ("tool", "function") or (role is None and _is_document(turn)):
        return "document"
    if role in _APPLICATION_ROLES:
        return "application"
    kind = turn.get("type")
    if role is None and isinstance(kind, str) and (kind.endswith("_call") or kind == "reasoning"):
        return "document" if "output" in turn or "results" in turn else "application"
    return default


def _is_document(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind.endswith(_DOCUMENT_TYPES) and kind != "output"


def _add(leaves: Iterable[_Leaf], voice: Voice, content: Content, *, whole: bool = False) -> None:
    """What is said, text by text; small things together; and for a `whole` made of several texts, all of it as the
    model reads it: one after the other."""
    found = list(leaves)
    said = [leaf.text for leaf in found if leaf.said]
    content.texts += (Text(text, voice) for text in said)
    content.texts += _together((leaf.text for leaf in found if not leaf.said), voice)
    if whole and len(said) > 1:
        content.texts.append(Text("".join(said), voice))


def together(texts: Iterable[str]) -> Iterator[str]:
    """Small texts joined by line ends up to 1,000 characters; a longer one stays by itself."""
    gathered = ""
    for text in texts:
        if gathered and len(gathered) + len(text) >= TOGETHER:
            yield gathered
            gathered = ""
        gathered = f"{gathered}\n{text}" if gathered else text
    if gathered:
        yield gathered


def _together(texts: Iterable[str], voice: Voice) -> Iterator[Text]:
    return (Text(text, voice) for text in together(texts))


def _names_and_texts(value: Any) -> Iterator[str]:
    """Every string of a definition, names of members included: the model reads the schema of a tool as it stands."""
    match value:
        case str():
            yield value
        case Mapping():
            for name, member in value.items():
                if name not in _GRAMMAR:
                    yield name
                if not (name in SYMBOLS and isinstance(member, str) and _SYMBOL.fullmatch(member)):
                    yield from _names_and_texts(member)
        case list():
            for item in value:
                yield from _names_and_texts(item)


def _place(item: Any, number: int) -> str | int:
    """Where an item of a list belongs in a stream: it tells itself, or by its position."""
    index = item.get("index") if isinstance(item, Mapping) else None
    return index if isinstance(index, int) else number


def _are_tokens(value: list[Any]) -> bool:
    return any(isinstance(item, int) or (isinstance(item, list) and _are_tokens(item)) for item in value)


def _are_texts(value: list[Any]) -> bool:
    return all(isinstance(item, str) for item in value)


def _place_of_event(event: Mapping[str, Any]) -> Path:
    """Where the texts of an event belong: events of each type have texts of their own at the same place."""
    names = ("type", "output_index", "content_index", "summary_index", "index")
    return tuple(value for name in names if isinstance(value := event.get(name), int | str))


def _encoded(media: str, data: str, content: Content) -> None:
    """A file in base64, by its media type."""
    if media.lower().startswith("image/"):
        content.images.append(Image(data))
        return
    try:
        _file(base64.b64decode(data), media or "a file", content)
    except ValueError:
        content.opaque.append(media or "a file")


def _file(data: bytes, media: str, content: Content, voice: Voice = "document") -> None:
    """Bytes of any kind: inspected when they are an image or text."""
    if media.lower().startswith("image/"):
        content.images.append(Image(base64.b64encode(data).decode()))
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        content.opaque.append(media.partition(";")[0])
    elif text:
        content.texts.append(Text(text, voice))
        if (read := unescaped(text)) != text:
            content.texts.append(Text(read, voice))  # as a parser reads it that takes what `json` does not


# The parser takes a time that grows with the square of a header's length, and with the depth of forms in forms, which
# RFC 7578 section 4.3 has done away with.
_LONGEST_HEADER = 1_024
_MOST_FORMS = 4
_FORM_IN_FORM = re.compile(rb"content-type\s*:\s*multipart/", re.IGNORECASE)


def _is_long_headed(part: Any) -> bool:
    return any(len(value) > _LONGEST_HEADER for _, value in part.raw_items())


def _form(body: bytes, content_type: str, content: Content) -> None:
    """A multipart form (RFC 7578): its fields are what the user says, its files are inspected by their type. Whatever
    else is in the body is read as if it were no form: some backends do not look at the Content-Type."""
    from email import message_from_bytes

    head = f"content-type: {content_type}\r\n\r\n".encode("utf-8", "replace")
    form = message_from_bytes(head + body) if len(_FORM_IN_FORM.findall(body)) <= _MOST_FORMS else None
    if form is None or not form.is_multipart() or form.defects or any(_is_long_headed(part) for part in form.walk()):
        content.opaque.append("a form that cannot be read")
        _read(body, "", content, _request)
        return
    for part in form.walk():
        if part.is_multipart():
            if part.get_content_maintype() == "message":
                _file(part.as_bytes(), "", content, "user")
            for around in (part.preamble, part.epilogue):
                if around and not around.isspace():
                    _read(around.encode("ascii", "surrogateescape"), "", content, _request)
            continue
        if part.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
            # RFC 7578 knows none; who reads it does as it likes.
            content.opaque.append("a form whose parts are encoded")
            continue
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        for label in (name, part.get_filename() or ""):
            if not _SYMBOL.fullmatch(label):
                content.texts.append(Text(label))
        if part.get_filename() is not None:
            _file(data, part.get_content_type(), content)
        elif not (name in SYMBOLS and _SYMBOL.fullmatch(data.decode("utf-8", "replace"))):
            _file(data, part.get_content_type(), content, "user")
