"""Which keys are valid, how soon a change is seen, and what an outage of storage or a flood of guesses does."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.config.models import Gateway
from shared.context import Subscription
from shared.errors import Unavailable
from shared.gateway.stored_keys import UNKNOWN, Bounds, Freshness, StoredKeys
from shared.gateway.subscription_keys import SubscriptionKeys, declared_keys
from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Operation, StorageUnavailable, Stored
from shared.stores.subscriptions import KeyDigest, StoredSubscription, SubscriptionStore
from shared.stores.tables import Tables
from tests.support.azurite import Azurite
from tests.support.processes import ROOT

SECRET = KeyDigest(b"a secret of this test")
KEY, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Storage(MemoryEntities):
    """A table in memory that counts its readers and can be taken away or made slow."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.down = False
        self.open = asyncio.Event()
        self.open.set()
        self.reads = 0
        self.at_once = 0
        self.most_at_once = 0

    async def read(self, partition: str, row: str) -> Stored | None:
        self.reads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
            if self.down:
                raise StorageUnavailable("down")
            return await super().read(partition, row)
        finally:
            self.at_once -= 1

    async def transact(self, operations: Sequence[Operation]) -> None:
        await super().transact(operations)


class Instance:
    """One gateway instance's keys, with a clock that only the test moves."""

    def __init__(self, storage: Storage, freshness: Freshness | None = None, bounds: Bounds | None = None) -> None:
        self.time = 1000.0
        self.store = SubscriptionStore(storage, SECRET.check)
        self.stored = StoredKeys(self.store, clock=lambda: self.time, freshness=freshness, bounds=bounds)
        self.keys = SubscriptionKeys(SECRET, {}, self.stored, now=lambda: NOW + timedelta(seconds=self.time - 1000))

    async def find(self, key: str) -> str | None:
        found = await self.keys.find(key)
        return found.id if found else None

    async def at(self, seconds: float, key: str = KEY) -> str | None:
        """What `key` opens so many seconds after the start; what was begun behind the scene is over on return."""
        self.time = 1000 + seconds
        found = await self.find(key)
        await asyncio.sleep(0.01)
        return found


def subscription(**fields: object) -> StoredSubscription:
    one = StoredSubscription("team", "product:gold", "Team", primary=SECRET(KEY), secondary=SECRET(OTHER))
    return replace(one, **fields)  # type: ignore[arg-type]


async def change(store: SubscriptionStore, **fields: object) -> None:
    held = await store.get("team")
    assert held is not None
    await store.replace(held, replace(held.subscription, **fields))  # type: ignore[arg-type]


# --- what is valid ------------------------------------------------------------------------------------------------


async def test_both_keys_open_the_subscription_and_nothing_else_does() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription(owner="ann", created=NOW, expires=NOW + timedelta(days=1)))

    found = await one.keys.find(KEY)

    assert found is not None and found == await one.keys.find(OTHER)
    assert (found.id, found.name, found.scope, found.owner) == ("team", "Team", "product:gold", "ann")
    assert (found.created_date, found.end_date) == (NOW, NOW + timedelta(days=1))
    for wrong in ("", KEY.upper(), KEY[:-1], KEY + " ", "é" * 32, "\udcff", SECRET(KEY)):
        assert await one.keys.find(wrong) is None
    reads = storage.reads
    assert await one.keys.find("eyJhbGciOiJSUzI1NiJ9." + "x" * 300) is None
    assert storage.reads == reads  # no stored key is so long: a token costs no reading


@pytest.mark.parametrize("state", ["suspended", "cancelled", "expired", "submitted", "rejected", ""])
async def test_only_an_active_subscription_opens(state: str) -> None:
    one = Instance(Storage())
    await one.store.create(subscription(state=state))
    assert await one.find(KEY) is None


async def test_a_subscription_ends_at_its_expiry_without_another_look_at_storage() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription(expires=NOW + timedelta(seconds=10)))
    assert await one.at(9.9) == "team"
    reads = storage.reads
    assert await one.at(10) is None
    assert storage.reads == reads


async def test_declared_and_built_in_keys_need_no_storage() -> None:
    gateway = Gateway.model_validate(
        {
            "products": {"gold": {}},
            "subscriptions": {
                "mobile": {"scope": "product:gold", "keys": {"primary": "mobile-1", "secondary": "mobile-2"}},
                "late": {"scope": "all-apis", "expires": "2026-11-20T12:00:10Z", "keys": {"primary": "late-1"}},
                "off": {"scope": "all-apis", "state": "suspended", "keys": {"primary": "off-1"}},
            },
        }
    )
    told: list[str] = []
    declared = declared_keys(gateway, SECRET, "all-access", lambda place, message: told.append(message))
    now = NOW
    keys = SubscriptionKeys(SECRET, declared, None, now=lambda: now)

    found = {key: await keys.find(key) for key in ("mobile-1", "mobile-2", "late-1", "off-1", "all-access", "nobody")}

    assert {key: one.id if one else None for key, one in found.items()} == {
        "mobile-1": "mobile",
        "mobile-2": "mobile",
        "late-1": "late",
        "off-1": None,
        "all-access": "master",
        "nobody": None,
    }
    assert found["all-access"] is not None and found["all-access"].scope == "all-apis"
    now = NOW + timedelta(seconds=10)
    assert await keys.find("late-1") is None
    assert not told


