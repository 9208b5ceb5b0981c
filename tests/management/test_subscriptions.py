"""An administrator's work with subscriptions: by function, and by command on table storage."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.config.models import Gateway
from shared.errors import Refusal
from shared.management.subscriptions import NewSubscription, Subscriptions
from shared.stores.memory import MemoryEntities
from shared.stores.subscriptions import Changed, KeyDigest, StoredSubscription, SubscriptionStore
from tests.support.azure_platform import AzurePlatform
from tests.support.azurite import Azurite
from tests.support.processes import ROOT, free_port

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
DIGEST = KeyDigest(b"a secret of this test")
GATEWAY = Gateway.model_validate(
    {
        "backends": {"one": {"url": "http://127.0.0.1:9"}},
        "apis": {"chat": {"path": "chat", "kind": "openai", "backend": "one", "products": ["gold", "silver"]}},
        "products": {"gold": {"subscription_limit": 2}, "silver": {}},
        "subscriptions": {"declared": {"scope": "product:gold", "owner": "bob", "keys": {"primary": "declared-key"}}},
    }
)


def on_memory(entities: MemoryEntities | None = None, secret: KeyDigest = DIGEST) -> Subscriptions:
    store = SubscriptionStore(entities or MemoryEntities(time.time), secret.check)
    return Subscriptions(store, secret, GATEWAY, now=lambda: NOW)


async def id_of(subscriptions: Subscriptions, key: str | None) -> str | None:
    assert key is not None
    found = await subscriptions.store.by_key(subscriptions.digest(key))
    return found.id if found else None


def raises(status: int, text: str) -> Any:
    return pytest.raises(Refusal, match=text, check=lambda refusal: refusal.status == status)


async def test_keys_have_apims_shape_and_are_stored_as_digests_only() -> None:
    entities = MemoryEntities(time.time)
    subscriptions = on_memory(entities)

    made = await subscriptions.create(NewSubscription("team", "product:silver", name="Team", owner="ann"))

    keys = [made.primary_key, made.secondary_key]
    assert all(key and len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys) and keys[0] != keys[1]
    assert made.document() | {"primary_key": "", "secondary_key": ""} == {
        "id": "team",
        "name": "Team",
        "scope": "product:silver",
        "state": "active",
        "owner": "ann",
        "created": "2026-11-20T12:00:00Z",
        "expires": None,
        "source": "storage",
        "primary_key": "",
        "secondary_key": "",
    }
    assert [await id_of(subscriptions, key) for key in keys] == ["team", "team"]
    rows = (await entities.query()).rows
    assert len(rows) == 4 and not any(str(key) in repr(row) for key in keys for row in rows)
    shown = await subscriptions.show("TEAM")
    assert shown.primary_key is None and "primary_key" not in shown.document()
    assert str(made.primary_key) not in repr(made)


async def test_callers_keep_the_keys_they_have() -> None:
    subscriptions = on_memory()
    wanted = NewSubscription(
        "moved", "all-apis", primary_key="Key-From-APIM", secondary_key="the other key".replace(" ", "-")
    )
    made = await subscriptions.create(wanted)
    assert (made.primary_key, made.secondary_key) == (None, None)
    assert await id_of(subscriptions, "Key-From-APIM") == await id_of(subscriptions, "the-other-key") == "moved"
    assert "Key-From-APIM" not in repr(wanted)


@pytest.mark.parametrize(
    ("wanted", "status", "text"),
    [
        (NewSubscription("x", "api:chatt"), 400, "no api chatt in the configuration, did you mean chat"),
        (NewSubscription("x", "product:"), 400, "is no scope"),
        (NewSubscription("x", "products/gold"), 400, "is no scope"),
        (NewSubscription("a/b", "all-apis"), 400, "is no id"),
        (NewSubscription("Master", "all-apis"), 409, "already"),
        (NewSubscription("DECLARED", "all-apis"), 409, "already"),
        (NewSubscription("x", "all-apis", expires=NOW), 400, "is over"),
        (NewSubscription("x", "all-apis", primary_key="short"), 400, "8 to 256 printable"),
        (NewSubscription("x", "all-apis", primary_key="with a space"), 400, "8 to 256 printable"),
        (NewSubscription("x", "all-apis", primary_key="same-key", secondary_key="same-key"), 400, "must differ"),
    ],
)
async def test_what_cannot_be_made_is_refused_before_anything_is_stored(
    wanted: NewSubscription, status: int, text: str
) -> None:
    subscriptions = on_memory()
    with raises(status, text) as refused:
        await subscriptions.create(wanted)
    assert "short" not in refused.value.message and "same-key" not in refused.value.message
    assert await subscriptions.store.all() == []


async def test_ids_and_keys_are_taken_once() -> None:
    subscriptions = on_memory()
    await subscriptions.create(NewSubscription("first", "all-apis", primary_key="key-of-first"))
    with raises(409, "there is a subscription first"):
        await subscriptions.create(NewSubscription("FIRST", "all-apis"))
    with raises(409, "another subscription has this key"):
        await subscriptions.create(NewSubscription("second", "all-apis", secondary_key="key-of-first"))
    await subscriptions.create(NewSubscription("second", "all-apis", primary_key="key-of-second"))
    with raises(409, "another subscription has this key"):
        await subscriptions.rotate("second", "primary", "key-of-first")
    assert await id_of(subscriptions, "key-of-first") == "first"
    assert await id_of(subscriptions, "key-of-second") == "second"


async def test_an_owner_has_as_many_subscriptions_to_a_product_as_it_allows() -> None:
    subscriptions = on_memory()
    await subscriptions.create(NewSubscription("one", "product:gold", owner="ann"))
    await subscriptions.create(NewSubscription("two", "product:gold", owner="ann", expires=NOW + timedelta(days=1)))
    with raises(409, "ann has 2 of 2"):
        await subscriptions.create(NewSubscription("three", "product:gold", owner="ann"))
    await subscriptions.create(NewSubscription("elsewhere", "product:silver", owner="ann"))
    await subscriptions.create(NewSubscription("nobodys", "product:gold"))
    await subscriptions.create(NewSubscription("bobs", "product:gold", owner="bob"))
    with raises(409, "bob has 2 of 2"):  # the declared one counts
        await subscriptions.create(NewSubscription("bobs-2", "product:gold", owner="bob"))
    await subscriptions.delete("one")
    await subscriptions.create(NewSubscription("three", "product:gold", owner="ann", state="cancelled"))
    tomorrow = Subscriptions(subscriptions.store, DIGEST, GATEWAY, now=lambda: NOW + timedelta(days=1))
    for id in ("four", "five"):  # neither a cancelled nor an ended subscription counts
        await tomorrow.create(NewSubscription(id, "product:gold", owner="ann"))
    with raises(409, "ann has 2 of 2"):
        await tomorrow.create(NewSubscription("six", "product:gold", owner="ann"))


async def test_rotating_one_key_leaves_the_other() -> None:
    subscriptions = on_memory()
    made = await subscriptions.create(NewSubscription("team", "all-apis"))
    first = await subscriptions.rotate("team", "primary")
    assert first.secondary_key is None and first.primary_key not in (None, made.primary_key)
    second = await subscriptions.rotate("team", "secondary", "a-key-of-their-own")
    assert (second.primary_key, second.secondary_key) == (None, None)

    keys = (made.primary_key, made.secondary_key, first.primary_key, "a-key-of-their-own")
    assert [await id_of(subscriptions, key) for key in keys] == [None, None, "team", "team"]
    with raises(400, "has this key already"):
        await subscriptions.rotate("team", "primary", "a-key-of-their-own")


async def test_a_state_is_changed_in_every_row_at_once() -> None:
    subscriptions = on_memory()
    made = await subscriptions.create(NewSubscription("team", "all-apis", expires=NOW + timedelta(days=1)))
    assert (await subscriptions.suspend("team")).state == "suspended"
    for key in (made.primary_key, made.secondary_key):
        found = await subscriptions.store.by_key(DIGEST(str(key)))
        assert found is not None and found.state == "suspended"
    assert (await subscriptions.activate("team")).state == "active"
    assert (await subscriptions.activate("team", NOW + timedelta(days=9))).expires == NOW + timedelta(days=9)
    assert (await subscriptions.activate("team", None)).expires is None

    late = Subscriptions(subscriptions.store, DIGEST, GATEWAY, now=lambda: NOW + timedelta(days=2))
    await subscriptions.activate("team", NOW + timedelta(days=1))
    with raises(400, "ended at 2026-11-21T12:00:00Z"):
        await late.activate("team")


async def test_what_is_not_in_storage_cannot_be_changed() -> None:
    subscriptions = on_memory()
    for change in (subscriptions.suspend, subscriptions.activate, subscriptions.delete):
        with raises(404, "no subscription nobody"):
            await change("nobody")
        with raises(409, "declared in the configuration"):
            await change("declared")
    assert [one.id for one in await subscriptions.all()] == ["declared"]
    assert (await subscriptions.show("declared")).source == "configuration"


async def test_two_administrators_do_not_lose_each_others_change() -> None:
    entities = MemoryEntities(time.time)
    one, two = on_memory(entities), on_memory(entities)
    made = await one.create(NewSubscription("team", "all-apis"))

    held = await two.store.get("team")
    assert held is not None
    rotated = await one.rotate("team", "primary")
    with pytest.raises(Changed):
        await two.store.replace(held, StoredSubscription("team", "all-apis", primary="p", secondary="s"))
    with pytest.raises(Changed):
        await two.store.delete(held)
    assert await id_of(one, rotated.primary_key) == await id_of(one, made.secondary_key) == "team"

    outcomes = await asyncio.gather(
        one.rotate("team", "primary"), two.rotate("team", "secondary"), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert [refusal.status for refusal in refused] == [409]  # told, so nobody walks away with a dead key
    await asyncio.gather(one.suspend("team"), two.activate("team", NOW + timedelta(days=1)))
    assert (await one.show("team")).expires == NOW + timedelta(days=1)


async def test_a_change_of_what_has_changed_since_is_refused() -> None:
    subscriptions = on_memory()
    await subscriptions.create(NewSubscription("team", "all-apis"))
    held = await subscriptions.store.get("team")
    assert held is not None
    await subscriptions.suspend("team")
    with pytest.raises(Changed):
        await subscriptions.store.replace(held, replace(held.subscription, name="Team"))
    with pytest.raises(Changed):
        await subscriptions.store.delete(held)
    assert (await subscriptions.show("team")).state == "suspended"


async def test_more_subscriptions_than_one_page_has_are_all_listed() -> None:
    store = on_memory().store
    for number in range(1001):
        digests = {"primary": f"p{number}", "secondary": f"s{number}"}
        await store.create(StoredSubscription(f"team-{number:04}", "all-apis", **digests))
    assert [one.id for one in await store.all()] == [f"team-{number:04}" for number in range(1001)]


async def test_a_process_with_another_secret_cannot_make_keys_no_gateway_would_know() -> None:
    entities = MemoryEntities(time.time)
    made = await on_memory(entities).create(NewSubscription("team", "all-apis"))
    stranger = on_memory(entities, KeyDigest(b"the secret of somebody's laptop"))
    with raises(409, "GATEWAY_KEY_HASH_SECRET"):
        await stranger.create(NewSubscription("other", "all-apis"))
    with raises(409, "GATEWAY_KEY_HASH_SECRET"):
        await stranger.rotate("team", "primary")
    await stranger.suspend("team")  # needs no secret
    assert await id_of(on_memory(entities), made.primary_key) == "team"

    await stranger.delete("team")
    await stranger.create(NewSubscription("other", "all-apis"))  # no key of the old secret is left
    with raises(409, "GATEWAY_KEY_HASH_SECRET"):
        await on_memory(entities).create(NewSubscription("third", "all-apis"))


async def test_of_two_first_subscriptions_under_different_secrets_one_is_made() -> None:
    entities = MemoryEntities(time.time)
    one, two = on_memory(entities), on_memory(entities, KeyDigest(b"the secret of somebody's laptop"))
    wanted = NewSubscription("one", "all-apis"), NewSubscription("two", "all-apis")
    outcomes = await asyncio.gather(one.create(wanted[0]), two.create(wanted[1]), return_exceptions=True)
    assert ["GATEWAY_KEY_HASH_SECRET" in str(outcome) for outcome in outcomes] == [False, True]
    assert [found.id for found in await one.store.all()] == ["one"]

    entities = MemoryEntities(time.time)
    one, two = on_memory(entities), on_memory(entities)
    await asyncio.gather(one.create(wanted[0]), two.create(wanted[1]))
    assert [found.id for found in await one.store.all()] == ["one", "two"]


# --- the commands -------------------------------------------------------------------------------------------------


@dataclass
class Administrator:
    """Runs `python -m shared subscriptions` as somebody at a terminal does."""

    environment: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shared", "subscriptions", *arguments]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        done = self(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


CONFIG = """
named_values:
  their-key:
    env: KEY_THAT_IS_NOT_SET_HERE
