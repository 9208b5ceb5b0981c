"""Azure OpenAI and Foundry resources are found through Resource Manager, and the gateway's identity gets its role."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.management.importing import ScriptedPrompt, run_import, texts
from tests.support.arm import SUBSCRIPTION, Fault, ScriptedArm

PRINCIPAL = "22222222-2222-4222-8222-222222222222"
ROLES = "/providers/Microsoft.Authorization/roleDefinitions"
OPENAI_USER = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
AZURE_AI_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"


def written(folder: Path) -> Any:
    return YAML(typ="safe").load((folder / "gateway.yaml").read_text())


async def test_resource_and_deployments_are_found_across_pages(tmp_path: Path, capsys: Any) -> None:
    with ScriptedArm() as arm:
        arm.subscriptions["33333333-3333-4333-8333-333333333333"] = "Test"
        arm.add("fabrikam", deployments={"a": "gpt-4o"})
        arm.add("speech", kind="SpeechServices", deployments={})
        arm.add("contoso", deployments={"chat": "gpt-4o", "small": "gpt-4o-mini", "embed": "text-embedding-3-small"})
        code = await run_import(tmp_path, "azure-openai", "--resource", "Contoso", "--arm-url", arm.url)
        assert code == 0
        assert arm.requests.count("GET /subscriptions") == 2  # pages of one
    gateway = written(tmp_path)
    assert gateway["backends"]["contoso-ai-endpoint"] == {
        "url": "https://contoso.openai.azure.com/openai",
        "credentials": {"managed_identity": {"resource": "https://cognitiveservices.azure.com"}},
    }
    assert gateway["apis"]["contoso"]["path"] == "contoso/openai"
    output = capsys.readouterr().out
    assert "chat (gpt-4o 2024-11-20), small (gpt-4o-mini 2024-11-20), embed" in output


async def test_person_at_the_terminal_chooses(tmp_path: Path) -> None:
    prompt = ScriptedPrompt(["Test", "north", "small"])
    with ScriptedArm() as arm:
        other = "33333333-3333-4333-8333-333333333333"
        arm.subscriptions[other] = "Test"
        for name in ("north", "south"):
            arm.add(name, deployments={"chat": "gpt-4o", "small": "gpt-4o-mini"}, subscription=other)
        words = ("azure-openai", "--discover", "--arm-url", arm.url)
        assert await run_import(tmp_path, *words, prompt=prompt) == 0
    assert prompt.asked == ["Which Azure subscription?", "Which resource?", "Which deployment?"]
    assert "north" in written(tmp_path)["apis"]


async def test_without_a_terminal_the_choices_are_listed(tmp_path: Path, capsys: Any) -> None:
    with ScriptedArm() as arm:
        arm.add("north", deployments={"chat": "gpt-4o"})
        arm.add("south", deployments={"chat": "gpt-4o"})
        assert await run_import(tmp_path, "foundry", "--discover", "--arm-url", arm.url) == 1
        assert "several resources found, choose one by option: north, south" in capsys.readouterr().err
        assert await run_import(tmp_path, "foundry", "--resource", "nroth", "--arm-url", arm.url) == 1
        assert "no resource nroth, did you mean north? Found: north, south" in capsys.readouterr().err
        assert await run_import(tmp_path, "foundry", "--resource", "west-1", "--arm-url", arm.url) == 1
        assert "no resource west-1. Found: north, south" in capsys.readouterr().err
        words = ("foundry", "--resource", "north", "--deployment", "chta", "--arm-url", arm.url)
        assert await run_import(tmp_path, *words) == 1
        assert "no deployment chta, did you mean chat?" in capsys.readouterr().err
    assert texts(tmp_path) == {}


@pytest.mark.parametrize(
    ("compatibility", "path", "url", "audience"),
    [
        ("azure-openai", "ai/openai", "https://hub.openai.azure.com/openai", "https://cognitiveservices.azure.com"),
        ("azure-ai", "ai", "https://hub.services.ai.azure.com", "https://cognitiveservices.azure.com"),
        ("openai-v1", "ai", "https://hub.services.ai.azure.com", "https://ai.azure.com"),
        ("anthropic", "ai/anthropic", "https://hub.services.ai.azure.com/anthropic", "https://ai.azure.com"),
    ],
)
async def test_compatibility_decides_path_endpoint_and_audience(
    tmp_path: Path, compatibility: str, path: str, url: str, audience: str
) -> None:
    with ScriptedArm() as arm:
        id = arm.add("hub", kind="AIServices", deployments={"chat": "gpt-4o"})
        words = ("foundry", "--compatibility", compatibility, "--resource", id, "--path", "ai", "--arm-url", arm.url)
        assert await run_import(tmp_path, *words) == 0
    gateway = written(tmp_path)
    assert (gateway["apis"]["hub"]["kind"], gateway["apis"]["hub"]["path"]) == (compatibility, path)
    backend = gateway["backends"]["hub-ai-endpoint"]
    assert (backend["url"], backend["credentials"]["managed_identity"]["resource"]) == (url, audience)


async def test_grant_twice_is_one_assignment(tmp_path: Path, capsys: Any) -> None:
    with ScriptedArm() as arm:
        scope = arm.add("contoso", deployments={"chat": "gpt-4o"})
        words = ("azure-openai", "--resource", "contoso", "--grant", "--principal-id", PRINCIPAL, "--arm-url", arm.url)
        assert await run_import(tmp_path, *words, "--dry-run") == 0
        assert "would assign Cognitive Services OpenAI User" in capsys.readouterr().out
        assert arm.assignments == {}
        assert await run_import(tmp_path, *words) == 0
        assert await run_import(tmp_path, *words) == 0
        ((path, body),) = arm.assignments.items()
        assert [request for request in arm.requests if request.startswith("PUT")] == [f"PUT {path}"] * 2
    assert path.startswith(f"{scope}/providers/Microsoft.Authorization/roleAssignments/")
    assert body["properties"] == {
        "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}{ROLES}/{OPENAI_USER}",
        "principalId": PRINCIPAL,
        "principalType": "ServicePrincipal",
    }
    assert "\nassigned: Cognitive" in "\n" + capsys.readouterr().out


async def test_grant_made_by_someone_else_is_success(tmp_path: Path) -> None:
    with ScriptedArm() as arm:
        id = arm.add("hub", kind="AIServices", deployments={"chat": "gpt-4o"})
        words = ("foundry", "--compatibility", "openai-v1", "--resource", id, "--grant", "--principal-id", PRINCIPAL)
        assert await run_import(tmp_path, *words, "--arm-url", arm.url) == 0
        (body,) = arm.assignments.values()
        assert body["properties"]["roleDefinitionId"].endswith(AZURE_AI_USER)
        arm.assignments = {"by-someone-else": body}
        assert await run_import(tmp_path, *words, "--arm-url", arm.url) == 0
        assert list(arm.assignments) == ["by-someone-else"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(403, "AuthorizationFailed", "The client has no permission."), "lacks the permission (403): The client"),
        (Fault(404), "not found (404)"),
        (Fault(429, headers={"Retry-After": "17"}), "throttling (429); try again in 17 seconds"),
        (Fault(500, "InternalServerError"), "Azure answered 500 InternalServerError"),
    ],
)
async def test_arm_error_is_one_line_and_writes_nothing(tmp_path: Path, capsys: Any, fault: Fault, says: str) -> None:
    with ScriptedArm() as arm:
        id = arm.add("contoso", deployments={"chat": "gpt-4o"})
        arm.faults[f"{id}/deployments"] = fault
        words = ("azure-openai", "--resource", "contoso", "--arm-url", arm.url)
        assert await run_import(tmp_path, *words) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert texts(tmp_path) == {}


async def test_refused_grant_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    with ScriptedArm() as arm:
        arm.add("contoso", deployments={"chat": "gpt-4o"})
        words = ("azure-openai", "--resource", "contoso", "--grant", "--principal-id", PRINCIPAL, "--arm-url", arm.url)
        arm.token = "another"
        assert await run_import(tmp_path, *words, token="expired") == 1
        assert "did not accept the login (401); sign in again" in capsys.readouterr().err
    assert texts(tmp_path) == {}


async def test_token_goes_to_no_other_host(tmp_path: Path, capsys: Any) -> None:
    words = ("azure-openai", "--resource", "contoso", "--arm-url", "http://management.example")
    assert await run_import(tmp_path, *words) == 1
    assert "must start with https://" in capsys.readouterr().err
    with ScriptedArm() as arm, ScriptedArm() as other:
        arm.add("contoso", deployments={"chat": "gpt-4o", "more": "gpt-4o"})
        arm.page_host = other.url.removeprefix("http://")
        assert await run_import(tmp_path, "azure-openai", "--resource", "contoso", "--arm-url", arm.url) == 1
        assert other.requests == []
    assert "another host" in capsys.readouterr().err
