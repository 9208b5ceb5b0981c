"""HTTP APIs come from OpenAPI documents: JSON or YAML, by file or URL, with their ids, templates and servers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.config.openapi import operations_of, server_url
from tests.management.importing import run_import, texts
from tests.support.running import serving_folder
from tests.support.serve import serving
from tests.support.service import Reply, Service

AZURE_OPENAI = {
    "openapi": "3.0.0",
    "info": {"title": "Azure OpenAI Service API", "version": "2024-10-21"},
    "servers": [
        {"url": "https://{endpoint}/openai", "variables": {"endpoint": {"default": "your-resource.openai.azure.com"}}}
    ],
    "paths": {
        "/deployments/{deployment-id}/chat/completions": {
            "post": {
                "operationId": "ChatCompletions_Create",
                "summary": "Creates a completion",
                "parameters": [
                    {"in": "path", "name": "deployment-id", "required": True, "schema": {"type": "string"}},
                    {"$ref": "#/components/parameters/version"},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/big"}}}},
                "x-ms-examples": {"one": {"$ref": "./examples/chat_completions.json"}},
            }
        },
        "/deployments/{deployment-id}/embeddings": {
            "parameters": [{"$ref": "#/components/parameters/version"}],
            "post": {"operationId": "embeddings_create"},
        },
    },
    "components": {
        "parameters": {
            "version": {"in": "query", "name": "api-version", "required": True, "schema": {"type": "string"}}
        },
        "schemas": {"big": {"type": "object", "description": "not needed to route"}},
    },
}

PETS = """\
swagger: "2.0"
info: {title: Pet store, version: "1"}
host: pets.example
basePath: /v2
schemes: [http, https]
paths:
  /pets/{id}:
    get: {operationId: getPet, parameters: [{in: query, name: page, type: integer}]}
    delete: {}
  /owners: {$ref: "#/x-shared/owners"}
x-shared:
  owners: {get: {operationId: getOwners, parameters: [{in: query, name: page, required: true}]}}
x-ms-paths:
  /pets?kind=dog:
    get: {operationId: getDogs}
"""


def written(folder: Path) -> Any:
    return YAML(typ="safe").load((folder / "gateway.yaml").read_text())


async def test_azure_openai_specification_becomes_an_azure_openai_api(tmp_path: Path) -> None:
    source = tmp_path / "inference.json"
    source.write_text(json.dumps(AZURE_OPENAI))
    words = ("openapi", str(source), "--server-variable", "endpoint=contoso.openai.azure.com", "--id", "aoai")
    assert await run_import(tmp_path, *words) == 0
    gateway = written(tmp_path)
    assert gateway["backends"]["aoai-ai-endpoint"]["url"] == "https://contoso.openai.azure.com/openai"
    api = gateway["apis"]["aoai"]
    assert (api["kind"], api["path"], api["openapi"]) == ("azure-openai", "aoai/openai", "apis/aoai.openapi.json")
    copy = (tmp_path / api["openapi"]).read_text()
    assert "not needed to route" not in copy
    deployment, version = "/deployments/{deployment-id}", "?api-version={api-version}"
    assert [tuple(one.values()) for one in operations_of(json.loads(copy))] == [
        ("ChatCompletions_Create", "Creates a completion", "POST", f"{deployment}/chat/completions{version}", "chat"),
        ("embeddings_create", "embeddings_create", "POST", f"{deployment}/embeddings{version}", "embeddings"),
    ]


async def test_yaml_of_openapi_2_is_read_from_a_url(tmp_path: Path) -> None:
    async def document(request: Request) -> Response:
        return PlainTextResponse(PETS)

    with serving(Starlette(routes=[Route("/api/swagger.yaml", document)])) as url:
        assert await run_import(tmp_path, "openapi", f"{url}/api/swagger.yaml", "--path", "pets") == 0
    gateway = written(tmp_path)
    assert gateway["apis"]["pet-store"]["kind"] == "http"
    assert gateway["backends"]["pet-store-endpoint"]["url"] == "https://pets.example/v2"
    copy = json.loads((tmp_path / "apis" / "pet-store.openapi.json").read_text())
    assert [(one["id"], one["method"], one["url_template"]) for one in operations_of(copy)] == [
        ("getPet", "GET", "/pets/{id}"),
        ("delete-pets-id", "DELETE", "/pets/{id}"),
        ("getOwners", "GET", "/owners?page={page}"),
        ("getDogs", "GET", "/pets?kind=dog"),
    ]


async def test_responses_are_kept_as_examples_and_what_cannot_be_read_is_told(tmp_path: Path, capsys: Any) -> None:
    examples = {"one": {"value": {"id": 1}}, "two": {"value": [2]}}
    document = {
        "openapi": "3.0.3",
        "servers": [{"url": "https://pets.example"}],
        "paths": {
            "/pets": {
                "get": {
                    "operationId": "pets",
                    "responses": {
                        "200": {
                            "content": {"application/json": {"examples": examples}, "text/csv": {"example": "a,b"}}
                        },
                        "4XX": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/problem"}}}},
                        "500": {"content": {"application/json": {"schema": {"$ref": "problems.yaml#/x"}}}},
                        "503": {"$ref": "#/components/responses/busy"},
                    },
                }
            }
        },
        "components": {"schemas": {"problem": {"properties": {"detail": {"type": "string"}}}}},
    }
    source = tmp_path / "pets.json"
    source.write_text(json.dumps(document))
    assert await run_import(tmp_path, "openapi", str(source), "--id", "pets") == 0
    said = capsys.readouterr().out
    assert "mock-response has no body for operation pets: $ref problems.yaml#/x leads nowhere (2 such places)." in said
    assert "Nothing is checked against $ref problems.yaml#/x, which leads nowhere." in said
    copy = json.loads((tmp_path / "apis/pets.openapi.json").read_text())
    kept = copy["paths"]["/pets"]["get"]["responses"]
    assert {status: response.get("content") for status, response in kept.items()} == {
        "200": {
            "application/json": {"examples": {"0": {"value": {"id": 1}}, "1": {"value": [2]}}},
            "text/csv": {"example": "a,b"},
        },
        "4XX": {
            "application/json": {"schema": {"$ref": "#/components/schemas/problem"}, "example": {"detail": "string"}}
        },
        "500": {"application/json": {"schema": {"$ref": "problems.yaml#/x"}}},
        "503": None,
    }


SHOP = """\
swagger: "2.0"
info: {title: Shop, version: "1"}
host: shop.example
paths:
  /items/{id}:
    post:
      operationId: add
      parameters:
        - {in: path, name: id, required: true, type: integer}
        - {in: query, name: sizes, type: array, collectionFormat: pipes, items: {type: integer, maximum: 9}}
        - {in: header, name: X-Team, required: true, type: string, description: Who buys}
        - {in: body, name: item, schema: {$ref: "#/definitions/item"}}
      responses:
        201:
          description: Made
          schema: {type: array, items: {$ref: "#/definitions/item"}}
          headers: {X-Left: {type: integer}}
