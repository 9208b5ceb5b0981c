"""Waiting for what has to come about, however long the machine takes: tests that sleep and look fail under load."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds after which what has not come about never will."""


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE, *, every: float = 0.02) -> None:
    """Wait for a condition, looking `every` so many seconds. AssertionError when it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(every)


async def soon(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """`wait_until` on an event loop. It looks only once the loop had some turns: what is so too early is no proof that
    it stays so."""
    deadline = time.monotonic() + seconds
    await asyncio.sleep(0.01)
    while not holds():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(0.01)
