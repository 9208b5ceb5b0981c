"""What one request carries on its way: APIM's `context`, and the services a policy may call."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from shared.config.models import Api, Operation, Product
from shared.errors import GatewayError
from shared.message import GatewayRequest, GatewayResponse

if TYPE_CHECKING:
    from shared.config.certificates import ClientCertificate
    from shared.llm.api_kind import ApiKind
    from shared.stores.limits import Limit
    from shared.telemetry.spans import RequestSpan
    from shared.telemetry.telemetry import Telemetry

log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as policies see it (`context.Subscription`). Keys are stored as hashes only, so both read as
    empty; the one that came with a request is `Context.subscription_key`.
    """

    id: str
    name: str = ""
    scope: str = "all-apis"
    state: str = "active"
    created_date: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    owner: str = ""
    primary_key: str = ""
    secondary_key: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """The owner of a subscription (`context.User`)."""

    id: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    note: str = ""
    registration_date: datetime | None = None
    groups: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the gateway runs (`context.Deployment`)."""

    region: str = "local"
    service_name: str = "gateway"
    gateway_id: str = "managed"
    certificates: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """The backend the last attempt went to (`context.Backend`)."""

    id: str
    type: str = "Single"
    url: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """How an exchange ended: what came out of it once the last byte was sent, or the reason it was not.

    `outcome` is "completed", "client-gone", "backend-broken" or "failed"; `sent` counts body bytes sent to the caller;
    `first_byte` and `elapsed` are seconds since the request came in (None: no byte was sent).
    """

    status: int
    outcome: str
    sent: int
    elapsed: float
    first_byte: float | None


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One line of the request trace: when (seconds since start), where, what it says."""

    elapsed: float
    section: str
    source: str
    severity: str
    data: object


class TokenSource(Protocol):
    """Gives Entra tokens of the gateway's identity."""

    def at_hand(self, resource: str, client_id: str | None = None) -> str | None:
        """A token that is here already, so that nobody waits for it."""
        ...

    async def token(self, resource: str, client_id: str | None = None) -> str:
        """A bearer token for `resource`; raises PolicyFailed when none can be had."""
        ...


class BackendCaller(Protocol):
    """The backends of the configuration a request started with."""

    def knows(self, id: str) -> bool:
        """Whether a backend of that id is declared."""
        ...

    def url(self, ctx: "Context") -> str:
        """The base URL of the backend chosen for the request. PolicyFailed when there is none."""
        ...

    async def forward(
        self,
        ctx: "Context",
        *,
        header_timeout: float | None = None,
        continue_timeout: float | None = None,
        follow_redirects: bool = False,
    ) -> GatewayResponse:
        """Send the request to the backend chosen for it, and return the answer unread. Timeouts in seconds.
        BackendError when none comes."""
        ...


T = TypeVar("T")


class ServiceOf(Protocol):
    """Gives the one service of a type that the app has set up; KeyError when there is none."""

    def __call__(self, kind: type[T], /) -> T: ...


@dataclass(slots=True)
class Services:
    """What policies may use of the outside world. The app fills it in once; tests pass their own clock and random."""

    tokens: TokenSource
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)
    deployment: Deployment = field(default_factory=Deployment)
    telemetry: "Telemetry | None" = None
    extras: dict[type, Any] = field(default_factory=dict)
    get: ServiceOf = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # No call of Python's: policies ask several times per request.
        self.get = self.extras.__getitem__


CompletionCallback = Callable[[Completion], Awaitable[None] | None]
ReplyCallback = Callable[["Context"], Awaitable[None] | None]


class Observer(Protocol):
    """Who looks on a request's call to a model: told of the end before anybody else, so that all know what it used."""

    def answered(self, response: GatewayResponse) -> Awaitable[None] | None:
        """An attempt has brought this answer: the policies that follow see it when this has been waited for."""
        ...

    def failed(self) -> None:
        """An attempt has brought no answer."""
        ...

    def before_reply(self, ctx: "Context") -> Awaitable[None] | None:
        """As a callback of `Context.on_reply`."""
        ...

    def complete(self, completion: Completion) -> Awaitable[None] | None:
        """As a callback of `Context.on_completion`."""
        ...


class ClientWatch:
    """Ends the work for a caller who hung up.

    Waiting for `http.disconnect` costs a task, so it starts only for an exchange that lasts; a quick answer never pays.
    `follow` moves the watch to the task that does the work now: on Functions the answer is sent by another task than
    the one that made it. The followed task is cancelled, and `gone` tells that this was the reason.
    """

    __slots__ = ("gone", "_receive", "_loop", "_task", "_timer", "_watcher", "_body_pending")
    AFTER = 0.25

    def __init__(self, receive: Callable[[], Awaitable[Any]], *, body_pending: bool) -> None:
        self.gone = False
        self._receive = receive
        self._body_pending = body_pending
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(self.AFTER, self._start)

    def body_received(self) -> None:
        """The request body has come to its end, so the next message can only be the disconnect."""
        self._body_pending = False

    def follow(self) -> None:
        """Cancel the current task instead of the one before."""
        self._task = asyncio.current_task()

    def stop(self) -> None:
        """The exchange has ended."""
        self._task = None
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def lost(self) -> None:
        """The caller is known to be gone."""
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        if self._body_pending:  # whoever reads the body sees the disconnect first
            self._timer = self._loop.call_later(self.AFTER, self._start)
        else:
            self._watcher = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.lost()


