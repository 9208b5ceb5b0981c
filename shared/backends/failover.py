"""What a request has behind it that moved on from a pool's member: whom it left, the best answer, the time there is."""

import logging

import httpx

from shared.backends.attempts import SOURCE
from shared.context import BackendInfo, Context
from shared.errors import BackendError
from shared.message import GatewayResponse

log = logging.getLogger("gateway")

# The platform ends a call that has said nothing for 230 s; no attempt is begun with less than a moment to go.
LONGEST = 225.0
LEAST = 0.05

Left = set[str | tuple[str, str]]
"""Members a request is not to be sent to again; with a model's name only for that."""


class Failover:
    """The failed attempts of one forward-request that began at a moment and has `header_timeout` seconds for all."""

    __slots__ = ("left", "_ctx", "_deadline", "_kept", "_kept_from", "_failure")

    def __init__(self, ctx: Context, began: float, header_timeout: float | None) -> None:
        self.left: Left = set()
        self._ctx = ctx
        # The first attempt had what forward-request gives it, also late in a retry; this goes by what is left.
        longest = ctx.started + LONGEST
        self._deadline = longest if header_timeout is None else min(longest, began + header_timeout)
        self._kept: GatewayResponse | None = None
        self._kept_from: BackendInfo | None = None
        self._failure: BackendError | None = None

    def time_left(self) -> float:
        """Seconds the next attempt has."""
        return max(LEAST, self._deadline - self._ctx.services.monotonic())

    def may_go_on(self, answer: GatewayResponse | BackendError) -> bool:
        """Whether another member may be asked after this; says why not."""
        ctx = self._ctx
        if isinstance(answer, BackendError) and isinstance(answer.__cause__, httpx.LocalProtocolError):
            return False  # such a request can be sent to nobody
        if not ctx.request.replayable and ctx.request.sent:
            ctx.trace("no failover: the request body was a stream and has been sent", SOURCE, "error")
            log.warning("request %s: no failover, its body was a stream and has been sent", ctx.request_id)
            return False
        if self._deadline - ctx.services.monotonic() < LEAST:
            ctx.trace("no failover: there is no time left", SOURCE, "error")
            return False
        return True

    async def take(self, answer: GatewayResponse | BackendError) -> None:
        """What came of an attempt. An answer takes the place of the one before; a failure does not."""
        if isinstance(answer, BackendError):
            self._failure = answer
            return
        await self.aclose()
        self._kept, self._kept_from = answer, self._ctx.backend

    def end(self) -> GatewayResponse:
        """The last answer there was. BackendError when there was none."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._ctx.backend = self._kept_from
            return kept
        assert self._failure is not None
        raise self._failure

    async def aclose(self) -> None:
        """Let go of an answer nobody gets."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.aclose()
