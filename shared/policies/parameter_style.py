"""Takes the text of a parameter apart as its style writes it (OpenAPI 3.1.1, "Style Values", after RFC 6570; pure)."""

import re
from collections.abc import Iterator, Sequence

from shared.config.definition import Parameter

SEPARATORS = {"simple": ",", "form": ",", "spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}


class Unreadable(ValueError):
    """A text is not what its schema says it is written as."""


class ManyValues(ValueError):
    """There are several values where one is expected."""


def is_known(parameter: Parameter) -> bool:
    """Whether the style is one that parameters of this location can have."""
    match parameter.style:
        case "label" | "matrix":
            return parameter.location == "path"
        case "deepObject":
            return parameter.location == "query"
        case style:
            return style in SEPARATORS


def only(texts: Sequence[str]) -> str:
    """The one text there is. ManyValues when there are several."""
    if len(texts) > 1:
        raise ManyValues
    return texts[0] if texts else ""


def scalar(parameter: Parameter, texts: Sequence[str]) -> str:
    """The text of a value that is neither a list nor an object."""
    text = only(texts)
    match parameter.style:
        case "label":
            return _after(".", text)
        case "matrix":
            return _named(parameter, _after(";", text))
        case _:
            return text


def items(parameter: Parameter, texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts of a list's items, and what else they may be, the likeliest first."""
    match parameter.style:
        case "label":
            text = _after(".", only(texts))
            yield _split(text, "." if parameter.explode else ",")
            # What OpenAPI 3.0.3 and 3.1.0 show for lists that are not exploded.
            if not parameter.explode and "." in text:
                yield text.split(".")
        case "matrix" if parameter.explode:
            yield [_named(parameter, part) for part in _after(";", only(texts)).split(";")]
        case "matrix":
            yield _split(_named(parameter, _after(";", only(texts))), ",")
        case "form" if parameter.explode:
            yield list(texts)
        case ("spaceDelimited" | "pipeDelimited") as style if parameter.explode:
            yield list(texts)
            if len(texts) == 1:
                yield _split(texts[0], SEPARATORS[style])
        case style:
            # A header that comes on several lines is one list (RFC 9110 section 5.3).
            text = ",".join(texts) if parameter.location == "header" else only(texts)
            yield [item.strip(" ") for item in _split(text, SEPARATORS[style])]


def properties(parameter: Parameter, texts: Sequence[str]) -> Iterator[dict[str, str]]:
    """The texts of an object's properties by name, and what else they may be. Unreadable when it is no object."""
    if not parameter.explode:
        even = [flat for flat in items(parameter, texts) if len(flat) % 2 == 0]
        if not even:
            raise Unreadable("It has a name without a value.")
        yield from (dict(zip(flat[::2], flat[1::2], strict=True)) for flat in even)
        return
    match parameter.style:
        case "label":
            # A point in a value is no separator.
            parts = re.split(r"\.(?=[^.=]*=)", _after(".", only(texts)))
        case "matrix":
            parts = _after(";", only(texts)).split(";")
        case _:
            parts = next(items(parameter, texts))
    pairs = [part.partition("=") for part in parts if part]
    if not all(equals for _, equals, _ in pairs):
        raise Unreadable("It has a name without a value.")
    yield {name: value for name, _, value in pairs}


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if text else []


def _after(prefix: str, text: str) -> str:
    if not text.startswith(prefix):
        raise Unreadable(f"It does not begin with {prefix}")
    return text[len(prefix) :]


def _named(parameter: Parameter, text: str) -> str:
    name, _, value = text.partition("=")
    if name.lower() != parameter.name.lower():
        raise Unreadable(f"It does not have the form ;{parameter.name}=value.")
    return value
