"""How much was used in every trailing window of a run: the figure a limit is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowUse:
    """Use of trailing windows as a proportion of the limit; ``mean`` and ``least`` once the first window is full."""

    worst: float
    mean: float
    least: float


def window_use(admitted: Sequence[tuple[float, int]], window: float, limit: int, begin: float, end: float) -> WindowUse:
    """``admitted``: time and amount of each admission. ``worst`` is exact: it is taken at every admission."""
    events = sorted(admitted)
    oldest = used = 0
    worst = 0
    for time, amount in events:
        used += amount
        while events[oldest][0] <= time - window:
            used -= events[oldest][1]
            oldest += 1
        worst = max(worst, used)
    samples = _samples(events, window, begin + window, end)
    settled = samples[len(samples) // 4 :] or [0]
    mean = sum(samples) / max(1, len(samples))
    return WindowUse(worst / limit, mean / limit, min(settled) / limit)


def _samples(events: Sequence[tuple[float, int]], window: float, begin: float, end: float) -> list[int]:
    samples: list[int] = []
    newest = oldest = used = 0
    time = begin
    while time <= end:
        while newest < len(events) and events[newest][0] <= time:
            used += events[newest][1]
            newest += 1
        while oldest < newest and events[oldest][0] <= time - window:
            used -= events[oldest][1]
            oldest += 1
        samples.append(used)
        time += 0.25
    return samples


def percentile(values: Sequence[float], proportion: float) -> float:
    """The value below which ``proportion`` of the sorted ``values`` lie; 0 when there are none."""
    return values[min(len(values) - 1, int(len(values) * proportion))] if values else 0.0
