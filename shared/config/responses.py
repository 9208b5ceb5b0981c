"""What an OpenAPI document says an operation answers: per status code and content type, with examples or a sample."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.config.openapi import identified
from shared.config.references import followed
from shared.config.samples import NOTHING, Sampler, size_of
from shared.config.status_codes import status_key

LARGEST_EXAMPLE = 100_000
"""Values in an example that is read: the aliases of YAML can make a small document endless."""


@dataclass(frozen=True, slots=True)
class Representation:
    """A response in one content type (APIM's representation of an operation's response).

    `examples` are bodies in the document's order, else one sample made from the schema, else there are none.
    `problems` tell what the document has here that cannot be read.
    """

    content_type: str
    examples: tuple[bytes, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def sent_as(self) -> str:
        """The Content-Type of an answer: a range such as */* says nothing of the body that is in it."""
        if "*" not in self.content_type:
            return self.content_type
        return "application/json" if is_json(self.content_type) else "text/plain"


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered with one status code; `problems` tell why it cannot be read."""

    representations: tuple[Representation, ...] = ()
    problems: tuple[str, ...] = ()

    def representation(self, content_type: str | None) -> Representation | None:
        """The representation of a content type; without a type the first that has content, else the first."""
        if content_type is None:
            return next((one for one in self.representations if one.examples), next(iter(self.representations), None))
        wanted = _media_type(content_type)
        for accepted in (wanted, f"{wanted.partition('/')[0]}/*", "*/*"):
            for one in self.representations:
                if _media_type(one.content_type) == accepted:
                    return one
        return None


