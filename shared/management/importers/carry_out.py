"""Carries a plan out on the files: what they will say is worked out and validated before anything is written."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from shared.config.plain_data import TOO_DEEP
from shared.errors import ConfigError, Problem
from shared.management.file_changes import FileChange, read_text
from shared.management.importers.importer import Entry, ImportFailed, ImportPlan, Setting
from shared.management.importers.policy_document import is_as_written
from shared.management.yaml_file import YamlFile

SECTIONS = (
    "limits",
    "named_values",
    "backends",
    "products",
    "apis",
    "subscriptions",
    "fragments",
    "policy",
    "diagnostics",
)
NEW_FILE = "# What the gateway serves; `python -m shared check` validates it.\n\n"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The files' new texts, the one that refers to the others last, and what happens to which entry or file.

    `warnings` are new problems that do not stop the import: policies this version does not run.
    """

    changes: tuple[FileChange, ...]
    summary: tuple[str, ...]
    warnings: tuple[Problem, ...]


async def prepare(
    plan: ImportPlan, config: Path, environment: Mapping[str, str], *, force: bool, local_settings: bool
) -> Prepared:
    """What carrying out `plan` on the configuration file does.

    ConfigError when the file cannot be read as YAML or would have problems it did not have before; ImportFailed when
    something somebody has edited would be overwritten without `force`, or a file cannot be read.
    """
    before = _read(config)
    known = await _problems(config, environment) if before is not None else []
    try:
        file = YamlFile(before if before is not None else NEW_FILE, SECTIONS)
        _keep_own_policies(plan.entries, file, force=force)
        summary = [line for entry in plan.entries if (line := _put(file, entry))]
    except (YAMLError, ValueError) as error:
        raise ConfigError(known) from error
    except RecursionError:
        raise ImportFailed(f"{config.name}: {TOO_DEEP}") from None
    meant = {(entry.section, entry.id) for entry in plan.entries}
    for section, id in file.changed():
        if meant.isdisjoint({(section, id), (section, "")}):
            raise ImportFailed(f"{section}.{id} would change too: it shares a YAML anchor with what is imported")
    for id in plan.needs_backends:
        if ("backends", id) not in file:
            raise ImportFailed(f"there is no backend {id}")
    documents = [_document(config.parent / name, text, force=force) for name, text in plan.documents.items()]
    summary += [f"{_verb(change)} {name}" for change, name in zip(documents, plan.documents, strict=True)]
    changes = [*documents, FileChange(config, before, file.text())]
    problems = await _problems_once_written(changes, config, environment)
    old = {_key(problem) for problem in known}
    new = [problem for problem in problems if _key(problem) not in old]
    if not all(_only_unknown(problem) for problem in new):
        raise ConfigError(new)
    if local_settings:
        changes.insert(0, _local_settings(config.parent / "local.settings.json", plan.settings))
        summary.append(f"{_verb(changes[0])} local.settings.json")
    return Prepared(tuple(changes), tuple(summary), tuple(new))


def _put(file: YamlFile, entry: Entry) -> str | None:
    if not entry.id:
        return f"{file.put_value(entry.section, entry.value)} {entry.section}"
    if entry.only_if_missing and (entry.section, entry.id) in file:
        return None
    return f"{file.put(entry.section, entry.id, entry.value)} {entry.section}.{entry.id}"


def _verb(change: FileChange) -> str:
    if not change.changes:
        return "unchanged"
    return "added" if change.before is None else "updated"


def _keep_own_policies(entries: Sequence[Entry], file: YamlFile, *, force: bool) -> None:
    """Refuse to swap a policy document somebody chose for an API against the imported one."""
    for entry in entries:
        if not entry.id and not force and file.value(entry.section) not in (None, entry.value):
            raise ImportFailed(
                f"{entry.section} is {file.value(entry.section)}, which the import would replace; use --force to do so"
            )
        existing = file.entry(entry.section, entry.id)
        if entry.section != "apis" or not isinstance(existing, dict) or force:
            continue
        if existing.get("policy") not in (None, entry.value.get("policy")):
            raise ImportFailed(
                f"API {entry.id} has the policy document {existing['policy']}, which the import would replace; "
                "use --force to do so, or import under another --id"
            )


def _document(path: Path, text: str, *, force: bool) -> FileChange:
    before = _read(path)
    if before is not None and before.replace("\r\n", "\n") == text.replace("\r\n", "\n"):
        return FileChange(path, before, before)
    if before is not None and not is_as_written(before) and not force:
        raise ImportFailed(
            f"{path.name} has been edited since it was imported (or was written by hand). "
            "Use --force to overwrite it, or --dry-run --force to see what that would change"
        )
    return FileChange(path, before, text)


async def _problems_once_written(
    changes: Sequence[FileChange], config: Path, environment: Mapping[str, str]
) -> list[Problem]:
    """Check the configuration as it will be, in a folder of its own with everything else linked into it."""
    with tempfile.TemporaryDirectory(prefix="import-") as name:
        folder = Path(name)
        _mirror(config.parent, folder, {change.path: change.after for change in changes})
        return await _problems(folder / config.name, environment)


def _bring(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:  # Windows lets only some users make links
        if source.is_dir() and not source.name.startswith("."):
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".*"))
        elif source.is_file():
            shutil.copy2(source, target)


async def _problems(config: Path, environment: Mapping[str, str]) -> list[Problem]:
    from shared.management.check import check  # with it comes the whole gateway, which other commands do not need

    found = await check(config, environment, placeholders=True)
    return [problem for problem in found if problem.severity == "error"]


def _key(problem: Problem) -> tuple[str, str, str]:
    return problem.file, problem.path, problem.message


def _only_unknown(problem: Problem) -> bool:
    return problem.message.startswith("unknown policy ")


def _mirror(source: Path, target: Path, texts: Mapping[Path, str]) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir() if source.is_dir() else ():
        inside = any(changed.is_relative_to(path) for changed in texts)
        if path.is_dir() and inside:
            _mirror(path, target / path.name, {key: text for key, text in texts.items() if key.is_relative_to(path)})
        elif not inside:
            _bring(path.resolve(), target / path.name)
    for path, text in texts.items():
        written = target / path.relative_to(source)
        written.parent.mkdir(parents=True, exist_ok=True)
        if not written.exists():
            written.write_text(text, encoding="utf-8", newline="")


def _local_settings(path: Path, settings: Sequence[Setting]) -> FileChange:
    """local.settings.json with the settings whose values are known (Azure Functions Core Tools reads it)."""
    known = {setting.name: setting.value for setting in settings if setting.value is not None}
    if not known:
        raise ImportFailed("--write-local-settings needs a key to write: --key-value")
    before = _read(path)
    try:
        document: Any = json.loads(before) if before else {"IsEncrypted": False, "Values": {}}
        if document.get("IsEncrypted"):
            raise ImportFailed(f"{path.name} is encrypted; use: func settings add <name> <value>")
        values = document.setdefault("Values", {})
        if before is not None and all(values.get(name) == value for name, value in known.items()):
            return FileChange(path, before, before, private=True)
        values.update(known)
    except (ValueError, AttributeError) as error:
        raise ImportFailed(f"{path.name} is not a settings file") from error
    return FileChange(path, before, json.dumps(document, indent=2) + "\n", private=True)


def _read(path: Path) -> str | None:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not UTF-8"
        raise ImportFailed(f"{path.name} cannot be read: {reason}") from error
