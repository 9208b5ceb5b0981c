"""A pool made ready to be called: a member for each attempt, and the next one within the request when it fails."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from shared.backends.affinity import Affinity
from shared.backends.attempts import SOURCE, Attempt, Attempts, note
from shared.backends.failover import Failover, Left
from shared.backends.forward import forward
from shared.backends.health import Health, Model
from shared.backends.model_name import Renamed, model_of, renamed
from shared.backends.not_asked import NotAsked
from shared.backends.pool import Member, Members
from shared.backends.target import Target
from shared.backends.transport import Transport
from shared.config.backends import Pool, PoolService
from shared.context import Context
from shared.errors import BackendError, BackendUnavailable
from shared.message import GatewayRequest, GatewayResponse
from shared.telemetry import genai
from shared.telemetry.spans import Value


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

    def name(self, model: Asked) -> Model:
        """The name it knows a model by."""
        if not self.declared.models:
            return model
        asked = model()
        name = self.declared.models.get(asked, asked)
        return lambda: name


class Sending(NamedTuple):
    """How forward-request wants it sent."""

    header_timeout: float | None = None
    continue_timeout: float | None = None
    follow_redirects: bool = False


class Pooled:
    """One pool. `forward` makes one attempt, or with failover as many as there are members to ask."""

    def __init__(self, id: str, pool: Pool, services: Mapping[str, Service]) -> None:
        self.id = id
        self._services = services
        self._healths = {id: service.health for id, service in services.items()}
        self._pool = pool
        self._plain = pool.selection == "priority"
        self._members = Members([Member(one.id, one.priority, one.weight) for one in pool.services])
        self._left_for = frozenset(_outcomes(pool)) if pool.failover else frozenset()
        ids = [service.id for service in pool.services]
        self._affinity = Affinity(pool.session_affinity.cookie, id, ids) if pool.session_affinity is not None else None
        # Only then does the model decide who is asked, or what for: a body is read for it, however large.
        self._by_model = bool(pool.spill) or any(service.models or service.serves for service in pool.services)

    def first(self, ctx: Context) -> Target:
        """Where the request would go: for policies that want a URL. The first member when none is available."""
        chosen = self._available(ctx, Asked(ctx.request), None, ctx.services.monotonic())
        service = chosen[0] if chosen is not None else next(iter(self._services.values()))
        return service.target

    async def forward(self, ctx: Context, transport: Transport, sending: Sending) -> GatewayResponse:
        """The answer of a member, the last one that answered when all have failed, NotAsked when none is available.
        BackendError when none answered at all."""
        if self._by_model and ctx.request.body is None and "json" in (ctx.request.headers.get("content-type") or ""):
            await ctx.request.read()
        asked = Asked(ctx.request)
        began = ctx.services.monotonic()
        chosen = self._available(ctx, asked, None, began)
        failover: Failover | None = None  # most requests need none
        outcome: int | str = ""
        try:
            while chosen is not None:
                service, name = chosen
                sent = ctx.services.monotonic()
                timeout = sending.header_timeout if failover is None else failover.time_left()
                named = renamed(ctx.request, name()) if self._by_model and name() != asked() else None
                spoken = None if ctx.span is None else self._told(name, outcome)
                answer = await _attempt(ctx, transport, service, name, sending, timeout, named, spoken)
                outcome = answer.reason if isinstance(answer, BackendError) else answer.status_code
                goes_on = False
                if outcome in self._left_for:
                    failover = failover or Failover(ctx, began, sending.header_timeout)
                    goes_on = failover.may_go_on(answer)
                told = name() if self._by_model or ctx.trace_entries is not None else ""
                took = ctx.services.monotonic() - sent
                note(ctx, Attempt(service.declared.id, self.id, told, outcome, took, "failover" if goes_on else ""))
                if self._affinity is not None and not goes_on and not isinstance(answer, BackendError):
                    self._affinity.keep(ctx, service.declared.id)
                if failover is None:
                    return _passed_on(answer)
                await failover.take(answer)
                if not goes_on:
                    break
                # A used-up limit is one deployment's, any other trouble the whole backend's.
                used_up = self._by_model and outcome == 429
                failover.left.add((service.declared.id, name()) if used_up else service.declared.id)
                chosen = self._available(ctx, asked, failover.left, ctx.services.monotonic())
            return self._not_asked(ctx, asked) if failover is None else failover.end()
        finally:
            if failover is not None:
                await failover.aclose()

    def _told(self, name: Model, before: int | str) -> dict[str, Value]:
        """What the span of an attempt says of the pool; `before` is how the attempt before it ended, if there was
        one."""
        told: dict[str, Value] = {genai.POOL_ID: self.id}
        if before:
            told[genai.FAILOVER] = str(before)
        if self._by_model and (model := name()):
            told[genai.REQUEST_MODEL] = model
        return told

    def _available(self, ctx: Context, asked: Asked, left: Left | None, now: float) -> tuple[Service, Model] | None:
        """The member to ask next, and its name for the model to ask for; None when there is none."""
        service = self._choose(ctx, asked, left, now)
        if service is not None:
            return service, service.name(asked) if self._by_model else asked
        if not self._pool.spill:
            return None
        for model in self._instead_of(asked):
            service = self._choose(ctx, model, left, now)
            if service is not None:
                return service, service.name(model)
        return None

    def _choose(self, ctx: Context, model: Asked, left: Left | None, now: float) -> Service | None:
        healths = self._healths
        if self._by_model:
            available = self._available_for(model, left or set(), now)
        elif left is None:

            def available(member: Member) -> bool:
                return healths[member.id].ready(model, now)

        else:

            def available(member: Member) -> bool:
                return member.id not in left and healths[member.id].ready(model, now)

        if self._affinity is not None and (kept := self._affinity.member(ctx)) is not None and available(Member(kept)):
            return self._services[kept]
        before: Attempts | None = ctx.notes.get(Attempts)
        # A retry policy asks again: another member first.
        avoid = () if before is None else [attempt.backend for attempt in before if attempt.pool == self.id]
        member = self._members.choose(available, avoid=avoid, cost=None if self._plain else self._cost(now))
        return self._services[member.id] if member is not None else None

    def _available_for(self, model: Asked, left: Left, now: float) -> Callable[[Member], bool]:
        """Whether a member may be asked for a model, where the model decides."""

        def available(member: Member) -> bool:
            service = self._services[member.id]
            name = service.name(model)
            return (
                member.id not in left
                and (member.id, name()) not in left
                and service.serves(model)
                and service.health.ready(name, now)
            )

        return available

    def _cost(self, now: float) -> Callable[[Member], float]:
        """What makes one member dearer than another, where that decides."""
        healths = self._healths
        if self._pool.selection == "least-outstanding":
            return lambda member: healths[member.id].in_flight / (member.weight or 1)
        return lambda member: _patience(healths[member.id], now)

    def _instead_of(self, asked: Asked) -> Iterator[Asked]:
        """The models that may take the place of the one asked for."""
        following = self._pool.spill.get(asked())
        while following is not None:
            yield asked.instead(following)
            following = self._pool.spill.get(following)

    def _not_asked(self, ctx: Context, asked: Asked) -> NotAsked:
        """The answer when no member is available: when to come back is when the first of them is. BackendError when
        no member serves the model at all."""
        now = ctx.services.monotonic()
        waits = [
            service.health.ready_at(service.name(model), now) - now
            for model in (asked, *self._instead_of(asked))
            for service in self._services.values()
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
        error = BackendUnavailable(
            f"Backend pool '{self.id}'", "PoolIsInactive", self._pool.failure_response, retry_after
        )
        ctx.trace({"pool": self.id, "not asked": error.status_reason}, SOURCE)
        return NotAsked(error)


async def _attempt(
    ctx: Context,
    transport: Transport,
    service: Service,
    name: Model,
    sending: Sending,
    header_timeout: float | None,
    named: Renamed | None,
    told: Mapping[str, Value] | None,
) -> GatewayResponse | BackendError:
    """One call to a member: its answer, or why there is none."""
    flight = service.health.begin(name, ctx.services.monotonic())
    assert flight is not None  # nothing has run since it was found ready
    try:
        return await forward(
            ctx,
            service.target,
            transport,
            header_timeout=header_timeout,
            continue_timeout=sending.continue_timeout,
            follow_redirects=sending.follow_redirects,
            named=named,
            flight=flight,
            told=told,
        )
    except BackendError as error:
        return error


def _passed_on(answer: GatewayResponse | BackendError) -> GatewayResponse:
    if isinstance(answer, BackendError):
        raise answer
    return answer


def _patience(health: Health, now: float) -> float:
    """Seconds a caller would wait for the first token. The time alone would send all that comes at once to the one that
    was fastest a moment ago."""
    return (health.first_token(now) or 0.0) * (health.in_flight + 1)


def _outcomes(pool: Pool) -> set[int | str]:
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
