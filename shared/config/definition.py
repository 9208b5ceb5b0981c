"""What an OpenAPI document specifies of an operation: parameters, bodies, status codes and headers, with schemas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.config.json_schema import Json
from shared.config.openapi import identified
from shared.config.openapi_schemas import Schemas
from shared.config.references import followed
from shared.config.responses import is_json, types_of_2
from shared.config.status_codes import by_status, status_key

URI = "urn:definition"
"""Where a definition's named schemas are: its schemas refer to each other as urn:definition#/$defs/<name>."""
PREFIX = f"{URI}#/$defs/"

Location = Literal["path", "query", "header"]

# API Management: of these operations a request body is discarded (API import restrictions).
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")

# Keywords of a parameter or header of OpenAPI 2 that are its schema.
SCHEMA_OF_2 = frozenset(
    """type format items enum maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems
    minItems uniqueItems multipleOf x-nullable""".split()
)
# How OpenAPI 2 writes arrays, as style and explode of OpenAPI 3 (which has no tabs).
COLLECTIONS = {
    "csv": ("form", False),
    "ssv": ("spaceDelimited", False),
    "tsv": ("tabDelimited", False),
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter of a request, or a header of a response. `style` and `explode` tell how arrays and objects are
    written (OpenAPI 3.1, "Style Values"); with `as_json` the value is a JSON text."""

    name: str
    location: Location
    schema: Json
    required: bool = False
    style: str = "simple"
    explode: bool = False
    as_json: bool = False
    allow_empty: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A body in one content type. `definition` is the name of its schema; None: any body of that type will do."""

    content_type: str
    schema: Json | None = None
    definition: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ResponseDefinition:
    """What comes with a status code."""

    bodies: tuple[Body, ...] = ()
    headers: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class OperationDefinition:
    """What is specified of an operation; `responses` by status code: 200, 2XX or default."""

    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Body, ...] = ()
    responses: dict[str, ResponseDefinition] = field(default_factory=dict)

    def response(self, status: int) -> ResponseDefinition | None:
        """What is specified of a status code: by itself, by its range or by default; None when nothing is."""
        return by_status(self.responses, status)


class DocumentDefinition:
    """What a document specifies of its operations, worked out when somebody asks for the first: most configurations
    validate nothing. From then on there are `schemas`, the named ones, references that are `lost` because they lead
    nowhere, and the `problem` of a document that cannot be read. The document itself is kept no longer."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` is one that `operations_of` has read."""
        self.schemas: dict[str, Json] = {}
        self.lost: list[str] = []
        self.problem = ""
        self._document: Mapping[str, Any] | None = document
        self._operations: dict[str, OperationDefinition] = {}

    def of(self, operation: str) -> OperationDefinition | None:
        """What is specified of an operation by its id; None for one the document does not have, and for all of them
        when the document cannot be read."""
        if self._document is not None:
            self._read(self._document)
            self._document = None
        return self._operations.get(operation)

    def forget(self) -> None:
        """Let go of the document: when nobody has asked by now, nobody will."""
        self._document = None

    def _read(self, document: Mapping[str, Any]) -> None:
        schemas = Schemas(document, PREFIX)
        try:
            self._operations = {
                fields["id"]: definition_of(document, item, fields["method"], schemas)
                for fields, item in identified(document)
            }
        except ValueError as error:
            self.problem = str(error)
        self.schemas, self.lost = schemas.named, schemas.lost


def definition_of(
    document: Mapping[str, Any], operation: Mapping[str, Any], method: str, schemas: Schemas
) -> OperationDefinition:
    """What `operation`, as `identified` gives it, specifies; schemas are read by `schemas`."""
    entries = operation["parameters"]
    declared = operation.get("responses")
    bodies = [] if method in WITHOUT_BODY else _request_bodies(document, operation, schemas)
    return OperationDefinition(
        tuple(
            _parameter(document, entry["name"], entry["in"], entry, schemas)
            for entry in entries
            if entry.get("in") in ("path", "query", "header")
        ),
        tuple({body.content_type: body for body in bodies}.values()),
        {
            status_key(status): _response(document, operation, followed(document, entry) or {}, schemas)
            for status, entry in (declared.items() if isinstance(declared, Mapping) else ())
        },
    )


def _parameter(
    document: Mapping[str, Any], name: str, location: Location, entry: Mapping[str, Any], schemas: Schemas
) -> Parameter:
    content = entry.get("content")
    content_type, media = next(iter(content.items())) if isinstance(content, Mapping) and content else ("", None)
    if "swagger" in document:
        written = COLLECTIONS.get(str(entry.get("collectionFormat", "csv")), ("form", False))
        schema: Json = {key: value for key, value in entry.items() if key in SCHEMA_OF_2}
    else:
        style = str(entry.get("style") or ("form" if location == "query" else "simple"))
        written = (style, bool(entry.get("explode", style == "form")))
        schema = (followed(document, media) or {}).get("schema", {}) if content_type else entry.get("schema", {})
    return Parameter(
        name,
        location,
        schemas.read(schema),
        location == "path" or entry.get("required") is True,
        *written,
        as_json=bool(content_type) and is_json(str(content_type)),
        allow_empty=entry.get("allowEmptyValue") is True,
    )


def _request_bodies(document: Mapping[str, Any], operation: Mapping[str, Any], schemas: Schemas) -> Iterator[Body]:
    if "swagger" not in document:
        yield from _bodies(document, (followed(document, operation.get("requestBody")) or {}).get("content"), schemas)
        return
    consumed = operation.get("consumes", document.get("consumes"))
    types = [str(one) for one in consumed] if isinstance(consumed, list) else []
    for parameter in operation["parameters"]:
        if parameter.get("in") == "body":
            for content_type in types or ["application/json"]:
                yield _body(content_type, parameter.get("schema"), schemas)
    if any(parameter.get("in") == "formData" for parameter in operation["parameters"]):
        for content_type in types or ["application/x-www-form-urlencoded", "multipart/form-data"]:
            yield Body(content_type)


def _response(
    document: Mapping[str, Any], operation: Mapping[str, Any], response: Mapping[str, Any], schemas: Schemas
) -> ResponseDefinition:
    content, declared = response.get("content"), response.get("headers")
    if isinstance(content, Mapping):
        bodies = list(_bodies(document, content, schemas))
    else:
        bodies = [_body(one, response.get("schema"), schemas) for one in types_of_2(document, operation, response)]
    headers = [
        _parameter(document, str(name), "header", header, schemas)
        for name, entry in (declared.items() if isinstance(declared, Mapping) else ())
        if (header := followed(document, entry)) is not None
    ]
    return ResponseDefinition(tuple(bodies), tuple(headers))


def _bodies(document: Mapping[str, Any], content: Any, schemas: Schemas) -> Iterator[Body]:
    for content_type, entry in content.items() if isinstance(content, Mapping) else ():
        yield _body(str(content_type), (followed(document, entry) or {}).get("schema"), schemas)


def _body(content_type: str, schema: Json, schemas: Schemas) -> Body:
    made = schemas.read(schema) if isinstance(schema, dict | bool) else None
    reference = made.get("$ref") if isinstance(made, dict) else None
    return Body(content_type, made, reference.rpartition("/")[2] if isinstance(reference, str) else "")
