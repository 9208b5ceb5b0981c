"""The circuit breakers' last changes, one small row per backend, for all instances of the gateway to see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.stores.protocols import Entities, Entity, StorageRefused

TABLE = "gatewaybackends"
_PARTITION = "breakers"

BreakerState = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A backend's breaker opened or closed: at which instance, when (UTC), open until when, and by what trouble. `url`
    is the backend's: what is known of another address says nothing."""

    backend: str
    url: str
    state: BreakerState
    at: datetime
    until: datetime
    instance: str
    trouble: str = ""


class BreakerStore:
    """Reads and writes changes. All methods raise StorageUnavailable and StorageRefused."""

    def __init__(self, entities: Entities) -> None:
        self._entities = entities

    async def write(self, change: BreakerChange) -> None:
        """Keep a change in the place of the backend's last one."""
        await self._entities.upsert(
            {
                "PartitionKey": _PARTITION,
                "RowKey": change.backend,
                "url": change.url,
                "state": change.state,
                "at": change.at,
                "until": change.until,
                "instance": change.instance,
                "trouble": change.trouble,
            }
        )

    async def read(self) -> Sequence[BreakerChange]:
        """The last change of every backend that ever had one."""
        changes: list[BreakerChange] = []
        continuation: str | None = None
        while True:
            page = await self._entities.query(_PARTITION, continuation=continuation)
            changes += [_change(row.entity) for row in page.rows]
            continuation = page.continuation
            if continuation is None:
                return changes


def _change(entity: Entity) -> BreakerChange:
    state, at, until = entity["state"], entity["at"], entity["until"]
    if state not in ("open", "closed") or not isinstance(at, datetime) or not isinstance(until, datetime):
        raise StorageRefused(f"the row of backend {entity['RowKey']!s} is not one of this gateway's")
    return BreakerChange(
        str(entity["RowKey"]),
        str(entity["url"]),
        "open" if state == "open" else "closed",
        at,
        until,
        str(entity["instance"]),
        str(entity.get("trouble", "")),
    )