definitions:
  item:
    required: [name]
    properties:
      name: {type: string, x-nullable: true, example: lamp}
      parts: {type: array, items: {$ref: "#/definitions/item"}}
  unused: {type: string}
"""
CHECKED = """<policies>
    <inbound>
        <base />
        <validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="ignore" />
        <validate-content unspecified-content-type-action="prevent" max-size="100" size-exceeded-action="prevent">
            <content validate-as="json" action="prevent" /></validate-content>
    </inbound>
    <backend><base /></backend>
    <outbound>
        <validate-status-code unspecified-status-code-action="prevent" />
        <validate-headers specified-header-action="prevent" unspecified-header-action="ignore" />
        <validate-content unspecified-content-type-action="prevent" max-size="100" size-exceeded-action="prevent">
            <content validate-as="json" action="prevent" /></validate-content>
    </outbound>
</policies>"""


def test_what_the_document_specifies_is_kept_and_checked(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    with Service() as backend:
        words = ("openapi", str(tmp_path / "shop.yaml"), "--service-url", backend.url, "--no-subscription-required")
        assert asyncio.run(run_import(tmp_path, *words)) == 0
        copy = json.loads((tmp_path / "apis/shop.openapi.json").read_text())
        (tmp_path / written(tmp_path)["apis"]["shop"]["policy"]).write_text(CHECKED)
        with serving_folder(tmp_path, {}) as gateway:

            def status(path: str = "7?sizes=1|9", body: object = None, /, **answer: Any) -> int:
                given = {"content-type": "application/json", "x-left": "3", **answer.pop("headers", {})}
                backend.default = lambda request: Reply(**{"status": 201, "body": b"[]", "headers": given, **answer})
                sent = {"name": None} if body is None else body
                return gateway.client.post(f"/shop/items/{path}", json=sent, headers={"x-team": "red"}).status_code

            assert status() == status("7", {"name": "a", "parts": [{"name": "b"}]}) == 201
            assert status("x") == status("7?sizes=1|10") == status("7?sizes=1,2") == 400
            assert status("7", {"name": 1}) == status("7", {"name": "a", "parts": [{}]}) == 400
            assert status(status=200) == status(headers={"x-left": "few"}) == status(body=b"[{}]") == 502
            assert gateway.client.post("/shop/items/7", json={"name": "a"}).status_code == 400
    assert copy["components"] == {
        "schemas": {
            "item": {
                "required": ["name"],
                "properties": {
                    "name": {"type": ["string", "null"]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/item"}},
                },
            }
        }
    }


async def test_relative_server_is_resolved_against_the_documents_address(tmp_path: Path) -> None:
    relative = {**AZURE_OPENAI, "servers": [{"url": "../v1"}]}

    async def document(request: Request) -> Response:
        return PlainTextResponse(json.dumps(relative))

    with serving(Starlette(routes=[Route("/docs/openapi.json", document)])) as url:
        assert await run_import(tmp_path, "openapi", f"{url}/docs/openapi.json", "--id", "x") == 0
        assert written(tmp_path)["backends"]["x-ai-endpoint"]["url"] == f"{url}/v1"


async def test_second_import_is_quiet_and_an_edited_copy_is_kept(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "pets.yaml"
    source.write_text(PETS)
    words = ("openapi", str(source), "--service-url", "http://127.0.0.1:9/pets")
    assert await run_import(tmp_path, *words) == 0
    before = texts(tmp_path)
    assert await run_import(tmp_path, *words) == 0
    assert texts(tmp_path) == before
    copy = tmp_path / "apis" / "pet-store.openapi.json"
    copy.write_text(copy.read_text().replace("getPet", "showPet"))
    source.write_text(PETS.replace("getDogs", "listDogs"))
    edited = texts(tmp_path)
    assert await run_import(tmp_path, *words) == 1
    assert "has been edited" in capsys.readouterr().err
    assert texts(tmp_path) == edited
    assert await run_import(tmp_path, *words, "--force") == 0
    assert "listDogs" in copy.read_text()


def with_schema(schema: str) -> str:
    """A document with one operation, which answers with a schema."""
    operation = f'{{"responses": {{"200": {{"content": {{"application/json": {{"schema": {schema}}}}}}}}}}}'
    return f'{{"openapi": "3.1.0", "servers": [{{"url": "http://a"}}], "paths": {{"/a": {{"get": {operation}}}}}}}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "document cannot be read: not valid JSON"),
        ("a: [", "document cannot be read: not valid YAML"),
        ("a: 2026-13-01", "document cannot be read: not valid YAML: month must be in 1..12"),
        ('{"a":' * 100_000, "document cannot be read: it is nested too deep"),
        ("a: " + "[" * 1_000, "document cannot be read: it is nested too deep"),
        (with_schema('{"not":' * 600 + "{}" + "}" * 600), "document cannot be imported: a schema is nested too deep"),
        ("just text", "not an OpenAPI document"),
        ("openapi: 3.0.0\npaths: {}\n", "the document has no operations"),
        ("openapi: 3.0.0\npaths: {/a: {get: {}}}\n", "the document names no server"),
        ("openapi: 3.0.0\nservers: [{url: /v3}]\npaths: {/a: {get: {}}}\n", "server is /v3, without a host"),
        ("openapi: 3.0.0\npaths: {/a: {get: {}}, /b: {$ref: b.yaml}}\n", "/b: b.yaml is not in the document"),
        (json.dumps({**AZURE_OPENAI, "servers": [{"url": "https://{endpoint}/openai"}]}), "--server-variable"),
        ("openapi: 3.0.0\nservers: [{url: http://a}]\npaths: {/a/*/b: {get: {}}}\n", "wildcard"),
        (json.dumps({**AZURE_OPENAI, "info": {"title": "A\ud83d"}, "servers": [{"url": "http://a"}]}), r'"A\ud83d"'),
    ],
)
async def test_document_that_cannot_be_imported_is_refused(tmp_path: Path, capsys: Any, text: str, says: str) -> None:
    source = tmp_path / "document"
    source.write_text(text)
    assert await run_import(tmp_path, "openapi", str(source), "--id", "x") == 1
    assert says in capsys.readouterr().err
    assert list(texts(tmp_path)) == ["document"]


def test_first_https_server_is_taken() -> None:
    servers = [
        {"url": "http://a"},
        {"url": "https://b/{v}", "variables": {"v": {"default": "1"}}},
        {"url": "https://c"},
    ]
    assert server_url({"servers": servers}) == "https://b/1"
    assert server_url({"servers": servers}, {"v": "2"}) == "https://b/2"
    assert server_url({"servers": servers[:1]}) == "http://a"
    assert server_url({}) is None
