"""Named values of API Management: plain ones as they are, secret ones as references to where the secret will be."""

from collections.abc import Sequence
from typing import Any

from shared.config.named_values import REFERENCE
from shared.management.importers.access_key import variable_name
from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, LeftOut, Setting


def named_value_parts(service: Resource) -> tuple[list[Part], list[LeftOut]]:
    """The named values, by display name, since that is what `{{...}}` refers to."""
    parts: list[Part] = []
    left_out: list[LeftOut] = []
    variables: set[str] = set()
    for resource in service.resources("namedvalues"):
        name = resource.text("displayName") or resource.name
        parts.append(_part(name, resource, variables))
        if resource.part("keyVault").get("identityClientId"):
            why = "Key Vault is read with the gateway's own identity, which needs the role Key Vault Secrets User"
            left_out.append(LeftOut(f"identity of named value {name}", why))
    return parts, left_out


def without_unused(parts: Sequence[Part]) -> tuple[list[Part], list[LeftOut]]:
    """The parts without secrets that none of the others refers to: they would have to be set for nothing."""
    texts = [text for part in parts for text in part.documents.values()]
    texts += [text for part in parts for entry in part.entries for text in _texts(entry.value)]
    used = {name for text in texts for name in REFERENCE.findall(text)}
    unused = [part for part in parts if _is_stored_elsewhere(part) and part.entries[0].id not in used]
    left_out = [LeftOut(part.what, "it is a secret that nothing imported uses") for part in unused]
    return [part for part in parts if part not in unused], left_out


def _is_stored_elsewhere(part: Part) -> bool:
    return part.entries[0].section == "named_values" and isinstance(part.entries[0].value, dict)


def _part(name: str, resource: Resource, variables: set[str]) -> Part:
    what = f"named value {name}"
    if vault := resource.part("keyVault").get("secretIdentifier"):
        return Part(what, (Entry("named_values", name, {"key_vault": str(vault)}),))
    if not _is_secret(resource):
        return Part(what, (Entry("named_values", name, resource.text("value")),))
    variable = base = variable_name(name)
    number = 2
    while variable in variables:
        variable, number = f"{base}_{number}", number + 1
    variables.add(variable)
    return Part(what, (Entry("named_values", name, {"env": variable}),), settings=(Setting(variable, what),))


def _is_secret(resource: Resource) -> bool:
    """Marked as secret, or without a value as extractors leave secrets."""
    return resource.properties.get("secret") is True or resource.properties.get("value") is None


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for item in value.values() for text in _texts(item)]
        case Sequence():
            return [text for item in value for text in _texts(item)]
    return []
