"""Backends that are Azure services or take a key: how the gateway shows itself to them."""

from argparse import Namespace
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.config.backends import HTTP_URL, WHAT_URL_IS
from shared.management.importers import access_key
from shared.management.importers.access_key import AccessKey
from shared.management.importers.importer import ImportFailed, Outside

# API Management, "Authenticate and authorize access to LLM APIs"; sovereign clouds have their own audiences.
CLOUDS = {".azure.us": "azure.us", ".azure.cn": "azure.cn"}
AZURE_HOSTS = ("openai.azure", "cognitiveservices.azure", "services.ai.azure")


def backend_url(text: str, *, option: str) -> str:
    """A backend URL without a slash at the end. ImportFailed when it is none."""
    if not HTTP_URL.fullmatch(text):
        raise ImportFailed(f"{option} must be {WHAT_URL_IS}")
    return text.rstrip("/")


def is_azure_ai(url: str) -> bool:
    """Whether the host is one of Azure's AI services, which take Entra tokens."""
    host = f".{urlsplit(url).hostname or ''}"
    return any(f".{name}." in host for name in AZURE_HOSTS)


def audience(url: str, service: str) -> str:
    """The token audience of `service` (`cognitiveservices` or `ai`) in the cloud the URL's host belongs to."""
    host = urlsplit(url).hostname or ""
    cloud = next((name for end, name in CLOUDS.items() if host.endswith(end)), "azure.com")
    return f"https://{service}.{cloud}"


def managed_identity(resource: str, client_id: str | None) -> dict[str, Any]:
    """Credentials of the gateway's own identity, or of the user-assigned one with that client id."""
    identity = {"resource": resource}
    if client_id:
        identity["client_id"] = client_id
    return {"managed_identity": identity}


@dataclass(frozen=True, slots=True)
class MainBackend:
    """The backend of the API itself: a further one on the same host takes the same credentials."""

    url: str
    credentials: dict[str, Any]


def helper_credentials(
    arguments: Namespace,
    outside: Outside,
    *,
    api_id: str,
    prefix: str,
    default_header: str,
    url: str,
    main: MainBackend,
) -> tuple[dict[str, Any], AccessKey | None]:
    """Credentials of a service the policies call (embeddings, content safety).

    Its own key (in `default_header` unless the options say otherwise), else what the API's backend on the same host
    has, else the identity on Azure, else none.
    """
    key = access_key.from_arguments(arguments, outside, api_id=api_id, prefix=prefix, default_header=default_header)
    if key is not None:
        return key.credentials, key
    if urlsplit(url).netloc == urlsplit(main.url).netloc:
        return main.credentials, None
    if is_azure_ai(url):
        return managed_identity(audience(url, "cognitiveservices"), arguments.client_id), None
    return {}, None
