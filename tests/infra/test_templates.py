"""What the Bicep compiler would say, as far as it can be said without it: names, modules, parameters, API versions."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.infra.bicep import read
from tests.infra.templates import INFRA, MAIN, made, module_template, plain, templates
from tests.infra.tree import (
    Call,
    Declaration,
    Expression,
    For,
    Index,
    Lambda,
    Member,
    Name,
    Object,
    Template,
    children,
    walk,
)

# Each was looked up in the published types (https://github.com/Azure/bicep-types-az, generated/<provider>) in
# November 2026. A new one is looked up there before it is put here.
API_VERSIONS = {
    "Microsoft.Authorization": "2022-04-01",
    "Microsoft.CognitiveServices": "2024-10-01",
    "Microsoft.EventHub": "2024-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.KeyVault": "2023-07-01",
    "Microsoft.ManagedIdentity": "2023-01-31",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateEndpoints": "2024-05-01",
    "Microsoft.Network/virtualNetworks": "2024-05-01",
    "Microsoft.OperationalInsights": "2023-09-01",
    "Microsoft.Resources": "2024-03-01",
    "Microsoft.Storage": "2024-01-01",
    "Microsoft.Web": "2024-04-01",
}
# The properties the templates give these types, looked up in the same place. Services leave out silently what they do
# not know, so a misspelled name would be a setting that is not there.
PROPERTIES = {
    "Microsoft.CognitiveServices/accounts": """customSubDomainName disableLocalAuth publicNetworkAccess networkAcls
        networkAcls.defaultAction""",
    "Microsoft.CognitiveServices/accounts/deployments": """model model.format model.name model.version
        versionUpgradeOption""",
    "Microsoft.EventHub/namespaces": "disableLocalAuth minimumTlsVersion publicNetworkAccess",
    "Microsoft.EventHub/namespaces/eventhubs": "partitionCount messageRetentionInDays",
    "Microsoft.Insights/workbooks": "displayName description category sourceId version serializedData",
    "Microsoft.KeyVault/vaults": """tenantId sku sku.family sku.name accessPolicies enableRbacAuthorization
        enableSoftDelete softDeleteRetentionInDays publicNetworkAccess networkAcls networkAcls.bypass
        networkAcls.defaultAction networkAcls.ipRules networkAcls.ipRules.value""",
    "Microsoft.OperationalInsights/workspaces": """sku sku.name retentionInDays features features.disableLocalAuth
        features.enableLogAccessUsingOnlyResourcePermissions""",
    "Microsoft.Storage/storageAccounts": """allowBlobPublicAccess allowSharedKeyAccess defaultToOAuthAuthentication
        minimumTlsVersion supportsHttpsTrafficOnly publicNetworkAccess networkAcls networkAcls.bypass
        networkAcls.defaultAction networkAcls.ipRules networkAcls.ipRules.action networkAcls.ipRules.value""",
    # functionsRuntimeAdminIsolationEnabled is in the documentation only:
    # https://learn.microsoft.com/azure/azure-functions/functions-app-settings#functionsruntimeadminisolationenabled
    "Microsoft.Web/sites": """serverFarmId httpsOnly functionsRuntimeAdminIsolationEnabled keyVaultReferenceIdentity
        virtualNetworkSubnetId siteConfig siteConfig.minTlsVersion siteConfig.scmMinTlsVersion siteConfig.ftpsState
        siteConfig.http20Enabled functionAppConfig functionAppConfig.deployment functionAppConfig.deployment.storage
        functionAppConfig.deployment.storage.type functionAppConfig.deployment.storage.value
        functionAppConfig.deployment.storage.authentication
        functionAppConfig.deployment.storage.authentication.type
        functionAppConfig.deployment.storage.authentication.userAssignedIdentityResourceId
        functionAppConfig.scaleAndConcurrency functionAppConfig.scaleAndConcurrency.instanceMemoryMB
        functionAppConfig.scaleAndConcurrency.maximumInstanceCount functionAppConfig.scaleAndConcurrency.alwaysReady
        functionAppConfig.scaleAndConcurrency.alwaysReady.name
        functionAppConfig.scaleAndConcurrency.alwaysReady.instanceCount
        functionAppConfig.scaleAndConcurrency.triggers functionAppConfig.scaleAndConcurrency.triggers.http
        functionAppConfig.scaleAndConcurrency.triggers.http.perInstanceConcurrency functionAppConfig.runtime
        functionAppConfig.runtime.name functionAppConfig.runtime.version""",
}
# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
FUNCTIONS = frozenset(
    "concat empty environment filter guid items join last loadJsonContent loadTextContent map replace resourceGroup "
    "resourceId split string subscription subscriptionResourceId tenant toLower toObject union uniqueString".split()
)
DECORATORS = frozenset("allowed description maxLength maxValue metadata minLength minValue secure".split())
DECLARED = ("param", "var", "resource", "module")

each_template = pytest.mark.parametrize("template", templates(), ids=lambda template: template.path.stem)


def free_names(node: Expression, bound: frozenset[str] = frozenset()) -> Iterator[str]:
    """Symbols a node refers to; functions with brackets behind their name."""
    match node:
        case Name(id):
            if id not in bound:
                yield id
        case Call(Name(id), arguments):
            yield f"{id}()"
            for argument in arguments:
                yield from free_names(argument, bound)
        case Lambda(names, body):
            yield from free_names(body, bound | frozenset(names))
        case For(names, source, body):
            yield from free_names(source, bound)
            yield from free_names(body, bound | frozenset(names))
        case _:
            for child in children(node):
                yield from free_names(child, bound)


def names_in(template: Template) -> Iterator[tuple[Declaration, str]]:
    for one in template.declarations:
        if one.value is not None:
            yield from ((one, name) for name in free_names(one.value))


@each_template
def test_every_name_is_declared(template: Template) -> None:
    declared = {one.name for one in template.declarations if one.kind in DECLARED}
    known = declared | {f"{name}()" for name in FUNCTIONS}
    unknown = [f"{template.path.name}:{one.line}: {name}" for one, name in names_in(template) if name not in known]
    unknown += [
        f"{template.path.name}:{one.line}: @{plain(call.function)}"
        for one in template.declarations
        for call in one.decorators
        if plain(call.function) not in DECORATORS
    ]
    assert not unknown


@each_template
def test_everything_declared_is_used(template: Template) -> None:
    used = {name for _, name in names_in(template)}
    unused = [one.name for one in template.declarations if one.kind in ("param", "var") and one.name not in used]
    assert not unused


@each_template
def test_modules_get_what_they_ask_for_and_nothing_else(template: Template) -> None:
    for module in template.of("module").values():
        assert re.fullmatch(r"app/[a-z-]+\.bicep", module.type), f"{module.name}: {module.type} is no file of infra/app"
        target = module_template(template, module)
        params = module.body.get("params")
        assert isinstance(params, Object)
        given = {str(key.plain) for key, _ in params.items}
        known = target.of("param")
        required = {name for name, param in known.items() if param.value is None}
        assert given <= set(known), f"{module.name} is given {given - set(known)}"
        assert required <= given, f"{module.name} lacks {required - given}"
        assert module.body.get("name") is not None and module.body.get("scope") is not None


@each_template
def test_outputs_that_are_used_exist(template: Template) -> None:
    modules = template.of("module")
    for one in template.declarations:
        for node in walk(one.value):
            match node:
                case Member(Member(Name(id) | Index(Name(id)), "outputs"), output) if id in modules:
                    target = module_template(template, modules[id])
                    assert output in target.of("output"), f"{template.path.name}:{one.line}: {id} has no {output}"


@each_template
def test_references_to_modules_and_parents_are_of_the_right_kind(template: Template) -> None:
    for one in template.declarations:
        if one.kind not in ("resource", "module"):
            continue
        depends = one.body.get("dependsOn")
        for item in getattr(depends, "items", ()):
            assert plain(item) in {**template.of("resource"), **template.of("module")}, f"{one.name} waits for {item}"
        parent = one.body.get("parent")
        if one.kind == "resource" and one.type.count("/") > 1:
            parent = parent.base if isinstance(parent, Index) else parent
            above = template.of("resource")[str(plain(parent))].type
            assert one.type.partition("@")[0].rpartition("/")[0] == above.partition("@")[0], one.name
        else:
            assert parent is None, f"{one.name} is no child"


def test_every_template_is_part_of_the_deployment() -> None:
    main = read(MAIN)
    assert {module.type for module in main.of("module").values()} == {
        str(path.relative_to(INFRA)) for path in INFRA.rglob("*.bicep") if path != MAIN
    }


@each_template
def test_api_versions_are_known(template: Template) -> None:
    for resource in template.of("resource").values():
        match = re.fullmatch(r"(Microsoft\.[A-Za-z]+)((?:/[A-Za-z]+)+)@(\d{4}-\d{2}-\d{2})", resource.type)
        assert match, f"{resource.name}: {resource.type}"
        family = f"{match[1]}/{match[2].split('/')[1]}"
        assert match[3] == API_VERSIONS.get(family, API_VERSIONS.get(match[1])), resource.type


def test_api_versions_have_a_use() -> None:
    used = {resource.type for template in templates() for resource in template.of("resource").values()}
    assert [name for name in API_VERSIONS if not any(re.match(rf"{name}[/@]", type) for type in used)] == []


def property_paths(node: Expression, prefix: str = "") -> Iterator[str]:
    """Dotted names of an object's properties, through arrays, choices and functions that merge."""
    if isinstance(node, Object):
        for key, value in node.items:
            yield prefix + str(key.plain)
            yield from property_paths(value, f"{prefix}{key.plain}.")
    else:
        for child in children(node):
            yield from property_paths(child, prefix)


