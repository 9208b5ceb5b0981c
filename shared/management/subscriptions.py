"""What an administrator does with subscriptions: make, list, rotate, suspend, activate, delete."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from shared.config.declared import IDENTIFIER
from shared.config.loader import suggestion
from shared.config.models import ALL_APIS, Gateway, SubscriptionState
from shared.errors import Refusal
from shared.gateway.subscription_keys import BUILT_IN, LONGEST_STORED_KEY
from shared.stores.subscriptions import (
    Changed,
    Held,
    IdInUse,
    KeyDigest,
    KeyInUse,
    OtherSecret,
    StoredSubscription,
    SubscriptionStore,
)

Which = Literal["primary", "secondary"]

ENDED = ("cancelled", "expired", "rejected")
SHORTEST_KEY = 8


def new_key() -> str:
    """A key in APIM's shape: 32 lower-case hex digits, 128 random bits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """What is asked for. Keys are given to move callers over with the keys they have; None: make one."""

    id: str
    scope: str
    name: str = ""
    owner: str = ""
    state: SubscriptionState = "active"
    expires: datetime | None = None
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """A subscription as an administrator sees it. Keys are there once, when they were made; `source` is "storage" for
    those managed here, "configuration" for those declared in gateway.yaml."""

    id: str
    name: str
    scope: str
    state: str
    owner: str
    created: datetime | None
    expires: datetime | None
    source: Literal["storage", "configuration"] = "storage"
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)

    def document(self) -> dict[str, Any]:
        """The same for JSON: times as ISO 8601 in UTC, keys only where there are any."""
        document: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "scope": self.scope,
            "state": self.state,
            "owner": self.owner,
            "created": iso(self.created),
            "expires": iso(self.expires),
            "source": self.source,
        }
        keys = {"primary_key": self.primary_key, "secondary_key": self.secondary_key}
        return document | {name: key for name, key in keys.items() if key is not None}


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The subscriptions of one gateway. `gateway` is its configuration, None where that cannot be read: nothing can be
    created then, but what is there can still be suspended.

    Every method raises Refusal (404 no such subscription, 409 conflict, 400 not possible) with a text for its caller,
    and what storage raises when it is out of reach.
    """

    store: SubscriptionStore
    digest: KeyDigest
    gateway: Gateway | None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    make_key: Callable[[], str] = new_key

    async def create(self, wanted: NewSubscription) -> Shown:
        """Make a subscription; the answer has those of its keys that were made here."""
        self._check(wanted)
        await self._check_limit(wanted)
        primary, secondary = wanted.primary_key or self.make_key(), wanted.secondary_key or self.make_key()
        _check_keys(primary, secondary)
        subscription = StoredSubscription(
            id=wanted.id,
            scope=wanted.scope,
            name=wanted.name,
            state=wanted.state,
            owner=wanted.owner,
            created=self.now().replace(microsecond=0),
            expires=wanted.expires,
            primary=self.digest(primary),
            secondary=self.digest(secondary),
        )
        try:
            await self.store.create(subscription)
        except (IdInUse, KeyInUse, OtherSecret) as error:
            raise _conflict(error) from error
        return replace(
            _shown(subscription),
            primary_key=None if wanted.primary_key else primary,
            secondary_key=None if wanted.secondary_key else secondary,
        )

    async def all(self) -> list[Shown]:
        """All subscriptions, declared ones first."""
        return [*self._declared(), *(_shown(one) for one in await self.store.all())]

    async def show(self, id: str) -> Shown:
        """One subscription, without keys."""
        declared = next((one for one in self._declared() if one.id.lower() == id.lower()), None)
        return declared or _shown((await self._held(id)).subscription)

    async def rotate(self, id: str, which: Which, key: str | None = None) -> Shown:
        """Replace one key by `key` or a new one; the other key stays as it is. A new key is in the answer."""
        held = await self._held(id)
        old = held.subscription
        made = key or self.make_key()
        _check_key(made)
        if self.digest(made) in (old.primary, old.secondary):
            raise Refusal(f"subscription {old.id} has this key already")
        digest = self.digest(made)
        new = replace(old, primary=digest) if which == "primary" else replace(old, secondary=digest)
        # Two administrators who rotate at once would each hold a key, one of them dead: the second is told instead.
        await self._replace(held, new)
        shown = _shown(new)
        if key is not None:
            return shown
        return replace(shown, primary_key=made) if which == "primary" else replace(shown, secondary_key=made)

    async def suspend(self, id: str) -> Shown:
        """Stop a subscription; every instance refuses its keys within 30 s."""
        return await self._change(id, lambda old: replace(old, state="suspended"))

    async def activate(self, id: str, expires: datetime | None | Literal["keep"] = "keep") -> Shown:
        """Let a subscription work, with another end if `expires` is given (None: without an end)."""

        def active(old: StoredSubscription) -> StoredSubscription:
            end = old.expires if expires == "keep" else expires
            if end is not None and end <= self.now():
                raise Refusal(f"subscription {old.id} ended at {iso(end)}: give it another end to activate it")
            return replace(old, state="active", expires=end)

        return await self._change(id, active)

    async def delete(self, id: str) -> None:
        """Delete a subscription and its keys; they stop working within 30 s."""
        held = await self._held(id)
        try:
            await self.store.delete(held)
        except Changed as error:
            raise _conflict(error) from error

    async def _change(self, id: str, change: Callable[[StoredSubscription], StoredSubscription]) -> Shown:
        """Apply a change that is right whatever somebody else did meanwhile, so a conflict is no reason to give up."""
        for attempt in range(1, 6):
            held = await self._held(id)
            new = change(held.subscription)
            try:
                await self.store.replace(held, new)
            except Changed as error:
                if attempt == 5:
                    raise _conflict(error) from error
            else:
                return _shown(new)
        raise AssertionError("unreachable")

    async def _replace(self, held: Held, new: StoredSubscription) -> None:
        try:
            await self.store.replace(held, new)
        except (Changed, KeyInUse, OtherSecret) as error:
            raise _conflict(error) from error

    async def _held(self, id: str) -> Held:
        held = await self.store.get(id)
        if held is not None:
            return held
        if self.gateway is not None and id in self.gateway.subscriptions:
            raise Refusal(f"subscription {id} is declared in the configuration: change it there", status=409)
        raise Refusal(f"no subscription {id} in storage", status=404, reason="SubscriptionNotFound")

    def _declared(self) -> list[Shown]:
        if self.gateway is None:
            return []
        return [
            Shown(id, one.name, one.scope, one.state, one.owner, None, one.expires, "configuration")
            for id, one in self.gateway.subscriptions.items()
        ]

    def _check(self, wanted: NewSubscription) -> None:
        if self.gateway is None:
            raise Refusal("the configuration cannot be read, so the scope cannot be checked")
        if not re.fullmatch(IDENTIFIER, wanted.id):
            raise Refusal(f"{wanted.id!r} is no id: up to 80 letters, digits, dots, hyphens and underscores")
        if wanted.id.lower() == BUILT_IN or wanted.id.lower() in map(str.lower, self.gateway.subscriptions):
            raise Refusal(f"there is a subscription {wanted.id} already", status=409)
        if wanted.expires is not None and wanted.expires <= self.now():
            raise Refusal(f"{iso(wanted.expires)} is over")
        if wanted.scope == ALL_APIS:
            return
        kind, _, name = wanted.scope.partition(":")
        if kind not in ("api", "product") or not name:
            raise Refusal(f"{wanted.scope!r} is no scope: all-apis, api:<id> or product:<id>")
        known = self.gateway.apis if kind == "api" else self.gateway.products
        if name not in known:
            raise Refusal(f"no {kind} {name} in the configuration{suggestion(name, known)}")

    async def _check_limit(self, wanted: NewSubscription) -> None:
        """The product's `subscription_limit`; counted, not locked: two creations at once may both pass."""
        assert self.gateway is not None
        product = self.gateway.products.get(wanted.scope.removeprefix("product:"))
        if not wanted.scope.startswith("product:") or product is None or product.subscription_limit is None:
            return
        if not wanted.owner:
            return
        now = self.now()
        held = sum(
            one.owner == wanted.owner
            and one.scope == wanted.scope
            and one.state not in ENDED
            and (one.expires is None or one.expires > now)
            for one in await self.all()
        )
        if held >= product.subscription_limit:
            raise Refusal(
                f"{wanted.owner} has {held} of {product.subscription_limit} subscriptions to product {product.id}",
                status=409,
            )


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(one: StoredSubscription) -> Shown:
    return Shown(one.id, one.name, one.scope, one.state, one.owner, one.created, one.expires)


def _check_keys(primary: str, secondary: str) -> None:
    _check_key(primary)
    _check_key(secondary)
    if primary == secondary:
        raise Refusal("primary and secondary key must differ")


def _check_key(key: str) -> None:
    """A key travels in a header or a query: printable ASCII without spaces. The message never has the key in it."""
    if not SHORTEST_KEY <= len(key) <= LONGEST_STORED_KEY or not re.fullmatch(r"[!-~]+", key):
        raise Refusal(f"a key has {SHORTEST_KEY} to {LONGEST_STORED_KEY} printable ASCII characters and no spaces")


def _conflict(error: Exception) -> Refusal:
    match error:
        case KeyInUse():
            return Refusal("another subscription has this key", status=409, reason="KeyInUse")
        case OtherSecret():
            return Refusal(
                "GATEWAY_KEY_HASH_SECRET is not the secret of the stored keys: no gateway would know this key",
                status=409,
                reason="OtherSecret",
            )
        case Changed():
            return Refusal(f"{error}; nothing was written, look at it and try again", status=409, reason="Changed")
        case _:
            return Refusal(str(error), status=409)
