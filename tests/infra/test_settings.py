"""App settings: what the code reads is what the deployment sets, and none of it is a secret in plain text."""

import ast
import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from shared.management.check import check
from shared.settings import SettingsError, from_environment, telemetry_settings
from tests.infra.bicep import read
from tests.infra.templates import INFRA, MAIN, ROOT, made, only, plain, root_of, settings_of, template
from tests.infra.tree import Array, Literal, Name, Object, Operation, Text, walk
from tests.support import local_run

# Read by the Functions host, the Python worker and the Azure SDKs.
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings
HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__tableServiceUri",
    "PYTHON_ENABLE_INIT_INDEXING",
    "PYTHON_ISOLATE_WORKER_DEPENDENCIES",
}
# Read by the code, and for this reason not set by the templates.
NOT_SET = {
    "AZURE_ARM_URL": "the import command's, on a developer's machine",
    "AZURE_AUTHORITY_HOST": "differs from its default in sovereign clouds only; extraSettings",
    "AZURE_FUNCTIONS_ENVIRONMENT": "set by the platform",
    "AZURE_OPENAI_API_KEY": "the identity is shown instead; with existingOpenAiEndpoint through secretSettings",
    "CONTAINER_NAME": "set by the platform",
    "CONTENT_SAFETY_KEY": "the identity is shown instead",
    "GATEWAY_CLIENT_IP_HEADER": "its default is right on Azure",
    "GATEWAY_CONFIG": "its default is the file that is deployed; extraSettings",
    "GATEWAY_RELOAD_SECONDS": "deployed files do not change",
    "GATEWAY_TABLES_CONNECTION_STRING": "keys are switched off; for the storage emulator",
    "NO_PROXY": "no proxy on Azure; extraSettings",
    "OTEL_METRIC_EXPORT_INTERVAL": "its default is OpenTelemetry's; extraSettings",
    "OTEL_SERVICE_NAME": "the name of the app is right; extraSettings",
    "REGION_NAME": "set by the platform",
    "REQUEST_METHOD": "set in CGI programs only, where the gateway does not run",
    "SSL_CERT_DIR": "the system's issuers are right; extraSettings",
    "SSL_CERT_FILE": "the system's issuers are right; extraSettings",
    "WEBSITE_INSTANCE_ID": "set by the platform",
    "WEBSITE_POD_NAME": "set by the platform",
    "WEBSITE_SITE_NAME": "set by the platform",
    "no_proxy": "no proxy on Azure; extraSettings",
}
# Set together with what they name.
OPTIONAL = {"CONTENT_SAFETY_ENDPOINT", "EVENT_HUBS_ENDPOINT"}
# The example gateway.yaml has no logger: whoever adds one takes its endpoint from here, as infra/README.md tells.
FOR_OWN_GATEWAY_YAML = {"EVENT_HUBS_ENDPOINT"}

# https://learn.microsoft.com/azure/azure-functions/functions-app-settings "Flex Consumption plan deprecations"
NOT_ON_FLEX = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_TIME_ZONE",
    "WEBSITE_VNET_ROUTE_ALL",
}
SITE_NOT_ON_FLEX = {"linuxFxVersion", "alwaysOn", "vnetRouteAllEnabled", "preWarmedInstanceCount", "appSettings"}


def app_settings() -> dict[str, tuple[Any, bool]]:
    settings = only("Microsoft.Web/sites/config")
    assert plain(settings.get("name")) == "appsettings"
    return settings_of(template("function-app"), settings.get("properties"))


def settings_read() -> set[str]:
    """Environment variables the code and gateway.yaml ask for."""
    declared = YAML(typ="safe").load((ROOT / "gateway.yaml").read_text())["named_values"].values()
    found = {str(value["env"]) for value in declared if "env" in value}
    for file in [ROOT / "function_app.py", *sorted((ROOT / "shared").rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text())):
            source, name = looked_up(node)
            where = getattr(source, "attr", getattr(source, "id", ""))
            if where in ("env", "environ", "environment") and isinstance(name, str):
                found.add(name)
    return found


