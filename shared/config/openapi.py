"""Turns an OpenAPI document into operations, the way APIM's import does."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "trace")


def operations_of(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The operations of a parsed OpenAPI 2 or 3 document as `Operation` fields (id, display_name, method,
    url_template).

    Ids and templates are kept; an operation without operationId gets one from its method and path. Required query
    parameters become part of the template (API Management, "Import an OpenAPI specification"), path parameters stay.
    ValueError tells what makes the document unusable.
    """
    if not isinstance(document, Mapping) or not ("openapi" in document or "swagger" in document):
        raise ValueError("not an OpenAPI document: neither openapi nor swagger is given")
    paths = document.get("paths")
    if not isinstance(paths, Mapping) or not paths:
        raise ValueError("the document has no paths")
    taken: set[str] = set()
    return [_operation(document, path, method, item, taken) for path, method, item in _methods(paths)]


def _methods(paths: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in paths.items():
        if not isinstance(item, Mapping):
            raise ValueError(f"{path}: must be an object")
        for method in METHODS:
            if isinstance(item.get(method), Mapping):
                yield path, method, {**item[method], "_shared": item.get("parameters") or []}


def _operation(
    document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any], taken: set[str]
) -> dict[str, str]:
    base = identifier(str(item.get("operationId") or f"{method}-{path}"))
    id, number = base, 2
    while id.lower() in taken:
        id, number = f"{base}-{number}", number + 1
    taken.add(id.lower())
    required = [
        parameter["name"]
        for parameter in (_resolved(document, entry) for entry in [*item["_shared"], *(item.get("parameters") or [])])
        if parameter.get("in") == "query" and parameter.get("required") is True
    ]
    query = "&".join(f"{name}={{{name}}}" for name in dict.fromkeys(required))
    path, _, fixed = path.partition("?")
    template = path + ("?" + "&".join(filter(None, (fixed, query))) if fixed or query else "")
    return {
        "id": id,
        "display_name": str(item.get("summary") or item.get("operationId") or f"{method.upper()} {path}"),
        "method": method.upper(),
        "url_template": template,
    }


def _resolved(document: Mapping[str, Any], entry: Any) -> Mapping[str, Any]:
    """A parameter with its `$ref` inside the document followed; an outside reference says nothing about routing."""
    if isinstance(entry, Mapping) and isinstance(entry.get("$ref"), str):
        target: Any = document
        reference: str = entry["$ref"]
        if not reference.startswith("#/"):
            return {}
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        entry = target
    return entry if isinstance(entry, Mapping) else {}


def identifier(text: str) -> str:
    """`text` as an APIM identifier: letters, digits, dots, dashes and underscores, 80 at most."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return cleaned[:80].rstrip("-._") or "operation"


def server_url(document: Mapping[str, Any]) -> str | None:
    """The first server of the document with its variables at their defaults, or None."""
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], Mapping):
        url = str(servers[0].get("url", ""))
        variables = servers[0].get("variables")
        for name, variable in (variables if isinstance(variables, Mapping) else {}).items():
            if isinstance(variable, Mapping):
                url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
        return url or None
    if document.get("host"):
        schemes = document.get("schemes") or ["https"]
        return f"{schemes[0]}://{document['host']}{document.get('basePath', '')}"
    return None
