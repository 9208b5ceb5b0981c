"""validate-content: checks the size of a body and whether it conforms to a schema."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, SkipValidation, model_validator

from shared.context import Context
from shared.message import GatewayRequest, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.content_schema import ContentSchema, MissingDefinition, XmlContent, declared_content
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section
from shared.policies.violations import NO_DEFINITION, Action, Violation, Violations

if TYPE_CHECKING:
    from shared.config.definition import Body, OperationDefinition
    from shared.policies.definition import Definition, Sent

Message = GatewayRequest | GatewayResponse

# Smaller bodies are checked where they are; checking larger ones would hold up other requests: with the schema of chat
# completions 1 KB takes up to 5 ms.
IN_A_THREAD = 1_024
# Larger bodies, where max-size lets them pass, cannot be checked: parsed they take many times as much memory.
LARGEST = 16_777_216


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


class DefinedBodies:
    """The bodies an operation's definition specifies, with their schemas compiled."""

    __slots__ = ("definition", "operation")

    def __init__(self, definition: "Definition", operation: "OperationDefinition") -> None:
        self.definition = definition
        self.operation = operation

    def of(self, message: GatewayRequest | GatewayResponse, kind: str) -> "Body | None":
        """What is specified of a body of a content type, in a request or in a response of that status code."""
        if isinstance(message, GatewayRequest):
            return _of_type(self.operation.bodies, kind)
        response = self.operation.response(message.status_code)
        return _of_type(response.bodies, kind) if response is not None else None

    def compile(self, content: Content, section: Section) -> None:
        """Compile now what `schema` gives: there is no time for it when a message waits."""
        bodies: Iterable[Body] = self.operation.bodies
        if section != "inbound":
            bodies = (body for response in self.operation.responses.values() for body in response.bodies)
        for body in bodies:
            if content.type is None or _of_type((body,), media_type(content.type)) is not None:
                self.schema(body, content, "request" if section == "inbound" else "response")

    def schema(self, body: "Body", content: Content, sent: "Sent") -> ContentSchema | None:
        """The check of a body; None when any will do."""
        return self.definition.content(
            body,
            sent,
            additional=content.allow_additional_properties,
            fold_case=content.case_insensitive_property_names,
        )