def looked_up(node: ast.AST) -> tuple[ast.expr | None, object]:
    """A mapping and the constant key it is asked for: `m.get(key)`, `m[key]`, `key in m`, `getenv(key)`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="getenv"), args=[ast.Constant(value=name), *_]):
            return ast.Name("environ"), name
        case ast.Call(func=ast.Attribute(value=source), args=[ast.Constant(value=name), *_]):
            return source, name
        case ast.Subscript(value=source, slice=ast.Constant(value=name)):
            return source, name
        case ast.Compare(left=ast.Constant(value=name), comparators=[source]):
            return source, name
    return None, None


def test_settings_the_code_reads_are_set_and_no_others() -> None:
    read_here, set_here = settings_read(), set(app_settings())
    assert read_here - set_here - NOT_SET.keys() == set(), "read by the code, not set"
    assert set_here - read_here - HOST - FOR_OWN_GATEWAY_YAML == set(), "set, read by nobody"
    assert HOST - set_here == set(), "the host needs them"
    assert NOT_SET.keys() - (read_here - set_here) == set(), "no longer read, or set after all"


def test_settings_the_code_reads_are_told() -> None:
    told = (ROOT / "README.md").read_text() + (INFRA / "README.md").read_text()
    not_the_users = {"set by the platform", "the import command's", "set in CGI programs"}
    own = {name for name in settings_read() if not NOT_SET.get(name, "").startswith(tuple(not_the_users))}
    assert {name for name in own if f"`{name.upper()}`" not in told} == set()


def test_the_local_sample_starts_the_demo() -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert values["AZURE_OPENAI_ENDPOINT"] == f"http://127.0.0.1:{local_run.BACKEND_PORT}"
    assert values["AZURE_OPENAI_API_KEY"] == local_run.DEMO_KEY
    settings = from_environment(values, base=ROOT, local=True)
    assert settings.config == ROOT / "gateway.yaml" and settings.tables_connection_string is not None


def test_settings_of_optional_services_come_with_them_and_are_told() -> None:
    settings = app_settings()
    conditional = {name for name, (_, condition) in settings.items() if condition}
    python = {"PYTHON_ENABLE_INIT_INDEXING", "PYTHON_ISOLATE_WORKER_DEPENDENCIES"}
    assert conditional == OPTIONAL | python
    text = (INFRA / "README.md").read_text()
    assert [name for name in FOR_OWN_GATEWAY_YAML if f"env: {name}" not in text] == []
    assert OPTIONAL <= read(MAIN).of("output").keys()


def test_python_3_12_alone_is_told_what_3_13_does_by_itself() -> None:
    choice = template("function-app").of("var")["pythonSettings"].value
    assert isinstance(choice, Operation) and choice.operator == "?"
    condition, then, otherwise = choice.operands
    assert condition == Operation("==", (Name("pythonVersion"), Text(("3.12",))))
    assert {value.plain for _, value in then.items} == {"1"} and otherwise == Object(())  # type: ignore[union-attr]
    [(_, allowed)] = [
        (one, call)
        for one in [read(MAIN).of("param")["pythonVersion"]]
        for call in one.decorators
        if call.arguments and plain(call.function) == "allowed"
    ]
    assert isinstance(allowed.arguments[0], Array)
    assert [plain(item) for item in allowed.arguments[0].items] == ["3.12", "3.13"]


def test_secrets_are_references_to_key_vault() -> None:
    # With local authentication off this string lets nobody write.
    not_secret = {"APPLICATIONINSIGHTS_CONNECTION_STRING"}
    secret_names = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CONNECTION_?STRING", re.I)
    looked_at = []
    for name, (value, _) in app_settings().items():
        if secret_names.search(name) and name not in not_secret:
            looked_at.append(name)
            assert isinstance(value, Text) and str(value.parts[0]).startswith("@Microsoft.KeyVault(VaultName="), name
            assert str(value.parts[-1]) == ")", name
    assert sorted(looked_at) == ["GATEWAY_ALL_ACCESS_KEY", "GATEWAY_KEY_HASH_SECRET"]
    mapped = template("function-app").of("var")["keyVaultSettings"].value
    [text] = [node for node in walk(mapped) if isinstance(node, Text)]
    assert text.parts[0] == "@Microsoft.KeyVault(VaultName=" and Name("keyVaultName") in text.parts


@pytest.mark.parametrize("name", ["GATEWAY_KEY_HASH_SECRET", "GATEWAY_ALL_ACCESS_KEY"])
def test_a_reference_that_is_not_resolved_is_no_secret(name: str) -> None:
    """Its text is in the templates: as a key it would open the gateway to whoever reads them."""
    value, _ = app_settings()[name]
    text = "".join(part if isinstance(part, str) else "x" for part in value.parts)
    environment = {"GATEWAY_KEY_HASH_SECRET": "0" * 64, "GATEWAY_ALL_ACCESS_KEY": "1" * 64, name: text}
    with pytest.raises(SettingsError, match=name):
        from_environment(environment, base=ROOT, local=False)


def test_the_app_waits_for_its_roles_and_its_routes() -> None:
    waits = read(MAIN).of("module")["functionApp"].body.get("dependsOn")
    assert isinstance(waits, Array)
    assert {plain(one) for one in waits.items} == {"roles", "storagePrivateEndpoints", "keyVaultPrivateEndpoint"}


def test_secrets_are_made_by_the_hook_under_the_names_the_app_reads() -> None:
    main = read(MAIN)
    params = main.of("module")["functionApp"].body.get("params")
    assert isinstance(params, Object)
    for param, output in (
        ("keyHashSecretName", "GATEWAY_KEY_HASH_SECRET_NAME"),
        ("allAccessKeyName", "GATEWAY_ALL_ACCESS_KEY_NAME"),
    ):
        assert params.get(param) == main.of("output")[output].value
        assert output in (INFRA / "hooks" / "postprovision.sh").read_text()
    # A value the templates made would be another one at the next deployment.
    assert made("Microsoft.KeyVault/vaults/secrets") == []


def test_users_settings_replace_defaults_but_not_the_gateways_own() -> None:
    """The last of a union wins."""
    merged = only("Microsoft.Web/sites/config").get("properties")
    order = [plain(one) for one in merged.arguments]  # type: ignore[union-attr]
    assert order[:3] == ["telemetryDefaults", "extraSettings", "keyVaultSettings"] and order[-2:] == [
        "gatewaySettings",
        "hostSettings",
    ]


def test_limits_know_how_far_the_app_scales_out() -> None:
    value, _ = app_settings()["GATEWAY_MAX_INSTANCES"]
    assert [node for node in walk(value) if isinstance(node, Name)][-1] == Name("maximumInstanceCount")
    scale = only("Microsoft.Web/sites").get("properties", "functionAppConfig", "scaleAndConcurrency")
    assert isinstance(scale, Object) and scale.get("maximumInstanceCount") == Name("maximumInstanceCount")


def test_flex_consumption_has_what_it_needs() -> None:
    plan, site = only("Microsoft.Web/serverfarms"), only("Microsoft.Web/sites")
    assert (plain(plan.get("sku", "name")), plain(plan.get("sku", "tier"))) == ("FC1", "FlexConsumption")
    assert plan.get("properties", "reserved") == Literal(True)
    assert plain(site.get("kind")) == "functionapp,linux"
    assert plain(site.get("identity", "type")) == "UserAssigned"
    assert Text(("azd-service-name",)) in walk(site.get("tags"))

    config = site.get("properties", "functionAppConfig")
    assert isinstance(config, Object)
    storage = config.get("deployment", "storage")
    assert isinstance(storage, Object) and plain(storage.get("type")) == "blobContainer"
    assert plain(storage.get("authentication", "type")) == "UserAssignedIdentity"
    assert plain(storage.get("authentication", "userAssignedIdentityResourceId")) == "identityId"
    assert Name("deploymentContainerName") in walk(storage.get("value"))

    scale = config.get("scaleAndConcurrency")
    assert isinstance(scale, Object) and plain(scale.get("instanceMemoryMB")) == "instanceMemoryMB"
    # Without it Python gets 1: an instance for each open stream.
    assert plain(scale.get("triggers", "http", "perInstanceConcurrency")) == "perInstanceConcurrency"
    assert {Text(("http",)), Name("alwaysReadyInstances")} <= set(walk(scale.get("alwaysReady")))
    assert plain(config.get("runtime", "name")) == "python"
    assert plain(config.get("runtime", "version")) == "pythonVersion"

    defaults = {name: plain(param.value) for name, param in read(MAIN).of("param").items()}
    assert (defaults["instanceMemoryMB"], defaults["pythonVersion"]) == (2048, "3.13")
    assert isinstance(defaults["perInstanceConcurrency"], int) and defaults["perInstanceConcurrency"] > 1


def test_flex_consumption_has_nothing_it_refuses() -> None:
    assert set(app_settings()) & NOT_ON_FLEX == set()
    site = only("Microsoft.Web/sites").get("properties")
    keys = {key.plain for node in walk(site) if isinstance(node, Object) for key, _ in node.items}
    assert keys & SITE_NOT_ON_FLEX == set()


@pytest.mark.parametrize(
    ("type", "path", "value"),
    [
        ("Microsoft.Web/sites", "httpsOnly", True),
        ("Microsoft.Web/sites", "functionsRuntimeAdminIsolationEnabled", True),
        ("Microsoft.Web/sites", "keyVaultReferenceIdentity", "identityId"),
        ("Microsoft.Web/sites", "siteConfig.minTlsVersion", "1.2"),
        ("Microsoft.Web/sites", "siteConfig.scmMinTlsVersion", "1.2"),
        ("Microsoft.Web/sites", "siteConfig.ftpsState", "Disabled"),
        ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "allow", False),
        ("Microsoft.Storage/storageAccounts", "allowSharedKeyAccess", False),
        ("Microsoft.Storage/storageAccounts", "allowBlobPublicAccess", False),
        ("Microsoft.Storage/storageAccounts", "minimumTlsVersion", "TLS1_2"),
        ("Microsoft.Storage/storageAccounts", "supportsHttpsTrafficOnly", True),
        ("Microsoft.Storage/storageAccounts/blobServices/containers", "publicAccess", "None"),
        ("Microsoft.KeyVault/vaults", "enableRbacAuthorization", True),
        ("Microsoft.KeyVault/vaults", "enableSoftDelete", True),
        ("Microsoft.Insights/components", "DisableLocalAuth", True),
        ("Microsoft.CognitiveServices/accounts", "disableLocalAuth", True),
        ("Microsoft.EventHub/namespaces", "disableLocalAuth", True),
        ("Microsoft.EventHub/namespaces", "minimumTlsVersion", "1.2"),
    ],
)
def test_resources_take_no_keys_and_no_weak_transport(type: str, path: str, value: object) -> None:
    bodies = [resource.body for _, resource in made(type)]
    assert bodies
    assert [plain(body.get("properties", *path.split("."))) for body in bodies] == [value] * len(bodies)


def test_a_deleted_vault_can_be_purged() -> None:
    """Purge protection cannot be switched off again, and would keep the name taken."""
    assert only("Microsoft.KeyVault/vaults").get("properties", "enablePurgeProtection") is None


@pytest.mark.parametrize("type", ["Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"])
def test_isolated_data_is_reached_privately_or_from_one_address(type: str) -> None:
    properties = only(type).get("properties")
    assert isinstance(properties, Object)
    assert {Name("isolated"), Name("allowedIpAddress"), Text(("Disabled",))} <= set(
        walk(properties.get("publicNetworkAccess"))
    )
    rule = properties.get("networkAcls", "defaultAction")
    assert rule == Operation("?", (Name("isolated"), Text(("Deny",)), Text(("Allow",))))


def test_everything_isolated_has_a_private_endpoint_and_its_zones() -> None:
    main = read(MAIN)
    isolated = {name for name, module in main.of("module").items() if module.body.get("params", "isolated") is not None}
    assert {str(plain(main.of("module")[name].body.get("params", "isolated"))) for name in isolated} == {"vnetEnabled"}
    endpoints = [module for module in main.of("module").values() if module.type == "app/private-endpoint.bicep"]
    reached = {root_of(one.body.get("params", "targetId")) for one in endpoints}
    assert reached == isolated == {"storage", "keyVault", "openAi", "contentSafety", "eventHubs"}
    zones = template("network").of("var")["zoneNames"].value
    assert isinstance(zones, Array)
    made_zones = {_shape(zone) for zone in zones.items}
    for one in endpoints:
        wanted = one.body.get("params", "zoneNames")
        assert isinstance(wanted, Array)
        for zone in wanted.items:
            services = ("blob", "table") if Name("service") in walk(zone) else ("",)
            assert {_shape(zone, service) for service in services} <= made_zones


def _shape(zone: Any, service: str = "") -> str:
    return "".join(
        part if isinstance(part, str) else service if part == Name("service") else "<suffix>" for part in zone.parts
    )


def test_the_gateway_alone_tells_of_requests() -> None:
    """The host would send a second item for each call. Its log category of them can be switched off, but not where it
    exports by OpenTelemetry: https://github.com/Azure/azure-functions-host/issues/11540"""
    host = json.loads((ROOT / "host.json").read_text())
    assert "telemetryMode" not in host
    assert host["logging"]["logLevel"]["Host.Results"] == "None"
    to_insights = host["logging"]["applicationInsights"]
    assert to_insights["enableDependencyTracking"] is False
    assert to_insights["samplingSettings"]["isEnabled"] is True
    worker = {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "PYTHON_ENABLE_OPENTELEMETRY"}
    assert worker & app_settings().keys() == set()


