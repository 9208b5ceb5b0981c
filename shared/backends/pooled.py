"""A pool made ready to be called: a member for each attempt, and the next one within the request when it fails."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import httpx

from shared.backends.affinity import Affinity
from shared.backends.attempts import SOURCE, Attempt, attempts_of, note
from shared.backends.forward import forward
from shared.backends.health import Health
from shared.backends.model_name import model_of, renamed
from shared.backends.not_asked import NotAsked
from shared.backends.pool import Member, Members
from shared.backends.target import Target
from shared.backends.transport import Transport
from shared.config.backends import Pool, PoolService
from shared.context import Context
from shared.errors import BackendError, BackendUnavailable
from shared.message import GatewayRequest, GatewayResponse

log = logging.getLogger("gateway")

# The platform ends a call that has said nothing for 230 s; no attempt is begun with less than a moment to go.
LONGEST = 225.0
LEAST = 0.05


class Asked:
    """The model a request asks for, by the caller's name; the body is parsed when somebody wants to know."""

    __slots__ = ("_request", "_model")

    def __init__(self, request: GatewayRequest, model: str | None = None) -> None:
        self._request = request
        self._model = model

    def __call__(self) -> str:
        if self._model is None:
            self._model = model_of(self._request)
        return self._model

    def instead(self, model: str) -> "Asked":
        """Another model in its place."""
        return Asked(self._request, model)


@dataclass(frozen=True, slots=True)
class Service:
    """A member: what is declared of it, where it is, how it fares."""

    declared: PoolService
    target: Target
    health: Health

    def serves(self, model: Asked) -> bool:
        """Whether it may be asked for a model, by the caller's name."""
        return not self.declared.serves or model() in self.declared.serves

    def name(self, model: Asked) -> Callable[[], str]:
        """The name it knows a model by."""
        if not self.declared.models:
            return model
        asked = model()
        name = self.declared.models.get(asked, asked)
        return lambda: name


Left = set[str | tuple[str, str]]
"""Members a request is not to be sent to again; with a model's name only for that."""


class Sending(NamedTuple):
    """How forward-request wants it sent."""

    header_timeout: float | None = None
    continue_timeout: float | None = None
    follow_redirects: bool = False


