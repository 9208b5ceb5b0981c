"""What of an OpenAPI document's operations an import keeps: parameters, bodies, headers, their schemas, examples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.config.definition import Body, OperationDefinition, Parameter, definition_of
from shared.config.openapi_schemas import Schemas
from shared.config.responses import Representation, Responses, is_json

PREFIX = "#/components/schemas/"


class Copy:
    """Operations of a document as OpenAPI 3.1 has them. `schemas` are those they refer to, without what only readers
    need, `notes` tell what of them cannot be kept."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` is one that `operations_of` has read."""
        self._document = document
        self._schemas = Schemas(document, PREFIX)
        self._problems: list[str] = []

    def operation(self, fields: Mapping[str, str], operation: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters, request body and responses of an operation as `identified` gives it. ValueError when its schemas
        cannot be read."""
        definition = definition_of(self._document, operation, fields["method"], self._schemas)
        responses = Responses(self._document, operation)
        self._problems += [f"operation {fields['id']}: {problem}" for problem in _problems(responses)]
        made: dict[str, Any] = {}
        if definition.parameters:
            made["parameters"] = [_parameter(one) for one in definition.parameters]
        if definition.bodies:
            made["requestBody"] = {"content": {one.content_type: _media(one) for one in definition.bodies}}
        if responses.by_status:
            made["responses"] = _responses(responses, definition)
        return made

    @property
    def schemas(self) -> dict[str, Any]:
        """The schemas that the operations so far refer to, by name."""
        return dict(sorted(self._schemas.named.items()))

    @property
    def notes(self) -> list[str]:
        """What of the operations so far cannot be kept: a sentence for bodies of mock-response, one for schemas."""
        problems, lost = self._problems, self._schemas.lost
        notes = []
        if problems:
            notes.append(f"mock-response has no body for {problems[0]}{_several(problems)}.")
        if lost:
            notes.append(f"Nothing is checked against $ref {lost[0]}, which leads nowhere{_several(lost)}.")
        return notes


def _several(listed: Sequence[str]) -> str:
    return f" ({len(listed)} such places)" if len(listed) > 1 else ""


def _problems(responses: Responses) -> Iterator[str]:
    for response in responses.by_status.values():
        yield from response.problems
        for representation in response.representations:
            if not representation.examples:
                yield from representation.problems


def _responses(responses: Responses, definition: OperationDefinition) -> dict[str, Any]:
    """One that cannot be read stays without content: beside it the default is no answer of a success."""
    made = {}
    for status, response in responses.by_status.items():
        specified = definition.responses[status]
        content = {one.content_type: _media(one) for one in specified.bodies}
        for representation in response.representations:
            content.setdefault(representation.content_type, {}).update(_examples(representation))
        made[status] = {
            "description": "",
            **({"headers": {one.name: _header(one) for one in specified.headers}} if specified.headers else {}),
            **({"content": content} if content else {}),
        }
    return made


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made = {"name": parameter.name, "in": parameter.location, "required": parameter.required}
    usual = "form" if parameter.location == "query" else "simple"
    if parameter.allow_empty:
        made["allowEmptyValue"] = True
    return {**made, **_written(parameter, usual)}


def _header(header: Parameter) -> dict[str, Any]:
    return {"required": header.required, **_written(header, "simple")}


def _written(parameter: Parameter, usual: str) -> dict[str, Any]:
    """How a value is written, and its schema."""
    if parameter.as_json:
        return {"content": {"application/json": {"schema": parameter.schema}}}
    made: dict[str, Any] = {}
    if parameter.style != usual:
        made["style"] = parameter.style
    if parameter.explode != (parameter.style == "form"):
        made["explode"] = parameter.explode
    return {**made, "schema": parameter.schema}


def _media(body: Body) -> dict[str, Any]:
    return {} if body.schema is None else {"schema": body.schema}


def _examples(representation: Representation) -> dict[str, Any]:
    as_json = is_json(representation.content_type)
    values = [json.loads(body) if as_json else body.decode() for body in representation.examples]
    if len(values) == 1:
        return {"example": values[0]}
    if not values:
        return {}
    return {"examples": {str(number): {"value": value} for number, value in enumerate(values)}}
