"""increment-condition and increment-count: whether and how much a call counts, known when its response is there."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.policies.counting import Room
from shared.policies.expression import Expression
from shared.policies.policy import Policy


class Increment(Policy):
    """The two attributes. A condition or a count that cannot be evaluated counts the call with 1: a limit must not end
    because an expression fails."""

    increment_condition: Expression[bool] | None = None
    increment_count: Expression[Annotated[int, Field(ge=0)]] | None = None

    @property
    def known_increment(self) -> int | None:
        """How much a call counts, where that does not depend on the response."""
        if self.increment_condition is not None:
            return None
        if self.increment_count is None:
            return 1
        count: int | None = self.increment_count.constant
        return count if self.increment_count.compiled is None else None

    def settle_with_response(self, ctx: Context, calls: Sequence[Room], volumes: Sequence[Room] = ()) -> None:
        """Give the rooms for calls their final amount before the response leaves. Rooms for volumes are the caller's to
        settle, except when the call does not count at all."""
        if self.known_increment is not None:
            for room in calls:
                room.settle(self.known_increment)
            return

        async def settle(ctx: Context) -> None:
            amount = await self._increment(ctx)
            for room in calls:
                room.settle(amount)
            if not amount:
                for room in volumes:
                    room.settle(0)

        ctx.on_reply(settle)

    async def _increment(self, ctx: Context) -> int:
        try:
            if self.increment_condition is not None and not await self.increment_condition(ctx):
                return 0
            return await self.increment_count(ctx) if self.increment_count is not None else 1
        except PolicyFailed as error:
            ctx.trace({"message": "the call counts with 1", "detail": error.detail}, self.element, "error")
            return 1
