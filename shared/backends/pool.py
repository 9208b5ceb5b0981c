"""The choice of a pool's member: the best priority that has one available, in it by weight, load or speed (pure)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Member:
    """A member's place in the pool. `credit` is what it is owed of the calls its priority has had."""

    id: str
    priority: int = 0
    weight: int = 1
    credit: float = 0.0


class Members:
    """The members of one pool, by priority.

    Within a priority calls are shared by weight, smoothly (A A B A, not A A A B): every available member is owed its
    weight, who is owed most gets the call and pays the weights of all. A member that is away neither earns nor pays,
    so it finds its own account when it returns, and the others share what is left by their own weights.
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
    best: Member | None = None
    for member in candidates:
        if member.weight:
            total += member.weight
            member.credit += member.weight
            if best is None or member.credit > best.credit:
                best = member
    if best is None:  # all of them have weight 0: in turn
        best = min(candidates, key=lambda member: -member.credit)
        for member in candidates:
            member.credit += 1
        total = len(candidates)
    best.credit -= total
    return best


def _cheapest(candidates: list[Member], cost: Callable[[Member], float]) -> list[Member]:
    weighty = [member for member in candidates if member.weight] or candidates
    costs = [cost(member) for member in weighty]
    least = min(costs)
    return [member for member, one in zip(weighty, costs, strict=True) if one == least]
