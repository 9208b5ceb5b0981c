"""Which subscription a key belongs to: the built-in one, those declared in the configuration, those in storage."""

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from shared.config.models import ALL_APIS, Gateway
from shared.context import Subscription
from shared.gateway.stored_keys import UNKNOWN, Answer, StoredKeys
from shared.stores.subscriptions import KeyDigest

BUILT_IN = "master"
"""The id APIM gives its built-in all-access subscription."""

LONGEST_STORED_KEY = 256
"""What APIM allows for a key (Subscription - Create Or Update, primaryKey). Most bearer tokens are longer, so those
are told apart without asking storage."""

_INDEXED = 16
"""Hex digits of a digest that find a declared key; the rest is compared in constant time."""

TellProblem = Callable[[tuple[str | int, ...], str], None]
"""Takes the place in the configuration and what is wrong there."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SubscriptionKeys:
    """The keys of one configuration, and of the storage it shares with those before and after it."""

    __slots__ = ("_declared", "_digest", "_now", "_stored")

    def __init__(
        self,
        digest: KeyDigest,
        declared: Mapping[str, Subscription],
        stored: StoredKeys | None = None,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`declared` maps digests to subscriptions (see `declared_keys`); `stored` is None without storage."""
        self._digest = digest
        self._declared = {one[:_INDEXED]: (one, subscription) for one, subscription in declared.items()}
        self._stored = stored
        self._now = now

    def known(self, key: str) -> Answer:
        """The active subscription of `key` if that can be told without waiting; None: no valid key; else UNKNOWN."""
        if not key:
            return None
        digest = self._digest(key)
        declared = self._declared_one(digest)
        if declared is not None:
            return self._usable(declared)
        if self._stored is None or len(key) > LONGEST_STORED_KEY:
            return None
        answer = self._stored.known(digest)
        return answer if answer is UNKNOWN else self._usable(answer)

    async def find(self, key: str) -> Subscription | None:
        """The active subscription of `key`, or None when there is none, it is not active or it has expired.

        Raises Unavailable (503) for a key not seen before while storage gives no answer.
        """
        answer = self.known(key)
        if answer is not UNKNOWN or self._stored is None:
            return None if answer is UNKNOWN else answer
        return self._usable(await self._stored.find(self._digest(key)))

    def _declared_one(self, digest: str) -> Subscription | None:
        found = self._declared.get(digest[:_INDEXED])
        return found[1] if found is not None and hmac.compare_digest(found[0], digest) else None

    def _usable(self, subscription: Subscription | None) -> Subscription | None:
        if subscription is None or subscription.state != "active":
            return None
        if subscription.end_date is not None and self._now() >= subscription.end_date:
            return None
        return subscription


def declared_keys(
    gateway: Gateway, digest: KeyDigest, all_access_key: str | None, tell: TellProblem
) -> dict[str, Subscription]:
    """The keys that need no storage, by digest: the built-in all-access key and those of declared subscriptions.

    `tell` hears of a declared key that cannot work because the built-in subscription has it; those that are empty or in
    two declarations the loader has refused.
    """
    found: dict[str, Subscription] = {}
    if all_access_key:
        found[digest(all_access_key)] = Subscription(BUILT_IN, "Built-in all-access subscription", ALL_APIS)
    for id, declared in gateway.subscriptions.items():
        subscription = Subscription(
            id=id,
            name=declared.name,
            scope=declared.scope,
            state=declared.state,
            end_date=declared.expires,
            owner=declared.owner,
        )
        for which, key in (("primary", declared.keys.primary), ("secondary", declared.keys.secondary)):
            if key is not None and (other := found.setdefault(digest(key), subscription)) is not subscription:
                tell(("subscriptions", id, "keys", which), f"subscription {other.id} has the same key")
    return found
