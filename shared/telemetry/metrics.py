"""Custom metrics: what policies count, summed up per series until somebody takes it."""

import logging
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger("gateway.metrics")

# An expression can give a dimension a new value with every request; the series of a namespace must stay countable.
MOST_SERIES = 10_000

_NO_SUM = "metric %s, %s: values that are no finite numbers, or more than their sum can hold, are dropped"

Pairs = tuple[tuple[str, str], ...]
"""Dimensions, name and value, in the order of their names without regard to case."""


class Metrics(Protocol):
    """Where custom metrics go. Never raises and never waits: a metric must not fail or slow a request."""

    @property
    def wanted(self) -> bool:
        """Whether anybody takes what is counted: without telemetry nobody does."""
        ...

    def emit(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Add a value to the series of this metric with these dimensions."""
        ...

    def add(self, namespace: str, values: Iterable[tuple[str, float]], dimensions: Pairs) -> None:
        """The same for several metrics of a namespace that have the same dimensions."""
        ...


@dataclass(slots=True)
class Total:
    """A series since it was last taken: as Azure Monitor wants custom metrics."""

    count: int = 0
    sum: float = 0.0
    min: float = float("inf")
    max: float = float("-inf")

    def add(self, other: "Total") -> None:
        """Count what another total has counted of the same series."""
        self.count += other.count
        self.sum += other.sum
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)


Series = tuple[str, str, Pairs]


class MetricTotals:
    """Sums up in memory. Names of dimensions are compared without regard to case, as in APIM since May 2025. Values
    come from the threads that serve and are taken by the one that sends."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        """With `most_series` 0 nothing is counted, nor told."""
        # By namespace and dimensions, then by name: several metrics of a call have the same.
        self._totals: dict[tuple[str, Pairs], dict[str, Total]] = {}
        self._series = 0
        self._lock = threading.Lock()
        self.most = most_series
        self._told: set[str] = set()
        self.dropped = 0
        """Values that were not counted, since the start."""

    @property
    def wanted(self) -> bool:
        """Whether anything is counted."""
        return self.most > 0

    def emit(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Add a value; see `add`."""
        pairs = tuple(sorted(dimensions.items(), key=lambda pair: pair[0].lower()))
        self.add(namespace, ((name, value),), pairs)

    def add(self, namespace: str, values: Iterable[tuple[str, float]], dimensions: Pairs) -> None:
        """Add values. Those that are no numbers, or more than a sum can hold, and those past `most_series` new series
        are counted in `dropped` and told once per round: JSON has no infinity, nor has Azure Monitor.
        """
        if not self.wanted:
            return
        with self._lock:
            group = self._totals.get((namespace, dimensions), {})
            for name, value in values:
                total = group.get(name)
                if not math.isfinite(value + total.sum if total is not None else value):
                    self._drop(1, _NO_SUM % (namespace, name))
                    continue
                total = total or self._begin((namespace, dimensions), name, 1)
                if total is None:
                    continue
                total.count += 1
                total.sum += value
                if value < total.min:
                    total.min = value
                if value > total.max:
                    total.max = value

    def take(self) -> dict[Series, Total]:
        """All series since the last call; they begin anew."""
        with self._lock:
            totals, self._totals, self._series, self._told = self._totals, {}, 0, set()
        return {
            (namespace, name, pairs): total
            for (namespace, pairs), group in totals.items()
            for name, total in group.items()
        }

    def put_back(self, totals: Mapping[Series, Total]) -> None:
        """Count again what was taken and could not be handed on."""
        with self._lock:
            for (namespace, name, dimensions), one in totals.items():
                group = self._totals.get((namespace, dimensions), {})
                total = group.get(name) or self._begin((namespace, dimensions), name, one.count)
                if total is None:
                    continue
                if math.isfinite(total.sum + one.sum):
                    total.add(one)
                else:
                    self._drop(one.count, _NO_SUM % (namespace, name))

    def _begin(self, group: tuple[str, Pairs], name: str, values: int) -> Total | None:
        if self._series < self.most:
            self._series += 1
            return self._totals.setdefault(group, {}).setdefault(name, Total())
        self._drop(values, f"more than {self.most} series of metrics: new ones are dropped")
        return None

    def _drop(self, values: int, why: str) -> None:
        self.dropped += values
        if why not in self._told:
            self._told.add(why)
            log.warning("%s", why)
