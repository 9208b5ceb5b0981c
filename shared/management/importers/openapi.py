"""Imports an HTTP API from its OpenAPI document, a file or a URL, in JSON or YAML."""

import json
import re
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from pydantic import ValidationError

from shared.config.models import Operation
from shared.config.openapi import GENAI, identified, methods_of, operations_of, server_url
from shared.config.plain_data import plain_data
from shared.llm.api_kind import ApiKind
from shared.llm.kinds import API_KINDS, api_kind
from shared.management.importers import access_key, api_settings, llm_api
from shared.management.importers.api_settings import with_suffix
from shared.management.importers.importer import ImportFailed, ImportPlan, Outside
from shared.management.importers.llm_api import Source
from shared.management.importers.llm_backend import audience, backend_url, is_azure_ai, managed_identity
from shared.management.importers.openapi_definition import Copy
from shared.management.importers.policy_document import SEAL_TEXT, sealed

MAX_BYTES = 32 * 1024 * 1024
TIMEOUT = 30.0


class OpenApi:
    """Wizard "OpenAPI" (https://learn.microsoft.com/azure/api-management/import-api-from-oas)."""

    name: ClassVar[str] = "openapi"
    summary: ClassVar[str] = "an HTTP API from its OpenAPI document"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        parser.usage = "%(prog)s [options] FILE_OR_URL"
        parser.add_argument("document", metavar="FILE_OR_URL", help="OpenAPI 2, 3.0 or 3.1, JSON or YAML")
        parser.add_argument("--service-url", metavar="URL", help="backend URL, in place of the document's servers")
        parser.add_argument(
            "--server-variable",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="value for a {name} in the document's server URL; repeat",
        )
        parser.add_argument(
            "--kind", choices=[kind.name for kind in API_KINDS], help="API kind (default: told by the operations)"
        )
        parser.add_argument(
            "--openai-suffix",
            action=BooleanOptionalAction,
            default=True,
            help="end the path of an Azure OpenAI API in /openai, as its SDK expects (default: yes)",
        )
        access_key.add_arguments(parser, what="the API", default_header="Authorization")
        identity = parser.add_argument_group("managed identity (used on Azure AI services unless there is a key)")
        identity.add_argument("--identity-resource", metavar="URL", help="token audience")
        identity.add_argument("--client-id", metavar="GUID", help="user-assigned identity (default: the app's own)")
        llm_api.add_arguments(parser)

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the document."""
        document = await _read(arguments.document)
        operations = _operations(arguments.document, document)
        url = _service_url(arguments, document)
        kind = next((one for one in API_KINDS if one.name == arguments.kind), None) or kind_of(document)
        api = api_settings.from_arguments(arguments, name=_info(document, "title"))
        key = access_key.from_arguments(arguments, outside, api_id=api.id, default_header="Authorization")
        credentials: dict[str, Any] = key.credentials if key else {}
        resource = arguments.identity_resource or (audience(url, "cognitiveservices") if is_azure_ai(url) else None)
        if key is None and resource:
            credentials = managed_identity(resource, arguments.client_id)
        name = f"apis/{api.id}.openapi.json"
        copy, left_out = _copy(arguments.document, document, url, kind)
        suffix = "/openai" if kind.name == "azure-openai" and arguments.openai_suffix else ""
        source = Source(
            kind=kind.name,
            path=with_suffix(api.path, suffix) if suffix else api.path,
            backend_url=url,
            credentials=credentials,
            key=key,
            azure_url=url if is_azure_ai(url) else None,
            openapi=name,
            documents={name: copy},
            notes=[f"{len(operations)} operations of kind {kind.name}, backend {url}.", *left_out],
        )
        return llm_api.plan(arguments, outside, api, source)


async def _read(source: str) -> Mapping[str, Any]:
    text = await _fetch(source) if source.startswith(("http://", "https://")) else _open(source)
    try:
        document = plain_data(text)
    except ValueError as error:
        raise ImportFailed(f"{source} cannot be read: {error}") from error
    if not isinstance(document, Mapping):
        raise ImportFailed(f"{source} is not an OpenAPI document")
    return document


def _open(source: str) -> str:
    try:
        return Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ImportFailed(f"{source} cannot be read: {reason}") from error


async def _fetch(source: str) -> str:
    from aiohttp import ClientError, ClientSession, ClientTimeout

    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=TIMEOUT), trust_env=True) as session,
            session.get(source) as reply,
        ):
            if reply.status != 200:
                raise ImportFailed(f"{source} answered {reply.status}")
            body = await reply.content.read(MAX_BYTES + 1)
            while len(body) <= MAX_BYTES and (more := await reply.content.read(MAX_BYTES)):
                body += more
    except (ClientError, TimeoutError) as error:
        raise ImportFailed(f"{source} cannot be reached: {type(error).__name__}") from error
    if len(body) > MAX_BYTES:
        raise ImportFailed(f"{source} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return body.decode("utf-8-sig", errors="replace")


def _operations(source: str, document: Mapping[str, Any]) -> list[Operation]:
    try:
        found = operations_of(document)
    except ValueError as error:
        raise ImportFailed(f"{source}: {error}") from error
    operations = []
    for fields in found:
        try:
            operations.append(Operation.model_validate(fields))
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ImportFailed(f"{source}: {fields['method']} {fields['url_template']}: {said}") from error
    return operations


def _service_url(arguments: Namespace, document: Mapping[str, Any]) -> str:
    """The backend: what the caller says, else the document's server, a relative one resolved against its address."""
    if arguments.service_url:
        return backend_url(arguments.service_url, option="--service-url")
    pairs = [pair.partition("=") for pair in arguments.server_variable]
    if bad := [name for name, separator, value in pairs if not (separator and value)]:
        raise ImportFailed(f"--server-variable {bad[0]}: write it as NAME=VALUE")
    url = server_url(document, {name: value for name, _, value in pairs})
    if url and not urlsplit(url).scheme and arguments.document.startswith(("http://", "https://")):
        url = urljoin(arguments.document, url)
    if not url:
        raise ImportFailed("the document names no server; say where the API is with --service-url")
    if not url.startswith(("http://", "https://")) and "{" not in url:
        raise ImportFailed(f"the document's server is {url}, without a host; say where the API is with --service-url")
    if "{" in url:
        raise ImportFailed(f"the document's server is {url}; fill it in with --server-variable, or give --service-url")
    return backend_url(url, option="the document's server")


