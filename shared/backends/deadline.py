"""How long the parts of an exchange may take: the caller's limits, and the one clock that watches over them."""

import asyncio
from collections.abc import Callable, Mapping


class Timeouts:
    """The waits of one exchange in seconds, ``None`` for none: httpx's four, ``headers`` (until the response's head,
    by default ``read``) and ``continuing`` (for "100 Continue", by default 1)."""

    __slots__ = ("connect", "continuing", "headers", "pool", "read", "write")

    def __init__(self, given: Mapping[str, float | None]) -> None:
        get = given.get
        self.connect = get("connect")
        self.read = read = get("read")
        self.write = get("write")
        self.pool = get("pool")
        self.headers = get("headers", read)
        self.continuing = get("continue", 1.0)


class Deadline:
    """A moment by which something must have happened, moved on many times a second.

    The timer below it stays where it is when the moment moves away and looks again when it fires: that costs less
    than to cancel and create a timer for every wait.
    """

    __slots__ = ("_loop", "_missed", "_moment", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._moment: float | None = None
        self._missed: Callable[[], None]
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def set(self, seconds: float | None, missed: Callable[[], None]) -> None:
        """Calls ``missed`` in so many seconds, ``None`` for never, instead of what was set before."""
        self._missed = missed
        if seconds is None:
            self._moment = None
            return
        self._moment = moment = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        self._wait_until(moment)

    def clear(self) -> None:
        """Nothing is due any more."""
        self._moment = None

    def end(self) -> None:
        """Leaves no timer behind."""
        self._moment = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_until(self, moment: float) -> None:
        self._timer = self._loop.call_at(moment, self._look)
        self._timer_at = moment

    def _look(self) -> None:
        self._timer = None
        moment = self._moment
        if moment is None:
            return
        if self._loop.time() < moment:
            self._wait_until(moment)
            return
        self._moment = None
        self._missed()
