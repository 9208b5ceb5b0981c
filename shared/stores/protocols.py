"""What the gateway asks of a key/value table, and the ways it may fail; every store implements exactly this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Value = str | int | float | bool | bytes | datetime
"""A property of an entity. Integers are 64-bit on the wire; a datetime carries its time zone."""

Entity = Mapping[str, Value]
"""``PartitionKey`` and ``RowKey`` (both ``str``) and up to 252 properties of one's own.

Keys must not contain ``/ \\ # ?`` or control characters and stay within 1 KiB (255 bytes for a RowKey on Cosmos DB):
hash whatever a user supplied. https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""


class StoreError(Exception):
    """A table operation did not do what was asked; the subclass says what is known about it."""


class Conflict(StoreError):
    """The entity exists already, is gone, or has changed since the ETag was read: nothing was written."""


class StorageUnavailable(StoreError):
    """No answer in time or an error of the service: whether a write was applied is unknown."""


class StorageBusy(StorageUnavailable):
    """One partition or the account is throttled (503, 500 OperationTimedOut, 429); the service itself is up."""


class StorageRefused(StoreError):
    """The service understood and said no (401, 403, 400): waiting will not help, the configuration is wrong."""


class Unreadable(StorageRefused):
    """An entity is not what this version writes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity as it was read, with the ETag that proves it and the service's own time of its last write."""

    entity: Entity
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a query: possibly empty even when ``continuation`` says that there is more."""

    rows: Sequence[Stored]
    continuation: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One write inside a transaction; ``if_match`` is an ETag for replace and delete, None for any."""

    kind: Literal["insert", "replace", "upsert", "delete"]
    entity: Entity
    if_match: str | None = None


class Entities(Protocol):
    """One table of entities with compare-and-swap. All methods raise ``StorageUnavailable`` and ``StorageRefused``."""

    async def read(self, partition: str, row: str) -> Stored | None:
        """Return the entity, or None when there is none."""

    async def insert(self, entity: Entity) -> str:
        """Create an entity and return its ETag; ``Conflict`` when it exists."""

    async def replace(self, entity: Entity, if_match: str) -> str:
        """Replace the whole entity and return the new ETag; ``Conflict`` when it changed or is gone."""

    async def upsert(self, entity: Entity) -> str:
        """Create or replace whatever is there and return the new ETag."""

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        """Delete the entity. Gone already is fine without ``if_match``; with it a changed entity is a ``Conflict``."""

    async def query(
        self,
        partition: str | None = None,
        *,
        row_from: str | None = None,
        row_before: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        """Return one page of rows with ``row_from <= RowKey < row_before``; all partitions when None.

        ``select`` names the properties wanted (keys always come). Order is by key on Table Storage and unspecified on
        Cosmos DB, so callers must not rely on it. Pass ``Page.continuation`` back until it is None.
        """

    async def transact(self, operations: Sequence[Operation]) -> None:
        """Apply up to 100 writes within one partition, all or nothing; ``Conflict`` when any of them is refused."""

    async def close(self) -> None:
        """Release connections. The store may not be used afterwards."""
