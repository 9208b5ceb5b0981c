"""What all declarations have in common: frozen, nothing unknown in them, and a few kinds of values."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from shared.message import TOKEN

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class Declared(BaseModel):
    """The base of everything declared: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _header_name(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError("not a header name (RFC 9110 section 5.6.2)")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]


def seconds_of(value: object) -> object:
    """An ISO 8601 duration of days, hours, minutes and seconds as seconds. ValueError for any other text."""
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 duration, for example PT1M30S")
    found = _DURATION.fullmatch(value.strip())
    if found is None or not any(found.groups()):
        raise ValueError("must be an ISO 8601 duration of days, hours, minutes and seconds, for example PT1M30S")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


# Seconds, written as APIM writes them: PT1M.
Duration = Annotated[
    float,
    BeforeValidator(seconds_of, json_schema_input_type=str),
    Field(gt=0, le=31 * 86400, examples=["PT1M", "PT10S"]),
]