def test_a_declared_key_that_the_built_in_subscription_has_is_told_by_place_and_without_the_key() -> None:
    keys = {"primary": "own-key", "secondary": "all-access"}
    gateway = Gateway.model_validate({"subscriptions": {"one": {"scope": "all-apis", "keys": keys}}})
    told: list[tuple[object, str]] = []
    declared_keys(gateway, SECRET, "all-access", lambda place, message: told.append((place, message)))
    assert told == [(("subscriptions", "one", "keys", "secondary"), "subscription master has the same key")]


async def test_a_declared_key_is_compared_to_its_last_digit() -> None:
    digest = SECRET(KEY)
    near = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    assert await SubscriptionKeys(SECRET, {near: Subscription("near")}).find(KEY) is None
    assert await SubscriptionKeys(SECRET, {digest: Subscription("same")}).find(KEY) == Subscription("same")


def test_declared_keys_do_not_load_the_azure_sdk() -> None:
    code = """
import asyncio, sys
from shared.gateway.stored_keys import StoredKeys
from shared.gateway.subscription_keys import SubscriptionKeys
from shared.context import Subscription
from shared.stores.subscriptions import KeyDigest, SubscriptionStore
from shared.stores.tables import Tables
digest = KeyDigest(b"s")
store = SubscriptionStore(Tables("UseDevelopmentStorage=true").table("subscriptions"), digest.check)
keys = SubscriptionKeys(digest, {digest("key"): Subscription("one")}, StoredKeys(store))
assert asyncio.run(keys.find("key")).id == "one"
print([name for name in sys.modules if name.startswith("azure.")])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- how soon a change is seen ------------------------------------------------------------------------------------


async def test_a_busy_instance_never_waits_and_sees_a_suspension_in_time() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    await change(one.store, state="suspended")
    reads = storage.reads

    assert await one.at(15) == "team"  # fresh: storage is left alone
    assert storage.reads == reads
    storage.open.clear()
    assert await asyncio.wait_for(one.at(16), 10) == "team"  # read again, but nobody waits for it
    assert one.keys.known(KEY) is not UNKNOWN and storage.reads == reads + 1
    storage.open.set()
    await asyncio.sleep(0.01)
    assert await one.at(16.1) is None

    await change(one.store, state="active")
    assert await one.at(17) is None
    await one.at(32)
    assert await one.at(32.1) == "team"


async def test_an_idle_instance_asks_before_it_lets_an_old_answer_pass() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    held = await one.store.get("team")
    assert held is not None
    await one.store.delete(held)
    assert one.keys.known(KEY) is not UNKNOWN
    assert await one.at(25.1) is None
    storage.down = True
    assert await one.at(25.2) is None
    with pytest.raises(Unavailable):  # a deleted key is not one that was seen
        await one.at(31)


async def test_an_old_answer_serves_when_the_reading_takes_too_long() -> None:
    storage = Storage()
    one = Instance(storage, Freshness(patience=0.05))
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    await change(one.store, state="suspended")
    storage.open.clear()
    began = time.monotonic()
    assert await one.at(3600) == "team"
    assert 0.04 < time.monotonic() - began < 5
    storage.open.set()
    await asyncio.sleep(0.01)
    assert await one.at(3601) is None


async def test_a_new_key_is_known_after_the_memory_of_its_absence() -> None:
    storage = Storage()
    one = Instance(storage)
    assert await one.at(0) is None
    await one.store.create(subscription())
    reads = storage.reads
    assert await one.at(5) is None
    assert storage.reads == reads
    assert await one.at(5.1) == "team"


# --- guesses ------------------------------------------------------------------------------------------------------


async def test_many_requests_with_one_unknown_key_read_it_once() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.find("the first unknown key also checks the secret")
    storage.reads = 0
    assert await asyncio.gather(*(one.find(KEY) for _ in range(200))) == [None] * 200
    assert storage.reads == 1


async def test_a_caller_who_hangs_up_does_not_take_the_answer_from_the_others() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    storage.open.clear()
    first, second = asyncio.create_task(one.find(KEY)), asyncio.create_task(one.find(KEY))
    await asyncio.sleep(0.01)
    first.cancel()
    storage.open.set()
    assert await second == "team"


async def test_a_flood_of_guesses_is_bounded_and_does_not_delay_seen_keys() -> None:
    storage = Storage()
    one = Instance(storage, Freshness(longest=30), Bounds(absent=50, concurrent=4, waiting=300))
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    await one.find("guess")
    storage.open.clear()
    guesses = [asyncio.create_task(one.find(f"guess-{number:032}")) for number in range(1000)]
    await asyncio.sleep(0.01)

    assert storage.at_once == 4
    refused = [guess for guess in guesses if guess.done()]
    assert len(refused) == 700 and all(isinstance(guess.exception(), Unavailable) for guess in refused)
    one.time += 20
    assert await asyncio.wait_for(one.find(KEY), 10) == "team"
    await asyncio.sleep(0)
    assert storage.at_once == 5  # the seen key is read again while the guesses queue

    storage.open.set()
    rest = await asyncio.gather(*(guess for guess in guesses if guess not in refused))
    assert rest == [None] * 300
    assert len(one.stored._absent) == 50 and not one.stored._readings


async def test_the_newest_seen_keys_are_kept() -> None:
    one = Instance(Storage(), bounds=Bounds(seen=2))
    for number in range(3):
        keys = {"primary": SECRET(f"primary-{number}"), "secondary": SECRET(f"secondary-{number}")}
        await one.store.create(subscription(id=f"team-{number}", **keys))
        assert await one.find(f"primary-{number}") == f"team-{number}"
    assert [one.keys.known(f"primary-{number}") is UNKNOWN for number in range(3)] == [True, False, False]


# --- outages ------------------------------------------------------------------------------------------------------


async def test_seen_keys_outlive_an_outage_without_waiting(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    storage.down = True
    assert await one.at(26) == "team"  # this one has waited for the failure
    reads = storage.reads

    for second in range(27, 327):
        one.time = 1000 + second
        assert one.keys.known(KEY) is not UNKNOWN  # which is to say: nobody waits
        await asyncio.sleep(0.001)
    assert 40 < storage.reads - reads < 100  # a probe about every 5 s

    storage.down = False
    await change(one.store, state="suspended")
    assert await one.at(335) == "team"
    assert await one.at(335.1) is None
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(";")[0] for message in messages] == [
        "the subscriptions table gives no answer",
        "the subscriptions table answers again",
    ]
    assert not any(KEY in message or SECRET(KEY) in message for message in messages)


async def test_an_unseen_key_in_an_outage_is_unavailable_and_never_denied() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    assert await one.at(0, "nobody's key") is None
    storage.down = True

    for second in range(6, 66):
        with pytest.raises(Unavailable) as refused:
            await one.at(second, KEY)
        assert refused.value.status == 503 and ("retry-after", "5") in refused.value.headers
    assert await one.at(4, "nobody's key") is None  # within its 5 s the answer stands
    with pytest.raises(Unavailable):
        await one.at(66, "nobody's key")
    assert storage.reads < 20  # one probe every 5 s, not one reading a request

    storage.down = False
    assert await one.at(80, KEY) == "team"


async def test_readings_that_fail_together_are_one_failure() -> None:
    storage = Storage()
    one = Instance(storage, bounds=Bounds(concurrent=4))
    await one.store.create(subscription())
    storage.reads, storage.down = 0, True
    storage.open.clear()
    guesses = [asyncio.create_task(one.find(f"guess-{number}")) for number in range(100)]
    await asyncio.sleep(0.01)
    storage.open.set()
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert storage.reads == 4  # those that queued behind them were not sent to a storage known to fail

    storage.down = False
    assert await one.at(0.7) == "team"  # after the first, short pause


async def test_an_outage_of_long_ago_is_no_reason_to_trust_an_old_answer() -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    assert await one.at(0) == "team"
    storage.down = True
    assert await one.at(30) == "team"
    storage.down = False
    await change(one.store, state="suspended")
    assert await one.at(3600) is None


async def test_a_secret_that_does_not_fit_the_table_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage()
    one = Instance(storage)
    await one.store.create(subscription())
    other = KeyDigest(b"the wrong secret")
    keys = SubscriptionKeys(other, {}, StoredKeys(SubscriptionStore(storage, other.check)))
    assert await keys.find(KEY) is None and await keys.find(OTHER) is None
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "the stored subscription keys were hashed with another GATEWAY_KEY_HASH_SECRET: none is valid"
    ]


# --- the real service ---------------------------------------------------------------------------------------------


async def test_the_life_of_a_key_on_table_storage(azurite: Azurite) -> None:
    account = Tables(azurite.connection_string)
    table = account.table(azurite.table_name())  # does not exist yet
    store = SubscriptionStore(table, SECRET.check)
    moment = 1000.0
    stored = StoredKeys(store, clock=lambda: moment)
    keys = SubscriptionKeys(SECRET, {}, stored, now=lambda: NOW)
    try:
        assert await keys.find(KEY) is None
        await store.create(subscription(owner="ann", created=NOW, expires=NOW + timedelta(days=1)))
        moment += 6
        found = await keys.find(KEY)
        assert found is not None and found.end_date == NOW + timedelta(days=1)
        assert (await store.all())[0] == (await store.get("TEAM")).subscription  # type: ignore[union-attr]
        await change(store, primary=SECRET("another key of the team"), state="active")
        moment += 26
        assert await keys.find(KEY) is None and await keys.find(OTHER) == found
        assert await keys.find("another key of the team") == found
        held = await store.get("team")
        assert held is not None
        await store.delete(held)
        await store.delete(held)  # gone already: as wanted
        moment += 26
        assert await keys.find(OTHER) is None
        assert await store.all() == []
    finally:
        await stored.close()
        await account.close()
