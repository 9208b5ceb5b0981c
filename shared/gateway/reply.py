"""Sends the answer: bytes as they come, kept alive while the backend is silent, ended clearly when it breaks off."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from shared.context import Completion, Context
from shared.errors import BackendError, ClientGone, GatewayError
from shared.gateway.error_body import dialect_of, error_event
from shared.gateway.request_span import end_span
from shared.message import HOP_BY_HOP, GatewayResponse, end_to_end

log = logging.getLogger("gateway")

Send = Callable[[Any], Awaitable[None]]

# Load balancers cut a connection that says nothing for about four minutes; proxies in between are often stricter.
PING_AFTER = 15.0
PING = b": ping\n\n"
# google-genai takes a comment for a piece of JSON. No event either: a blank line after one.
PING_FOR_GOOGLE = b"\n"

# Every server this runs on writes a Date of its own, and a message has one (RFC 9110 section 6.6.1).
NOT_SENT = HOP_BY_HOP | {b"date"}

# RFC 9112 section 6.3: what follows the head of such an answer would be read as the next one.
WITHOUT_BODY = frozenset((*range(100, 200), 204, 304))


class Reply(Response):
    """The server's response for a Context. Sending it ends the exchange: completion callbacks run once, whatever
    happens.
    """

    def __init__(self, ctx: Context, response: GatewayResponse, method: str) -> None:
        """`method` is the caller's: after HEAD, Content-Length tells what GET would bring (RFC 9110 section 8.6)."""
        # Response.__init__ would encode what is bytes already; only what the Functions extension and Starlette read is
        # set.
        self.ctx = ctx
        self.response = response
        self.status_code = response.status_code
        self.background = None
        if response.status_code in WITHOUT_BODY and response.body:
            response.body = b""
        self.body = response.body or b""
        headers = end_to_end(response.headers.raw, NOT_SENT)
        if response.body is not None and (response.body or method != "HEAD"):
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            if response.status_code not in WITHOUT_BODY:
                headers.append((b"content-length", b"%d" % len(response.body)))
        request_id = str(ctx.request_id).encode()
        headers.append((b"x-gateway-request-id", request_id))
        if not any(name == b"x-request-id" for name, _ in headers):
            headers.append((b"x-request-id", request_id))
        self.raw_headers = headers

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Send head and body (ASGI). A caller who leaves cancels the backend; nothing is raised."""
        sending = _Sending(self.ctx, self.response, send)
        outcome = "failed"
        if self.ctx.watch is not None:
            self.ctx.watch.follow()
        try:
            outcome = await sending.run(self.status_code, self.raw_headers)
        except asyncio.CancelledError:
            if self.ctx.watch is None or not self.ctx.watch.gone:
                raise
            _swallow_cancellation()
            outcome = "client-gone"
        except (ClientGone, OSError):
            outcome = "client-gone"
        finally:
            if self.ctx.watch is not None:
                self.ctx.watch.stop()
            await asyncio.shield(self._end(sending, outcome))

    async def _end(self, sending: "_Sending", outcome: str) -> None:
        ctx = self.ctx
        await self.response.aclose()
        now = ctx.services.monotonic()
        completion = Completion(self.status_code, outcome, sending.sent, now - ctx.started, sending.first_byte)
        await ctx.complete(completion)
        if ctx.span is not None:
            end_span(ctx, completion)


def _swallow_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


class _Sending:
    """One body on its way out."""

    __slots__ = (
        "_ctx",
        "_response",
        "_send",
        "_tail",
        "_busy",
        "_ping_timer",
        "_ping",
        "_sent_before",
        "sent",
        "first_byte",
    )

    def __init__(self, ctx: Context, response: GatewayResponse, send: Send) -> None:
        self._ctx = ctx
        self._response = response
        self._send = send
        self._tail = b"\n\n"
        self._busy = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None
        self._sent_before = 0
        self.sent = 0
        self.first_byte: float | None = None

    async def run(self, status: int, headers: Any) -> str:
        """Send all of it and tell how it ended: "completed" or "backend-broken"."""
        send, response = self._send, self._response
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if status in WITHOUT_BODY and response.body is None:
            await send({"type": "http.response.body", "body": b""})
            return "completed"
        if response.body is not None:
            self._first()
            await send({"type": "http.response.body", "body": response.body})
            self.sent = len(response.body)
            return "completed"
        assert response.stream is not None
        events = response.is_event_stream and "content-encoding" not in response.headers
        if events:
            self._keep_alive()
        try:
            async for chunk in response.stream:
                if self.first_byte is None:
                    self._first()
                self._busy = True
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._busy = False
                self.sent += len(chunk)
                self._tail = chunk[-4:] if len(chunk) >= 4 else (self._tail + chunk)[-4:]
        except GatewayError as error:
            return await self._broken(error, events)
        finally:
            await self._stop_pings()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return "completed"

    async def _broken(self, error: GatewayError, events: bool) -> str:
        """The backend stopped in the middle. A stream of events says so; any other body is visibly cut short."""
        log.warning("request %s: %s: %s", self._ctx.request_id, error.reason, error.detail or error.message)
        self._ctx.last_error = error
        if events:
            await self._stop_pings()
            lead = b"" if self._at_event_end() else b"\n\n"
            body = lead + error_event(self._ctx, error)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
        # Returning without a last message makes the server cut the connection: the caller sees an incomplete body.
        return "backend-broken" if isinstance(error, BackendError) else "failed"

    def _first(self) -> None:
        self.first_byte = self._ctx.services.monotonic() - self._ctx.started

    def _at_event_end(self) -> bool:
        return self._tail.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))

    def _keep_alive(self) -> None:
        # Methods, not a function that names itself: that would be a ring only the garbage collector can undo.
        self._sent_before = self.sent
        self._ping_timer = asyncio.get_running_loop().call_later(PING_AFTER, self._ping_if_silent)

    def _ping_if_silent(self) -> None:
        loop = asyncio.get_running_loop()
        if self.sent == self._sent_before and not self._busy and self._at_event_end():
            self._ping = loop.create_task(self._send_ping())
        self._sent_before = self.sent
        self._ping_timer = loop.call_later(PING_AFTER, self._ping_if_silent)

    async def _send_ping(self) -> None:
        ping = PING_FOR_GOOGLE if dialect_of(self._ctx) == "google" else PING
        with contextlib.suppress(OSError):  # the caller is gone; the body's own next send ends the exchange
            await self._send({"type": "http.response.body", "body": ping, "more_body": True})

    async def _stop_pings(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if self._ping is not None and not self._ping.done():
            await asyncio.wait([self._ping])
