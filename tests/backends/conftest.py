"""Runs a test on both event loops the gateway meets: asyncio's own and, where it is installed, uvloop."""

import asyncio
import importlib.util
from collections.abc import Iterator

import pytest

LOOPS = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]


@pytest.fixture(params=LOOPS)
def both_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "asyncio":
        yield
        return
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(None)
