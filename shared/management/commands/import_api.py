"""`python -m shared import <source>`: the portal's import wizard as a command."""

import asyncio
import getpass
import json
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ConfigError
from shared.management.commands.command import add_config_option
from shared.management.file_changes import write_all
from shared.management.importers import IMPORTERS
from shared.management.importers.arm import Arm
from shared.management.importers.carry_out import Prepared, prepare
from shared.management.importers.discovery import arm_url
from shared.management.importers.importer import Importer, ImportFailed, ImportPlan, Outside, Prompt, TokenSource
from shared.settings import config_file

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_arguments(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Declare `import` and its sources."""
    summary = "import an API: into gateway.yaml and policies/, as the portal's wizard does"
    sources = subparsers.add_parser("import", help=summary, description=summary).add_subparsers(
        dest="source", required=True, metavar="source"
    )
    for importer in IMPORTERS:
        parser = sources.add_parser(
            importer.name,
            help=importer.summary,
            description=f"Import {importer.summary}.",
            usage="%(prog)s [options]",
            allow_abbrev=False,  # an option added later must not change what a script's short form means
        )
        add_config_option(parser)
        parser.add_argument("--dry-run", action="store_true", help="show what would change, as a diff")
        parser.add_argument("--force", action="store_true", help="overwrite documents that were edited by hand")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--write-local-settings",
            action="store_true",
            help="put the value of --key-value into local.settings.json, for local use",
        )
        importer.add_arguments(parser)
        parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Import; returns the exit code: 0, or 1 with the reason on standard error."""
    environment = dict(os.environ)
    with_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        return asyncio.run(_run(arguments, environment, Terminal() if with_terminal else None))
    except (KeyboardInterrupt, EOFError):
        print("Nothing was changed.", file=sys.stderr)
        return 130


async def _run(arguments: Namespace, environment: Mapping[str, str], prompt: Prompt | None) -> int:
    async with AzureLogin() as login:
        return await import_api(arguments, environment, login.token, prompt)


async def import_api(
    arguments: Namespace, environment: Mapping[str, str], token: TokenSource, prompt: Prompt | None
) -> int:
    """Import what the parsed `arguments` say, with a login and a terminal (None: there is none).

    Prints to standard output and error and returns the exit code.
    """
    config = _config(arguments, environment)
    importer: Importer = next(one for one in IMPORTERS if one.name == arguments.source)
    outside = Outside(environment, token, prompt, _read_secret)
    try:
        plan = await importer.plan(arguments, outside)
        prepared = await prepare(
            plan, config, environment, force=arguments.force, local_settings=arguments.write_local_settings
        )
        if arguments.dry_run:
            _print_json(prepared, plan) if arguments.json else _show(prepared, plan, config.parent)
            return 0
        await _grant(arguments, plan, outside)
        write_all(prepared.changes)
    except ConfigError as error:
        print(f"Nothing was changed: the configuration is not valid.\n{error}", file=sys.stderr)
        return 1
    except ImportFailed as error:
        print(f"Nothing was changed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Nothing was changed: {error.filename or config} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    if arguments.json:
        _print_json(prepared, plan)
    else:
        _report(prepared, plan, written=arguments.write_local_settings)
    return 0


def _config(arguments: Namespace, environment: Mapping[str, str]) -> Path:
    return Path(arguments.config or config_file(environment)).absolute()


async def _grant(arguments: Namespace, plan: ImportPlan, outside: Outside) -> None:
    if not plan.roles:
        return
    async with Arm(arm_url(arguments, outside), outside.token) as arm:
        for role in plan.roles:
            new = await arm.assign(role, arguments.principal_id)
            print(f"{'assigned' if new else 'already assigned'}: {role.role_name}")


def _show(prepared: Prepared, plan: ImportPlan, folder: Path) -> None:
    for change in prepared.changes:
        if change.changes:
            print(change.diff(folder), end="")
    _warn(prepared)
    for role in plan.roles:
        print(f"# would assign {role.role_name} on {role.scope}")
    for left in plan.left_out:
        print(f"# not imported: {left}")
    if not any(change.changes for change in prepared.changes):
        print("# nothing would change")


def _report(prepared: Prepared, plan: ImportPlan, *, written: bool) -> None:
    for line in prepared.summary:
        print(line)
    _warn(prepared)
    for left in plan.left_out:
        print(f"not imported: {left}")
    for note in plan.notes:
        print(note)
    if written:
        print("local.settings.json holds a key now: keep it out of version control.")
    missing = [setting for setting in plan.settings if not (written and setting.value is not None)]
    for setting in missing:
        # Never the value itself: what is printed ends up in logs and histories.
        print(f"\nThe gateway reads the {setting.purpose} from {setting.name}. Set it where the gateway runs:")
        print(f"  export {setting.name}=<key>")
        print(f"  az functionapp config appsettings set -n <app> -g <group> --settings {setting.name}=<key>")


def _print_json(prepared: Prepared, plan: ImportPlan) -> None:
    document = {
        "changes": list(prepared.summary),
        "left_out": [{"what": left.what, "why": left.why} for left in plan.left_out],
        "notes": [note for note in plan.notes if note],
        "settings": [{"name": setting.name, "purpose": setting.purpose} for setting in plan.settings],
        "warnings": [str(problem) for problem in prepared.warnings],
    }
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _warn(prepared: Prepared) -> None:
    for problem in prepared.warnings:
        print(f"warning: {problem}", file=sys.stderr)


def _read_secret() -> str:
    with _ctrl_c_ends():
        return getpass.getpass("Access key: ") if sys.stdin.isatty() else sys.stdin.readline()


@contextmanager
def _ctrl_c_ends() -> Iterator[None]:
    """Asyncio makes the first Ctrl-C a cancellation, which never comes while a question waits for its answer."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


class Terminal:
    """Asks on standard input."""

    def choose(self, question: str, options: Sequence[str]) -> int:
        """The index of the option whose number is typed; asks again until it is one."""
        print(question)
        for number, option in enumerate(options, 1):
            print(f"  {number}  {option}")
        with _ctrl_c_ends():
            while True:
                answer = input(f"1-{len(options)}: ").strip()
                if answer.isdecimal() and 1 <= int(answer) <= len(options):
                    return int(answer) - 1


@dataclass(slots=True)
class AzureLogin:
    """Tokens of whoever is logged in to Azure here; azure-identity is loaded when the first one is needed."""

    _credential: Any = None

    async def token(self, scope: str) -> str:
        """An access token for a scope. ImportFailed when there is no login, or it has expired."""
        from azure.core.exceptions import ClientAuthenticationError

        if self._credential is None:
            import logging

            from azure.identity.aio import DefaultAzureCredential

            logging.getLogger("azure").setLevel(logging.ERROR)  # each login it tries and does not find is a warning
            self._credential = DefaultAzureCredential()
        try:
            return str((await self._credential.get_token(scope)).token)
        except ClientAuthenticationError as error:
            reason = next((part for part in str(error).split() if part.startswith("AADSTS")), "").rstrip(":.,")
            raise ImportFailed(
                f"no valid Azure login{f' ({reason})' if reason else ''}; sign in, for example with: az login"
            ) from error

    async def __aenter__(self) -> "AzureLogin":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._credential is not None:
            await self._credential.close()
