"""What the environment decides, read once: where the configuration lies, where state is kept, which secrets exist."""

import math
import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOCAL_STATE = ".run"
# OTEL_TRACES_SAMPLER with the default and the highest OTEL_TRACES_SAMPLER_ARG.
# https://learn.microsoft.com/azure/azure-monitor/app/opentelemetry-sampling
SAMPLERS = {
    "microsoft.rate_limited": (100.0, float("inf")),
    "microsoft.fixed_percentage": (1.0, 1.0),
    "always_on": (0.0, float("inf")),
    "always_off": (0.0, float("inf")),
}
# What an app setting holds while its Key Vault reference is not resolved (no such secret, no role yet): a text anybody
# can know. https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
UNRESOLVED = "@Microsoft.KeyVault("


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Where telemetry goes and how much of it. `connection_string` is Application Insights'; `service_name` and
    `instance` are its cloud role and role instance. `sampler` is one of SAMPLERS with its argument: requests per second
    or a share from 0 to 1. Metrics are sent every `metric_seconds`."""

    connection_string: str = field(repr=False)
    service_name: str = "gateway"
    instance: str = ""
    sampler: str = "microsoft.rate_limited"
    sampler_argument: float = 100.0
    metric_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Typed environment. `key_hash_secret` keys the hashes subscription keys are stored as; `all_access_key` is the
    built-in subscription's key (None: there is none). `tables_connection_string` or `tables_endpoint` name the storage
    account; with neither the gateway keeps state in memory. `max_instances`: how many processes the app scales out to,
    which bounds what a fresh one admits while storage is away. `telemetry` is None without a connection string."""

    config: Path
    key_hash_secret: bytes
    all_access_key: str | None = None
    tables_connection_string: str | None = None
    tables_endpoint: str | None = None
    identity_client_id: str | None = None
    region: str = "local"
    service_name: str = "gateway"
    client_ip_header: str | None = None
    reload_seconds: float = 0
    max_instances: int = 40
    telemetry: TelemetrySettings | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class SettingsError(Exception):
    """The environment lacks something the gateway cannot run without."""


def from_environment(environment: Mapping[str, str] | None = None, *, base: Path, local: bool) -> Settings:
    """Settings from app settings. `base` is the folder of function_app.py; `local` allows secrets made on the spot,
    kept in the ignored folder `.run`. SettingsError when a deployed app has no key-hash secret, a secret is still the
    text of a Key Vault reference, or a value cannot be what it is for."""
    env = dict(os.environ if environment is None else environment)
    for name in ("GATEWAY_KEY_HASH_SECRET", "GATEWAY_ALL_ACCESS_KEY", "GATEWAY_TABLES_CONNECTION_STRING"):
        if env.get(name, "").startswith(UNRESOLVED):
            raise SettingsError(f"the Key Vault reference in app setting {name} is not resolved")
    secret = env.get("GATEWAY_KEY_HASH_SECRET")
    all_access = env.get("GATEWAY_ALL_ACCESS_KEY")
    if not secret:
        if not local:
            raise SettingsError("app setting GATEWAY_KEY_HASH_SECRET is missing")
        secret = _local_secret(base, "key-hash-secret")
        all_access = all_access or _local_secret(base, "all-access-key")
    config = config_file(env)
    reload_seconds = env.get("GATEWAY_RELOAD_SECONDS")
    max_instances = env.get("GATEWAY_MAX_INSTANCES")
    return Settings(
        config=config if config.is_absolute() else base / config,
        key_hash_secret=secret.encode(),
        all_access_key=all_access or None,
        tables_connection_string=_storage_account(env.get("GATEWAY_TABLES_CONNECTION_STRING")),
        tables_endpoint=_table_endpoint(env.get("GATEWAY_TABLES_ENDPOINT")),
        identity_client_id=env.get("AZURE_CLIENT_ID") or None,
        region=env.get("REGION_NAME") or "local",
        service_name=env.get("WEBSITE_SITE_NAME") or "gateway",
        client_ip_header=env.get("GATEWAY_CLIENT_IP_HEADER") or (None if local else "x-forwarded-for"),
        reload_seconds=_number("GATEWAY_RELOAD_SECONDS", reload_seconds, 0, 0, 86_400),
        max_instances=int(_number("GATEWAY_MAX_INSTANCES", max_instances, 40, 1, 10_000)),
        telemetry=telemetry_settings(env),
        environment=env,
    )


