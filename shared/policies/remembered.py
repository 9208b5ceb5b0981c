"""A stream that is remembered as it passes, for what keeps answers."""

from collections.abc import AsyncIterator, Awaitable, Callable


async def remembered(
    stream: AsyncIterator[bytes], most: int, take: Callable[[bytes], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """The same stream; `take` gets all of it when it ends as it should and has no more than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in stream:
        size += len(part)
        if size <= most:
            parts.append(part)
        else:
            parts.clear()
        yield part
    if size <= most:
        await take(b"".join(parts))
