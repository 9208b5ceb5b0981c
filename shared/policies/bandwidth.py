"""How many bytes an exchange moves: the request's body and the response's."""

from collections.abc import AsyncIterator

from shared.context import Completion, Context
from shared.policies.counting import Room


class Meter:
    """Counts the request body of one exchange, also while it is a stream, and settles with both bodies at the end."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sent = 0
        request = ctx.request
        if request.body is not None:
            self._sent = len(request.body)
        elif request.stream is not None:
            request.stream = self._metered(request.stream)

    @property
    def so_far(self) -> int:
        """Bytes of the request that have come, at least 1."""
        return max(1, self._sent)

    def settle_at_end(self, room: Room) -> None:
        """Settle with what both bodies came to."""

        def settle(completion: Completion) -> None:
            room.settle(self._sent + completion.sent)

        self._ctx.on_completion(settle)

    async def _metered(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in stream:
            self._sent += len(part)
            yield part
