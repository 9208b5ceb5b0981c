"""`python -m shared subscriptions`: an administrator's commands for the subscriptions kept in storage."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO, get_args

from shared.config.models import Gateway, SubscriptionState
from shared.management.commands.command import NO_STORAGE, USAGE, CommandFailed, declared, exit_status, settings_with
from shared.management.commands.storage import storage_account
from shared.management.commands.terminal import in_columns
from shared.management.subscriptions import NewSubscription, Shown, Subscriptions, Which
from shared.settings import Settings
from shared.stores.protocols import StorageUnavailable
from shared.stores.subscriptions import TABLE, KeyDigest, SubscriptionStore

NEVER = "never"

ID = "id of the subscription"
EPILOG = """exit status: 0 done, 1 refused (no such subscription, a conflict, not possible),
2 wrong arguments or settings, 3 storage is not set up or does not answer"""


def add_arguments(subparsers: Any) -> None:
    """Add `subscriptions` with its verbs to the subparsers of an argparse parser."""
    summary = "make, rotate and suspend subscriptions kept in storage"
    parser = subparsers.add_parser("subscriptions", help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    create = _verb(verbs, "create", "make a subscription and show its keys, once")
    create.add_argument("id", help=ID)
    create.add_argument("--scope", required=True, help="all-apis, api:<id> or product:<id>")
    create.add_argument("--name", default="", help="display name")
    create.add_argument("--owner", default="", help="who it belongs to; counted for the product's subscription limit")
    create.add_argument("--state", choices=get_args(SubscriptionState), default="active", help="default: active")
    create.add_argument("--expires", type=_moment, help="when it ends: ISO 8601 with time zone, 2027-01-31T00:00:00Z")
    create.add_argument("--primary-key-env", metavar="VAR", help="take the primary key from this environment variable")
    create.add_argument("--secondary-key-env", metavar="VAR", help="the same for the secondary key")
    create.add_argument(
        "--keys-from-stdin", action="store_true", help="read the primary key, and on a second line the secondary"
    )

    _verb(verbs, "list", "show all subscriptions, without keys")
    _verb(verbs, "show", "show a subscription, without keys").add_argument("id", help=ID)

    rotate = _verb(verbs, "rotate", "replace one key and show the new one, once; the other key stays")
    rotate.add_argument("id", help=ID)
    rotate.add_argument("which", choices=get_args(Which), help="the key to replace")
    rotate.add_argument("--key-env", metavar="VAR", help="take the new key from this environment variable")
    rotate.add_argument("--key-from-stdin", action="store_true", help="read the new key from standard input")

    _verb(verbs, "suspend", "stop a subscription; all instances refuse its keys within 30 s").add_argument(
        "id", help=ID
    )
    activate = _verb(verbs, "activate", "let a suspended, cancelled or submitted subscription work")
    activate.add_argument("id", help=ID)
    activate.add_argument("--expires", type=_moment_or_never, help=f"another end, or `{NEVER}`")
    _verb(verbs, "delete", "delete a subscription and its keys").add_argument("id", help=ID)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb that was parsed; returns the exit status."""
    return exit_status(f"subscriptions {arguments.verb}", _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_with(arguments.config)
    digest = KeyDigest(settings.key_hash_secret)
    try:
        async with storage_account(settings) as account:
            store = SubscriptionStore(account.tables.table(TABLE), digest.check)
            subscriptions = Subscriptions(store, digest, await _configuration(settings, arguments.verb))
            await _do(arguments, subscriptions, settings.environment)
    except StorageUnavailable as error:
        unsure = "" if arguments.verb in ("list", "show") else "; the change may or may not have been made"
        raise CommandFailed(NO_STORAGE, f"storage does not answer ({error}){unsure}") from error


async def _do(arguments: argparse.Namespace, subscriptions: Subscriptions, environment: Mapping[str, str]) -> None:
    match arguments.verb:
        case "create":
            primary, secondary = _given_keys(arguments, environment, sys.stdin)
            wanted = NewSubscription(
                id=arguments.id,
                scope=arguments.scope,
                name=arguments.name,
                owner=arguments.owner,
                state=arguments.state,
                expires=arguments.expires,
                primary_key=primary,
                secondary_key=secondary,
            )
            _print_one(await subscriptions.create(wanted), arguments.json)
        case "rotate":
            key = _key_from(environment, arguments.key_env) if arguments.key_env else None
            if arguments.key_from_stdin:
                key = _lines(sys.stdin, 1)[0]
            _print_one(await subscriptions.rotate(arguments.id, arguments.which, key), arguments.json)
        case "list":
            _print_all(await subscriptions.all(), arguments.json)
        case "show":
            _print_one(await subscriptions.show(arguments.id), arguments.json)
        case "suspend":
            _print_one(await subscriptions.suspend(arguments.id), arguments.json)
        case "activate":
            expires = {None: "keep", NEVER: None}.get(arguments.expires, arguments.expires)
            _print_one(await subscriptions.activate(arguments.id, expires), arguments.json)
        case "delete":
            await subscriptions.delete(arguments.id)
            print(json.dumps({"deleted": arguments.id}) if arguments.json else f"{arguments.id} is deleted")


async def _configuration(settings: Settings, verb: str) -> Gateway | None:
    """The configuration. Only `create` needs it, so the rest works with a broken one."""
    try:
        return await declared(settings)
    except CommandFailed as failure:
        if verb == "create":
            raise
        if verb in ("list", "show"):
            print(f"declared subscriptions are left out, {failure}", file=sys.stderr)
        return None


def _given_keys(
    arguments: argparse.Namespace, environment: Mapping[str, str], stdin: TextIO
) -> tuple[str | None, str | None]:
    by_name = arguments.primary_key_env, arguments.secondary_key_env
    if arguments.keys_from_stdin:
        if any(by_name):
            raise CommandFailed(USAGE, "keys come from standard input or from the environment, not from both")
        keys = _lines(stdin, 2)
        return keys[0], keys[1] if len(keys) > 1 else None
    primary, secondary = (_key_from(environment, name) if name else None for name in by_name)
    return primary, secondary


def _key_from(environment: Mapping[str, str], name: str) -> str:
    key = environment.get(name, "").strip()
    if not key:
        raise CommandFailed(USAGE, f"environment variable {name} is not set")
    return key


def _lines(stdin: TextIO, most: int) -> Sequence[str]:
    lines = [line for line in (line.strip() for line in stdin) if line]
    if not 1 <= len(lines) <= most:
        raise CommandFailed(USAGE, f"standard input has {len(lines)} keys, 1 to {most} are wanted, one per line")
    return lines


def _print_one(one: Shown, as_json: bool) -> None:
    document = one.document()
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for name, value in document.items():
        if value not in (None, ""):
            print(f"{name.replace('_', ' '):<14} {value}")
    if one.primary_key or one.secondary_key:
        print("Keep the keys now: only their hashes are stored, and they are not shown again.", file=sys.stderr)


def _print_all(all: Sequence[Shown], as_json: bool) -> None:
    if as_json:
        print(json.dumps([one.document() for one in all], indent=2))
        return
    columns = ("id", "scope", "state", "expires", "owner", "source")
    rows = [columns, *(tuple(str(one.document()[name] or "-") for name in columns) for one in all)]
    print(in_columns(rows))


def _verb(verbs: Any, name: str, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help, epilog=EPILOG)
    parser.add_argument("--config", metavar="FILE", help="configuration file (default: GATEWAY_CONFIG or gateway.yaml)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time with time zone, such as 2027-01-31T00:00:00Z")
    return moment.replace(microsecond=0)


def _moment_or_never(text: str) -> datetime | str:
    return NEVER if text == NEVER else _moment(text)
