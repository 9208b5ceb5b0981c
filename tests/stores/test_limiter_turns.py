"""A request may come in any turn of the loop, between the end of an exchange with storage and what follows from it."""

import asyncio
import random
import time

import pytest

from shared.stores.limiter import Limiter
from shared.stores.limits import Admission, Limit, Quota, Refusal
from shared.stores.memory import MemoryEntities
from shared.stores.periods import Calendar
from tests.stores.faulty import FaultyEntities


@pytest.mark.parametrize("turns", range(8))
async def test_a_request_that_comes_as_an_exchange_ends_is_told_of_the_quota(turns: int) -> None:
    table = FaultyEntities(MemoryEntities(time.time))
    limiter = Limiter(table, clock=time.time, chance=random.Random(1))
    limit = Limit(quotas=(Quota(30, Calendar("Yearly")),))
    first = await limiter.admit("key", limit, 1)
    assert isinstance(first, Admission)
    first.settle(18)
    table.held = held = asyncio.Event()
    held.set()
    # The last of them leaves so little of the lease that another one is asked for beside it.
    several = [await limiter.admit("key", limit, 1) for _ in range(4)]
    held.clear()
    await asyncio.sleep(0)
    for one in several:
        assert isinstance(one, Admission)
        one.settle(18)
    held.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    refused = await limiter.admit("key", limit, 1)
    assert isinstance(refused, Refusal)
    assert refused.which == "quota"
    await limiter.close()
