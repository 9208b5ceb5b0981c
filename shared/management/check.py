"""Validates a configuration without serving it."""

from collections.abc import Mapping
from pathlib import Path

from shared.config.loader import load
from shared.errors import ConfigError, Problem
from shared.gateway.catalog import compile_catalog


async def check(file: Path, environment: Mapping[str, str], *, placeholders: bool) -> list[Problem]:
    """Every problem of a configuration and its policy documents. With `placeholders` values from the environment and
    Key Vault need not be there; without, Key Vault is not asked but a reference to it counts as given."""

    async def unasked(identifier: str) -> str:
        return identifier

    loaded = await load(file, environment, unasked, placeholders=placeholders)
    try:
        compile_catalog(loaded)
    except ConfigError as error:
        return sorted(set(error.problems))
    return sorted(set(loaded.problems))