def test_the_hosts_lines_about_each_call_are_left_out_and_the_gateways_stay() -> None:
    levels = json.loads((ROOT / "host.json").read_text())["logging"]["logLevel"]
    [name] = re.findall(r'function_name\("(zz_\w+)"\)', (ROOT / "function_app.py").read_text())
    assert (levels[f"Function.{name}"], levels[f"Function.{name}.User"]) == ("Warning", "Information")


def test_telemetry_is_published_with_the_identity() -> None:
    value, _ = app_settings()["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    assert value == Text(("ClientId=", Name("identityClientId"), ";Authorization=AAD"))


def test_sampling_is_said_and_is_one_the_code_knows() -> None:
    set_here = {name: plain(value) for name, (value, _) in app_settings().items() if name.startswith("OTEL_")}
    assert set_here.keys() == {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    telemetry = telemetry_settings({"APPLICATIONINSIGHTS_CONNECTION_STRING": "x", **set_here})
    assert telemetry is not None and telemetry.sampler == "microsoft.rate_limited"


def test_azure_yaml_names_the_service_the_app_is_tagged_with() -> None:
    text = (ROOT / "azure.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=https://raw.githubusercontent.com/Azure/azure-dev/")
    document = YAML(typ="safe").load(text)
    assert list(document["services"]) == ["api"]
    assert document["services"]["api"] == {"project": ".", "language": "python", "host": "function"}
    tags = only("Microsoft.Web/sites").get("tags")
    assert Object(((Text(("azd-service-name",)), Text(("api",))),)) in walk(tags)


def test_what_runs_on_azure_is_all_that_is_deployed() -> None:
    ignored = (ROOT / ".funcignore").read_text().split()
    for name in ("infra", "tests", "azure.yaml", ".azure", ".venv*", "local.settings.json", ".run"):
        assert name in ignored


def test_the_logger_the_readme_shows_can_be_used(tmp_path: Path) -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", (INFRA / "README.md").read_text(), re.DOTALL)
    yaml = YAML(typ="safe")
    document, added = yaml.load((ROOT / "gateway.yaml").read_text()), yaml.load(shown)
    document["named_values"] |= added["named_values"]
    document["loggers"] = added["loggers"]
    file = tmp_path / "gateway.yaml"
    yaml.dump(document, file)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    for endpoint, fits in (("https://evhns-x.servicebus.windows.net", True), ("evhns-x", False)):
        environment = {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com", "EVENT_HUBS_ENDPOINT": endpoint}
        problems = asyncio.run(check(file, environment, placeholders=False))
        assert (problems == []) is fits, problems