def kind_of(document: Mapping[str, Any], *, service_url: str = "") -> ApiKind:
    """The LLM API kind whose chat operation the document has, at its root or below a prefix. One with wildcards only
    is told by its backend's host, else passthrough. Anything else is http."""
    offered = {_shape(method, path) for path, method, _ in methods_of(document)}
    for same in (str.__eq__, str.endswith):
        for kind in API_KINDS:
            first = next((one for one in kind.operations if one.genai == "chat"), None)  # others are shared by kinds
            method, path = _shape(first.method, first.url_template) if first else ("", "")
            if first and any(given == method and same(template, path) for given, template in offered):
                return kind
    wild = all(re.search(r"/(\*|\{\*[^{}]+\})$", path) for path, _, _ in methods_of(document))
    return api_kind(_kind_at(service_url) if wild else "http")


def _kind_at(url: str) -> str:
    """The kind a service speaks, by its host and path."""
    host, path = urlsplit(url).hostname or "", urlsplit(url).path.rstrip("/")
    if not is_azure_ai(url):
        return {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}.get(host, "passthrough")
    endings = {"/openai": "azure-openai", "/models": "azure-ai", "/openai/v1": "openai-v1", "/anthropic": "anthropic"}
    return endings.get(path, "azure-openai" if ".openai." in host else "passthrough")


def genai_of(kind: ApiKind, method: str, template: str) -> str:
    """OpenTelemetry's name of what an operation does, told by the kind's operations; empty when it has none."""
    method, path = _shape(method, template)
    known = ((_shape(one.method, one.url_template), one.genai) for one in kind.operations if one.genai)
    return next((name for (verb, end), name in known if verb == method and path.endswith(end)), "")


def _shape(method: str, template: str) -> tuple[str, str]:
    """Method and path with parameter names taken out, to compare templates from different authors."""
    segments = template.partition("?")[0].split("/")
    return method.upper(), "/".join("{}" if "{" in segment else segment for segment in segments)


def _copy(source: str, document: Mapping[str, Any], url: str, kind: ApiKind) -> tuple[str, list[str]]:
    try:
        return minimal(document, url, kind)
    except ValueError as error:
        raise ImportFailed(f"{source} cannot be imported: {error}") from error


def minimal(document: Mapping[str, Any], url: str, kind: ApiKind) -> tuple[str, list[str]]:
    """The document with what routing, mock-response, the policies that validate and the reader need: paths, ids,
    parameters, bodies, headers, examples and schemas; and sentences about what of it cannot be kept. ValueError when
    the schemas cannot be read."""
    paths: dict[str, dict[str, Any]] = {}
    copy = Copy(document)
    for (path, method, _), (fields, item) in zip(methods_of(document), identified(document), strict=True):
        operation = {name: item[name] for name in ("operationId", "summary") if item.get(name)}
        if name := genai_of(kind, method, path):
            operation[GENAI] = name
        paths.setdefault(path, {})[method] = {**operation, **copy.operation(fields, item)}
    title, version = _info(document, "title") or "API", _info(document, "version") or "1"
    plain = {path: item for path, item in paths.items() if "?" not in path}
    reduced = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "x-import": SEAL_TEXT,
        "servers": [{"url": url}],
        "paths": plain,
    }
    if len(plain) < len(paths):
        reduced["x-ms-paths"] = {path: item for path, item in paths.items() if "?" in path}
    if copy.schemas:
        reduced["components"] = {"schemas": copy.schemas}
    return sealed(json.dumps(reduced, indent=2, ensure_ascii=False, default=str) + "\n"), copy.notes


def _info(document: Mapping[str, Any], name: str) -> str | None:
    info = document.get("info")
    value = info.get(name) if isinstance(info, Mapping) else None
    return str(value) if value else None
