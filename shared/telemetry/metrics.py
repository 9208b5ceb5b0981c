"""Custom metrics: what policies count, summed up per series until somebody takes it."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger("gateway.metrics")

# An expression can give a dimension a new value with every request; the series of a namespace must stay countable.
MOST_SERIES = 10_000


class Metrics(Protocol):
    """Where custom metrics go. Never raises and never waits: a metric must not fail or slow a request."""

    def emit(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Add a value to the series of this metric with these dimensions."""
        ...


@dataclass(slots=True)
class Total:
    """A series since it was last taken: as Azure Monitor wants custom metrics."""

    count: int = 0
    sum: float = 0.0
    min: float = float("inf")
    max: float = float("-inf")


Series = tuple[str, str, tuple[tuple[str, str], ...]]


class MetricTotals:
    """Sums up in memory. Names of dimensions are compared without regard to case, as in APIM since May 2025."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self._totals: dict[Series, Total] = {}
        self._most = most_series
        self.dropped = 0
        self._told = False

    def emit(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Add a value. Values that are no numbers, and past `most_series` new series, are counted in `dropped`; the
        latter is said once per round.
        """
        if not math.isfinite(value):
            self.dropped += 1
            return
        key = (namespace, name, tuple(sorted(dimensions.items(), key=lambda pair: pair[0].lower())))
        total = self._totals.get(key)
        if total is None:
            if len(self._totals) >= self._most:
                if not self._told:
                    self._told = True
                    log.warning("more than %d series of metrics: new ones are dropped", self._most)
                self.dropped += 1
                return
            total = self._totals[key] = Total()
        total.count += 1
        total.sum += value
        total.min = min(total.min, value)
        total.max = max(total.max, value)
        log.debug("metric %s/%s %s %s", namespace, name, value, dict(dimensions))

    def take(self) -> dict[Series, Total]:
        """All series since the last call; they begin anew."""
        totals, self._totals, self.dropped, self._told = self._totals, {}, 0, False
        return totals
