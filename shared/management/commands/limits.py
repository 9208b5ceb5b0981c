"""`python -m shared limits`: who used how much of which limit, and starting a counter over."""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from shared.gateway.limiting import Limiting
from shared.management.commands.command import exit_status, settings_with
from shared.management.commands.storage import storage_account
from shared.management.commands.terminal import in_columns
from shared.management.limits import Limits, Row
from shared.stores.clock import StorageClock

EPILOG = """The table tells what instances have written: it is behind by seconds, and counts leases as used.
exit status: 0 done, 1 nothing is counted under that key, 2 wrong settings, 3 storage is not set up or fails"""


def add_arguments(subparsers: Any) -> None:
    """Add `limits` with its verbs to the subparsers of an argparse parser."""
    summary = "show counters of limits and quotas, and reset them"
    parser = subparsers.add_parser("limits", help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _verb(verbs, "list", "show all counters")
    show = _verb(verbs, "show", "show the counters of one counter key")
    reset = _verb(verbs, "reset", "start the counters of one counter key over")
    for verb in (show, reset):
        verb.add_argument("key", help="counter key, as list shows it")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb that was parsed; returns the exit status."""
    return exit_status(f"limits {arguments.verb}", _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    clock = StorageClock(time.time)
    async with storage_account(settings_with(), clock) as account:
        await _do(arguments, Limits(Limiting.admin_of(account, clock)))


async def _do(arguments: argparse.Namespace, limits: Limits) -> None:
    match arguments.verb:
        case "list":
            _print(await limits.all(), arguments.json)
        case "show":
            _print(await limits.show(arguments.key), arguments.json)
        case "reset":
            await limits.reset(arguments.key)
            print(json.dumps({"reset": arguments.key}) if arguments.json else f"{arguments.key} starts over")


def _print(rows: Sequence[Row], as_json: bool) -> None:
    documents = [row.document() for row in rows]
    if as_json:
        print(json.dumps(documents, indent=2))
        return
    columns = ("key", "unit", "per", "limit", "used", "left", "resets")
    table = [
        columns,
        *(tuple(str(one[name] if one[name] is not None else "-") for name in columns) for one in documents),
    ]
    print(in_columns(table))


def _verb(verbs: Any, name: str, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help, epilog=EPILOG)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
