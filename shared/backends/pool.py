"""The choice of a pool's member: the best priority that has one available, in it by weight, load or speed (pure)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Member:
    """A member's place in the pool. `credit` is how many calls it is owed; below 0 it has had more than its share."""

    id: str
    priority: int = 0
    weight: int = 1
    credit: float = 0.0


class Members:
    """The members of one pool, by priority.

    Within a priority calls are shared by weight, smoothly (A B A A, not A A A B): each call is divided among the
    members available at that moment, and goes to the one that is owed most. A member that is away earns nothing, so
    nothing is made up for when it returns; the others divide what is left by their own weights. (Counting in weights
    instead of calls, as smooth weighted round robin does, shifts these shares when a member comes and goes.)
    """

    def __init__(self, members: Sequence[Member]) -> None:
        priorities = sorted({member.priority for member in members})
        self._groups = [[member for member in members if member.priority == priority] for priority in priorities]

    def choose(
        self,
        available: Callable[[Member], bool],
        *,
        avoid: Collection[str] = (),
        cost: Callable[[Member], float] | None = None,
    ) -> Member | None:
        """The member to ask, None when none is available.

        Among the available members of the best priority those in `avoid` come last. With `cost` the cheapest ones
        are considered only, weights decide between equals.
        """
        for group in self._groups:
            candidates = [member for member in group if available(member)]
            if candidates:
                if avoid:
                    candidates = [member for member in candidates if member.id not in avoid] or candidates
                return _by_weight(_cheapest(candidates, cost) if cost is not None else candidates)
        return None


def _by_weight(candidates: list[Member]) -> Member:
    if len(candidates) == 1:
        return candidates[0]
    total = 0
    for member in candidates:
        total += member.weight
    best: Member | None = None
    for member in candidates:
        # All of them with weight 0: in turn.
        share = member.weight / total if total else 1 / len(candidates)
        if share:
            member.credit += share
            if best is None or member.credit > best.credit:
                best = member
    assert best is not None
    best.credit -= 1
    return best


def _cheapest(candidates: list[Member], cost: Callable[[Member], float]) -> list[Member]:
    weighty = [member for member in candidates if member.weight] or candidates
    costs = [cost(member) for member in weighty]
    least = min(costs)
    return [member for member, one in zip(weighty, costs, strict=True) if one == least]
