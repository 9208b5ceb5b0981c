"""A counter while storage is away: how it notices, what it admits on its own, and when it tries storage again."""

import logging
from collections.abc import Sequence
from typing import Any

from shared.stores.breaker import Breaker
from shared.stores.counter_ring import Buckets
from shared.stores.fallback import OwnUse
from shared.stores.instance import Instance
from shared.stores.limits import Limit
from shared.stores.protocols import StorageBusy, StorageRefused, StorageUnavailable, Unreadable

_log = logging.getLogger(__name__)

_THROTTLED_OUTAGE = 10.0
"""Seconds without a single success after which throttling counts as an outage."""


class WithoutStorage:
    """Two breakers, one for this counter's partition and one that all counters share, and the limit's mode.

    ``own`` is what this instance admitted, with storage or without. ``owes``: something was admitted alone and may not
    be written yet.
    """

    __slots__ = ("_begun", "_busy", "_instance", "_limit", "_outage", "_throttled_since", "own", "owes")

    def __init__(self, limit: Limit, buckets: Buckets, instance: Instance[Any]) -> None:
        self._limit = limit
        self._instance = instance
        self._outage = instance.outage
        self._busy = Breaker(instance.chance)
        self._begun = (0, 0)
        self._throttled_since: float | None = None
        self.own = OwnUse(buckets)
        self.owes = False

    # ------------------------------------------------------------------ noticing

    @property
    def away(self) -> bool:
        """Whether storage does not answer."""
        return self._busy.tripped or self._outage.tripped

    def settling(self, now: float) -> bool:
        """Whether storage answers again, but others may not have written yet what they admitted alone.

        Until they have, room in storage is not enough: what is leased must be within this instance's share as well.
        """
        return now < max(self._busy.settled_at, self._outage.settled_at) and self._limit.on_storage_error == "bounded"

    def failed(self, now: float, error: StorageUnavailable | StorageRefused) -> None:
        """An exchange ended without an answer to go by."""
        if not self.away:
            _log.warning(
                "counter storage: %s %s; limits are %s", type(error).__name__, error, self._limit.on_storage_error
            )
        # A throttled partition or a damaged entity concerns this counter; everything else concerns all of them.
        (self._busy if isinstance(error, StorageBusy | Unreadable) else self._outage).trip(now)

    def reached(self, now: float) -> None:
        """Storage did what was asked, or told that another instance was faster."""
        if self._outage.tripped:
            _log.warning("counter storage answers again")
        self._outage.reset(now)
        self._busy.reset(now)
        self._throttled_since = None

    def throttled(self, now: float) -> bool:
        """Storage answers that it is busy: return whether that has lasted so long that it is an outage."""
        self._outage.reset(now)
        if self._throttled_since is None:
            self._throttled_since = now
        return now - self._throttled_since > _THROTTLED_OUTAGE

    # ------------------------------------------------------------------ trying again

    def take_probe(self, now: float) -> bool:
        """Return True to the one who may ask storage now, to see whether it answers again."""
        return (self._busy if self._busy.tripped else self._outage).take_probe(now)

    def may_write(self, now: float) -> bool:
        """Whether a write has a chance: storage is not away, or this one is the probe."""
        return not self.away or self.take_probe(now)

    # ------------------------------------------------------------------ admitting alone

    def begins(self) -> bool:
        """Return True once per outage: ``begin`` it with what was seen of the limit last."""
        outage = (self._busy.outages, self._outage.outages)
        if self._limit.on_storage_error != "bounded" or outage == self._begun:
            return False
        self._begun = outage
        return True

    def begin(self, now: float, used: int, quotas_left: Sequence[int]) -> None:
        """Fix the share of this instance: ``used`` of the window and ``quotas_left`` as all instances had it."""
        window, quotas = self._limit.window, self._limit.quotas
        uses = [(quota.limit, quota.limit - left) for quota, left in zip(quotas, quotas_left, strict=True)]
        self.own.begin_outage(now, 1 / self._instance.max_instances, (window.limit, used) if window else (0, 0), uses)

    def admits(self, now: float, amount: int) -> bool:
        """Whether the mode lets this instance admit ``amount`` without storage; what it takes of quotas is taken."""
        match self._limit.on_storage_error:
            case "open":
                return True
            case "closed":
                return False
            case "bounded":
                if self.room(now) < amount:
                    return False
                self.own.take_quota(amount)
                return True

    def room(self, now: float) -> float:
        """What this instance may still have for its own."""
        return self.own.room(now, windowed=self._limit.window is not None)
