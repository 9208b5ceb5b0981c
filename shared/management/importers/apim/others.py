"""Fragments, schemas and loggers of API Management, and what has no place here."""

import json
from collections.abc import Sequence
from typing import Any

from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, LeftOut

TELEMETRY = "telemetry is set up by the gateway's own settings (APPLICATIONINSIGHTS_CONNECTION_STRING)"
REASONS = {
    "gateways": "self-hosted gateways have no counterpart",
    "groups": "groups belong to the developer portal; products keep the names of theirs",
    "tags": "nothing here reads tags",
    "workspaces": "import the folder of a workspace on its own",
    "policyrestrictions": "policy restrictions have no counterpart",
    "documentations": "documentation belongs to the developer portal",
}


def fragment_part(resource: Resource) -> tuple[Part | None, list[LeftOut]]:
    """A policy fragment, from its document or the `value` of its information file."""
    text = resource.policy if resource.policy is not None else resource.properties.get("value")
    what = f"policy fragment {resource.name}"
    if not isinstance(text, str):
        return None, [LeftOut(what, "the artifacts have no document of it")]
    file = f"policies/fragments/{resource.name}.xml"
    return Part(what, (Entry("fragments", resource.name, file),), {file: text}), []


def schema_part(resource: Resource) -> tuple[Part | None, list[LeftOut]]:
    """A JSON or XML schema that validate-content names."""
    what = f"schema {resource.name}"
    content: Any = resource.part("document").get("value", resource.properties.get("value"))
    content = content if content is not None else resource.properties.get("document")
    if not content:
        return None, [LeftOut(what, "the artifacts have no content of it")]
    xml = resource.text("schemaType").lower() == "xml"
    file = f"schemas/{resource.name}.{'xsd' if xml else 'json'}"
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return Part(what, (Entry("schemas", resource.name, file),), {file: text}), []


def logger_part(resource: Resource) -> tuple[Part | None, list[LeftOut]]:
    """An event hub that is written to with an identity; the artifacts do not say where one with a connection string
    is."""
    what = f"logger {resource.name}"
    if resource.text("loggerType").lower() != "azureeventhub":
        return None, [LeftOut(what, TELEMETRY)]
    credentials = resource.part("credentials")
    if not (endpoint := str(credentials.get("endpointAddress") or "")):
        why = "its connection string is a secret; declare it under loggers with the endpoint, and give the gateway's "
        return None, [LeftOut(what, f"{why}identity the role Azure Event Hubs Data Sender")]
    host = endpoint.removeprefix("https://").removeprefix("sb://").strip("/")
    value = {"endpoint": f"https://{host}", "event_hub": str(credentials.get("name", ""))}
    if (client_id := str(credentials.get("identityClientId") or "")) not in ("", "SystemAssigned"):
        value["client_id"] = client_id
    return Part(what, (Entry("loggers", resource.name, value),)), []


def left_out_kind(kind: str, names: Sequence[str]) -> list[LeftOut]:
    """One line for all resources of a kind that has no place here."""
    return [LeftOut(f"{kind} {', '.join(names)}", REASONS.get(kind, "they have no counterpart"))]