@pytest.mark.parametrize("type", sorted(PROPERTIES))
def test_properties_are_known(type: str) -> None:
    bodies = [resource.body.get("properties") for _, resource in made(type)]
    used = {path for body in bodies if body is not None for path in property_paths(body)}
    assert used == set(PROPERTIES[type].split())


def test_parameters_file_fits_the_template_and_feeds_nothing_back() -> None:
    document = json.loads((INFRA / "main.parameters.json").read_text())
    main = read(MAIN)
    given = document["parameters"]
    assert set(given) == set(main.of("param"))
    variables: dict[str, str] = {}
    for name, entry in given.items():
        match entry["value"]:
            case str() as text:
                match = re.fullmatch(r"\$\{([A-Z][A-Z0-9_]*)(?:=(.*))?\}", text)
                assert match, f"{name}: {text}"
                assert match[1] not in variables, f"{match[1]} is used twice"
                variables[match[1]] = name
                declared = main.of("param")[name].value
                if match[2] is not None and declared is not None:
                    expected = plain(declared)
                    assert match[2] == (str(expected).lower() if isinstance(expected, bool) else str(expected)), name
            case value:
                assert value == {} and main.of("param")[name].type == "object", f"{name}: {value}"
    # azd puts outputs into the environment the next deployment takes its parameters from: one that came back would make
    # a created resource look like an existing one.
    assert set(variables) & set(main.of("output")) == {"AZURE_LOCATION"}


