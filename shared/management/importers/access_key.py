"""The access key of a backend: a header or query parameter whose value is a named value, never the key itself."""

import re
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from shared.management.importers.importer import Entry, ImportFailed, Outside, Setting

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_URL = re.compile(r"https://[^/\s]+/secrets/[^/\s]+(/[^/\s]+)?")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """How a backend takes its key, and the entries and settings that go with it."""

    credentials: dict[str, Any]
    entries: tuple[Entry, ...]
    settings: tuple[Setting, ...]


def add_arguments(parser: ArgumentParser, *, prefix: str = "", what: str, default_header: str) -> None:
    """Declare the key options, each starting with `prefix` (such as `cache-embeddings-`)."""
    group = parser.add_argument_group(f"access key of {what}")
    group.add_argument(
        f"--{prefix}key-header", metavar="NAME", help=f"header the key is sent in (default {default_header})"
    )
    group.add_argument(f"--{prefix}key-query", metavar="NAME", help="query parameter the key is sent in, instead")
    group.add_argument(
        f"--{prefix}key-prefix", metavar="TEXT", help="text before the key (default: 'Bearer ' for Authorization)"
    )
    group.add_argument(f"--{prefix}key-env", metavar="VARIABLE", help="environment variable that holds the key")
    group.add_argument(f"--{prefix}key-vault", metavar="URL", help="Key Vault secret that holds the key")
    group.add_argument(
        f"--{prefix}key-value",
        metavar="KEY",
        help="the key itself, or - to read it from standard input; it goes nowhere but to --write-local-settings",
    )


def from_arguments(
    arguments: Namespace, outside: Outside, *, api_id: str, prefix: str = "", default_header: str
) -> AccessKey | None:
    """The access key the options describe, None when they name none. ImportFailed when they contradict each other."""

    def option(name: str) -> str | None:
        value: str | None = getattr(arguments, f"{prefix}{name}".replace("-", "_"))
        return value

    names = ("key-header", "key-query", "key-prefix", "key-env", "key-vault", "key-value")
    if all(option(name) is None for name in names):
        return None
    if option("key-header") and option("key-query"):
        raise ImportFailed(f"--{prefix}key-header and --{prefix}key-query exclude each other")
    if not prefix and arguments.identity_resource:
        raise ImportFailed("--identity-resource and an access key exclude each other")
    vault, variable = option("key-vault"), option("key-env")
    if vault and (variable or option("key-value")):
        raise ImportFailed(f"--{prefix}key-vault excludes --{prefix}key-env and --{prefix}key-value")
    named_value = f"{api_id}-{prefix}key"
    header = option("key-header") or default_header
    credentials = _credentials(header, option("key-query"), option("key-prefix"), named_value)
    if vault:
        if not SECRET_URL.fullmatch(vault):
            raise ImportFailed(f"--{prefix}key-vault must be https://<vault>.vault.azure.net/secrets/<name>")
        return AccessKey(credentials, (Entry("named_values", named_value, {"key_vault": vault}),), ())
    variable = variable or variable_name(named_value)
    if not VARIABLE.fullmatch(variable):
        raise ImportFailed(f"--{prefix}key-env: {variable} is not a name of an environment variable")
    setting = Setting(variable, f"access key in {option('key-query') or header}", _value(option("key-value"), outside))
    return AccessKey(credentials, (Entry("named_values", named_value, {"env": variable}),), (setting,))


def _credentials(header: str, query: str | None, before: str | None, named_value: str) -> dict[str, Any]:
    if before is None:
        before = "Bearer " if not query and header.lower() == "authorization" else ""
    text = f"{before}{{{{{named_value}}}}}"
    return {"query": {query: text}} if query else {"header": {header: text}}


def _value(given: str | None, outside: Outside) -> str | None:
    if given != "-":
        return given
    if not (key := outside.read_secret().strip()):
        raise ImportFailed("there was no key on standard input")
    return key


def variable_name(named_value: str) -> str:
    """The environment variable that is proposed for a named value."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", named_value).upper().strip("_")
    return name if VARIABLE.fullmatch(name) else f"KEY_{name}"
