"""validate-content: checks the size of a body and whether it conforms to a schema."""

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt, SkipValidation, model_validator

from shared.context import Context
from shared.errors import GatewayError
from shared.message import GatewayRequest, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.content_schema import ContentSchema, JsonContent, XmlContent
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section

Action = Literal["ignore", "prevent", "detect"]

# What a caller reads of a response that does not conform: nothing of its inside.
NEUTRAL = "The request could not be processed due to an internal error. Contact the API owner."
# Smaller bodies are checked where they are; checking larger ones would hold up other requests.
IN_A_THREAD = 16_384


class Type(Markup):
    """Which content type counts as which other one."""

    from_: str | None = None
    when: Expression[bool] | None = None
    to: str

    @model_validator(mode="after")
    def _one(self) -> "Type":
        if (self.from_ is None) == (self.when is None):
            raise ValueError("exactly one of from, when is needed")
        return self


class TypeMap(Markup):
    """Content types as they count for the checks; `types` go before `any` and `missing`."""

    any_content_type_value: str | None = None
    missing_content_type_value: str | None = None
    types: tuple[Type, ...] = Field((), alias="(types)")

    async def of(self, ctx: Context, content_type: str) -> str:
        """What a content type counts as."""
        for one in self.types:
            if (one.from_ is not None and media_type(one.from_) == content_type) or (
                one.when is not None and await one.when(ctx)
            ):
                return media_type(one.to)
        if self.any_content_type_value is not None:
            return media_type(self.any_content_type_value)
        if not content_type and self.missing_content_type_value is not None:
            return media_type(self.missing_content_type_value)
        return content_type


class Content(Markup):
    """How bodies of a type are checked; without `type` bodies of any type."""

    type: str | None = None
    validate_as: Literal["json", "xml", "soap"]
    schema_id: str | None = None
    schema_ref: str | None = None
    action: Expression[Action]
    allow_additional_properties: bool | None = None
    case_insensitive_property_names: bool = False
    schema_: SkipValidation[ContentSchema | None] = Field(None, alias="(schema)", repr=False)


