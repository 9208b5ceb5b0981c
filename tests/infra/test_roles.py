"""Who is given which role: every one the code and its host need, and no other."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra.bicep import read
from tests.infra.templates import INFRA, MAIN, ROOT, made, plain, template
from tests.infra.tree import Array, Call, If, Member, Name, Template, Text

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "2b629674-e913-4c01-ae53-ef4638d8f975": "Azure Event Hubs Data Sender",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "a97b65f3-24c7-4388-baec-2e87135dc908": "Cognitive Services User",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
}


@dataclass(frozen=True)
class Need:
    """A role, the symbol of the resource it is held on, and the line of code that needs it."""

    role: str
    on: str
    file: str
    line: str


GATEWAY = {
    Need("Storage Blob Data Owner", "storage", "function_app.py", r"timer_trigger\("),  # the host's leases and package
    Need("Storage Table Data Contributor", "storage", "shared/stores/tables.py", r"create_table\("),
    Need("Key Vault Secrets User", "vault", "shared/config/key_vault.py", r"https://vault\.azure\.net"),
    Need(
        "Monitoring Metrics Publisher",
        "applicationInsights",
        "shared/telemetry/application_insights.py",
        r"AzureMonitorTraceExporter\):",
    ),
    Need(
        "Cognitive Services OpenAI User", "openAi", "gateway.yaml", r"resource: https://cognitiveservices\.azure\.com"
    ),
    Need("Cognitive Services User", "contentSafety", "shared/backends/content_safety.py", r"azure\.ai\.contentsafety"),
    Need(
        "Azure Event Hubs Data Sender", "eventHubs", "shared/backends/event_hubs.py", r"https://eventhubs\.azure\.net"
    ),
}
DEPLOYER = {
    Need("Key Vault Secrets Officer", "vault", "infra/hooks/postprovision.sh", r"az keyvault secret set"),
    Need("Storage Table Data Contributor", "storage", "infra/hooks/postdeploy.sh", r"subscriptions create"),
}
OPTIONAL = {"openAi", "contentSafety", "eventHubs"}

# Services the gateway asks tokens for. A new one needs a role here, or a reason why it has none.
AUDIENCES = {
    "https://vault.azure.net": "Key Vault Secrets User",
    "https://eventhubs.azure.net": "Azure Event Hubs Data Sender",
    "https://cognitiveservices.azure.com": "Cognitive Services OpenAI User",
}
NO_ROLE = {
    "https://management.azure.com": "only the import command, with the developer's own login",
}


@dataclass(frozen=True)
class Grant:
    """A role assignment: whose, which, where, and the parameter whose being empty leaves it out."""

    principal: str
    role: str
    on: str
    unless_empty: str | None


def grants(source: Template) -> list[Grant]:
    guids = {name: plain(one.value) for name, one in (source.of("var") | read(MAIN).of("var")).items()}
    found = []
    for resource in source.of("resource").values():
        if resource.existing or not resource.type.startswith("Microsoft.Authorization/roleAssignments@"):
            continue
        body = resource.body
        definition = body.get("properties", "roleDefinitionId")
        assert isinstance(definition, Call) and plain(definition.function) == "subscriptionResourceId"
        assert plain(definition.arguments[0]) == "Microsoft.Authorization/roleDefinitions"
        guid = definition.arguments[1]
        assert isinstance(guid, Name)
        principal, scope = plain(body.get("properties", "principalId")), plain(body.get("scope"))
        # Worked out from what it grants, so that a second deployment finds the first one's assignment.
        name = body.get("name")
        assert isinstance(name, Call) and plain(name.function) == "guid", resource.name
        assert name.arguments == (Member(Name(str(scope)), "id"), Name(str(principal)), guid), resource.name
        kind = Text(("ServicePrincipal",)) if principal == "identityPrincipalId" else Name("principalType")
        assert body.get("properties", "principalType") == kind, resource.name
        condition = None
        if isinstance(resource.value, If):
            [condition] = [node.id for node in _names(resource.value.condition)]
        found.append(Grant(str(principal), ROLES[str(guids[guid.id])], str(scope), condition))
    return found


def _names(condition: object) -> list[Name]:
    match condition:
        case Name():
            return [condition]
        case Call(_, arguments):
            return [name for one in arguments for name in _names(one)]
    return [name for one in getattr(condition, "operands", ()) for name in _names(one)]


@pytest.mark.parametrize(("principal", "needs"), [("identityPrincipalId", GATEWAY), ("principalId", DEPLOYER)])
def test_roles_are_those_the_code_needs(principal: str, needs: set[Need]) -> None:
    granted = sorted((grant.role, grant.on) for grant in grants(template("roles")) if grant.principal == principal)
    assert granted == sorted((need.role, need.on) for need in needs)


def test_roles_are_given_to_nobody_else_and_nowhere_else() -> None:
    assert {grant.principal for grant in grants(template("roles"))} == {"identityPrincipalId", "principalId"}
    files = [source.path.stem for source, _ in made("Microsoft.Authorization/roleAssignments")]
    assert sorted(set(files)) == ["account-access", "roles"] and files.count("account-access") == 1


def test_roles_on_what_is_optional_are_left_out_with_it() -> None:
    for grant in grants(template("roles")):
        if grant.principal == "principalId":
            assert grant.unless_empty == "principalId"
        elif grant.on in OPTIONAL:
            assert grant.unless_empty is not None and grant.unless_empty.lower().startswith(grant.on.lower())
        else:
            assert grant.unless_empty is None, grant


@pytest.mark.parametrize("need", sorted(GATEWAY | DEPLOYER, key=str), ids=lambda need: f"{need.role} on {need.on}")
def test_every_role_is_still_needed(need: Need) -> None:
    """With the code that needs it a role goes, too."""
    assert re.search(need.line, (ROOT / need.file).read_text()), f"{need.file} does not need {need.role} any more"


def test_roles_on_existing_resources_are_the_same_as_on_new_ones() -> None:
    main = read(MAIN)
    for module, role in (
        ("openAiAccess", "Cognitive Services OpenAI User"),
        ("contentSafetyAccess", "Cognitive Services User"),
    ):
        given = plain(main.of("module")[module].body.get("params", "roleDefinitionGuid"))
        assert ROLES[str(plain(main.of("var")[str(given)].value))] == role
    [(_, assignment)] = [one for one in made("Microsoft.Authorization/roleAssignments") if one[0].path.stem != "roles"]
    name = assignment.body.get("name")
    assert isinstance(name, Call) and plain(name.function) == "guid"
    assert plain(assignment.body.get("scope")) == "account"
    # What is given elsewhere has to be taken back before the identity is gone.
    elsewhere = main.of("output")["GATEWAY_ROLES_ELSEWHERE"].value
    lists = [one for one in _arrays(elsewhere)]
    assert {plain(item) for one in lists for item in one.items} == {
        "existingOpenAiResourceId",
        "existingContentSafetyResourceId",
    }


def _arrays(value: object) -> list[Array]:
    if isinstance(value, Array):
        return [value]
    return [array for one in getattr(value, "arguments", ()) for array in _arrays(one)]


def token_audiences() -> set[str]:
    """Every Azure service that a text of the gateway's code, or gateway.yaml, is the token audience or scope of."""
    pattern = re.compile(r"(https://(?:[a-z]+\.)+(?:azure\.net|azure\.com|windows\.net))(?:/|/\.default)?")
    found = set(pattern.findall((ROOT / "gateway.yaml").read_text()))
    for file in sorted((ROOT / "shared").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and (whole := pattern.fullmatch(node.value))
            ):
                found.add(whole[1])
    return found


def test_services_that_tokens_are_asked_for_have_their_role() -> None:
    known = AUDIENCES.keys() | NO_ROLE.keys()
    assert token_audiences() - known == set()
    assert {need.role for need in GATEWAY} >= set(AUDIENCES.values())


def test_readme_tells_every_role() -> None:
    text = Path(INFRA / "README.md").read_text()
    assert [need.role for need in sorted(GATEWAY | DEPLOYER, key=str) if need.role not in text] == []
