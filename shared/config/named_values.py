"""Named values: `{{name}}` replaced by text that is written down, in the environment, or in Key Vault."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from shared.config.key_vault import KeyVaultError
from shared.config.models import NamedValue
from shared.settings import UNRESOLVED

REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9._-]{1,256})\s*\}\}")

SecretFetcher = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class NamedValues:
    """Resolved named values. `secrets` are the texts that must be masked wherever they would be shown; `placeholders`
    names the values that are only known where the gateway runs."""

    values: Mapping[str, str] = field(default_factory=dict)
    secret_names: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret texts, longest first, so that masking one cannot cut another in half."""
        return tuple(
            sorted((self.values[name] for name in self.secret_names if self.values[name]), key=len, reverse=True)
        )

    def substitute(self, text: str, missing: Callable[[str], None]) -> str:
        """`text` with every `{{name}}` replaced; `missing` is told each unknown name, which then stays as it is."""

        def value_of(match: re.Match[str]) -> str:
            value = self.values.get(match[1])
            if value is None:
                missing(match[1])
                return match[0]
            return value

        return REFERENCE.sub(value_of, text) if "{{" in text else text

    def is_open(self, text: str) -> bool:
        """Whether `text` refers to a value that is not known here, so that nothing can be said about what it gives."""
        return any(match[1] in self.placeholders for match in REFERENCE.finditer(text)) if "{{" in text else False

    def mask(self, text: str) -> str:
        """`text` without any secret in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


async def resolve(
    declared: Mapping[str, NamedValue],
    environment: Mapping[str, str],
    fetch_secret: SecretFetcher | None,
    *,
    placeholders: bool = False,
    unknown: Collection[str] = (),
) -> tuple[NamedValues, dict[str, str]]:
    """Look up every declared value.

    Returns the values and, by name, what is wrong with those that have none. So that a file can be checked where the
    gateway does not run, what is not known there reads as a made-up URL: without `fetch_secret` what Key Vault has,
    with `placeholders` what the environment lacks, too; so do those in `unknown`.
    """
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    made_up: set[str] = set()

    def stand_in(name: str) -> None:
        """A URL may stand wherever a text may, so that one missing value does not look like several mistakes."""
        values[name] = f"https://{name.lower()}.invalid"
        made_up.add(name)

    async def one(name: str, value: NamedValue) -> None:
        if value.plain is not None:
            values[name] = value.plain
        elif value.env is not None:
            text = environment.get(value.env, value.default)
            if text is not None and text.startswith(UNRESOLVED):
                stand_in(name)
                problems[name] = f"environment variable {value.env} is a Key Vault reference that was not resolved"
                return
            if text is not None:
                values[name] = text
                return
            stand_in(name)
            if not placeholders:
                problems[name] = f"environment variable {value.env} is not set"
        elif fetch_secret is None:
            stand_in(name)
        else:
            assert value.key_vault is not None
            try:
                values[name] = await fetch_secret(value.key_vault)
            except Exception as error:
                stand_in(name)
                why = str(error) if isinstance(error, KeyVaultError) else type(error).__name__
                problems[name] = f"Key Vault gave no secret for {value.key_vault}: {why}"

    for name in unknown:
        stand_in(name)
    await asyncio.gather(*(one(name, value) for name, value in declared.items()))
    secret = frozenset(name for name, value in declared.items() if value.is_secret)
    return NamedValues(values, secret, frozenset(made_up)), problems