class ValidateContent(Policy):
    """In inbound the request's body, in outbound and on-error the response's, which is read for it: no stream survives.

    `prevent` ends the request with 400, or 502 for a response; `detect` goes on and `ignore` says nothing.
    `errors-variable-name` gets a JArray of objects with Name, Type, ValidationRule, Details and Action. Schemas are the
    `schemas` in gateway.yaml: the one of the API's own definition is not kept here, so `schema-id` is required.
    https://learn.microsoft.com/azure/api-management/validate-content-policy
    """

    element: ClassVar[str] = "validate-content"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound", "on-error"})

    unspecified_content_type_action: Expression[Action]
    max_size: Expression[PositiveInt]
    size_exceeded_action: Expression[Action]
    errors_variable_name: str | None = None
    types: TypeMap = Field(alias="(types)")
    contents: tuple[Content, ...] = Field((), alias="(contents)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The map of content types and the checks, their schemas compiled."""
        compiler.expect_no_text(element)
        types: TypeMap | None = TypeMap.model_validate({})
        contents: list[Content] = []
        for child in compiler.children(element, "content-type-map", "content"):
            if child.name == "content-type-map":
                children = compiler.children(child, "type")
                mapped = [one for one in (compiler.model(each, Type) for each in children) if one is not None]
                types = compiler.model(child, TypeMap, **{"(types)": tuple(mapped)})
            elif (content := compiler.model(child, Content)) is not None:
                contents.append(content.model_copy(update={"schema_": _schema(content, child, compiler)}))
        return {"types": types, "contents": tuple(contents)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Check the body."""
        message = ctx.message
        found = await self._size_error(ctx, message) or await self._content_error(ctx, message)
        if found is None:
            return None
        error, action, public = found
        if action == "ignore":
            return None
        ctx.trace(error, self.element, "error")
        if self.errors_variable_name is not None:
            from shared.expressions.json_tokens import wrapped

            ctx.variables[self.errors_variable_name] = wrapped([{**error, "Action": action}])
        if action == "detect":
            return None
        is_request = isinstance(message, GatewayRequest)
        raise GatewayError(
            error["Details"],
            status=400 if is_request else 502,
            source=self.element,
            reason="BadRequest" if is_request else "ResponseNotAllowed",
            answer=public if is_request else NEUTRAL,
        )

    async def _size_error(self, ctx: Context, message: Any) -> "Found | None":
        limit = await self.max_size(ctx)
        length = _announced(message)
        if length is not None and length > limit:
            size = length
        else:
            size = len(await message.read())
        if size <= limit:
            return None
        what = _what(message)
        public = f"{what}'s body is {size} bytes long and it exceeds the limit of {limit} bytes."
        details = f"{what}'s body is {size} bytes long and it exceeds the configured limit of {limit} bytes."
        return _error("", f"{what}Body", "SizeLimit", details), await self.size_exceeded_action(ctx), public

    async def _content_error(self, ctx: Context, message: Any) -> "Found | None":
        body = await message.read()
        if not body:
            return None
        kind = await self.types.of(ctx, media_type(message.headers.get("content-type") or ""))
        content = next((one for one in self.contents if one.type is None or media_type(one.type) == kind), None)
        if content is None:
            text = f"Unspecified content type {kind} is not allowed."
            action = await self.unspecified_content_type_action(ctx)
            return _error(kind, f"{_what(message)}Body", "Unspecified", text), action, text
        action = await content.action(ctx)
        if action == "ignore" or content.schema_ is None:
            return None
        what = _what(message)
        check = content.schema_.errors
        try:
            problems = check(body) if len(body) <= IN_A_THREAD else await asyncio.to_thread(check, body)
        except (ValueError, RecursionError) as error:
            text = f"Body of the {what.lower()} cannot be validated for the content type {kind}. {error}"[:500]
            return _error(kind, f"{what}Body", "ValidationException", text), action, NEUTRAL
        if not problems:
            return None
        text = (
            f"Body of the {what.lower()} does not conform to the definition {content.schema_id}, "
            f"which is associated with the content type {kind}. {' '.join(problems)}"
        )
        return _error(kind, f"{what}Body", "IncorrectMessage", text), action, text


Found = tuple[dict[str, str], Action, str]


def media_type(value: str) -> str:
    """A content type without its parameters, in lower case."""
    return value.partition(";")[0].strip().lower()


def _announced(message: Any) -> int | None:
    """The size of a body that has not been read, where Content-Length tells it (a compressed one is larger)."""
    length = message.headers.get("content-length")
    known = message.body is None and length is not None and length.isdigit()
    return int(length) if known and "content-encoding" not in message.headers else None


def _what(message: Any) -> str:
    return "Request" if isinstance(message, GatewayRequest) else "Response"


def _error(name: str, type_: str, rule: str, details: str) -> dict[str, str]:
    return {"Name": name, "Type": type_, "ValidationRule": rule, "Details": details}


def _schema(content: Content, element: Element, compiler: Compiler) -> ContentSchema | None:
    if content.schema_id is None:
        message = "schema-id is needed: the schemas of the API's own definition are not kept here"
        compiler.problem(element, message)
        return None
    if content.schema_id not in compiler.gateway.schemas:
        compiler.problem(element, f"no schema {content.schema_id} in gateway.yaml", attribute="schema-id")
    schema = compiler.schemas.get(content.schema_id)
    if schema is None:
        return None
    try:
        if content.validate_as == "json":
            return JsonContent(
                schema,
                dict(compiler.schemas),
                ref=content.schema_ref,
                additional=content.allow_additional_properties,
                fold_case=content.case_insensitive_property_names,
            )
        if not isinstance(schema, bytes):
            raise ValueError(f"validate-as {content.validate_as} needs an XML schema (.xsd)")
        return XmlContent(schema, soap=content.validate_as == "soap")
    except ValueError as error:
        compiler.problem(element, str(error), attribute="schema-id")
        return None
