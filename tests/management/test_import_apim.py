"""A whole API Management service comes over from an APIOps artifact folder: policies as they are, secrets never."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from shared.app import App
from shared.management.check import check
from shared.settings import from_environment
from tests.management.importing import run_import, texts
from tests.support.backend import Backend, Script
from tests.support.running import serving_folder
from tests.support.serve import serving
from tests.support.service import Reply, Service

ARTIFACTS = Path(__file__).parents[1] / "recordings" / "apim"
SETTINGS = {"SIGNING_KEY": "s1gn", "CHAT_WEST_API_KEY": "west", "EAST_KEY": "east", "ALPHA_PRIMARY": "alpha-key"}

SUBSCRIPTION = """
subscriptions:
  alpha: {display_name: Alpha, scope: "product:teams", keys: {primary: "{{alpha}}"}}
"""

LEFT_OUT = {
    "client certificate of backend chat-west": "certificates are not in the artifacts",
    "API chat, revision 1": "only the current revision is imported",
    "API legacy": "APIs of type soap are not served here",
    "API reports": "policies/apis/reports/policy.xml:10 outbound/xsl-transform: ",
    "policy of operation forgotten of API orders-v2": "the specification has no such operation",
    "authentication settings of API orders-v2": "they only serve the developer portal",
    "logger insights": "telemetry is set up by the gateway's own settings",
    "named value Logger-Credentials--63f2": "it is a secret that nothing imported uses",
    "identity of named value east-key": "Key Vault is read with the gateway's own identity",
    "tags internal": "nothing here reads tags",
    "subscription reporting": "api reports is not imported",
}


def read(folder: Path) -> Any:
    return YAML(typ="safe").load((folder / "gateway.yaml").read_text())


async def test_what_runs_is_imported_and_the_rest_is_told(tmp_path: Path, capsys: Any) -> None:
    assert await run_import(tmp_path, "apim", str(ARTIFACTS), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    left_out = {one["what"]: one["why"] for one in report["left_out"]}
    assert left_out.keys() == LEFT_OUT.keys()
    for what, why in LEFT_OUT.items():
        assert left_out[what].startswith(why), what
    assert [one["name"] for one in report["settings"]] == ["SIGNING_KEY", "CHAT_WEST_API_KEY"]
    assert (
        "python -m shared subscriptions create alpha --scope product:teams --name 'Team Alpha' "
        "--primary-key-env ALPHA_PRIMARY --secondary-key-env ALPHA_SECONDARY"
    ) in report["notes"]
    assert await check(tmp_path / "gateway.yaml", SETTINGS, placeholders=False) == []
    found = read(tmp_path)
    assert found["apis"].keys() == {"chat", "orders-v2"}
    assert found["apis"]["chat"] == {
        "display_name": "Chat",
        "description": "Chat models for all teams.",
        "path": "ai/openai",
        "kind": "azure-openai",
        "subscription_key": {"header": "api-key", "query": "subscription-key"},
        "forward_caller_credentials": True,
        "revision": "2",
        "openapi": "apis/chat.openapi.json",
        "products": ["teams"],
        "diagnostics": {
            "large_language_model": {
                "logs": "enabled",
                "requests": {"messages": "all", "max_size_in_bytes": 262144},
                "responses": {"messages": "all"},
            }
        },
        "policy": "policies/apis/chat/policy.xml",
        "operations": [
            {
                "id": "ChatCompletions_Create",
                "display_name": "Creates a completion for the chat message",
                "method": "POST",
                "url_template": "/deployments/{deployment-id}/chat/completions?api-version={api-version}",
                "genai": "chat",
                "policy": "policies/apis/chat/operations/ChatCompletions_Create/policy.xml",
            }
        ],
    }
    assert found["apis"]["orders-v2"]["path"] == "orders/v2"
    assert found["apis"]["orders-v2"]["backend"] == "orders-v2-endpoint"
    assert found["backends"]["chat-pool"] == {
        "description": "Both regions",
        "pool": {
            "services": [{"id": "chat-east", "priority": 1, "weight": 3}, {"id": "chat-west", "priority": 2}],
            "failover": True,
        },
    }
    (rule,) = found["backends"]["chat-east"]["circuit_breaker"]["rules"]
    assert rule["failure_condition"]["status_code_ranges"] == [{"min": 429, "max": 429}]
    assert (rule["trip_duration"], rule["accept_retry_after"]) == ("PT1M", True)
    assert found["products"]["teams"]["subscription_limit"] == 5
    assert found["named_values"]["east-key"] == {"key_vault": "https://contoso.vault.azure.net/secrets/east-key"}


async def test_logs_of_all_apis_are_imported_and_stay_off_where_an_api_says_so(tmp_path: Path, capsys: Any) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    shutil.copytree(ARTIFACTS / "apis/chat/diagnostics", artifacts / "diagnostics")
    asked = artifacts / "apis/chat/diagnostics/azuremonitor/diagnosticInformation.json"
    asked.write_text(json.dumps({"properties": {"loggerId": "/loggers/azuremonitor"}}))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts), "--json") == 0
    logged = read(out)["diagnostics"]["large_language_model"]
    assert logged["requests"] == {"messages": "all", "max_size_in_bytes": 262144}
    assert read(out)["apis"]["chat"]["diagnostics"] == {"large_language_model": {"logs": "disabled"}}
    assert "diagnostics" not in read(out)["apis"]["orders-v2"]
    left_out = {one["what"] for one in json.loads(capsys.readouterr().out)["left_out"]}
    assert left_out == {*LEFT_OUT, "diagnostics applicationinsights"}


async def test_policy_documents_come_byte_for_byte(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    (artifacts / "policy.xml").write_bytes(b"\xef\xbb\xbf" + (ARTIFACTS / "policy.xml").read_bytes())
    orders = artifacts / "apis/orders-v2/operations/get-item/policy.xml"
    orders.write_bytes(orders.read_bytes().replace(b"\n", b"\r\n"))
    out = tmp_path / "out"
    out.mkdir()
    for _ in range(2):
        assert await run_import(out, "apim", str(artifacts)) == 0
    kept = {
        "policy.xml": "policies/policy.xml",
        "apis/chat/policy.xml": "policies/apis/chat/policy.xml",
        "products/teams/policy.xml": "policies/products/teams/policy.xml",
        "policy fragments/team-header/policy.xml": "policies/fragments/team-header.xml",
    }
    for operation in ("chat/operations/ChatCompletions_Create", "orders-v2/operations/get-item"):
        kept[f"apis/{operation}/policy.xml"] = f"policies/apis/{operation}/policy.xml"
    for source, target in kept.items():
        assert (out / target).read_bytes() == (artifacts / source).read_bytes(), target


async def test_no_secret_of_the_artifacts_is_written_or_shown(tmp_path: Path, capsys: Any) -> None:
    assert await run_import(tmp_path, "apim", str(ARTIFACTS)) == 0
    output = capsys.readouterr()
    for text in (output.out, output.err, *texts(tmp_path).values()):
        assert "in-the-clear" not in text
    assert read(tmp_path)["backends"]["chat-west"]["credentials"] == {"header": {"api-key": "{{chat-west-api-key}}"}}
    assert read(tmp_path)["named_values"]["chat-west-api-key"] == {"env": "CHAT_WEST_API_KEY"}


async def test_newer_spelling_of_the_folders_reads_the_same(tmp_path: Path) -> None:
    newer, one, two = tmp_path / "newer", tmp_path / "one", tmp_path / "two"
    shutil.copytree(ARTIFACTS, newer)
    for old, new in {
        "named values": "namedValues",
        "policy fragments": "policyFragments",
        "version sets": "versionSets",
    }.items():
        (newer / old).rename(newer / new)
    for links in ("apis", "groups"):
        folder = newer / "products/teams" / links
        (newer / f"products/teams/{links}.json").write_text(json.dumps([{"name": p.name} for p in folder.iterdir()]))
        shutil.rmtree(folder)
    for artifacts, out in ((ARTIFACTS, one), (newer, two)):
        out.mkdir()
        assert await run_import(out, "apim", str(artifacts)) == 0
    assert texts(one) == texts(two)


async def test_operations_come_from_their_information_where_there_is_no_specification(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    (artifacts / "apis/orders-v2/specification.json").unlink()
    properties = {"displayName": "Get an item", "method": "GET", "urlTemplate": "/items/{id}"}
    information = artifacts / "apis/orders-v2/operations/get-item/operationInformation.json"
    information.write_text(json.dumps({"properties": properties}))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 0
    (operation,) = read(out)["apis"]["orders-v2"]["operations"]
    assert (operation["method"], operation["url_template"]) == ("GET", "/items/{id}")


async def test_api_is_left_out_when_one_of_its_files_cannot_be_read(tmp_path: Path, capsys: Any) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    (artifacts / "apis/orders-v2/operations/get-item/policy.xml").write_bytes(b"<policies>\xff</policies>")
    (artifacts / "apis/reports/apiInformation.json").write_text("{")
    (artifacts / "products/deep").mkdir()
    (artifacts / "products/deep/productInformation.json").write_text('{"a":' * 100_000)
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "not imported: API orders-v2: operation get-item: policy.xml is not UTF-8" in lines
    assert any(line.startswith("not imported: apis reports: apiInformation.json is not valid JSON") for line in lines)
    assert "not imported: products deep: productInformation.json: it is nested too deep" in lines
    assert read(out)["apis"].keys() == {"chat"}


async def test_what_has_half_a_character_is_left_out(tmp_path: Path, capsys: Any) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    specification = artifacts / "apis/orders-v2/specification.json"
    specification.write_text(json.dumps({**json.loads(specification.read_text()), "info": {"title": "Orders \ud83d"}}))
    information = {"properties": {"displayName": "Reports \ud83d", "path": "reports"}}
    (artifacts / "apis/reports/apiInformation.json").write_text(json.dumps(information))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 0
    said = capsys.readouterr().out
    assert r"not imported: API orders-v2: half of a character cannot be written: " in said
    assert "not imported: apis reports: apiInformation.json is not valid JSON" in said
    assert read(out)["apis"].keys() == {"chat"}


async def test_catch_all_api_is_told_by_its_backend(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    specification = artifacts / "apis/chat/specification.yaml"
    specification.unlink()
    operations = artifacts / "apis/chat/operations"
    information = {"properties": {"displayName": "Chat", "method": "POST", "urlTemplate": "/{*path}"}}
    (operations / "ChatCompletions_Create/operationInformation.json").write_text(json.dumps(information))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 0
    chat = read(out)["apis"]["chat"]
    assert (chat["kind"], chat["operations"][0]["url_template"]) == ("azure-openai", "/{*path}")


@pytest.mark.parametrize(
    ("version_set", "why"),
    [
        ({"versioningScheme": "Header", "versionHeaderName": "x-v"}, "callers choose version v2 by the header x-v;"),
        (None, "the artifacts do not tell how version set orders tells versions apart"),
    ],
)
async def test_versions_that_are_not_in_the_path_are_left_out(
    tmp_path: Path, capsys: Any, version_set: dict[str, str] | None, why: str
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    information = artifacts / "version sets/orders/versionSetInformation.json"
    if version_set is None:
        shutil.rmtree(information.parent)
    else:
        information.write_text(json.dumps({"properties": version_set}))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 0
    assert f"not imported: API orders-v2: {why}" in capsys.readouterr().out


async def test_global_policy_that_cannot_run_stops_the_import(tmp_path: Path, capsys: Any) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(ARTIFACTS, artifacts)
    policy = artifacts / "policy.xml"
    policy.write_text(policy.read_text().replace("<outbound />", "<outbound><xsl-transform /></outbound>"))
    out = tmp_path / "out"
    out.mkdir()
    assert await run_import(out, "apim", str(artifacts)) == 1
    assert "the global policy cannot run here: policies/policy.xml:11" in capsys.readouterr().err
    assert texts(out) == {}


async def test_dry_run_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    assert await run_import(tmp_path, "apim", str(ARTIFACTS), "--dry-run") == 0
    output = capsys.readouterr().out
    assert "+++ b/policies/apis/chat/policy.xml" in output
    assert "# not imported: API legacy: APIs of type soap are not served here" in output
    assert texts(tmp_path) == {}


async def test_folder_without_artifacts_is_refused(tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(ARTIFACTS, tmp_path / "artifacts")
    assert await run_import(tmp_path, "apim", str(tmp_path)) == 1
    assert f"did you mean {tmp_path / 'artifacts'}?" in capsys.readouterr().err
    assert await run_import(tmp_path, "apim", str(tmp_path / "nowhere")) == 1


async def test_own_global_policy_is_kept_without_force(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "own.xml").write_text("<policies />")
    (tmp_path / "gateway.yaml").write_text("policy: own.xml\n")
    before = texts(tmp_path)
    assert await run_import(tmp_path, "apim", str(ARTIFACTS)) == 1
    assert "policy is own.xml, which the import would replace" in capsys.readouterr().err
    assert texts(tmp_path) == before
    assert await run_import(tmp_path, "apim", str(ARTIFACTS), "--force") == 0
    assert read(tmp_path)["policy"] == "policies/policy.xml"


def test_imported_service_serves(tmp_path: Path) -> None:
    """The same calls as through API Management: key, product, fragment, pool with a breaker, rewriting."""
    assert asyncio.run(run_import(tmp_path, "apim", str(ARTIFACTS))) == 0
    config = tmp_path / "gateway.yaml"
    with Backend(script=Script(status=429)) as east, Backend(key="west") as west, Backend() as orders:
        text = config.read_text()
        text = text.replace("https://contoso-east.openai.azure.com", east.url)
        text = text.replace("https://contoso-west.openai.azure.com", west.url)
        text = text.replace("https://orders.contoso.com", orders.url)
        text = text.replace("key_vault: https://contoso.vault.azure.net/secrets/east-key", "env: EAST_KEY")
        text = text.replace("named_values:\n", "named_values:\n  alpha: {env: ALPHA_PRIMARY}\n")
        text += (
            '\nsubscriptions: {alpha: {display_name: Alpha, scope: "product:teams", keys: {primary: "{{alpha}}"}}}\n'
        )
        config.write_text(text)
        environment = {**SETTINGS, "GATEWAY_CONFIG": str(config), "GATEWAY_KEY_HASH_SECRET": "0123456789abcdef" * 2}
        app = App(from_environment({**os.environ, **environment}, base=tmp_path, local=True), local=True)
        asyncio.run(app.load())
        with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            path = "/ai/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
            body = {"messages": [{"role": "user", "content": "hi"}]}
            assert client.post(path, json=body).status_code == 401
            answer = client.post(path, json=body, headers={"api-key": "alpha-key", "x-team": "Red"})
            item = client.get("/orders/v2/items/7", headers={"authorization": "Bearer mine"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model"] == "gpt-4o"
    assert east.last.header("api-key") == "east"
    sent = {"x-signed-by": "Alpha/s1gn", "x-cost-center": "cc-red", "x-product": "teams", "x-gateway-region": "sweden"}
    assert {name: west.last.header(name) for name in sent} == sent
    assert west.last.target == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert item.status_code < 500
    assert orders.last.target == "/api/v2/things/7"
    assert orders.last.header("authorization") == "Bearer mine"


@pytest.mark.parametrize("written_in", ["specification", "information"])
def test_imported_operation_is_mocked_with_the_example_it_had(tmp_path: Path, written_in: str) -> None:
    """As the extractor writes them: in the specification, with schemas among its components, or with the operation."""
    artifacts, out = tmp_path / "artifacts", tmp_path / "out"
    shutil.copytree(ARTIFACTS, artifacts)
    out.mkdir()
    specification = artifacts / "apis/orders-v2/specification.json"
    example = {"default": {"value": {"id": "7", "lines": []}}}
    if written_in == "specification":
        document = json.loads(specification.read_text())
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}, "examples": example}}
        document["paths"]["/items/{id}"]["get"]["responses"]["200"]["content"] = content
        document["components"] = {"schemas": {"Item": {"type": "object"}}}
        specification.write_text(json.dumps(document))
    else:
        specification.unlink()
        representations = [{"contentType": "application/json", "examples": example}]
        responses = [{"statusCode": 200, "representations": representations}]
        properties = {"method": "GET", "urlTemplate": "/items/{id}", "displayName": "Get", "responses": responses}
        information = artifacts / "apis/orders-v2/operations/get-item/operationInformation.json"
        information.write_text(json.dumps({"properties": properties}))
    policy = artifacts / "apis/orders-v2/operations/get-item/policy.xml"
    mock = '<mock-response status-code="200" content-type="application/json" />'
    policy.write_text(policy.read_text().replace('<rewrite-uri template="/v2/things/{id}" />', mock))
    assert asyncio.run(run_import(out, "apim", str(artifacts))) == 0
    config = out / "gateway.yaml"
    config.write_text(
        config.read_text().replace("key_vault: https://contoso.vault.azure.net/secrets/east-key", "env: EAST_KEY")
    )
    environment = {**SETTINGS, "GATEWAY_CONFIG": str(config), "GATEWAY_KEY_HASH_SECRET": "0123456789abcdef" * 2}
    app = App(from_environment({**os.environ, **environment}, base=out, local=True), local=True)
    asyncio.run(app.load())
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        answer = client.get("/orders/v2/items/7")
    assert (answer.status_code, answer.json()) == (200, {"id": "7", "lines": []})


ITEM = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


def specified(artifacts: Path) -> None:
    """An operation's definition in the specification, with schemas among its components."""
    specification = artifacts / "apis/orders-v2/specification.json"
    document = json.loads(specification.read_text())
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
    document["paths"]["/items"]["post"] = {
        "operationId": "create-item",
        "parameters": [
            {"in": "query", "name": "size", "schema": {"type": "integer"}},
            {"in": "header", "name": "x-kind", "schema": {"enum": ["a", "b"], "type": "string"}},
        ],
        "requestBody": {"content": content},
        "responses": {
            "201": {"description": "", "content": content, "headers": {"x-left": {"schema": {"type": "integer"}}}}
        },
    }
    document["components"] = {"schemas": {"Item": ITEM}}
    specification.write_text(json.dumps(document))


