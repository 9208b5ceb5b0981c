"""Tells other instances of trips, and learns of theirs: in the background, and only while there is traffic."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.backends.circuit_breaker import Change
from shared.backends.health import Fleet, Health
from shared.stores.breaker_state import BreakerChange, BreakerStore
from shared.stores.protocols import StoreError

log = logging.getLogger("gateway")

EVERY = 2.0
"""Seconds between two looks at what others wrote."""
SOON = 0.25
"""Seconds after news of one's own: another instance may have tripped in the same moment, and only one tries first."""
IDLE = 10.0
"""Seconds without a request after which nobody looks any more."""
FIRST_TRIAL = 3 * EVERY
"""Seconds the others leave to the instance that wrote last, to try the backend and tell how it went; they begin anew
each time it tells that the trial is under way."""


class Sharing:
    """Shares what the breakers of a fleet do. Without storage every instance goes by what it sees itself.

    `clock` is UTC and compared between instances; their clocks may differ by no more than a moment (Azure keeps them
    together). The instance that wrote last has the first trial, so the others do not try the backend all at once.
    """

    def __init__(
        self,
        store: BreakerStore,
        fleet: Fleet,
        instance: str,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._instance = instance
        self._clock = clock
        self._monotonic = monotonic
        self._untold: dict[str, BreakerChange] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_request = 0.0
        self._failing = False

    def touch(self) -> None:
        """A request came that may need to know."""
        self._last_request = self._monotonic()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def tell(self, health: Health, change: Change) -> None:
        """A breaker of this instance has changed."""
        self._tell(health, change)
        self._wake.set()

    def _tell(self, health: Health, change: Change) -> None:
        now = self._clock()
        until = now
        breaker = health.breaker
        if change == "tripped" and breaker is not None and breaker.open_until is not None:
            until = now + timedelta(seconds=max(0.0, breaker.open_until - self._monotonic()))
        self._untold[health.id] = BreakerChange(
            health.id,
            health.url,
            "open" if change == "tripped" else "closed",
            health.changed_at or now,
            until,
            self._instance,
            health.errors[-1].what if change == "tripped" and health.errors else "",
        )

    async def aclose(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while self._monotonic() - self._last_request < IDLE or (self._untold and not self._failing):
                self._wake.clear()
                wait = SOON if self._untold else EVERY
                try:
                    self._tell_of_trials()
                    await self._write()
                    await self._read()
                    self._worked()
                except StoreError as error:
                    self._failed(error)
                    wait = EVERY
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        except Exception:
            log.exception("circuit breakers are not shared any more until the next request")
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    def _tell_of_trials(self) -> None:
        """A model may take its time over the answer that decides."""
        for health in self._fleet:
            if health.breaker is not None and health.breaker.trying:
                health.changed_at, health.foreign = self._clock(), False
                self._tell(health, "tripped")

    async def _write(self) -> None:
        for id, change in list(self._untold.items()):
            await self._store.write(change)
            if self._untold.get(id) is change:
                del self._untold[id]

    async def _read(self) -> None:
        for change in await self._store.read():
            health = self._fleet.get(change.backend)
            if health is None or health.url != change.url or change.instance == self._instance:
                continue
            left = (change.until - self._clock()).total_seconds()
            if change.state == "closed":
                health.learn(None, change.at, 0.0)
            elif left > -FIRST_TRIAL:
                health.learn(self._monotonic() + left, change.at, FIRST_TRIAL)

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            self._failing = True
            log.warning("circuit breakers are not shared at the moment: %s", error)

    def _worked(self) -> None:
        if self._failing:
            self._failing = False
            log.info("circuit breakers are shared again")
