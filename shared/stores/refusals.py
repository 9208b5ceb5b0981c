"""Refusing: whether a counter's state has room, and remembering for a second that it had none."""

import random

from shared.stores.counter_entity import CounterState
from shared.stores.counter_ring import Buckets
from shared.stores.limits import Limit, Refusal
from shared.stores.shard import Shard

_AT_LEAST = 0.05


def refusal(
    limit: Limit, shard: Shard, draft: CounterState, buckets: Buckets, now: float, *, amount: int, needed: int
) -> Refusal | None:
    """Say why ``needed`` more does not fit into this shard, None when it does; the longest wait counts.

    ``amount`` is what the request asked for in all. A bucket leaves up to its own length after the window is over, but
    nobody is told more than the window: it is the number the operator wrote down, and clients follow a Retry-After of
    a minute that ignore a longer one and come back at once. Who comes back too early for that is told the rest.
    """
    found: Refusal | None = None
    if shard.limit is not None:
        left = shard.limit - draft.ring.total()
        if left < needed:
            bucket = draft.ring.frees(needed - left)
            wait = buckets.window if bucket is None else buckets.leaves(bucket) - now
            remaining = max(0, left) * limit.shards
            told = min(max(_AT_LEAST, wait), buckets.window)
            found = Refusal("window", told, remaining, amount <= shard.limit)
    for quota, most, use in zip(limit.quotas, shard.quota_limits, draft.quotas, strict=True):
        wait = quota.period.end(use.start) - now
        if most - use.used < needed and (found is None or wait > found.retry_after):
            remaining = max(0, most - use.used) * limit.shards
            found = Refusal("quota", max(_AT_LEAST, wait), remaining, amount <= most, quota)
    return found


class RefusalMemory:
    """Answers for about a second what storage said last: whoever hammers a used-up limit costs no transactions."""

    __slots__ = ("_amount", "_at", "_chance", "_refusal", "_until")

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._until = float("-inf")
        self._at = 0.0
        self._amount = 0
        self._refusal: Refusal | None = None

    def remember(self, found: Refusal, now: float, amount: int) -> None:
        """Refuse ``amount`` and more; smaller requests may still fit."""
        self._refusal = found
        self._amount = amount
        self._at = now
        # Retry-After is whole seconds: who honours it is never met by this memory, and what frees sooner is not lost,
        # other instances ask as well.
        self._until = now + min(max(1.0, found.retry_after), self._chance.uniform(1.0, 1.5))

    def forget(self) -> None:
        self._until = float("-inf")

    def recall(self, now: float, amount: int) -> Refusal | None:
        found = self._refusal
        if now >= self._until or amount < self._amount or found is None:
            return None
        wait = max(_AT_LEAST, found.retry_after - (now - self._at))
        return Refusal(found.which, wait, found.remaining, found.fits, found.quota)
