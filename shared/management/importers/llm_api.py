"""Puts an imported API together: entry, backend, key, products, and the policy document of the wizard's tabs."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.management.importers import api_settings, content_safety, semantic_cache, token_consumption
from shared.management.importers.access_key import AccessKey
from shared.management.importers.api_settings import ApiSettings
from shared.management.importers.importer import Entry, ImportPlan, Outside, RoleAssignment
from shared.management.importers.llm_backend import MainBackend
from shared.management.importers.policy_document import policy_document, set_backend_service


@dataclass(frozen=True, slots=True)
class Source:
    """What is imported, once its options are read. `path` is the API's whole path, `backend_url` the whole URL.

    `azure_url` is the resource an embeddings deployment may be in; `openapi` the name of the API's OpenAPI document.
    """

    kind: str
    path: str
    backend_url: str
    credentials: dict[str, Any]
    key: AccessKey | None = None
    azure_url: str | None = None
    openapi: str | None = None
    documents: dict[str, str] = field(default_factory=dict)
    roles: Sequence[RoleAssignment] = ()
    notes: Sequence[str] = ()


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options all sources share."""
    api_settings.add_arguments(parser)
    token_consumption.add_arguments(parser)
    semantic_cache.add_arguments(parser)
    content_safety.add_arguments(parser)


def plan(arguments: Namespace, outside: Outside, api: ApiSettings, source: Source) -> ImportPlan:
    """Everything the import writes. ImportFailed when options do not fit together."""
    backend_id = api.backend_id or f"{api.id}-{'endpoint' if source.kind == 'http' else 'ai-endpoint'}"
    main = MainBackend(source.backend_url, source.credentials)
    cache = semantic_cache.from_arguments(arguments, outside, api_id=api.id, resource_url=source.azure_url, main=main)
    safety = content_safety.from_arguments(arguments, outside, api_id=api.id, main=main)
    # The order of the wizard's tabs.
    inbound = [
        set_backend_service(backend_id),
        *token_consumption.policies(arguments),
        *cache.inbound,
        *safety.inbound,
    ]
    backend: dict[str, Any] = {"url": source.backend_url}
    if source.credentials:
        backend["credentials"] = source.credentials
    entries = [
        *(source.key.entries if source.key else ()),
        Entry("backends", backend_id, backend),
        *cache.entries,
        *safety.entries,
        *api.entries(path=source.path, kind=source.kind, backend=backend_id, openapi=source.openapi),
    ]
    return ImportPlan(
        entries=entries,
        documents={api.policy_file: policy_document(inbound, cache.outbound), **source.documents},
        settings=(*(source.key.settings if source.key else ()), *cache.settings, *safety.settings),
        roles=source.roles,
        needs_backends=[id for id in (backend_id, cache.backend, safety.backend) if id],
        notes=[*source.notes, *_roles_of(entries), *_how_to_call(source)],
    )


def _how_to_call(source: Source) -> list[str]:
    """A line of code for the SDK a kind is made for."""
    at, key = f"<gateway>/{source.path}", 'api_key="<subscription key>"'
    match source.kind:
        case "azure-openai" if at.endswith("/openai"):
            call = f'AzureOpenAI(azure_endpoint="{at.removesuffix("/openai")}", {key}, api_version="2024-10-21")'
        case "openai-v1":
            call = f'OpenAI(base_url="{at}/openai/v1", {key})'
        case "openai":
            call = f'OpenAI(base_url="{at}", {key})'
        case "anthropic":
            call = f'Anthropic(base_url="{at}", {key})'
        case _:
            return [f"Call it at {at}."]
    return [f"Call it: {call}"]


def _roles_of(entries: Sequence[Entry]) -> list[str]:
    """What the identity needs on the services the policies call; --grant is for the API's own resource."""
    return [
        f"The gateway's identity needs the role Cognitive Services User on {entry.value['url']}."
        for entry in entries
        if entry.section == "backends"
        and "title" in entry.value
        and "managed_identity" in entry.value.get("credentials", {})
    ]