backends:
  one: {url: "http://127.0.0.1:9"}
products:
  gold: {subscription_limit: 1}
apis:
  chat: {path: chat, kind: openai, backend: one, products: [gold]}
subscriptions:
  declared: {scope: "product:gold", keys: {primary: "{{their-key}}"}}
"""


@pytest.fixture
def administrator(tmp_path: Path) -> Iterator[Administrator]:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    with Azurite() as storage:
        yield Administrator(
            {
                "GATEWAY_CONFIG": str(config),
                "GATEWAY_KEY_HASH_SECRET": "a secret of this test",
                "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string,
            }
        )


def test_the_commands_from_the_first_key_to_the_last(administrator: Administrator) -> None:
    made = administrator.json(
        "create", "team", "--scope", "product:gold", "--owner", "ann", "--expires", "2999-01-01T00:00:00Z"
    )
    assert made["state"] == "active" and len(made["primary_key"]) == len(made["secondary_key"]) == 32
    assert [one["id"] for one in administrator.json("list")] == ["declared", "team"]

    limit = administrator("create", "more", "--scope", "product:gold", "--owner", "ann")
    assert (limit.returncode, limit.stderr) == (
        1,
        "subscriptions create: ann has 1 of 1 subscriptions to product gold\n",
    )
    rotated = administrator.json("rotate", "team", "secondary")
    assert "primary_key" not in rotated and rotated["secondary_key"] != made["secondary_key"]
    assert administrator.json("suspend", "team")["state"] == "suspended"
    assert administrator.json("activate", "team", "--expires", "never") | {"state": "", "expires": None} == {
        **administrator.json("show", "team"),
        "state": "",
    }
    plain = administrator("list").stdout.splitlines()
    assert plain[0].split() == ["id", "scope", "state", "expires", "owner", "source"]
    assert plain[2].split() == ["team", "product:gold", "active", "-", "ann", "storage"]
    assert administrator("delete", "team").stdout == "team is deleted\n"
    assert administrator("show", "team").returncode == 1


def test_given_keys_come_from_the_environment_or_standard_input_and_are_not_repeated(
    administrator: Administrator,
) -> None:
    administrator.environment["OLD_KEY"] = "key-from-the-environment"
    by_name = administrator("create", "one", "--scope", "api:chat", "--primary-key-env", "OLD_KEY")
    piped = administrator(
        "create", "two", "--scope", "all-apis", "--keys-from-stdin", stdin="key-from-a-pipe\nand-another\n"
    )
    turned = administrator("rotate", "two", "primary", "--key-from-stdin", stdin="key-from-a-pipe-too\n")
    assert [by_name.returncode, piped.returncode, turned.returncode] == [0, 0, 0]
    output = "".join(done.stdout + done.stderr for done in (by_name, piped, turned))
    assert "key-from" not in output and "and-another" not in output and "secondary key" in by_name.stdout

    again = administrator(
        "create", "three", "--scope", "all-apis", "--keys-from-stdin", stdin="key-from-the-environment\n"
    )
    assert (again.returncode, again.stderr) == (1, "subscriptions create: another subscription has this key\n")
    unset = administrator("create", "three", "--scope", "all-apis", "--primary-key-env", "NOT_SET_ANYWHERE")
    assert (unset.returncode, unset.stderr) == (
        2,
        "subscriptions create: environment variable NOT_SET_ANYWHERE is not set\n",
    )


def test_missing_or_unreachable_storage_and_a_broken_file_are_one_line(administrator: Administrator) -> None:
    connection = administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"]
    port = connection.rpartition("127.0.0.1:")[2].partition("/")[0]
    administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"] = connection.replace(port, str(free_port()))
    away = administrator("suspend", "team")
    assert away.returncode == 3 and away.stderr.startswith("subscriptions suspend: storage does not answer (")
    administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"] = connection.replace(
        "AccountKey=Eby8", "AccountKey=AAAA"
    )
    denied = administrator("list")
    assert denied.returncode == 3 and denied.stderr.startswith("subscriptions list: storage refuses access: 403")
    assert "AAAA" not in denied.stderr
    administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"] = ""
    none = administrator("list")
    assert none.returncode == 3 and "GATEWAY_TABLES_CONNECTION_STRING" in none.stderr
    for done in (away, denied, none):
        assert done.stderr.count("\n") == 1 and not done.stdout

    administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"] = connection
    administrator.json("create", "team", "--scope", "all-apis")
    Path(administrator.environment["GATEWAY_CONFIG"]).write_text("apis: [\n")
    broken = administrator("create", "other", "--scope", "all-apis")
    assert broken.returncode == 2 and "gateway.yaml:" in broken.stderr
    assert administrator("suspend", "team").returncode == 0  # the one thing that must work when all else is broken


def test_storage_by_endpoint_is_asked_with_a_token_of_the_identity(
    administrator: Administrator, tmp_path: Path
) -> None:
    with AzurePlatform(tmp_path) as azure:
        administrator.environment |= azure.environment
        administrator.environment["GATEWAY_TABLES_CONNECTION_STRING"] = ""
        administrator.environment["GATEWAY_TABLES_ENDPOINT"] = azure.vault_url  # TLS, and denies tokens for storage
        denied = administrator("list")
        assert azure.tokens == [("https://cosmos.azure.com", None)]  # the SDK takes localhost for Cosmos' emulator
        assert denied.returncode == 3 and denied.stderr.startswith("subscriptions list: storage refuses access: 401")
        administrator.environment["IDENTITY_HEADER"] = "not the platform's"
        without = administrator("list")
        assert without.returncode == 3 and without.stderr.count("\n") == 1
        assert "storage does not answer (no token for https://cosmos.azure.com/.default: " in without.stderr
        assert "token-" not in denied.stderr + without.stderr
