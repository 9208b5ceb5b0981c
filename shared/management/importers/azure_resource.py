"""Azure OpenAI and Foundry resources: how each client compatibility maps to an API kind, a URL, an audience, a role."""

import re
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass
from uuid import UUID

from shared.management.importers import access_key, api_settings, discovery, llm_api
from shared.management.importers.api_settings import with_suffix
from shared.management.importers.discovery import Found
from shared.management.importers.importer import ImportFailed, ImportPlan, Outside, RoleAssignment
from shared.management.importers.llm_api import Source
from shared.management.importers.llm_backend import audience, backend_url, managed_identity

OPENAI_USER = ("5e0bd9bd-7b93-4f28-af87-19fc36ad61bd", "Cognitive Services OpenAI User")
COGNITIVE_SERVICES_USER = ("a97b65f3-24c7-4388-baec-2e87135dc908", "Cognitive Services User")
AZURE_AI_USER = ("53ca6127-db72-4b80-b1b0-d745d6d5456d", "Azure AI User")

# What a caller may have copied from the portal behind the resource's root.
KNOWN_PATHS = ("/openai/v1", "/openai", "/models", "/anthropic/v1/messages", "/anthropic/v1", "/anthropic")


@dataclass(frozen=True, slots=True)
class Compatibility:
    """One choice of the wizard's "client compatibility".

    `hosts` are the resource's host families in order of preference; `suffix` ends the backend's URL and, unless it
    is refused, the API's path; `key_header` is where the service takes a key.
    """

    kind: str
    hosts: tuple[str, ...]
    suffix: str
    role: tuple[str, str]
    key_header: str = "api-key"


COMPATIBILITIES = (
    Compatibility("azure-openai", ("openai.", "cognitiveservices.", "services.ai."), "/openai", OPENAI_USER),
    Compatibility("azure-ai", ("services.ai.",), "", COGNITIVE_SERVICES_USER),
    Compatibility("openai-v1", ("services.ai.", "openai.", "cognitiveservices."), "", OPENAI_USER),
    Compatibility("anthropic", ("services.ai.",), "/anthropic", AZURE_AI_USER, "x-api-key"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options both sources share."""
    parser.add_argument(
        "--url",
        help="endpoint of the resource, https://<name>.openai.azure.com or https://<name>.services.ai.azure.com",
    )
    parser.add_argument(
        "--openai-suffix",
        action=BooleanOptionalAction,
        default=True,
        help="end the API's path as the SDKs expect, in /openai or /anthropic (default: yes)",
    )
    identity = parser.add_argument_group("managed identity (used unless there is an access key)")
    identity.add_argument("--client-id", metavar="GUID", help="user-assigned identity (default: the app's own)")
    identity.add_argument("--identity-resource", metavar="URL", help="token audience (default: the service's own)")
    access_key.add_arguments(parser, what="the resource", default_header="api-key (anthropic: x-api-key)")
    discovery.add_arguments(parser)
    llm_api.add_arguments(parser)


async def plan(arguments: Namespace, outside: Outside, compatibility: Compatibility) -> ImportPlan:
    """The plan for a resource that is named by URL or found in Azure."""
    found = await discovery.find(arguments, outside) if discovery.is_wanted(arguments, outside) else None
    if found is None and arguments.url is None:
        raise ImportFailed("name the resource: --url, or --resource to look it up in Azure")
    root = _root(arguments.url) if arguments.url else _root_of(found, compatibility)
    api = api_settings.from_arguments(arguments, name=found.resource.name if found else None)
    key = access_key.from_arguments(arguments, outside, api_id=api.id, default_header=compatibility.key_header)
    resource = arguments.identity_resource or _audience(root, compatibility)
    source = Source(
        kind=compatibility.kind,
        path=with_suffix(api.path, compatibility.suffix) if arguments.openai_suffix else api.path,
        backend_url=f"{root}{compatibility.suffix}",
        credentials=key.credentials if key else managed_identity(resource, arguments.client_id),
        key=key,
        azure_url=(found.resource.url("openai.") if found else None) or root,
        roles=_roles(arguments, found, compatibility, resource),
        notes=_notes(arguments, found),
    )
    return llm_api.plan(arguments, outside, api, source)


def _root(url: str) -> str:
    """The resource's root, whatever known path the caller left on it."""
    root = re.sub(r"/api/projects/[^/]+$", "", backend_url(url, option="--url"))
    return next((root.removesuffix(path) for path in KNOWN_PATHS if root.endswith(path)), root)


def _root_of(found: Found | None, compatibility: Compatibility) -> str:
    assert found is not None
    root = next((url for host in compatibility.hosts if (url := found.resource.url(host))), None)
    if root is None:
        raise ImportFailed(f"{found.resource.name} ({found.resource.kind}) has no endpoint for {compatibility.kind}")
    return _root(root)


def _audience(root: str, compatibility: Compatibility) -> str:
    """API Management, "Authenticate and authorize access to LLM APIs": v1 and Anthropic on Foundry differ."""
    on_foundry = ".services.ai." in root
    new = compatibility.kind == "anthropic" or (compatibility.kind == "openai-v1" and on_foundry)
    return audience(root, "ai" if new else "cognitiveservices")


def _roles(
    arguments: Namespace, found: Found | None, compatibility: Compatibility, resource: str
) -> list[RoleAssignment]:
    if not arguments.grant:
        return []
    if found is None or not arguments.principal_id:
        raise ImportFailed("--grant needs --principal-id, the object id of the gateway's identity")
    try:
        UUID(arguments.principal_id)
    except ValueError as error:
        raise ImportFailed("--principal-id must be a GUID, the object id of the gateway's identity") from error
    role, name = AZURE_AI_USER if "://ai." in resource else compatibility.role
    return [RoleAssignment(found.resource.id, role, name)]


def _notes(arguments: Namespace, found: Found | None) -> list[str]:
    if found is None:
        return []
    listed = ", ".join(f"{one.name} ({one.model} {one.version})".replace(" )", ")") for one in found.deployments)
    chosen = f"Deployment {found.deployment.name} is there." if found.deployment else f"Deployments: {listed}."
    embeddings = arguments.cache_embeddings_deployment
    if embeddings and not arguments.cache_embeddings_url and embeddings not in {one.name for one in found.deployments}:
        raise ImportFailed(f"{found.resource.name} has no deployment {embeddings}. Found: {listed}")
    return [f"Resource {found.resource.name} ({found.resource.kind}, {found.resource.location}). {chosen}"]
