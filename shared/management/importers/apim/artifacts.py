"""Reads an APIOps artifact folder: resources by kind, whatever the extractor's version calls its folders.

Layouts: https://azure.github.io/apiops (`named values`, `policy fragments`, links as folders) and the APIOps CLI's
(`namedValues`, `policyFragments`, links as apis.json).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.config.plain_data import TOO_DEEP
from shared.management.importers.importer import ImportFailed

# What is imported, by the names of the folders as `_plain` spells them.
KINDS = (
    "apis",
    "backends",
    "diagnostics",
    "loggers",
    "namedvalues",
    "policyfragments",
    "products",
    "schemas",
    "subscriptions",
    "versionsets",
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: the name of its folder, the `properties` of its information file, its policy document if any, and
    the `problem` of one whose files cannot be read."""

    name: str
    folder: Path
    properties: Mapping[str, Any] = field(default_factory=dict)
    policy: str | None = None
    problem: str = ""

    def text(self, name: str) -> str:
        """A property as text; empty when it is not there."""
        value = self.properties.get(name)
        return "" if value is None else str(value)

    def part(self, name: str) -> Mapping[str, Any]:
        """A property that is an object; empty when it is not there."""
        value = self.properties.get(name)
        return value if isinstance(value, Mapping) else {}

    def resources(self, kind: str) -> "list[Resource]":
        """The resources below this one that can be read, such as the operations of an API."""
        return [one for one in _resources(self.folder, kind) if not one.problem]

    def unreadable(self, kind: str) -> "list[Resource]":
        """Those that cannot be read."""
        return [one for one in _resources(self.folder, kind) if one.problem]

    def links(self, kind: str) -> list[str]:
        """Names of linked resources: the folders of `apis/`, or the entries of `apis.json`."""
        listed = [str(one.get("name", "")) for one in _list(self.folder / f"{kind}.json") if isinstance(one, Mapping)]
        return list(dict.fromkeys([*listed, *(folder.name for folder in _folders(self.folder, kind))]))

    def file(self, stem: str) -> Path | None:
        """The file of that name with whatever ending, such as specification.yaml."""
        return next((path for path in sorted(self.folder.glob(f"{stem}.*")) if path.is_file()), None)


def open_artifacts(folder: Path) -> Resource:
    """The service itself: its policy document, and everything else by `resources`. ImportFailed when `folder` is no
    artifact folder."""
    if not folder.is_dir():
        raise ImportFailed(f"there is no folder {folder}")
    if not _is_artifacts(folder):
        inside = sorted(child.name for child in folder.iterdir() if child.is_dir() and _is_artifacts(child))
        hint = f"; did you mean {folder / inside[0]}?" if inside else ""
        raise ImportFailed(f"{folder} has no folders of an APIOps extractor (apis, products, backends, ...){hint}")
    return Resource(folder.name, folder, policy=_policy(folder))


def kinds_in(service: Resource) -> Iterator[tuple[str, list[str]]]:
    """The kinds of resources there are, as `_plain` spells them, with the resources' names."""
    for child in sorted(path for path in service.folder.iterdir() if path.is_dir() and path.name[0] != "."):
        names = sorted(path.name for path in child.iterdir() if path.is_dir())
        if names:
            yield _plain(child.name), names


def read_policy(path: Path) -> str:
    """A policy document, character by character as it is. ImportFailed when it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ImportFailed(f"{path.name} is not UTF-8") from error


def _is_artifacts(folder: Path) -> bool:
    return any(_plain(child.name) in KINDS for child in folder.iterdir() if child.is_dir())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _folders(parent: Path, kind: str) -> list[Path]:
    if not parent.is_dir():
        return []
    of_kind = [path for path in parent.iterdir() if path.is_dir() and _plain(path.name) == kind]
    return sorted(path for folder in of_kind for path in folder.iterdir() if path.is_dir())


def _resources(parent: Path, kind: str) -> list[Resource]:
    return [_resource(path) for path in _folders(parent, kind)]


def _resource(folder: Path) -> Resource:
    try:
        return Resource(folder.name, folder, _properties(folder), _policy(folder))
    except ImportFailed as problem:
        return Resource(folder.name, folder, problem=str(problem))


def _properties(folder: Path) -> Mapping[str, Any]:
    file = next(iter(sorted(folder.glob("*Information.json"))), None)
    document = _json(file) if file is not None else {}
    properties = document.get("properties") if isinstance(document, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _policy(folder: Path) -> str | None:
    found = sorted(folder.glob("*.xml"), key=lambda path: (path.name != "policy.xml", path.name))
    return read_policy(found[0]) if found else None


def _list(file: Path) -> list[Any]:
    document = _json(file) if file.is_file() else []
    return document if isinstance(document, list) else []


def _json(file: Path) -> Any:
    try:
        document = json.loads(file.read_bytes().decode("utf-8-sig"))
        json.dumps(document, ensure_ascii=False).encode()  # half of a character (\ud83d) can be read, but not written
    except ValueError as error:
        raise ImportFailed(f"{file.name} is not valid JSON: {error}") from error
    except RecursionError:
        raise ImportFailed(f"{file.name}: {TOO_DEEP}") from None
    return document
