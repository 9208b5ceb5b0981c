"""Turns an OpenAPI document into operations, the way APIM's import does."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.config.references import followed

METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "trace")

# API Management reads these two extensions (API import restrictions, "Supported extensions").
MORE_PATHS = "x-ms-paths"
SERVERS_OF_2 = "x-servers"
GENAI = "x-gen-ai-operation-name"
"""Our own: OpenTelemetry's gen_ai.operation.name of an operation, written by the import."""


def operations_of(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The operations of a parsed OpenAPI 2 or 3 document as `Operation` fields.

    Fields: id, display_name, method, url_template and, where it is known, genai. Ids and templates are kept; an
    operation without operationId gets one from its method and path. Required query parameters become part of the
    template (API Management, "API import restrictions and known issues"), path parameters stay. ValueError tells
    what makes the document unusable.
    """
    if not isinstance(document, Mapping) or not ("openapi" in document or "swagger" in document):
        raise ValueError("not an OpenAPI document: neither openapi nor swagger is given")
    found = [fields for fields, _ in identified(document)]
    if not found:
        raise ValueError("the document has no operations")
    return found


def identified(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], Mapping[str, Any]]]:
    """The fields of every operation, as `operations_of` gives them, with its operation object."""
    taken: set[str] = set()
    for path, method, item in methods_of(document):
        yield _operation(path, method, item, taken), item


def methods_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Path, method and operation object of every operation; its `parameters` include those of its path. ValueError for
    a path that is not in the document."""
    for section in ("paths", MORE_PATHS):
        paths = document.get(section) or {}
        if not isinstance(paths, Mapping):
            raise ValueError(f"{section} must be an object")
        for path, item in paths.items():
            if not isinstance(item, Mapping):
                raise ValueError(f"{path}: must be an object")
            item = _path_item(document, str(path), item)
            for method in METHODS:
                operation = item.get(method)
                if isinstance(operation, Mapping):
                    yield str(path), method, {**operation, "parameters": _parameters(document, item, operation)}


def _path_item(document: Mapping[str, Any], path: str, item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = followed(document, item)
    if found is None:
        raise ValueError(f"{path}: {item['$ref']} is not in the document; parts in other files have to be put into it")
    return found


def _parameters(document: Mapping[str, Any], *holders: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parameters of a path and of its operation, references followed; the operation's replace the path's."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for holder in holders:
        for entry in holder.get("parameters") or ():
            parameter = _resolved(document, entry)
            if isinstance(parameter.get("name"), str):
                found[(parameter["name"], str(parameter.get("in")))] = parameter
    return list(found.values())


def _operation(path: str, method: str, item: Mapping[str, Any], taken: set[str]) -> dict[str, str]:
    base = identifier(str(item.get("operationId") or f"{method}-{path.lstrip('/')}"))
    id, number = base, 2
    while id.lower() in taken:
        suffix = f"-{number}"
        id, number = base[: 80 - len(suffix)] + suffix, number + 1
    taken.add(id.lower())
    path, _, fixed = path.partition("?")
    given = {pair.partition("=")[0] for pair in fixed.split("&")}
    required = [one["name"] for one in item["parameters"] if one.get("in") == "query" and one.get("required") is True]
    query = "&".join(filter(None, (fixed, *(f"{name}={{{name}}}" for name in required if name not in given))))
    fields = {
        "id": id,
        "display_name": str(item.get("summary") or item.get("operationId") or f"{method.upper()} {path}")[:300],
        "method": method.upper(),
        "url_template": (path if path.startswith("/") else f"/{path}") + (f"?{query}" if query else ""),
    }
    return {**fields, "genai": str(item[GENAI])} if item.get(GENAI) else fields


def _resolved(document: Mapping[str, Any], entry: Any) -> Mapping[str, Any]:
    """A parameter with its `$ref` followed; {} for one that leads nowhere."""
    return followed(document, entry) or {}


def identifier(text: str) -> str:
    """`text` as an APIM identifier: letters, digits, dots, dashes and underscores, 80 at most."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return cleaned[:80].rstrip("-._") or "operation"


def server_url(document: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> str | None:
    """The server API Management takes: the first https one, else the first; None when the document names none.

    `variables` fill the URL's `{name}` parts, before the defaults the document gives. A part without a value stays.
    """
    listed = document.get("servers") or document.get(SERVERS_OF_2)
    servers = listed if isinstance(listed, list) else []
    urls = [_filled(server, variables or {}) for server in servers if isinstance(server, Mapping) and server.get("url")]
    if not urls and document.get("host"):
        schemes = document.get("schemes") or ["https"]
        urls = [f"{scheme}://{document['host']}{document.get('basePath') or ''}" for scheme in schemes]
    return next((url for url in urls if url.startswith("https:")), urls[0] if urls else None)


def _filled(server: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    declared = server.get("variables")
    values = {
        str(name): str(variable.get("default", ""))
        for name, variable in (declared if isinstance(declared, Mapping) else {}).items()
        if isinstance(variable, Mapping)
    } | dict(variables)
    return re.sub(r"\{([^{}]*)\}", lambda match: values.get(match[1]) or match[0], str(server["url"]))
