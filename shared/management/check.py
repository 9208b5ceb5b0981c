"""Validates a configuration without serving it."""

from collections.abc import Mapping
from pathlib import Path

from shared.config.loader import load
from shared.errors import ConfigError, Problem
from shared.gateway.catalog import compile_catalog


async def check(file: Path, environment: Mapping[str, str], *, placeholders: bool) -> list[Problem]:
    """Every problem of a configuration and its policy documents. Key Vault is not asked; with `placeholders` values
    from the environment need not be there either."""
    loaded = await load(file, environment, placeholders=placeholders)
    try:
        compile_catalog(loaded)
    except ConfigError as error:
        return sorted(set(error.problems))
    return sorted(set(loaded.problems))
