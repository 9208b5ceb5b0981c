"""Attribute and text values that may be policy expressions: read once, evaluated per request."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import BodyNotBuffered

if TYPE_CHECKING:
    from shared.expressions import Compiled

T = TypeVar("T")


class Dynamic:
    """A compiled expression on its way into a field that may hold one."""

    __slots__ = ("compiled",)

    def __init__(self, compiled: "Compiled") -> None:
        self.compiled = compiled


class Expression(Generic[T]):
    """A value of type T: a constant, or a policy expression that gives one for each request.

    As a pydantic field it takes a literal, which is checked at load, or a `Dynamic`, whose result is converted when it
    is known.
    """

    __slots__ = ("constant", "compiled", "convert", "now")

    now: Callable[[Context], T]
    """The value without waiting: BodyNotBuffered when a body has to be read first, PolicyFailed when it throws."""

    def __init__(
        self, constant: Any = None, compiled: "Compiled | None" = None, convert: Callable[[Any], Any] | None = None
    ) -> None:
        self.constant = constant
        self.compiled = compiled
        self.convert = convert
        self.now = (lambda ctx: constant) if compiled is None else _evaluator(compiled, convert)

    async def __call__(self, ctx: Context) -> T:
        """The value for this request; reads a body when the expression needs one. PolicyFailed when it throws."""
        while True:
            try:
                return self.now(ctx)
            except BodyNotBuffered as unread:
                await unread.message.read()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (target,) = get_args(source) or (str,)

        def validate(value: Any, inner: Callable[[Any], Any]) -> "Expression[Any]":
            if isinstance(value, Expression):
                return value
            if isinstance(value, Dynamic):
                return cls(compiled=value.compiled, convert=conversion(target))
            return cls(constant=inner(value))

        return core_schema.no_info_wrap_validator_function(validate, handler.generate_schema(target))


def evaluation_failed(failure: Exception, source: str) -> PolicyFailed:
    """The error of a policy whose expression threw."""
    return PolicyFailed(
        reason="ExpressionValueEvaluationFailure",
        detail=f"Expression evaluation failed. {failure} in {source[:200]}",
    )


def _evaluator(compiled: "Compiled", convert: Callable[[Any], Any] | None) -> Callable[[Context], Any]:
    source = compiled.source

    def explain(failure: Exception) -> PolicyFailed:
        return evaluation_failed(failure, source)

    def tell(ctx: Context, value: object) -> None:
        ctx.trace({"expression": source, "value": value}, "expression")

    return compiled.evaluator(convert, explain, tell)


def conversion(target: Any) -> Callable[[Any], Any] | None:
    """What turns an expression's result into the type a field wants; None where any value will do."""
    from shared.expressions import to_bool, to_int, to_number, to_text

    known: dict[Any, Callable[[Any], Any] | None] = {
        str: to_text, int: to_int, float: to_number, bool: to_bool, object: None, Any: None
    }  # fmt: skip
    if target in known:
        return known[target]
    if get_origin(target) is Annotated:
        return _within(target, conversion(get_args(target)[0]))
    options = [option for option in get_args(target) if option is not type(None)]
    if options and all(isinstance(option, str) for option in options):
        return _one_of(tuple(options))
    if len(options) == 1:
        return conversion(options[0])
    raise TypeError(f"no conversion from a policy expression to {target}")


def _within(target: Any, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """For a type with bounds, such as Annotated[int, Field(ge=1)]: they hold for results as they do for literals."""
    adapter: TypeAdapter[Any] = TypeAdapter(target)

    def checked(value: Any) -> Any:
        try:
            return adapter.validate_python(convert(value) if convert is not None else value)
        except ValidationError as error:
            raise PolicyFailed(detail=f"{value!r:.100}: {error.errors()[0]['msg']}") from error

    return checked


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    from shared.expressions import to_text

    def convert(value: Any) -> str:
        text = to_text(value)
        if text not in allowed:
            raise PolicyFailed(detail=f"{text!r} is none of {', '.join(allowed)}")
        return text

    return convert


def refuse_expression(value: object) -> object:
    """For fields that take no expression (APIM: "policy expressions aren't allowed")."""
    if isinstance(value, Dynamic):
        raise PydanticCustomError("expression", "policy expressions are not allowed here")
    return value
