"""How the backends and pools fare, as JSON: at one instance, or as all instances have told storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.backends.health import Fleet, Health
from shared.config.backends import Backend
from shared.context import Services
from shared.stores.breaker_state import BreakerChange


@dataclass(frozen=True, slots=True)
class BackendsView:
    """What this instance knows of the declared backends."""

    declared: Mapping[str, Backend]
    fleet: Fleet
    services: Services

    def shown(self) -> dict[str, Any]:
        """`backends` with state, calls in flight, announced limits and recent errors; `pools` with their members."""
        now, utc = self.services.monotonic(), self.services.clock()
        backends = [_health(health, now, utc) for health in self.fleet]
        return {"backends": backends, "pools": _pools(self.declared, {one["id"]: one for one in backends})}


def shared_state(declared: Mapping[str, Backend], changes: Sequence[BreakerChange], now: datetime) -> dict[str, Any]:
    """The same as far as storage has it: the breakers' last changes. A trip that is over waits for a trial."""
    known = {change.backend: change for change in changes}
    backends = []
    for id, backend in declared.items():
        if backend.pool is not None:
            continue
        state = "none" if backend.circuit_breaker is None else "closed"
        shown: dict[str, Any] = {"id": id, "url": backend.url, "state": state}
        change = known.get(id)
        if change is not None and backend.circuit_breaker is not None:
            shown |= {"url": change.url, "changed_at": _iso(change.at), "instance": change.instance}
            if change.state == "open":
                shown["state"] = "open" if now < change.until else "half-open"
                shown["open_until"], shown["trouble"] = _iso(change.until), change.trouble
        backends.append(shown)
    return {"backends": backends, "pools": _pools(declared, {one["id"]: one for one in backends})}


def _health(health: Health, now: float, utc: datetime) -> dict[str, Any]:
    breaker = health.breaker
    shown: dict[str, Any] = {
        "id": health.id,
        "url": health.url,
        "state": breaker.state(now) if breaker is not None else "none",
        "in_flight": health.in_flight,
        "first_token_seconds": _rounded(health.first_token(now)),
        "limits": [
            {"model": model, "until": _iso(utc + timedelta(seconds=until - now)), "header": why}
            for model, until, why in health.limits.lasting(now)
        ],
        "recent_errors": [{"at": _iso(trouble.at), "what": trouble.what} for trouble in health.errors],
    }
    if breaker is not None and breaker.open_until is not None:
        shown["open_until"] = _iso(utc + timedelta(seconds=breaker.open_until - now))
        shown["learned_from_another_instance"] = health.foreign
    if health.changed_at is not None:
        shown["changed_at"] = _iso(health.changed_at)
    return shown


def _pools(declared: Mapping[str, Backend], backends: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "members": [
                {"id": one.id, "priority": one.priority, "weight": one.weight, "state": backends[one.id]["state"]}
                for one in backend.pool.services
                if one.id in backends
            ],
        }
        for id, backend in declared.items()
        if backend.pool is not None
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
