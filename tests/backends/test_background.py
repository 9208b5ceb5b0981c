"""Work on the side: it comes to its end, there is never too much of it, and its failures are told."""

import asyncio

import pytest

from shared.backends.background import Background


async def test_the_end_waits_for_what_is_under_way_but_not_for_ever() -> None:
    background, done = Background(), []

    async def work(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            done.append(seconds)
        except asyncio.CancelledError:
            done.append("cancelled")
            raise

    for seconds in (0.05, 0.1, 60):
        await background.start(work(seconds), "work")
    await background.aclose(0.3)
    await asyncio.sleep(0.01)
    assert done == [0.05, 0.1, "cancelled"]


async def test_more_than_the_limit_waits_for_its_turn() -> None:
    background, running, most = Background(limit=2), 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    for _ in range(6):
        await background.start(work(), "work")
    await background.aclose()
    assert (most, running) == (2, 0)


async def test_a_failure_is_logged_and_frees_its_place(caplog: pytest.LogCaptureFixture) -> None:
    background = Background(limit=1)

    async def work() -> None:
        raise ValueError("broken")

    for _ in range(2):
        await asyncio.wait_for(background.start(work(), "the work"), 1)
    await background.aclose()
    assert caplog.text.count("the work failed: ValueError: broken") == 2
