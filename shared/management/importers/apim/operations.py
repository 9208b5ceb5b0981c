"""Makes an OpenAPI document of the operations' information files, which some extractors write instead of one."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.config.plain_data import TOO_DEEP
from shared.management.importers.apim.artifacts import Resource

# Types of parameters that OpenAPI has, too.
TYPES = ("array", "boolean", "integer", "number", "object", "string")


def document_of(resource: Resource) -> dict[str, Any]:
    """The document of an API from `operations/<id>/operationInformation.json` and `schemas/<id>`.
    https://learn.microsoft.com/azure/templates/microsoft.apimanagement/service/apis/operations"""
    schemas = Schemas(resource.resources("schemas"))
    paths: dict[str, Any] = {}
    for operation in resource.resources("operations"):
        method, template = operation.text("method").lower(), operation.text("urlTemplate")
        if method and template:
            summary = operation.text("displayName") or operation.name
            fields = {"operationId": operation.name, "summary": summary, **_operation(operation, template, schemas)}
            paths.setdefault(template, {})[method] = fields
    title = resource.text("displayName") or resource.name
    return {"openapi": "3.0.3", "info": {"title": title, "version": "1"}, "paths": paths, **schemas.parts}


class Schemas:
    """The schemas of an API; `parts` is what of a document they are in."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        components: dict[str, Any] = {}
        definitions: dict[str, Any] = {}
        for content in map(_content, resources):
            components = {**_object(_object(content.get("components")).get("schemas")), **components}
            definitions = {**_object(content.get("definitions")), **definitions}
        self.parts: dict[str, Any] = {"components": {"schemas": components}, "definitions": definitions}
        self._names = {name: "#/definitions" for name in definitions} | {n: "#/components/schemas" for n in components}

    def of(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """The `schema` of a representation that names one; one the artifacts do not have leads nowhere."""
        name = declared.get("typeName")
        if not (name and declared.get("schemaId")):
            return {}
        return {"schema": {"$ref": f"{self._names.get(str(name), '#/components/schemas')}/{_escaped(str(name))}"}}

    def of_parameter(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of a parameter: the one it names if that is there, else its type and values."""
        if declared.get("typeName") in self._names and declared.get("schemaId"):
            found: dict[str, Any] = self.of(declared)["schema"]
            return found
        type_, values = declared.get("type"), declared.get("values")
        return {
            **({"type": type_} if type_ in TYPES else {}),
            **({"enum": values} if isinstance(values, list) and values and type_ == "string" else {}),
        }


def _operation(operation: Resource, template: str, schemas: Schemas) -> dict[str, Any]:
    request = operation.part("request")
    in_path = template.partition("?")[0]
    parameters = [
        *(
            ("path" if f"{{{one['name']}}}" in in_path or f"{{*{one['name']}}}" in in_path else "query", one)
            for one in _named(operation.properties.get("templateParameters"))
        ),
        # One that is required would become part of the URL template (see operations_of), which it is not there.
        *(("query", {**one, "required": False}) for one in _named(request.get("queryParameters"))),
        *(("header", one) for one in _named(request.get("headers"))),
    ]
    content = _representations(request.get("representations"), schemas)
    return {
        "parameters": [
            {
                "in": location,
                "name": one["name"],
                "required": _required(location, one),
                "schema": schemas.of_parameter(one),
            }
            for location, one in parameters
        ],
        **({"requestBody": {"content": content}} if content else {}),
        "responses": {
            str(response.get("statusCode")): {
                "description": "",
                "headers": {
                    one["name"]: {"required": one.get("required") is True, "schema": schemas.of_parameter(one)}
                    for one in _named(response.get("headers"))
                },
                "content": _representations(response.get("representations"), schemas),
            }
            for response in _objects(operation.properties.get("responses"))
        },
    }


def _required(location: str, parameter: Mapping[str, Any]) -> bool:
    return location == "path" or parameter.get("required") is True


def _representations(declared: Any, schemas: Schemas) -> dict[str, Any]:
    return {
        str(one["contentType"]): {"examples": one.get("examples") or {}, **schemas.of(one)}
        for one in _objects(declared)
        if one.get("contentType")
    }


def _content(resource: Resource) -> Mapping[str, Any]:
    """What a schema has: `components`, `definitions`, or both in the text of `value`."""
    document = resource.part("document")
    if not isinstance(document.get("value"), str):
        return document
    try:
        return _object(json.loads(document["value"]))
    except ValueError:  # an XML schema: nothing of an HTTP API refers to it
        return {}
    except RecursionError:
        raise ValueError(f"schema {resource.name}: {TOO_DEEP}") from None


def _named(declared: Any) -> Iterator[Mapping[str, Any]]:
    return (one for one in _objects(declared) if isinstance(one.get("name"), str))


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
