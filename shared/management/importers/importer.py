"""What an import source is: options in, a plan of entries and documents out."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol


class ImportFailed(Exception):
    """The import cannot go on; the text is one line for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `gateway.yaml`: `value` is its content as it is written there.

    An entry without id is the section itself, such as the global `policy`. `only_if_missing`: an entry that is already
    there is left as it is (a product the API joins).
    """

    section: str
    id: str
    value: Any
    only_if_missing: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable (app setting) the imported API needs; `value` is known only when the caller gave it."""

    name: str
    purpose: str
    value: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A role the gateway's identity needs. `scope` is the resource's ARM id, `role` the role definition's GUID."""

    scope: str
    role: str
    role_name: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something the source has that is not imported, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return " ".join(f"{self.what}: {self.why}".split())


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import adds. `documents` maps paths relative to `gateway.yaml` to their text.

    `needs_backends` are ids the documents refer to, which must be declared once the plan is carried out.
    """

    entries: Sequence[Entry]
    documents: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[Setting] = ()
    roles: Sequence[RoleAssignment] = ()
    needs_backends: Sequence[str] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()


TokenSource = Callable[[str], Awaitable[str]]
"""Gives an Entra access token for a scope; raises ImportFailed with what to do when there is no login."""


class Prompt(Protocol):
    """Asks the person at the terminal."""

    def choose(self, question: str, options: Sequence[str]) -> int:
        """The index of the chosen option."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What an importer may reach beyond its options.

    `prompt` is None where nobody can be asked; `read_secret` reads a key from standard input, unseen at a terminal.
    """

    environment: Mapping[str, str]
    token: TokenSource
    prompt: Prompt | None
    read_secret: Callable[[], str]


class Importer(Protocol):
    """A source of APIs. One file each; `IMPORTERS` lists them."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        ...

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the given options. ImportFailed when they do not fit or the source cannot be read."""
        ...
