"""`python -m shared backends status`: what all instances have told storage about the backends' circuit breakers."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from shared.management.backends import shared_state
from shared.management.commands.command import add_config_option, declared, exit_status, settings_with
from shared.management.commands.storage import storage_account
from shared.management.commands.terminal import in_columns
from shared.settings import Settings
from shared.stores.breaker_state import TABLE, BreakerStore

EPILOG = """The view of one instance (calls in flight, announced limits, recent errors): GET /_management/backends with
a token of `python -m shared debug-token` as Apim-Debug-Authorization.
exit status: 0 done, 2 wrong settings or configuration, 3 storage is not set up or does not answer"""


def add_arguments(subparsers: Any) -> None:
    """Add `backends` with its verb to the subparsers of an argparse parser."""
    summary = "show the state of backends and pools"
    parser = subparsers.add_parser("backends", help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    summary = "show which circuit breakers are open, and until when, as the instances have told storage"
    status = verbs.add_parser("status", help=summary, description=summary, epilog=EPILOG)
    add_config_option(status)
    status.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the state; returns the exit status."""
    return exit_status("backends status", _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    state = await _state(settings_with(arguments.config))
    print(json.dumps(state, indent=2) if arguments.json else _table(state))


async def _state(settings: Settings) -> dict[str, Any]:
    gateway = await declared(settings)
    async with storage_account(settings) as account:
        changes = await BreakerStore(account.tables.table(TABLE)).read()
    return shared_state(gateway.backends, changes, datetime.now(UTC))


def _table(state: dict[str, Any]) -> str:
    columns = ("backend", "state", "open until", "trouble", "pools")
    rows = [columns]
    for backend in state["backends"]:
        pools = [pool["id"] for pool in state["pools"] if any(one["id"] == backend["id"] for one in pool["members"])]
        told = {"none": "no breaker"}.get(backend["state"], backend["state"])
        cells = (told, backend.get("open_until") or "-", backend.get("trouble") or "-", ", ".join(pools) or "-")
        rows.append((backend["id"], *cells))
    return in_columns(rows)
