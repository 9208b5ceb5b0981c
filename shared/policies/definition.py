"""What an API's OpenAPI document specifies, with its schemas compiled: once, whoever checks messages against them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from shared.config.definition import PREFIX, URI, Body, DocumentDefinition, OperationDefinition, Parameter
from shared.config.json_schema import Json, mapped
from shared.policies.content_schema import JsonContent
from shared.policies.overridden_schemas import one_overridden, overridden
from shared.policies.parameter_value import ParameterValue

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Sent = Literal["request", "response"]

# OpenAPI: a property that is only read need not be in a request, nor one that is only written in a response, even where
# it is required.
NOT_SENT = {"request": "readOnly", "response": "writeOnly"}


class Definition:
    """The definition of one API. What is compiled is kept; `problems` tell what cannot be checked against."""

    def __init__(self, document: DocumentDefinition) -> None:
        self._document = document
        self._registries: dict[tuple[Sent, bool | None, bool], Any] = {}
        self._contents: dict[tuple[Body, Sent, bool | None, bool], JsonContent] = {}
        self._values: dict[tuple[Parameter, Sent], ParameterValue] = {}
        self._named: dict[str, Json] | None = None
        self._problems: dict[str, None] = {}

    def of(self, operation: str) -> OperationDefinition | None:
        """What is specified of an operation by its id; None for one that is not in the document."""
        return self._document.of(operation)

    @property
    def unread(self) -> str:
        """Why nothing can be read of the document, or nothing."""
        return self._document.problem

    @property
    def problems(self) -> Iterator[str]:
        """What of the document cannot be read, and what of its schemas cannot be compiled, so far."""
        if self.unread:
            yield self.unread
        yield from (f"$ref {reference} leads nowhere" for reference in self._document.lost)
        yield from self._problems

    def content(
        self, body: Body, sent: Sent, *, additional: bool | None = None, fold_case: bool = False
    ) -> JsonContent | None:
        """The check of a JSON body; None when any will do. The overrides are those of `content` elements."""
        if body.schema is None:
            return None
        key = (body, sent, additional, fold_case)
        if key not in self._contents:
            what = body.definition or f"the schema of {body.content_type}"
            validator = self._validator(body.schema, what, sent, additional, fold_case)
            self._contents[key] = JsonContent(validator, fold_case=fold_case)
        return self._contents[key]

    def value(self, parameter: Parameter, sent: Sent) -> ParameterValue:
        """The check of a parameter, or of a header."""
        key = (parameter, sent)
        if key not in self._values:
            what = f"the schema of {parameter.location} {parameter.name}"
            validator = self._validator(parameter.schema, what, sent, None, False)
            self._values[key] = ParameterValue(parameter, self._document.schemas, validator)
        return self._values[key]

    def _validator(self, schema: Json, what: str, sent: Sent, additional: bool | None, fold_case: bool) -> "Validator":
        from shared.policies.json_validators import registry_of, validator

        without_unsent = self._without_unsent(sent)
        key = (sent, additional, fold_case)
        if key not in self._registries:
            if self._named is None:
                listed = self._document.schemas.items()
                self._named = {name: one for name, one in listed if self._is_schema(one, f"schema {name}")}
            named = {name: mapped(one, without_unsent) for name, one in self._named.items()}
            self._registries[key] = registry_of(overridden({URI: {"$defs": named}}, additional, fold_case))
        if not self._is_schema(schema, what):
            schema = {"$ref": f"{PREFIX}{what}"}  # leads nowhere: whoever is checked against it is told
        ready = one_overridden(mapped(schema, without_unsent), URI, additional, fold_case)
        return validator(ready, self._registries[key])

    def _is_schema(self, schema: Json, what: str) -> bool:
        from shared.policies.json_validators import checked

        if isinstance(schema, bool):
            return True
        try:
            checked(schema)
        except ValueError as error:
            self._problems[f"{what} is {error}"] = None
            return False
        return True

    def _without_unsent(self, sent: Sent) -> Callable[[dict[str, Any]], dict[str, Any]]:
        flag = NOT_SENT[sent]

        def is_unsent(schema: Json, depth: int = 0) -> bool:
            if not isinstance(schema, dict) or depth > 10:
                return False
            target = self._document.schemas.get(str(schema.get("$ref", "")).removeprefix(PREFIX))
            return schema.get(flag) is True or is_unsent(target, depth + 1)

        def change(part: dict[str, Any]) -> dict[str, Any]:
            properties, required = part.get("properties"), part.get("required")
            if not isinstance(properties, dict) or not isinstance(required, list):
                return part
            return {**part, "required": [name for name in required if not is_unsent(properties.get(name))]}

        return change
