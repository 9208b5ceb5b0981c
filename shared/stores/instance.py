"""What all counters of one gateway instance share."""

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from shared.stores.breaker import Breaker
from shared.stores.clock import Clock
from shared.stores.protocols import Entities

C = TypeVar("C")


@dataclass(slots=True)
class Instance(Generic[C]):
    """``writer`` is unique among all instances, ever; ``outage`` is about storage as a whole."""

    entities: Entities
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    chance: random.Random
    writer: str
    max_instances: int
    outage: Breaker
    dirty: set[C] = field(default_factory=set)
    """Counters that hold something storage does not know of."""
    numbers: Iterator[int] = field(default_factory=count)
    """One for each counter made."""
