"""APIs of API Management: settings, operations from the specification, policy documents, backend, version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.config.models import Operation
from shared.config.openapi import identifier, operations_of
from shared.gateway.catalog import read_document
from shared.llm.api_kind import ApiKind
from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.diagnostics import diagnostics_of
from shared.management.importers.apim.operations import document_of
from shared.management.importers.apim.part import Part
from shared.management.importers.apim.versions import path_of
from shared.management.importers.importer import Entry, ImportFailed, LeftOut
from shared.management.importers.openapi import genai_of, kind_of, minimal
from shared.policies.document import DocumentErrors
from shared.policies.document import read_document as read_policy

OPENAPI = (".json", ".yaml", ".yml")
KEY_NAMES = {"header": "Ocp-Apim-Subscription-Key", "query": "subscription-key"}
REVISION = ";rev="


@dataclass(frozen=True, slots=True)
class Specification:
    """What an API offers: its OpenAPI document, or one made of the operations' information files."""

    document: Mapping[str, Any]
    operations: Sequence[dict[str, str]]


class CannotImport(Exception):
    """An API cannot be imported; the text says why."""


def api_part(resource: Resource, service: Resource, products: Collection[str]) -> tuple[Part | None, list[LeftOut]]:
    """An API with its documents and, when its URL is its own, its backend; and what of it has no place here.
    `products` are those it is in."""
    id, _, revision = resource.name.partition(REVISION)
    current = resource.properties.get("isCurrent")
    if (revision and current is not True) or current is False:
        why = "only the current revision is imported"
        return None, [LeftOut(f"API {id}, revision {revision or resource.text('apiRevision')}", why)]
    try:
        return _part(id, resource, service, products)
    except (CannotImport, ImportFailed) as problem:
        return None, [LeftOut(f"API {id}", str(problem))]


def _part(id: str, resource: Resource, service: Resource, products: Collection[str]) -> tuple[Part, list[LeftOut]]:
    _refuse_other_protocols(resource)
    for operation in resource.unreadable("operations"):
        raise CannotImport(f"operation {operation.name}: {operation.problem}")
    specification = _specification(resource)
    try:
        path = path_of(resource, service)
    except ValueError as problem:
        raise CannotImport(str(problem)) from problem
    kind = kind_of(specification.document, service_url=resource.text("serviceUrl"))
    file = f"apis/{id}.openapi.json"
    value = _settings(resource, path, kind.name)
    try:
        copy, notes = minimal(specification.document, resource.text("serviceUrl"), kind)
    except ValueError as problem:
        raise CannotImport(str(problem)) from problem
    documents = {file: copy}
    entries = []
    if backend := _own_backend(resource):
        value["backend"] = f"{id}-endpoint"
        entries.append(Entry("backends", f"{id}-endpoint", backend))
    value["openapi"] = file
    if products:
        value["products"] = list(products)
    if (diagnostics := diagnostics_of(resource, service)) is not None:
        value["diagnostics"] = diagnostics
    if resource.policy is not None:
        value["policy"] = name = f"policies/apis/{id}/policy.xml"
        documents[name] = resource.policy
    operations, policies, left_out = _operations_with_policy(id, resource, specification, kind)
    if operations:
        value["operations"] = operations
    left_out += [LeftOut(f"parts of the definition of API {id}", note) for note in notes]
    if resource.part("authenticationSettings"):
        why = "they only serve the developer portal; what callers must show is in the policies"
        left_out.append(LeftOut(f"authentication settings of API {id}", why))
    return Part(f"API {id}", (Entry("apis", id, value), *entries), {**documents, **policies}), left_out


def _refuse_other_protocols(resource: Resource) -> None:
    type_ = (resource.text("type") or resource.text("apiType") or "http").lower()
    if type_ != "http":
        raise CannotImport(f"APIs of type {type_} are not served here")


def _settings(resource: Resource, path: str, kind: str) -> dict[str, Any]:
    value: dict[str, Any] = {"display_name": resource.text("displayName") or resource.name}
    if description := resource.text("description"):
        value["description"] = description
    value |= {"path": path, "kind": kind}
    if resource.properties.get("subscriptionRequired") is False:
        value["subscription_required"] = False
    names = {name: text for name, text in resource.part("subscriptionKeyParameterNames").items() if text}
    if names and names != KEY_NAMES:
        value["subscription_key"] = names
    # API Management passes the caller's credentials on; documents that do not want that delete them.
    value["forward_caller_credentials"] = True
    if (protocols := resource.properties.get("protocols") or ["https"]) != ["https"]:
        value["protocols"] = list(protocols)
    if (revision := resource.text("apiRevision")) not in ("", "1"):
        value["revision"] = revision
    if version := resource.text("apiVersion"):
        value["version"] = version
    return value


def _own_backend(resource: Resource) -> dict[str, Any] | None:
    """The backend for an API's serviceUrl, unless its document always chooses another."""
    url = resource.text("serviceUrl").rstrip("/")
    return {"url": url} if url and not _always_chooses(resource.policy) else None


def _always_chooses(policy: str | None) -> bool:
    try:
        root = read_policy(policy, "policy.xml") if policy is not None else None
    except DocumentErrors:  # told when the whole plan is checked
        return False
    sections = root.elements("inbound") if root is not None else ()
    return any(True for section in sections for _ in section.elements("set-backend-service"))


def _specification(resource: Resource) -> Specification:
    file = resource.file("specification")
    if file is not None and file.suffix.lower() not in OPENAPI:
        raise CannotImport(f"its specification is {file.name}, which is no OpenAPI document")
    try:
        document = read_document(file) if file is not None else document_of(resource)
        operations = operations_of(document)
        for fields in operations:
            Operation.model_validate(fields)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise CannotImport(f"{fields['method']} {fields['url_template']}: {said}") from error
    except (OSError, ValueError) as error:
        raise CannotImport(f"{_name(file)}: {error}") from error
    return Specification(document, operations)


def _name(file: Path | None) -> str:
    return file.name if file is not None else "it has no specification"


def _operations_with_policy(
    id: str, resource: Resource, specification: Specification, kind: ApiKind
) -> tuple[list[dict[str, str]], dict[str, str], list[LeftOut]]:
    """The operations that have a document of their own, the documents, and those without an operation to belong to."""
    known = {fields["id"].lower(): fields for fields in specification.operations}
    operations: list[dict[str, str]] = []
    documents: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for operation in resource.resources("operations"):
        if operation.policy is None:
            continue
        fields = known.get(identifier(operation.name).lower())
        if fields is None:
            why = "the specification has no such operation"
            left_out.append(LeftOut(f"policy of operation {operation.name} of API {id}", why))
            continue
        file = f"policies/apis/{id}/operations/{operation.name}/policy.xml"
        documents[file] = operation.policy
        genai = fields.get("genai") or genai_of(kind, fields["method"], fields["url_template"])
        operations.append({**fields, **({"genai": genai} if genai else {}), "policy": file})
    return operations, documents, left_out
