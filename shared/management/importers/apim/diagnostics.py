"""Diagnostics of API Management: what they log of calls to models. All else is up to the gateway's own telemetry."""

from collections.abc import Mapping
from typing import Any

from shared.config.diagnostics import LARGEST_LOGGED, SMALLEST_LOGGED
from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.others import TELEMETRY
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, LeftOut


def diagnostics_parts(service: Resource) -> tuple[list[Part], list[LeftOut]]:
    """The log of calls to models of all APIs, and the diagnostics that ask for something else."""
    parts, left_out = list[Part](), list[LeftOut]()
    for one in service.resources("diagnostics"):
        logged = _logged(one)
        if logged is not None and not parts:
            parts.append(Part("the diagnostics of all APIs", (Entry("diagnostics", "", logged),)))
        elif logged is None:
            left_out.append(LeftOut(f"diagnostics {one.name}", TELEMETRY))
    return parts, left_out


def diagnostics_of(api: Resource, service: Resource) -> dict[str, Any] | None:
    """The log of an API's calls to models, None where that of all APIs holds. The API's diagnostics replace those of
    all APIs for the same logger, also when they ask for no such log."""
    own = api.resources("diagnostics")
    for one in own:
        if (logged := _logged(one)) is not None:
            return logged
    of_all = {one.name for one in service.resources("diagnostics") if _logged(one) is not None}
    return {"large_language_model": {"logs": "disabled"}} if any(one.name in of_all for one in own) else None


def _logged(resource: Resource) -> dict[str, Any] | None:
    asked = resource.part("largeLanguageModel")
    if not asked.get("logs"):
        return None
    sides = {side: _messages(asked.get(side)) for side in ("requests", "responses")}
    written = {side: value for side, value in sides.items() if value is not None}
    return {"large_language_model": {"logs": str(asked["logs"]).lower(), **written}}


def _messages(asked: object) -> dict[str, Any] | None:
    """The messages of one direction; None when they are not logged."""
    if not isinstance(asked, Mapping) or str(asked.get("messages", "")).lower() != "all":
        return None
    size = asked.get("maxSizeInBytes")
    if not isinstance(size, int):
        return {"messages": "all"}
    return {"messages": "all", "max_size_in_bytes": min(max(size, SMALLEST_LOGGED), LARGEST_LOGGED)}