class Context:
    """One request on its way, owned by one task. Names are those of APIM's `context`; what is not known yet is None.

    `withheld` has the header fields the caller sent that policies may read but no backend gets as they came: keys,
    credentials, forwarding headers. `watch` is there while a caller may hang up. `client_certificate` is shown to the
    backend. `notes` are what one policy leaves for another of the same request, by type; so are `observer` and, with
    keys and limits, what the request is `counted` under, which are in most. `unverified` are the checks that are under
    way beside the policies; see `verify`. `span` is None when there is no telemetry.
    """

    __slots__ = (
        "request",
        "response",
        "api",
        "kind",
        "operation",
        "product",
        "subscription_key",
        "subscription",
        "user",
        "backend",
        "backend_id",
        "backend_url",
        "backends",
        "variables",
        "last_error",
        "section",
        "services",
        "trace_entries",
        "started",
        "timestamp",
        "withheld",
        "watch",
        "client_certificate",
        "notes",
        "observer",
        "counted",
        "unverified",
        "span",
        "_request_id",
        "_on_reply",
        "_on_completion",
    )

    def __init__(self, request: GatewayRequest, services: Services) -> None:
        self.request = request
        self.response: GatewayResponse | None = None
        self.api: Api | None = None
        self.kind: ApiKind | None = None
        self.operation: Operation | None = None
        self.product: Product | None = None
        self.subscription_key = ""
        self.subscription: Subscription | None = None
        self.user: User | None = None
        self.backend: BackendInfo | None = None
        self.backend_id: str | None = None
        self.backend_url: str | None = None
        self.backends: BackendCaller | None = None
        self.variables: dict[str, Any] = {}
        self.last_error: GatewayError | None = None
        self.section = ""
        self.services = services
        self.trace_entries: list[TraceEntry] | None = None
        self.started = services.monotonic()
        self.timestamp = services.clock()
        self.withheld: list[tuple[bytes, bytes]] = []
        self.watch: ClientWatch | None = None
        self.client_certificate: ClientCertificate | None = None
        self.notes: dict[type, Any] = {}
        self.observer: Observer | None = None
        self.counted: tuple[tuple[str, Limit], ...] = ()
        self.unverified: list[asyncio.Task[None]] = []
        self.span: RequestSpan | None = None
        self._request_id: uuid.UUID | None = None
        self._on_reply: list[ReplyCallback] = []
        self._on_completion: list[CompletionCallback] | None = []

    @property
    def request_id(self) -> uuid.UUID:
        """The id of this request, the same in headers, logs and traces."""
        if self._request_id is None:
            self._request_id = uuid.uuid4()
        return self._request_id

    @property
    def elapsed(self) -> timedelta:
        """Time since the request came in."""
        return timedelta(seconds=self.services.monotonic() - self.started)

    @property
    def deployment(self) -> Deployment:
        """Where the gateway runs."""
        return self.services.deployment

    @property
    def tracing(self) -> bool:
        """Whether this request is traced."""
        return self.trace_entries is not None

    @property
    def message(self) -> GatewayRequest | GatewayResponse:
        """What section-dependent policies change: the request in inbound and backend, the response after."""
        if self.section in ("outbound", "on-error") and self.response is not None:
            return self.response
        return self.request

    def trace(self, data: object, source: str = "", severity: str = "verbose") -> None:
        """Add a line to the request trace; costs nothing when the request is not traced."""
        if self.trace_entries is not None:
            elapsed = self.services.monotonic() - self.started
            self.trace_entries.append(TraceEntry(elapsed, self.section, source, severity, data))

    def on_reply(self, callback: ReplyCallback) -> None:
        """Run `callback` once the response is decided and before its first byte leaves; it may wrap
        `response.stream`.
        """
        self._on_reply.append(callback)

    async def before_reply(self) -> None:
        """Run the reply callbacks, the last registered first, so that each wraps what came before it."""
        while self._on_reply:
            going = self._on_reply.pop()(self)
            if going is not None:
                await going
        if self.observer is not None:
            going = self.observer.before_reply(self)
            if going is not None:
                await going

    def verify(self, check: Coroutine[Any, Any, None]) -> None:
        """Check something of the request beside the policies that may run ahead of the verdict. Nothing else happens
        before `verified`: no other policy, no call to a backend, no answer. The check raises what is the answer then.
        """
        task = asyncio.create_task(check)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.unverified.append(task)
        self.on_completion(lambda _: self.abandon_checks())

    async def verified(self) -> None:
        """Wait for the verdicts; raises what a check raises."""
        for check in tuple(self.unverified):
            await check
        self.unverified.clear()

    def abandon_checks(self) -> None:
        """End the checks under way: something else has become the answer."""
        for check in self.unverified:
            check.cancel()
        self.unverified.clear()

    def on_completion(self, callback: CompletionCallback) -> None:
        """Run `callback` exactly once when the last byte is out or the exchange has failed, however it ends."""
        if self._on_completion is None:
            raise RuntimeError("the exchange has ended")
        self._on_completion.append(callback)

    async def complete(self, completion: Completion) -> None:
        """Run the completion callbacks; a second call does nothing. A failing one is logged and does not stop the
        rest.
        """
        callbacks, self._on_completion = self._on_completion, None
        if callbacks is None:
            return
        if self.observer is not None:
            callbacks.insert(0, self.observer.complete)
        for callback in callbacks:
            try:
                result = callback(completion)
                if result is not None:
                    await result
            except Exception:
                log.exception("request %s: a completion callback failed", self.request_id)