def config_file(environment: Mapping[str, str]) -> Path:
    """The configuration as the environment names it."""
    return Path(environment.get("GATEWAY_CONFIG") or "gateway.yaml")


def telemetry_settings(environment: Mapping[str, str]) -> TelemetrySettings | None:
    """What OpenTelemetry's and Application Insights' app settings say; None without a connection string. SettingsError
    when a value is not one of those there are."""
    connection_string = environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING")
    if not connection_string:
        return None
    sampler = environment.get("OTEL_TRACES_SAMPLER") or "microsoft.rate_limited"
    if sampler not in SAMPLERS:
        raise SettingsError(f"app setting OTEL_TRACES_SAMPLER is {sampler}, not one of {', '.join(SAMPLERS)}")
    default, most = SAMPLERS[sampler]
    interval = environment.get("OTEL_METRIC_EXPORT_INTERVAL")
    return TelemetrySettings(
        connection_string.strip().rstrip(";"),
        service_name=environment.get("OTEL_SERVICE_NAME") or environment.get("WEBSITE_SITE_NAME") or "gateway",
        instance=_instance(environment),
        sampler=sampler,
        sampler_argument=_number(
            "OTEL_TRACES_SAMPLER_ARG", environment.get("OTEL_TRACES_SAMPLER_ARG"), default, 0, most
        ),
        metric_seconds=_number("OTEL_METRIC_EXPORT_INTERVAL", interval, 60_000, 100, 86_400_000) / 1000,
    )


def _storage_account(connection_string: str | None) -> str | None:
    """The connection string. The SettingsError of one that names no account does not repeat it: it may hold a key."""
    if not connection_string:
        return None
    names = {part.partition("=")[0].strip().lower() for part in connection_string.split(";")}
    if not names & {"accountname", "tableendpoint", "usedevelopmentstorage"}:
        raise SettingsError("app setting GATEWAY_TABLES_CONNECTION_STRING is no storage account's connection string")
    return connection_string


def _table_endpoint(url: str | None) -> str | None:
    if url and not url.startswith(("https://", "http://")):
        raise SettingsError(
            f"app setting GATEWAY_TABLES_ENDPOINT is {url}, not https://<account>.table.core.windows.net"
        )
    return url or None


def _instance(environment: Mapping[str, str]) -> str:
    """The name of the machine, as the Functions host has it: of a Flex Consumption instance it is the pod's."""
    on_azure = environment.get("WEBSITE_INSTANCE_ID") or environment.get("WEBSITE_POD_NAME")
    return on_azure or environment.get("CONTAINER_NAME") or platform.node()


def _number(name: str, text: str | None, default: float, least: float, most: float) -> float:
    """The number an app setting holds, from `least` to `most`."""
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise SettingsError(f"app setting {name} is {text}, not a number from {least:g} to {most:g}")
    return number


def is_local(environment: Mapping[str, str]) -> bool:
    """Whether this is a developer's machine: App Service and Functions name their site, Core Tools say Development."""
    return "WEBSITE_SITE_NAME" not in environment or environment.get("AZURE_FUNCTIONS_ENVIRONMENT") == "Development"


def _local_secret(base: Path, name: str) -> str:
    """A random secret that stays the same between runs; the first process to ask makes it."""
    folder = base / LOCAL_STATE
    folder.mkdir(exist_ok=True)
    file = folder / name
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return file.read_text().strip()