class Responses:
    """The responses of one operation, by status code: 200, 2XX or default."""

    def __init__(self, document: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
        declared = operation.get("responses")
        self.by_status: dict[str, Response] = {}
        for status, entry in declared.items() if isinstance(declared, Mapping) else ():
            response = followed(document, entry)
            self.by_status[status_key(status)] = (
                Response(problems=(f"response {status} {_lost(entry)}",))
                if response is None
                else Response(tuple(_representations(document, operation, response)))
            )

    def of(self, status: int) -> Response:
        """The response of a status code: its own, that of its range, or the default one; one without representations
        when there is none. Beside others the default is what errors look like, so no success takes it."""
        keys = [str(status), f"{status // 100}XX"]
        if status >= 400 or len(self.by_status) == 1:
            keys.append("default")
        return next((self.by_status[key] for key in keys if key in self.by_status), Response())


class DocumentResponses:
    """The responses of a document's operations, worked out when they are asked for: samples take time, and most
    configurations mock nothing. `forget` lets go of the document and keeps what was worked out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` is one that `operations_of` has read."""
        self.known: dict[str, Responses] = {}
        self._document: Mapping[str, Any] | None = document
        self._operations: dict[str, Mapping[str, Any]] = {}

    def of(self, operation: str) -> Responses | None:
        """The responses of an operation by its id; None for one the document does not have."""
        if operation not in self.known and self._document is not None:
            if not self._operations:
                self._operations = {fields["id"]: item for fields, item in identified(self._document)}
            if operation in self._operations:
                self.known[operation] = Responses(self._document, self._operations[operation])
        return self.known.get(operation)

    def forget(self) -> None:
        """Let go of the document: from here on there is only what has been asked for."""
        self._document, self._operations = None, {}


def _representations(
    document: Mapping[str, Any], operation: Mapping[str, Any], response: Mapping[str, Any]
) -> Iterator[Representation]:
    content = response.get("content")
    if isinstance(content, Mapping):
        for content_type, entry in content.items():
            media = followed(document, entry)
            if media is None:
                yield Representation(str(content_type), problems=(f"{content_type} {_lost(entry)}",))
            else:
                yield _representation(document, str(content_type), *_examples(document, media), media.get("schema"))
        return
    # OpenAPI 2: one schema for all types the operation produces, and an example per type.
    declared = response.get("examples")
    examples = {str(name): value for name, value in declared.items()} if isinstance(declared, Mapping) else {}
    for content_type in types_of_2(document, operation, response):
        given = [examples[content_type]] if content_type in examples else []
        yield _representation(document, content_type, given, [], response.get("schema"))


def types_of_2(document: Mapping[str, Any], operation: Mapping[str, Any], response: Mapping[str, Any]) -> Iterable[str]:
    """The content types of a response of OpenAPI 2: those the operation produces and those with an example."""
    produced, examples = operation.get("produces", document.get("produces")), response.get("examples")
    types = [str(one) for one in produced] if isinstance(produced, list) else []
    types += [str(one) for one in examples] if isinstance(examples, Mapping) else []
    if not types and "schema" in response:
        types = ["application/json"]
    return dict.fromkeys(types)


def _examples(document: Mapping[str, Any], media: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The examples of a media type object, and what cannot be read of them."""
    if "example" in media:
        return [media["example"]], []
    several = media.get("examples")
    found, problems = [], []
    for name, entry in several.items() if isinstance(several, Mapping) else ():
        example = followed(document, entry)
        if example is None:
            problems.append(f"example {name} {_lost(entry)}")
        elif "value" in example:
            found.append(example["value"])
        elif "externalValue" in example:
            problems.append(f"example {name} is in another document")
    return found, problems


def _representation(
    document: Mapping[str, Any], content_type: str, given: Sequence[Any], problems: Sequence[str], schema: Any
) -> Representation:
    problems, examples = list(problems), []

    def add(value: Any, what: str) -> None:
        try:
            examples.append(_written(document, content_type, schema, value))
        except (TypeError, ValueError) as error:
            problems.append(f"{what} of {content_type} cannot be written: {error}")

    for value in given:
        add(value, "an example")
    if not examples:
        sampler = Sampler(document)
        sample = sampler.of(schema)
        problems += [f"$ref {reference} leads nowhere" for reference in sampler.lost]
        # Of a content type of another format a schema does not tell what its bytes are.
        is_text = isinstance(sample, str) and content_type.startswith("text/")
        if sample is not NOTHING and (is_text or is_json(content_type) or _is_xml(content_type)):
            add(sample, "the sample")
    return Representation(content_type, tuple(examples), tuple(problems))


def _written(document: Mapping[str, Any], content_type: str, schema: Any, value: Any) -> bytes:
    """An example as it is sent: text as it stands, and of JSON a string only when it holds a whole document."""
    if isinstance(value, str) and (_holds_json(value) if is_json(content_type) else _is_markup(value, content_type)):
        return value.encode()
    if size_of(value, LARGEST_EXAMPLE) > LARGEST_EXAMPLE:
        raise ValueError(f"it has more than {LARGEST_EXAMPLE} values")
    if _is_xml(content_type):
        from shared.config.samples_xml import xml_of  # here, as few configurations mock XML

        return xml_of(document, schema, value)
    # YAML has dates and keys that are no strings.
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def _holds_json(text: str) -> bool:
    """Whether a string is a JSON object or array in writing, as examples often are."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def is_json(content_type: str) -> bool:
    """Whether bodies of a content type, or of a range that includes it, are JSON."""
    name = _media_type(content_type)
    return name.endswith(("/json", "+json")) or name in ("*/*", "application/*")


def _is_xml(content_type: str) -> bool:
    return _media_type(content_type).endswith(("/xml", "+xml"))


def _is_markup(text: str, content_type: str) -> bool:
    """Whether a string is a body as it stands: of XML only what has elements."""
    return not _is_xml(content_type) or text.lstrip().startswith("<")


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _lost(entry: Any) -> str:
    reference = entry.get("$ref") if isinstance(entry, Mapping) else None
    return f"refers to {reference}, which leads nowhere" if reference is not None else "is no object"
