"""Tokenizers are loaded while nobody waits, and counting never holds up the loop for long."""

import asyncio
import time

from shared.llm.tokens import rough_count
from shared.policies.tokenizers import Tokenizers, counted

TEXT = "The quick brown fox jumps over the lazy dog. "


async def test_a_rough_count_serves_until_the_tokenizer_is_loaded() -> None:
    tokenizers = Tokenizers()
    assert tokenizers.count("gpt-4o") is rough_count
    exact = await tokenizers.exact("gpt-4o")
    assert exact is tokenizers.count("gpt-4o")
    assert exact(TEXT * 10) == 101
    assert tokenizers.count("gpt-4") is rough_count  # the other table


async def test_who_wants_it_exact_waits_once_for_all() -> None:
    tokenizers = Tokenizers()
    counts = await asyncio.gather(*(tokenizers.exact("gpt-4") for _ in range(5)))
    assert len(set(counts)) == 1 and counts[0] is not rough_count


async def test_a_long_text_is_counted_beside_the_loop() -> None:
    count = await Tokenizers().exact("gpt-4o")
    long = " ".join(str(number) for number in range(400_000))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begun)

    watching = asyncio.create_task(watch())
    begun = time.perf_counter()
    tokens = await counted(count, len(long), lambda count: count(long))
    took = time.perf_counter() - begun
    watching.cancel()
    assert tokens > 400_000
    assert longest < max(0.1, took / 2)


async def test_what_was_counted_is_known_again() -> None:
    count = await Tokenizers().exact("gpt-4o")
    long = TEXT * 20_000
    begun = time.thread_time()
    first = count(long)
    slow = time.thread_time() - begun
    begun = time.thread_time()
    assert count("".join([TEXT] * 20_000)) == first
    assert time.thread_time() - begun < slow / 2