def informed(artifacts: Path) -> None:
    """The same with the operation, and the schemas beside it."""
    api = artifacts / "apis/orders-v2"
    (api / "specification.json").unlink()
    representations = [{"contentType": "application/json", "schemaId": "1", "typeName": "Item%41/~1"}]
    headers = [{"name": "x-kind", "type": "string", "values": ["a", "b"]}]
    query = [{"name": "size", "type": "integer", "required": True}]
    left = [{"name": "x-left", "type": "integer"}]
    properties = {
        "method": "POST",
        "urlTemplate": "/items",
        "displayName": "Create",
        "request": {"queryParameters": query, "headers": headers, "representations": representations},
        "responses": [{"statusCode": 201, "representations": representations, "headers": left}],
    }
    kinds = {
        "operations/create-item/operationInformation.json": properties,
        "schemas/1/schemaInformation.json": {"document": {"components": {"schemas": {"Item%41/~1": ITEM}}}},
    }
    for file, value in kinds.items():
        (api / file).parent.mkdir(parents=True, exist_ok=True)
        (api / file).write_text(json.dumps({"properties": value}))


@pytest.mark.parametrize("write", [specified, informed])
def test_imported_operation_is_checked_against_the_definition_it_had(tmp_path: Path, write: Any) -> None:
    artifacts, out = tmp_path / "artifacts", tmp_path / "out"
    shutil.copytree(ARTIFACTS, artifacts)
    out.mkdir()
    write(artifacts)
    policy = artifacts / "apis/orders-v2/operations/create-item/policy.xml"
    policy.parent.mkdir(exist_ok=True)
    content = """<validate-content unspecified-content-type-action="prevent" max-size="100"
        size-exceeded-action="prevent"><content validate-as="json" action="prevent" /></validate-content>"""
    policy.write_text(f"""<policies><inbound><base />
        <validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="ignore" />{content}
        </inbound><backend><base /></backend><outbound><base />
        <validate-headers specified-header-action="prevent" unspecified-header-action="ignore" />
        <validate-status-code unspecified-status-code-action="prevent" />{content}</outbound></policies>""")
    assert asyncio.run(run_import(out, "apim", str(artifacts))) == 0
    config = out / "gateway.yaml"
    with Service() as orders:
        text = config.read_text().replace("https://orders.contoso.com", orders.url)
        config.write_text(text.replace("key_vault: https://contoso.vault.azure.net/secrets/east-key", "env: EAST_KEY"))
        with serving_folder(out, {**os.environ, **SETTINGS}) as gateway:

            def status(item: Any = None, path: str = "", kind: str = "a", code: int = 201, left: str = "1") -> int:
                body = b'{"name": "lamp"}'
                headers = {"content-type": "application/json", "x-left": left}
                orders.default = lambda request: Reply(code, body, headers)
                sent = json.dumps(item or {"name": "lamp"}).encode()
                call = {"content-type": "application/json", "x-kind": kind}
                return gateway.client.post(f"/orders/v2/items{path}", content=sent, headers=call).status_code

            assert status() == status(path="?size=5", kind="b") == 201
            assert status({"name": 1}) == status(path="?size=large") == status(kind="c") == 400
            assert status(code=200) == status(left="few") == 502
