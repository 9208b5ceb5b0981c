"""What is left of a limit by the last state seen of one of its shards."""

from shared.stores.counter_entity import CounterState
from shared.stores.limits import Limit, Remaining


def left(limit: Limit, state: CounterState | None, periods: tuple[int, ...], oldest: int) -> Remaining:
    """Return what is left, taking the other shards to be used as much; all of it when nothing was seen yet.

    ``periods`` are the starts of the quotas' current periods, ``oldest`` is the oldest bucket that counts.
    """
    window = limit.window
    if state is None:
        return Remaining(window.limit if window else None, tuple(quota.limit for quota in limit.quotas))
    return Remaining(
        None if window is None else window.limit - limit.shards * state.ring.total_since(oldest),
        tuple(
            quota.limit - (use.used * limit.shards if use.start >= start else 0)
            for quota, use, start in zip(limit.quotas, state.quotas, periods, strict=True)
        ),
    )
