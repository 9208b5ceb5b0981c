"""The part of a wrong configuration that is right, so that what else is wrong can be told in the same go (pure)."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from shared.config.models import Gateway

Location = tuple[str | int, ...]
"""A place in the file: keys, and the numbers of items."""

# A mistake may hide behind another one in the same entry; what is left after so many looks is not worth a guess.
LOOKS = 5
# Entries of which nothing can stand in for what they must have, though others name them.
NAMED_ELSEWHERE = frozenset({"fragments", "certificates", "schemas", "loggers"})


def sound_part(plain: Mapping[str, Any], error: ValidationError) -> Gateway | None:
    """The configuration without what `error` tells, for looking on, never for serving.

    Backends, products and APIs stay, so that naming one is no further mistake: what they must have and got wrong is
    made up. None when that cannot be done.
    """
    document = dict(plain)
    for _ in range(LOOKS):
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            if not _leave_out(document, item["loc"]):
                return None
        try:
            return Gateway.model_validate(document)
        except ValidationError as further:
            error = further
    return None


def _leave_out(document: dict[str, Any], location: Location) -> bool:
    """Leave out what is wrong at a place, or put something harmless there; False when neither is possible."""
    section = str(location[0])
    entries = document.get(section)
    made_up = _made_up(section, location[1] if len(location) > 1 else "")
    if len(location) == 1 or not isinstance(entries, dict):
        document.pop(section, None)
        return made_up is None and section not in NAMED_ELSEWHERE
    id, key = location[1], location[2] if len(location) > 2 else None
    entries = document[section] = dict(entries)
    entry = entries.get(id)
    if isinstance(entry, dict) and key in entry:
        entries[id] = {name: value for name, value in entry.items() if name != key}
        if key == "operations":
            entries[id]["kind"] = "passthrough"  # an API of kind http must have some
    elif made_up is not None and key != "[key]":
        entries[id] = made_up | entry if isinstance(entry, dict) and key is not None else made_up
    else:
        entries.pop(id, None)
        return made_up is None and section not in NAMED_ELSEWHERE
    return True


def _made_up(section: str, id: str | int) -> dict[str, Any] | None:
    match section:
        case "backends":
            return {"url": "https://backend.invalid"}
        case "apis":
            return {"path": f"invalid/{id}", "kind": "passthrough"}
        case "products":
            return {}
        case _:
            return None
