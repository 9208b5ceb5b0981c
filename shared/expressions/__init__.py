"""Policy expressions: ``@(...)`` and ``@{...}`` read as C#, checked at load, compiled once to Python functions.

What a .NET value is in Python, in ``context.variables`` as in results:

=====================================  ==================================================================
string, bool, null                     ``str``, ``bool``, ``None``
int, double, decimal                   ``int``, ``float``, ``decimal.Decimal``
long, other integers, float, char      ``Long``, ``UInt``, ``Byte`` ..., ``Single``, ``Char`` of ``numbers``
byte[], T[], List<T>                   ``bytearray`` (``bytes`` is taken too), ``NetArray``, ``NetList``
Dictionary, HashSet, tuples            ``NetDictionary``, ``NetSet``, ``NetTuple`` ... of ``lists``
JObject, JArray, JValue, JProperty     the classes of ``json_tokens``
DateTime, DateTimeOffset, TimeSpan     the classes of ``dates``; ``Guid`` is ``uuid.UUID``
Jwt, BasicAuthCredentials              the classes of ``tokens``
enumerations                           ``Enum`` values of ``enums``
IRequest, IResponse, other context     the gateway's own objects, as they are
=====================================  ==================================================================

A new .NET member is one entry in the tables of the type's file (``strings``, ``date_types``, ``json_types`` ...);
a new type is one more ``NetType`` there and, in a new file, one line in ``catalog``.
"""

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