def test_outputs_are_variables_and_hold_no_secret() -> None:
    main = read(MAIN)
    for name, output in main.of("output").items():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
        assert output.type == "string"
    for template in templates():
        secure = {
            one.name for one in template.declarations for call in one.decorators if plain(call.function) == "secure"
        }
        for one in template.declarations:
            where = f"{template.path.name}:{one.line}"
            for node in walk(one.value):
                # listKeys, listSecrets, getSecret and the like; a function of a resource is a member here.
                called = node.function if isinstance(node, Call) else None
                word = called.id if isinstance(called, Name) else called.name if isinstance(called, Member) else ""
                assert not re.match(r"list[A-Z]|getSecret|newGuid|utcNow", word), f"{where}: {word}"
                if one.kind == "output":
                    assert not (isinstance(node, Name) and node.id in secure), f"{where}: {one.name}"
                    member = node.name if isinstance(node, Member) else ""
                    assert not re.search(r"connectionstring|instrumentationkey|keys?$", member, re.I), (
                        f"{where}: {member}"
                    )


def test_resources_are_tagged_with_the_environment() -> None:
    taggable = ("Microsoft.Web/sites", "Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults")
    for type in (*taggable, "Microsoft.CognitiveServices/accounts", "Microsoft.Resources/resourceGroups"):
        for _, resource in made(type):
            tags = resource.body.get("tags")
            assert tags is not None and Name("tags") in walk(tags), resource.name
    tags = read(MAIN).of("var")["tags"].value
    assert isinstance(tags, Object) and tags.get("azd-env-name") == Name("environmentName")
