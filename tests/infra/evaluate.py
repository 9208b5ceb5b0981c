"""What an expression of a template comes to, where no resource has to be asked: data in, plain values out."""

import json
import uuid
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from tests.infra.tree import Array, Call, Expression, Index, Lambda, Literal, Member, Name, Object, Template, Text

# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concat": lambda *arrays: [item for array in arrays for item in array],
    # The service hashes otherwise; what counts is that the same words give the same id.
    "guid": lambda *words: str(uuid.uuid5(uuid.NAMESPACE_OID, "\0".join(words))),
    "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],
    "map": lambda array, function: [function(item) for item in array],
    "reduce": lambda array, start, function: reduce(function, array, start),
    "replace": lambda text, old, new: text.replace(old, new),
    "string": lambda value: value if isinstance(value, str) else json.dumps(value),
    "union": lambda *objects: {key: value for one in objects for key, value in one.items()},
}


def evaluate(template: Template, expression: Expression | None, known: Mapping[str, Any]) -> Any:
    """The value of an expression of a template. `known` has what its parameters and resources are; KeyError for one
    that is not there, and for functions and forms nobody needed so far."""
    match expression:
        case Literal(value):
            return value
        case Text(parts):
            return "".join(part if isinstance(part, str) else str(evaluate(template, part, known)) for part in parts)
        case Name(id) if id in known:
            return known[id]
        case Name(id):
            return evaluate(template, template.of("var")[id].value, known)
        case Object(items):
            return {evaluate(template, key, known): evaluate(template, value, known) for key, value in items}
        case Array(items):
            return [evaluate(template, item, known) for item in items]
        case Member(base, name):
            return evaluate(template, base, known)[name]
        case Index(base, index):
            return evaluate(template, base, known)[evaluate(template, index, known)]
        case Call(Name("loadTextContent"), (Text() as path,)):
            return (template.path.parent / str(path.plain)).read_text()
        case Call(Name(id), arguments):
            return _FUNCTIONS[id](*(evaluate(template, one, known) for one in arguments))
        case Lambda(names, body):
            return lambda *values: evaluate(template, body, {**known, **dict(zip(names, values, strict=True))})
    raise KeyError(type(expression).__name__)
