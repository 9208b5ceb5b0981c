"""What the tests of the semantic cache share: logs to run the contract on, vectors, and a clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Entities, StorageUnavailable
from shared.stores.semantic_cache.cache import SemanticCache
from shared.stores.semantic_cache.entry import Vector
from shared.stores.semantic_cache.log import Log, MemoryLog
from shared.stores.semantic_cache.namespace import Namespace
from shared.stores.semantic_cache.table_log import TableLog
from shared.stores.tables import Tables
from tests.support.azurite import Azurite

SIZE = 64


class Clock:
    """Seconds that pass when a test says so; every reading is a little later, as it is in life."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class CountedEntities:
    """Passes everything on and counts what a storage account would bill as a transaction, or fails."""

    def __init__(self, inner: Entities) -> None:
        self._inner = inner
        self.operations: list[str] = []
        self.down = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._inner, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.operations.append(name)
            if self.down:
                raise StorageUnavailable("down")
            return await operation(*arguments, **options)

        return counted


@asynccontextmanager
async def logs(kind: str, azurite: Azurite) -> AsyncIterator[Callable[[], Log]]:
    """Gives what makes the log of another instance: the same rows for each."""
    if kind == "process":
        log = MemoryLog()
        yield lambda: log
    elif kind == "memory":
        rows = MemoryEntities(Clock())
        yield lambda: TableLog(rows)
    else:
        name = azurite.table_name()
        tables = Tables(azurite.connection_string)
        try:
            yield lambda: TableLog(tables.table(name))
        finally:
            await tables.close()


def instance(log: Log, clock: Clock, **options: Any) -> SemanticCache:
    """A cache as one process has it."""
    return SemanticCache(log, clock, clock, random.Random(1), **options)


def vector(seed: int, near: Vector | None = None, distance: float = 0.0) -> Vector:
    """A random direction; with `near` one whose cosine distance from it is `distance`."""
    chance = np.random.default_rng(seed)
    found = chance.standard_normal(SIZE).astype(np.float32)
    if near is not None:
        found -= near * float(found @ near)
        found /= np.linalg.norm(found)
        cosine = 1 - distance
        found = near * np.float32(cosine) + found * np.float32(np.sqrt(1 - cosine**2))
    return (found / np.linalg.norm(found)).astype(np.float32)


def tenant(name: str) -> Namespace:
    """A namespace that differs from others by a name."""
    return Namespace(("api", name), "api")