class Pooled:
    """One pool. `forward` makes one attempt, or with failover as many as there are members to ask."""

    def __init__(self, id: str, pool: Pool, services: Mapping[str, Service]) -> None:
        self.id = id
        self.services = services
        self._pool = pool
        self._members = Members([Member(one.id, one.priority, one.weight) for one in pool.services])
        self._left_for = frozenset(_statuses(pool)) if pool.failover else frozenset()
        ids = [service.id for service in pool.services]
        self._affinity = Affinity(pool.session_affinity.cookie, id, ids) if pool.session_affinity is not None else None
        # Only then does the model decide who is asked, or what for: a body is read for it, however large.
        self.by_model = bool(pool.spill) or any(service.models or service.serves for service in pool.services)

    def first(self, ctx: Context) -> Target:
        """Where the request would go: for policies that want a URL. The first member when none is available."""
        service = self._choose(ctx, Asked(ctx.request), set(), ctx.services.monotonic())
        return service.target if service is not None else next(iter(self.services.values())).target

    async def forward(self, ctx: Context, transport: Transport, sending: Sending) -> GatewayResponse:
        """The answer of a member, the last one that answered when all have failed, NotAsked when none is available.
        BackendError when none answered at all."""
        if self.by_model and ctx.request.body is None and "json" in (ctx.request.headers.get("content-type") or ""):
            await ctx.request.read()
        return await _Forwarding(self, ctx, transport, sending).run()

    def available(self, ctx: Context, asked: Asked, left: Left) -> tuple[Service, Asked] | None:
        """The member to ask next, and the model to ask it for by the caller's name; None when there is none."""
        now = ctx.services.monotonic()
        for model in self._models(asked):
            service = self._choose(ctx, model, left, now)
            if service is not None:
                return service, model
        return None

    def leaves(self, outcome: int | str) -> bool:
        """Whether an answer's status, or the reason why there is none, makes it go on to the next member."""
        return outcome in self._left_for

    def inactive(self, ctx: Context, asked: Asked) -> NotAsked:
        """The answer when no member is available: when to come back is when the first of them is. BackendError when
        no member serves the model at all."""
        now = ctx.services.monotonic()
        waits = [
            service.health.ready_at(service.name(model), now) - now
            for model in self._models(asked)
            for service in self.services.values()
            if service.serves(model)
        ]
        if not waits:
            raise BackendError(
                "The model is not available.",
                status=404,
                reason="ModelNotFound",
                code="model_not_found",
                detail=f"no member of pool {self.id} serves {asked()!r:.100}",
            )
        retry_after = max(1, ceil(min(waits)))
        return NotAsked(
            BackendUnavailable(f"Backend pool '{self.id}'", "PoolIsInactive", self._pool.failure_response, retry_after)
        )

    def keep_session(self, ctx: Context, member: str) -> None:
        """Keep the caller on the member that answered, if the pool does so and its cookie does not say so yet."""
        if self._affinity is not None and self._affinity.member(ctx) != member:
            self._affinity.keep(ctx, member)

    def _models(self, asked: Asked) -> Iterator[Asked]:
        """The model asked for, and those that may take its place."""
        yield asked
        if self._pool.spill:
            name = asked()
            while (following := self._pool.spill.get(name)) is not None:
                yield asked.instead(following)
                name = following

    def _choose(self, ctx: Context, model: Asked, left: Left, now: float) -> Service | None:
        services, by_model = self.services, self.by_model

        def available(member: Member) -> bool:
            service = services[member.id]
            if not by_model:
                return member.id not in left and service.health.ready(model, now)
            name = service.name(model)
            return (
                member.id not in left
                and (member.id, name()) not in left
                and service.serves(model)
                and service.health.ready(name, now)
            )

        if self._affinity is not None and (kept := self._affinity.member(ctx)) is not None and available(Member(kept)):
            return services[kept]
        attempts = attempts_of(ctx)
        # A retry policy asks again: another member first.
        avoid = [attempt.backend for attempt in attempts if attempt.pool == self.id] if attempts else ()
        member = self._members.choose(available, avoid=avoid, cost=self._cost(now))
        return services[member.id] if member is not None else None

    def _cost(self, now: float) -> Callable[[Member], float] | None:
        """What makes one member dearer than another."""
        services = self.services
        match self._pool.selection:
            case "priority":
                return None
            case "least-outstanding":
                return lambda member: services[member.id].health.in_flight / (member.weight or 1)
            case "lowest-latency":
                return lambda member: _patience(services[member.id].health, now)


