"""The declared backends, and the choice of one for a request."""

from collections.abc import Mapping
from math import ceil

from shared.backends.attempts import SOURCE
from shared.backends.forward import forward
from shared.backends.health import Fleet, Health
from shared.backends.not_asked import NotAsked
from shared.backends.pooled import Pooled, Sending, Service
from shared.backends.sharing import Sharing
from shared.backends.target import Target, plain_target
from shared.backends.transport import Transport
from shared.config.backends import Backend
from shared.context import Context
from shared.errors import BackendUnavailable, PolicyFailed
from shared.message import GatewayResponse


class Backends:
    """Backends and pools by id, called over one transport. `fleet` outlives a configuration, as does `sharing` (None:
    trips stay in this process)."""

    def __init__(
        self,
        declared: Mapping[str, Backend],
        targets: Mapping[str, Target],
        transport: Transport,
        fleet: Fleet,
        sharing: Sharing | None = None,
    ) -> None:
        self._targets = targets
        self._health = health = fleet.take(declared)
        self._pools: dict[str, Pooled] = {}
        for id, backend in declared.items():
            if backend.pool is not None:
                services = {one.id: Service(one, targets[one.id], health[one.id]) for one in backend.pool.services}
                self._pools[id] = Pooled(id, backend.pool, services)
        self._transport = transport
        self._sharing = sharing if any(one.breaker is not None for one in health.values()) else None

    def knows(self, id: str) -> bool:
        """Whether a backend or pool of that id is declared."""
        return id in self._targets or id in self._pools

    def single(self, id: str) -> Target | None:
        """The backend of that id, for calls of a policy's own; None when there is none, or it is a pool."""
        return self._targets.get(id)

    def choose(self, ctx: Context) -> Target | Pooled:
        """What a policy chose, else the API's own backend. PolicyFailed when there is none."""
        if ctx.backend_url is not None:
            try:
                return plain_target(ctx.backend_url)
            except ValueError as error:
                raise PolicyFailed(
                    source="set-backend-service", reason="BackendUrlInvalid", detail=str(error)
                ) from error
        id = ctx.backend_id or (ctx.api.backend if ctx.api is not None else None)
        found = (self._targets.get(id) or self._pools.get(id)) if id is not None else None
        if found is None:
            detail = f"no backend {id}" if id else "the API has no backend and no policy chose one"
            raise PolicyFailed(source=SOURCE, reason="BackendNotFound", detail=detail)
        return found

    def url(self, ctx: Context) -> str:
        """The base URL of the backend chosen for the request, of a pool that of a member. PolicyFailed when there is
        none."""
        chosen = self.choose(ctx)
        target = chosen.first(ctx) if isinstance(chosen, Pooled) else chosen
        return str(target.origin) + target.base_path

    async def forward(
        self,
        ctx: Context,
        *,
        header_timeout: float | None = None,
        continue_timeout: float | None = None,
        follow_redirects: bool = False,
    ) -> GatewayResponse:
        """One attempt at the backend chosen for the request, as `forward.forward` says; at a pool what
        `Pooled.forward` says. NotAsked while the backend's circuit breaker is open."""
        if self._sharing is not None:
            self._sharing.touch()
        chosen = self.choose(ctx)
        if isinstance(chosen, Pooled):
            return await chosen.forward(
                ctx, self._transport, Sending(header_timeout, continue_timeout, follow_redirects)
            )
        health = self._health.get(chosen.info.id)
        flight = None
        if health is not None:
            now = ctx.services.monotonic()
            flight = health.begin(str, now)
            if flight is None:
                return _not_asked(health, now)
        return await forward(
            ctx,
            chosen,
            self._transport,
            header_timeout=header_timeout,
            continue_timeout=continue_timeout,
            follow_redirects=follow_redirects,
            flight=flight,
        )


def _not_asked(health: Health, now: float) -> NotAsked:
    assert health.breaker is not None
    retry_after = max(1, ceil(health.breaker.ready_at(now) - now))
    status = health.breaker.rule.failure_response
    return NotAsked(BackendUnavailable(f"Backend '{health.id}'", "BackendCircuitBreakerOpen", status, retry_after))
