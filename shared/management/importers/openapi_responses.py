"""What of an OpenAPI document's responses an import keeps: bodies for mock-response, and no schemas."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shared.config.openapi import identified
from shared.config.responses import Representation, Responses, is_json


def copied(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """An operation's `responses` (OpenAPI 3): codes, content types and examples; samples stand where schemas were."""
    # One that cannot be read stays without content: beside it the default is no answer of a success.
    responses = {
        status: {"description": "", **_content(response.representations)}
        for status, response in Responses(document, operation).by_status.items()
    }
    return responses or {"default": {"description": ""}}


def unread(document: Mapping[str, Any]) -> list[str]:
    """What of the responses cannot be read, and so has no body: a sentence, or none."""
    problems = [
        f"operation {fields['id']}: {problem}"
        for fields, operation in identified(document)
        for problem in _problems(Responses(document, operation))
    ]
    if not problems:
        return []
    several = f" ({len(problems)} such places)" if len(problems) > 1 else ""
    return [f"mock-response has no body for {problems[0]}{several}."]


def _problems(responses: Responses) -> Iterator[str]:
    for response in responses.by_status.values():
        yield from response.problems
        for representation in response.representations:
            if not representation.examples:
                yield from representation.problems


def _content(representations: tuple[Representation, ...]) -> dict[str, Any]:
    content = {one.content_type: _examples(one) for one in representations}
    return {"content": content} if content else {}


def _examples(representation: Representation) -> dict[str, Any]:
    as_json = is_json(representation.content_type)
    values = [json.loads(body) if as_json else body.decode() for body in representation.examples]
    if len(values) == 1:
        return {"example": values[0]}
    if not values:
        return {}
    return {"examples": {str(number): {"value": value} for number, value in enumerate(values)}}
