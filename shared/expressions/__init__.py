"""Policy expressions: ``@(...)`` and ``@{...}`` read as C#, checked at load, compiled once to closures."""

from shared.expressions.compile import Compiled, compile_expression
from shared.expressions.errors import ExpressionErrors, ExpressionFailed, Problem
from shared.expressions.results import to_bool, to_bytes, to_int, to_number, to_text
from shared.expressions.run import Limits
from shared.message import BodyNotBuffered

__all__ = [
    "BodyNotBuffered",
    "Compiled",
    "ExpressionErrors",
    "ExpressionFailed",
    "Limits",
    "Problem",
    "compile_expression",
    "to_bool",
    "to_bytes",
    "to_int",
    "to_number",
    "to_text",
]
