"""The C# side of exceptions: one type per name, what ``catch (... ex)`` can ask of them."""

from collections.abc import Callable
from typing import Any

from shared.expressions.errors import EXCEPTION_BASES, NAMESPACES, ExpressionFailed
from shared.expressions.formats import text
from shared.expressions.lists import NetDictionary
from shared.expressions.nettypes import NetType, returning

_PARAMETER_FIRST = ("ArgumentNullException", "ArgumentOutOfRangeException")


def _constructor(name: str) -> Callable[..., ExpressionFailed]:
    def construct(types: Any, *arguments: Any) -> ExpressionFailed:
        inner = next((one for one in arguments if isinstance(one, ExpressionFailed)), None)
        texts = [text(one) for one in arguments if one is not None and one is not inner]
        if name in _PARAMETER_FIRST and len(texts) == 1:
            default = (
                "Value cannot be null."
                if name == _PARAMETER_FIRST[0]
                else "Specified argument was out of the range of valid values."
            )
            return ExpressionFailed(name, f"{default} (Parameter '{texts[0]}')", inner)
        if name in _PARAMETER_FIRST and len(texts) > 1:
            return ExpressionFailed(name, f"{texts[-1]} (Parameter '{texts[0]}')", inner)
        if name == "ArgumentException" and len(texts) > 1:
            return ExpressionFailed(name, f"{texts[0]} (Parameter '{texts[1]}')", inner)
        return ExpressionFailed(name, texts[0] if texts else None, inner)

    return construct


def _full_name(name: str) -> str:
    return f"{NAMESPACES.get(name, 'System')}.{name}"


def _shown(error: ExpressionFailed) -> str:
    return f"{_full_name(error.short_name)}: {error.message}"


def _base(error: ExpressionFailed) -> ExpressionFailed:
    while error.inner is not None:
        error = error.inner
    return error


EXCEPTION = NetType(
    "Exception",
    (ExpressionFailed,),
    full_name="System.Exception",
    construct=_constructor("Exception"),
    properties=returning(
        "string",
        Message=lambda error: error.message,
        StackTrace=lambda error: "",
        Source=lambda error: "policy-expression",
        HelpLink=lambda error: None,
        ParamName=lambda error: error.message.partition("(Parameter '")[2].rstrip("')") or None,
    )
    | returning("Exception", InnerException=lambda error: error.inner)
    | returning("int", HResult=lambda error: -2146233088)
    | returning("Dictionary", Data=lambda error: NetDictionary()),
    methods=returning("string", ToString=_shown) | returning("Exception", GetBaseException=_base),
)


def _type(name: str) -> NetType:
    return NetType(
        name,
        (),
        full_name=_full_name(name),
        base=EXCEPTION,
        construct=_constructor(name),
        check=lambda value: isinstance(value, ExpressionFailed) and value.is_a(name),
    )


EXCEPTION_TYPES = (EXCEPTION, *(_type(name) for name in EXCEPTION_BASES))
