"""Whether what an instance owes a shard is worth a transaction of its own, or can wait for the next lease."""

from shared.stores.demand import Demand
from shared.stores.shard import Shard


def due(shard: Shard, demand: Demand, now: float, window: float, *, after_outage: bool) -> bool:
    """Far from the limit nobody misses what is not written yet; debts of an outage and unclear writes are due.

    What was only moved between buckets frees or takes nothing now: it can wait until the earlier bucket has left the
    window, where what stays in the later one is a credit like any other.
    """
    idle = now - demand.last > window / 2
    return shard.uncertain or _quota_due(shard, demand, idle) or _window_due(shard, demand, after_outage)


def _window_due(shard: Shard, demand: Demand, after_outage: bool) -> bool:
    if shard.limit is None or not shard.pending:
        return False
    used = shard.state.ring.total() if shard.state else 0
    net = sum(shard.pending.values())
    if net > 0:
        return after_outage or used > 0.6 * shard.limit or net > shard.limit / 64
    return used > 0.75 * shard.limit and -net > 2 * demand.typical


def _quota_due(shard: Shard, demand: Demand, idle: bool) -> bool:
    """Unlike a window a quota does not heal by waiting: debts always count, credits when scarce or nothing follows."""
    if any(owed > 0 for owed in shard.owed):
        return True
    back = -min(shard.owed, default=0)
    if not back:
        return False
    uses = shard.state.quotas if shard.state else []
    scarce = any(use.used > 0.9 * limit for use, limit in zip(uses, shard.quota_limits, strict=True))
    return idle or (scarce and back > demand.typical)