class _Forwarding:
    """The attempts of one forward-request at a pool."""

    __slots__ = (
        "_pool",
        "_ctx",
        "_transport",
        "_sending",
        "_asked",
        "_deadline",
        "_header_timeout",
        "_left",
        "_kept",
        "_failure",
    )

    def __init__(self, pool: Pooled, ctx: Context, transport: Transport, sending: Sending) -> None:
        self._pool = pool
        self._ctx = ctx
        self._transport = transport
        self._sending = sending
        self._asked = Asked(ctx.request)
        deadline = ctx.started + LONGEST
        if sending.header_timeout is not None:
            deadline = min(deadline, ctx.services.monotonic() + sending.header_timeout)
        # The first attempt has what forward-request gives it, also late in a retry; failover goes by what is left.
        self._deadline = deadline
        self._header_timeout = sending.header_timeout
        self._left: Left = set()
        self._kept: GatewayResponse | None = None
        self._failure: BackendError | None = None

    async def run(self) -> GatewayResponse:
        try:
            while True:
                chosen = self._pool.available(self._ctx, self._asked, self._left)
                if chosen is None:
                    return self._end()
                response = await self._attempt(*chosen)
                if response is not None:
                    return response
        except BaseException:
            if self._kept is not None:
                await self._kept.aclose()
            raise

    def _end(self) -> GatewayResponse:
        """Nobody is left to ask: the last real answer, else the last failure, else that nobody was asked."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        if self._failure is not None:
            raise self._failure
        response = self._pool.inactive(self._ctx, self._asked)
        self._ctx.trace({"pool": self._pool.id, "not asked": response.status_reason}, SOURCE)
        return response

    async def _attempt(self, service: Service, model: Asked) -> GatewayResponse | None:
        """The answer to pass on, or None when another member is to be asked."""
        ctx, sending = self._ctx, self._sending
        began = ctx.services.monotonic()
        name = service.name(model)
        flight = service.health.begin(name, began)
        assert flight is not None  # nothing has run since it was found ready
        outcome: int | str
        response: GatewayResponse | None = None
        before = ctx.backend
        try:
            response = await forward(
                ctx,
                service.target,
                self._transport,
                header_timeout=self._header_timeout,
                continue_timeout=sending.continue_timeout,
                follow_redirects=sending.follow_redirects,
                named=renamed(ctx.request, name()) if self._pool.by_model and name() != self._asked() else None,
                flight=flight,
            )
            outcome = response.status_code
        except BackendError as failure:
            outcome, self._failure = failure.reason, failure
        id = service.declared.id
        left = self._why_leave(outcome)
        told = name() if self._pool.by_model or ctx.tracing else ""
        note(ctx, Attempt(id, self._pool.id, told, outcome, ctx.services.monotonic() - began, left))
        if response is not None and self._kept is not None:
            await self._kept.aclose()
            self._kept = None
        if left:
            # A used-up limit is one deployment's, any other trouble the whole backend's.
            self._left.add((id, name()) if outcome == 429 and self._pool.by_model else id)
            self._header_timeout = max(LEAST, self._deadline - ctx.services.monotonic())
            self._kept = response if response is not None else self._kept
            if response is None and self._kept is not None:
                ctx.backend = before  # the one whose answer is kept
            return None
        if response is None:
            if self._kept is None:
                assert self._failure is not None
                raise self._failure
            ctx.backend = before
            return self._end()
        self._pool.keep_session(ctx, id)
        return response

    def _why_leave(self, outcome: int | str) -> str:
        """Why the next member is to be asked, or "" when this outcome is the request's."""
        ctx = self._ctx
        if not self._pool.leaves(outcome):
            return ""
        failure = self._failure
        if isinstance(outcome, str) and failure is not None and isinstance(failure.__cause__, httpx.LocalProtocolError):
            return ""
        if not ctx.request.replayable and ctx.request.sent:
            ctx.trace("no failover: the request body was a stream and has been sent", SOURCE, "error")
            log.warning("request %s: no failover, its body was a stream and has been sent", ctx.request_id)
            return ""
        if self._deadline - ctx.services.monotonic() < LEAST:
            ctx.trace("no failover: there is no time left", SOURCE, "error")
            return ""
        return "failover"


def _patience(health: Health, now: float) -> float:
    """Seconds a caller would wait for the first token. The time alone would send all that comes at once to the one that
    was fastest a moment ago."""
    return (health.first_token(now) or 0.0) * (health.in_flight + 1)


def _statuses(pool: Pool) -> set[int | str]:
    """What makes a pool go on: statuses, and LastError's reasons."""
    found: set[int | str] = set()
    for condition in pool.failover_on:
        match condition:
            case "connection":
                found.add("BackendConnectionFailure")
            case "timeout":
                found.add("Timeout")
            case int():
                found.add(condition)
            case _:
                first, _, last = condition.partition("-")
                found.update(range(int(first), int(last or first) + 1))
    return found
