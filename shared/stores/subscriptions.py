"""Subscriptions managed at run time: a row for each subscription and one for each of its keys, always written together.

    PartitionKey    RowKey          holds
    subscriptions   sub|<id>        the subscription, with the digests of its two keys
    subscriptions   key|<digest>    a copy of it without digests: one point read answers a request
    subscriptions   secret-check    what the key-hash secret makes of a fixed text

Rows of one change go in one entity group transaction, so a key never outlives its subscription. Keys themselves are
nowhere: a digest cannot be turned back without the secret, and a copy of the table opens nothing.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.stores.protocols import Conflict, Entities, Entity, Operation, StoreError, Value

TABLE = "subscriptions"
PARTITION = "subscriptions"
SECRET_CHECK = "secret-check"


class KeyDigest:
    """Turns a subscription key into what is kept of it: HMAC-SHA256 under the key-hash secret, in hex."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __call__(self, key: str) -> str:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogateescape"), "sha256").hex()

    @property
    def check(self) -> str:
        """Tells this secret from another one without giving it away."""
        return hmac.digest(self._secret, b"secret-check of the subscriptions table\0", "sha256").hex()


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """A subscription as it is stored. `scope` is `all-apis`, `api:<id>` or `product:<id>`, `state` one of APIM's six;
    `primary` and `secondary` are digests, empty where it was found by a key."""

    id: str
    scope: str
    name: str = ""
    state: str = "active"
    owner: str = ""
    created: datetime | None = None
    expires: datetime | None = None
    primary: str = ""
    secondary: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription as it was read, with the ETag that a change of it has to prove."""

    subscription: StoredSubscription
    etag: str


class IdInUse(StoreError):
    """There is a subscription of this id; nothing was written."""


class KeyInUse(StoreError):
    """Another subscription has this key; nothing was written."""


class Changed(StoreError):
    """Somebody else changed or deleted the subscription since it was read; nothing was written."""


class OtherSecret(StoreError):
    """The keys in the table were hashed with another secret than this process has; nothing was written."""


class SubscriptionStore:
    """The table of subscriptions. All methods raise what `Entities` raise, and what they say themselves."""

    def __init__(self, entities: Entities, secret_check: str) -> None:
        """`secret_check` is `KeyDigest.check`: keys hashed with another secret would be written and never found."""
        self._entities = entities
        self._secret_check = secret_check

    async def by_key(self, digest: str) -> StoredSubscription | None:
        """The subscription that has the key of this digest, in whatever state it is; None: no such key."""
        found = await self._entities.read(PARTITION, f"key|{digest}")
        return None if found is None else _subscription(found.entity)

    async def get(self, id: str) -> Held | None:
        """One subscription; ids differ by more than upper and lower case, as in APIM."""
        found = await self._entities.read(PARTITION, _row(id))
        return None if found is None else Held(_subscription(found.entity), found.etag)

    async def all(self) -> list[StoredSubscription]:
        """Every subscription, by id."""
        found: list[StoredSubscription] = []
        following: str | None = None
        while True:
            page = await self._entities.query(PARTITION, row_from="sub|", row_before="sub}", continuation=following)
            found += [_subscription(row.entity) for row in page.rows]
            following = page.continuation
            if following is None:
                return sorted(found, key=lambda subscription: subscription.id.lower())

    async def secret_matches(self) -> bool:
        """Whether the table's keys were hashed with this process's secret; True while there are none."""
        found = await self._entities.read(PARTITION, SECRET_CHECK)
        return found is None or self._is_ours(found.entity)

    async def create(self, subscription: StoredSubscription) -> None:
        """Store a new subscription; raises IdInUse, KeyInUse, OtherSecret."""
        secret = await self._remember_secret()
        writes = [
            Operation("insert", _sub_row(subscription)),
            *(Operation("insert", _key_row(subscription, digest)) for digest in _digests(subscription)),
        ]
        try:
            await self._entities.transact([*writes, *secret])
        except Conflict:
            there = await self.get(subscription.id)
            if there is not None:
                raise IdInUse(f"there is a subscription {there.subscription.id}") from None
            if not secret:
                raise KeyInUse("another subscription has this key") from None
        else:
            return
        await self.create(subscription)  # somebody made the table's first subscription at the same time

    async def replace(self, held: Held, subscription: StoredSubscription) -> None:
        """Store a changed subscription over the one that was read; raises Changed, KeyInUse, OtherSecret."""
        old, new = _digests(held.subscription), _digests(subscription)
        if new != old and not await self.secret_matches():
            raise OtherSecret("the stored keys were hashed with another secret")
        writes = [
            Operation("replace", _sub_row(subscription), held.etag),
            *(Operation("replace", _key_row(subscription, digest)) for digest in new if digest in old),
            *(Operation("insert", _key_row(subscription, digest)) for digest in new if digest not in old),
            *(Operation("delete", _keys(f"key|{digest}")) for digest in old if digest not in new),
        ]
        try:
            await self._entities.transact(writes)
        except Conflict:
            there = await self.get(subscription.id)
            if there is not None and there.etag == held.etag:
                raise KeyInUse("another subscription has this key") from None
            raise Changed(f"subscription {subscription.id} was changed by somebody else") from None

    async def delete(self, held: Held) -> None:
        """Delete the subscription that was read, and its keys; raises Changed."""
        old = held.subscription
        writes = [
            Operation("delete", _keys(_row(old.id)), held.etag),
            *(Operation("delete", _keys(f"key|{digest}")) for digest in _digests(old)),
        ]
        try:
            await self._entities.transact(writes)
        except Conflict:
            if await self.get(old.id) is not None:
                raise Changed(f"subscription {old.id} was changed by somebody else") from None

    async def _remember_secret(self) -> list[Operation]:
        """What makes the table know this secret: nothing, once it does. OtherSecret while it has keys of another."""
        row = {**_keys(SECRET_CHECK), "Value": self._secret_check}
        found = await self._entities.read(PARTITION, SECRET_CHECK)
        if found is None:
            return [Operation("insert", row)]
        if self._is_ours(found.entity):
            return []
        if await self.all():
            raise OtherSecret("the stored keys were hashed with another secret")
        return [Operation("replace", row, found.etag)]

    def _is_ours(self, row: Entity) -> bool:
        return hmac.compare_digest(str(row.get("Value", "")), self._secret_check)


def _row(id: str) -> str:
    return f"sub|{id.lower()}"


def _keys(row: str) -> dict[str, Value]:
    return {"PartitionKey": PARTITION, "RowKey": row}


def _digests(subscription: StoredSubscription) -> tuple[str, str]:
    return subscription.primary, subscription.secondary


def _sub_row(subscription: StoredSubscription) -> Entity:
    digests: dict[str, Value] = {"Primary": subscription.primary, "Secondary": subscription.secondary}
    return {**_keys(_row(subscription.id)), **_properties(subscription), **digests}


def _key_row(subscription: StoredSubscription, digest: str) -> Entity:
    return {**_keys(f"key|{digest}"), **_properties(subscription)}


def _properties(subscription: StoredSubscription) -> dict[str, Value]:
    values: dict[str, Value | None] = {
        "Id": subscription.id,
        "Scope": subscription.scope,
        "Name": subscription.name,
        "State": subscription.state,
        "Owner": subscription.owner,
        "Created": subscription.created,
        "Expires": subscription.expires,
    }
    return {name: value for name, value in values.items() if value is not None}


def _subscription(row: Entity) -> StoredSubscription:
    """What a row says. One that lacks its scope or state opens nothing: both then read as empty."""

    def text(name: str) -> str:
        return str(row.get(name, ""))

    return StoredSubscription(
        id=text("Id"),
        scope=text("Scope"),
        name=text("Name"),
        state=text("State"),
        owner=text("Owner"),
        created=_time(row.get("Created")),
        expires=_time(row.get("Expires")),
        primary=text("Primary"),
        secondary=text("Secondary"),
    )


def _time(value: Value | None) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    # The SDK hands out its own subclass of datetime; a plain one compares and prints as everywhere else.
    return datetime.combine(value.date(), value.timetz()).astimezone(UTC)
