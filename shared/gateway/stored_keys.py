"""What storage says about subscription keys, kept in memory: quick, soon up to date, and through an outage."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, Literal, TypeAlias

from shared.context import Subscription
from shared.errors import Unavailable
from shared.stores.breaker import Breaker
from shared.stores.protocols import StoreError
from shared.stores.subscriptions import StoredSubscription, SubscriptionStore

log = logging.getLogger("gateway")


class _Unknown(Enum):
    UNKNOWN = "only storage can tell"


UNKNOWN: Final = _Unknown.UNKNOWN
Answer: TypeAlias = Subscription | Literal[_Unknown.UNKNOWN] | None
"""A subscription in whatever state it is, None for a key nobody has, UNKNOWN where only storage can tell."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old an answer of storage may be, in seconds.

    Up to `fresh` it is used as it is, up to `stale` while it is read again, after that the request waits for the
    reading, but for `patience` at most. So a change is seen `stale` seconds after it was made, one reading aside.
    That a key is unknown holds for `absent`; who brings an unseen key waits up to `longest` (the first connection to
    storage is slow). A failure older than `forgotten` says nothing about storage now.
    """

    fresh: float = 15
    stale: float = 25
    absent: float = 5
    patience: float = 1
    longest: float = 5
    forgotten: float = 30


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many keys are remembered, read at once and queued, so that guessing keys fills neither memory nor storage."""

    seen: int = 20_000
    absent: int = 4_096
    concurrent: int = 32
    waiting: int = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The subscription of a key as storage had it when the reading began."""

    subscription: Subscription
    asked: float


class StoredKeys:
    """Subscriptions by the digests of their keys. One for the life of the process, used by one event loop.

    Keys that were seen and keys nobody has seen do not share a queue, so a flood of guesses delays only other unseen
    keys. While storage fails, seen keys keep their last answer without waiting and unseen ones are Unavailable.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        freshness: Freshness | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._freshness = freshness or Freshness()
        self._bounds = bounds or Bounds()
        self._seen: dict[str, Seen] = {}
        self._absent: dict[str, float] = {}
        self._readings: dict[str, asyncio.Task[Answer]] = {}
        self._breaker = Breaker(random or Random())
        self._failed_at = float("-inf")
        self._seen_lane = asyncio.Semaphore(self._bounds.concurrent)
        self._unseen_lane = asyncio.Semaphore(self._bounds.concurrent)
        self._secret_checked = False

    def known(self, digest: str) -> Answer:
        """The answer at hand, without waiting; UNKNOWN when none is young enough. It may be read again meanwhile."""
        now = self._clock()
        seen = self._seen.get(digest)
        if seen is None:
            asked = self._absent.get(digest)
            return None if asked is not None and now - asked <= self._freshness.absent else UNKNOWN
        age = now - seen.asked
        if age > self._freshness.fresh:
            if age > self._freshness.stale and not self._failing(now):
                return UNKNOWN
            self._reading(digest)
        return seen.subscription

    async def find(self, digest: str) -> Subscription | None:
        """As `known`, but asks storage where it must; Unavailable for an unseen key when storage says nothing."""
        answer = self.known(digest)
        if answer is not UNKNOWN:
            return answer
        seen = self._seen.get(digest)
        reading = self._reading(digest)
        if reading is not None:
            # Waiting this way, a caller who hangs up leaves the reading to the others who wait for it.
            await asyncio.wait((reading,), timeout=self._freshness.patience if seen else self._freshness.longest)
            if reading.done() and (answer := reading.result()) is not UNKNOWN:
                return answer
        if seen is not None:
            return seen.subscription
        raise Unavailable(
            "Subscription keys cannot be checked at the moment.",
            headers=[("retry-after", "5")],
            detail="the subscriptions table gives no answer",
        )

    async def close(self) -> None:
        """Stop what is being read."""
        readings = list(self._readings.values())
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    def _failing(self, now: float) -> bool:
        return self._breaker.tripped and now - self._failed_at <= self._freshness.forgotten

    def _reading(self, digest: str) -> "asyncio.Task[Answer] | None":
        """The reading of this key that is under way or starts now; None when storage must be left alone."""
        reading = self._readings.get(digest)
        if reading is not None:
            return reading
        if digest not in self._seen and len(self._readings) >= self._bounds.waiting:
            return None
        probe = self._breaker.tripped
        if probe and not self._breaker.take_probe(self._clock()):
            return None
        reading = asyncio.create_task(self._read(digest, probe))
        self._readings[digest] = reading
        reading.add_done_callback(lambda _: self._readings.pop(digest, None))
        return reading

    async def _read(self, digest: str, probe: bool) -> Answer:
        async with self._seen_lane if digest in self._seen else self._unseen_lane:
            if self._breaker.tripped and not probe:
                return UNKNOWN  # storage failed while this one was queued
            asked = self._clock()
            try:
                found = await self._store.by_key(digest)
                if found is None:
                    await self._check_secret()
            except Exception as error:
                self._failed(error, probe)
                return UNKNOWN
        if self._breaker.tripped:
            log.info("the subscriptions table answers again")
            self._breaker.reset(self._clock())
        return self._remember(digest, found, asked)

    def _failed(self, error: Exception, probe: bool) -> None:
        # Many readings fail together when storage goes away: that is one failure, not a reason for longer pauses.
        self._failed_at = self._clock()
        if not self._breaker.tripped:
            ours = not isinstance(error, StoreError)
            log.warning("the subscriptions table gives no answer; seen keys keep working: %s", error, exc_info=ours)
        elif not probe:
            return
        self._breaker.trip(self._failed_at)

    def _remember(self, digest: str, found: StoredSubscription | None, asked: float) -> Subscription | None:
        """Keep an answer as the newest of its kind; the oldest go when there are too many."""
        self._seen.pop(digest, None)
        self._absent.pop(digest, None)
        if found is None:
            self._absent[digest] = asked
            if len(self._absent) > self._bounds.absent:
                del self._absent[next(iter(self._absent))]
            return None
        subscription = _as_policies_see_it(found)
        self._seen[digest] = Seen(subscription, asked)
        if len(self._seen) > self._bounds.seen:
            del self._seen[next(iter(self._seen))]
        return subscription

    async def _check_secret(self) -> None:
        """Tell the operator, once, that no stored key can ever be found: otherwise every caller just gets a 401."""
        if not self._secret_checked:
            if not await self._store.secret_matches():
                log.error(
                    "the stored subscription keys were hashed with another GATEWAY_KEY_HASH_SECRET: none is valid"
                )
            self._secret_checked = True


def _as_policies_see_it(found: StoredSubscription) -> Subscription:
    return Subscription(
        id=found.id,
        name=found.name,
        scope=found.scope,
        state=found.state,
        created_date=found.created,
        end_date=found.expires,
        owner=found.owner,
    )