class ValidateContent(Policy):
    """In inbound the request's body, in outbound and on-error the response's, which is read for it unless it is an
    event stream: that is never read, so its size is not checked, and a `content` that holds for its type cannot check
    it.

    `prevent` ends the request with 400, or 502 for a response; `detect` goes on and `ignore` says nothing.
    `errors-variable-name` gets a JArray of objects with Name, Type, ValidationRule, Details and Action. A `content`
    with `schema-id` has its schema from `schemas` in gateway.yaml, one without from the API's OpenAPI document: that of
    the request, or of the response's status code, for the content type.
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
    defined: SkipValidation[DefinedBodies | None] = Field(None, alias="(defined)", repr=False)

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
        of_definition = [one for one in contents if one.schema_id is None]
        defined: DefinedBodies | None = None
        # There are several when the document is only checked.
        for definition, operation in compiler.specified(element, needed=bool(of_definition)):
            defined = DefinedBodies(definition, operation)
            for one in of_definition:
                defined.compile(one, compiler.section)
        return {"types": types, "contents": tuple(contents), "defined": defined}

    async def __call__(self, ctx: Context) -> None:
        """Check the body."""
        message = ctx.message
        violations = Violations(ctx, self.element, self.errors_variable_name)
        if isinstance(message, GatewayResponse) and message.is_event_stream:
            await self._check_content(ctx, message, violations, None)
            return
        await self._check_size(ctx, message, violations)
        if body := await message.read():
            await self._check_content(ctx, message, violations, body)

    async def _check_size(self, ctx: Context, message: Message, violations: Violations) -> None:
        limit = await self.max_size(ctx)
        length = _announced(message)
        size = length if length is not None and length > limit else len(await message.read())
        if size <= limit:
            return
        what = _what(message)
        public = f"{what}'s body is {size} bytes long and it exceeds the limit of {limit} bytes."
        details = f"{what}'s body is {size} bytes long and it exceeds the configured limit of {limit} bytes."
        violation = Violation("", f"{what}Body", "SizeLimit", details, public)
        violations.add(violation, await self.size_exceeded_action(ctx))

    async def _check_content(self, ctx: Context, message: Message, violations: Violations, body: bytes | None) -> None:
        """Check a body, or of an event stream (None) what can be told without it."""
        kind = await self.types.of(ctx, media_type(message.headers.get("content-type") or ""))
        specified = self.defined.of(message, kind) if self.defined is not None else None
        content = next((one for one in self.contents if one.type is None or media_type(one.type) == kind), None)
        from_definition = content is not None and content.schema_id is None
        if content is not None and from_definition and self.defined is None:
            violations.add(NO_DEFINITION, await content.action(ctx))
        elif specified is None and (content is None or from_definition):
            text = f"Unspecified content type {kind} is not allowed."
            violation = Violation(kind, f"{_what(message)}Body", "Unspecified", text, text)
            violations.add(violation, await self.unspecified_content_type_action(ctx))
        elif content is not None and (action := await content.action(ctx)) != "ignore":
            found = await self._violation(ctx, content, kind, specified, body)
            if found is not None:
                violations.add(found, action)

    async def _violation(
        self, ctx: Context, content: Content, kind: str, specified: "Body | None", body: bytes | None
    ) -> Violation | None:
        what = _what(ctx.message)
        schema, name = content.schema_, content.schema_id
        if content.schema_id is None and specified is not None and self.defined is not None:
            schema = self.defined.schema(specified, content, "request" if what == "Request" else "response")
            name = specified.definition or (ctx.operation.id if ctx.operation is not None else "")
        if schema is None:
            return None
        cannot = f"Body of the {what.lower()} cannot be validated for the content type {kind}."
        if body is None:
            return Violation(kind, f"{what}Body", "ValidationException", f"{cannot} An event stream is not read.")
        if len(body) > LARGEST:
            return Violation(kind, f"{what}Body", "ValidationException", f"{cannot} It is larger than {LARGEST} bytes.")
        try:
            problems = schema.errors(body) if len(body) <= IN_A_THREAD else await asyncio.to_thread(schema.errors, body)
        except MissingDefinition as error:
            text = (
                f"API's schema does not contain definition {error.definition}, "
                f"which is associated with the content type {kind}."
            )
            return Violation(kind, f"{what}Body", "MissingDefinition", text)
        except (ValueError, RecursionError) as error:
            return Violation(kind, f"{what}Body", "ValidationException", f"{cannot} {error}"[:500])
        if not problems:
            return None
        text = (
            f"Body of the {what.lower()} does not conform to the definition {name}, "
            f"which is associated with the content type {kind}. {' '.join(problems)}"
        )
        return Violation(kind, f"{what}Body", "IncorrectMessage", text, text)


def media_type(value: str) -> str:
    """A content type without its parameters, in lower case."""
    return value.partition(";")[0].strip().lower()


def _of_type(bodies: "Iterable[Body]", kind: str) -> "Body | None":
    """The body of a content type, or of the nearest range that includes it."""
    by_type = {media_type(body.content_type): body for body in bodies}
    accepted = (kind, f"{kind.partition('/')[0]}/*", "*/*") if kind else ()
    return next((by_type[one] for one in accepted if one in by_type), None)


def _announced(message: Message) -> int | None:
    """The size of a body that has not been read, where Content-Length tells it (a compressed one is larger)."""
    length = message.headers.get("content-length")
    known = message.body is None and length is not None and length.isdigit()
    return int(length) if known and length is not None and "content-encoding" not in message.headers else None


def _what(message: Message) -> str:
    return "Request" if isinstance(message, GatewayRequest) else "Response"


def _schema(content: Content, element: Element, compiler: Compiler) -> ContentSchema | None:
    if content.schema_id is None:
        if content.validate_as != "json":
            message = f"validate-as {content.validate_as} needs a schema-id: an OpenAPI document has no XML schemas"
            compiler.problem(element, message)
        if content.schema_ref is not None:
            compiler.problem(element, "schema-ref goes with schema-id", attribute="schema-ref")
        return None
    if content.schema_id not in compiler.gateway.schemas:
        compiler.problem(element, f"no schema {content.schema_id} in gateway.yaml", attribute="schema-id")
    schema = compiler.schemas.get(content.schema_id)
    if schema is None:
        return None
    try:
        if content.validate_as == "json":
            return declared_content(
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
