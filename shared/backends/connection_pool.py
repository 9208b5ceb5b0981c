"""The connections to one origin: idle ones on a stack, a limit, and a fair queue of those who wait."""

import asyncio
from collections import deque
from dataclasses import dataclass

import httpx

from shared.backends.dial import Dialer
from shared.backends.http1 import Connection


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_connections`` per origin is APIM's per backend authority; ``idle_expiry`` in seconds lies below the four
    minutes after which Azure's load balancers forget a silent connection."""

    max_connections: int = 2048
    max_idle: int = 512
    idle_expiry: float = 90.0


class ConnectionPool:
    """Hands out connections to one origin.

    A connection counts against the limit from its dial until its socket has ended, and nothing else does the
    counting: whoever gives one up only has to end it.
    """

    def __init__(self, dialer: Dialer, limits: Limits) -> None:
        self._dialer = dialer
        self._limits = limits
        self._idle: dict[Connection, None] = {}  # in order of their return; the last one is the warmest
        self._open: set[Connection] = set()
        self._dialing = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False
        self._emptied = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """How many connections there are, idle ones and those being opened included."""
        return len(self._open) + self._dialing

    @property
    def idle_connections(self) -> int:
        """How many of them carry no exchange."""
        return len(self._idle)

    def take_idle(self, now: float) -> Connection | None:
        """The connection that was used last and can be used again, if there is one. ``now`` is the loop's time."""
        while self._idle:
            connection, _ = self._idle.popitem()
            # Timers stand still while the platform freezes the process, so the age counts here too.
            if connection.usable(now) and now - connection.idle_since < self._limits.idle_expiry:
                return connection
            connection.close()
        return None

    async def acquire(self, queue_seconds: float | None, dial_seconds: float | None) -> Connection:
        """A new connection, or, at the limit, whichever becomes free first, in the order of asking.

        Raises ``httpx.PoolTimeout`` after ``queue_seconds`` seconds in the queue and what ``Dialer.dial`` raises.
        """
        while self._waiters or self.open_connections >= self._limits.max_connections:
            connection = await self._queue(queue_seconds)
            if connection is None:
                return await self._dial(dial_seconds)
            if connection.usable(connection.loop.time()):  # it may have been closed since it was handed over
                return connection
        self._dialing += 1
        return await self._dial(dial_seconds)

    def give_back(self, connection: Connection, now: float) -> None:
        """Takes a connection whose exchange is over. One that cannot carry another is closed."""
        if connection.finish():
            connection.idle_since = now
            self._offer(connection)

    def _offer(self, connection: Connection) -> None:
        if self._closing:
            connection.abort()
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(connection)
        else:
            self._idle[connection] = None
            if len(self._idle) > self._limits.max_idle:
                self._close_oldest()
            if self._sweeper is None:
                self._sweeper = connection.loop.call_later(self._limits.idle_expiry, self._sweep)

    async def aclose(self) -> None:
        """Ends every connection, also those in use, and waits until their sockets are closed."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(RuntimeError("the transport was closed"))
        for connection in tuple(self._open):
            connection.fail(httpx.ReadError("the transport was closed"))
        if self._open:
            await self._emptied.wait()

    async def _queue(self, seconds: float | None) -> Connection | None:
        """Waits for a turn: a connection, or ``None`` for the place of one (already counted as being dialed)."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except TimeoutError as error:
            self._hand_on(waiter)
            raise httpx.PoolTimeout(f"no connection became free within {seconds} s") from error
        except BaseException:
            self._hand_on(waiter)
            raise

    def _hand_on(self, waiter: asyncio.Future[Connection | None]) -> None:
        """One who leaves the queue in the very moment of its turn passes the turn on."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._dialing -= 1
                self._call_next()
            elif not connection.closed:
                self._offer(connection)

    async def _dial(self, seconds: float | None) -> Connection:
        try:
            connection = await self._dialer.dial(seconds, self._lost)
        except BaseException:
            self._dialing -= 1
            self._call_next()
            raise
        self._dialing -= 1
        if connection.closed:  # already, before anyone could count it
            self._call_next()
            raise httpx.ConnectError("the backend closed the connection at once")
        self._open.add(connection)
        if self._closing:
            connection.abort()
            raise RuntimeError("the transport was closed")
        return connection

    def _lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        if connection in self._open:
            self._open.discard(connection)
            if self._closing and not self._open:
                self._emptied.set()
            self._call_next()

    def _call_next(self) -> None:
        if self.open_connections < self._limits.max_connections and (waiter := self._next_waiter()) is not None:
            self._dialing += 1
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _close_oldest(self) -> None:
        oldest = next(iter(self._idle))
        del self._idle[oldest]
        oldest.close()

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        due = loop.time() - self._limits.idle_expiry
        while self._idle:
            oldest = next(iter(self._idle))
            if oldest.idle_since > due:
                self._sweeper = loop.call_at(oldest.idle_since + self._limits.idle_expiry, self._sweep)
                return
            self._close_oldest()
