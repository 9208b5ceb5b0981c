"""How a policy takes room from a counter: each request is counted once under a key, however many policies share it."""

from typing import Protocol

from shared.context import Context
from shared.policies.policy import Policy
from shared.stores.limiter import Limiter
from shared.stores.limits import Admission, Limit, Refusal, Remaining


class Room(Protocol):
    """Room that a request took: settle it once with what was used."""

    def settle(self, actual: int) -> object:
        """Replace what was taken by what was used; a second call does nothing."""
        ...


class Lent:
    """Room that is given back: another policy counts the request, in the window, in the quotas, or in both. Without an
    admission none was taken."""

    __slots__ = ("_admission", "_quotas", "_window")

    def __init__(self, admission: Admission | None, *, window: bool = True, quotas: bool = True) -> None:
        self._admission = admission
        self._window = window
        self._quotas = quotas

    def settle(self, actual: int) -> None:
        """Give it back; the rest is settled."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        if self._window and self._quotas:
            admission.release()
        else:
            admission.leave(window=self._window, quotas=self._quotas)
            admission.settle(actual)


async def take(ctx: Context, key: str, limit: Limit, amount: int) -> Room | Refusal:
    """Take `amount` from the counter of `key`, or learn why not."""
    taken = take_now(ctx, key, limit, amount)
    return taken if taken is not None else await take_after_miss(ctx, key, limit, amount)


async def take_after_miss(ctx: Context, key: str, limit: Limit, amount: int) -> Room | Refusal:
    """What `take` does when `take_now` has left it open."""
    return _taken(ctx, key, limit, await ctx.services.get(Limiter).admit_after_miss(key, limit, amount))


def take_now(ctx: Context, key: str, limit: Limit, amount: int) -> Room | Refusal | None:
    """The same as far as memory suffices; None when storage has to be asked.

    "For each key value, a single counter is used for all scopes": where another policy has counted the request under
    the same key and period already, this one still asks whether its own limit has room, and gives it back.
    https://learn.microsoft.com/azure/api-management/quota-by-key-policy
    """
    if ctx.counted and (key, limit) in ctx.counted:
        return Lent(None)
    decision = ctx.services.get(Limiter).try_admit(key, limit, amount)
    if not ctx.counted and isinstance(decision, Admission):  # nearly always
        ctx.counted = ((key, limit),)
        return decision
    return None if decision is None else _taken(ctx, key, limit, decision)


def _taken(ctx: Context, key: str, limit: Limit, decision: Admission | Refusal) -> Room | Refusal:
    if isinstance(decision, Refusal):
        return decision
    counted = {name for other, known in ctx.counted if other == key for name in _window(known) | _quotas(known)}
    ctx.counted += ((key, limit),)
    if counted:
        window, quotas = _window(limit), _quotas(limit)
        if not counted.isdisjoint(window | quotas):
            return Lent(decision, window=window <= counted, quotas=quotas <= counted)
    return decision


def left(ctx: Context, key: str, limit: Limit) -> Remaining:
    """What is left in the counter, as far as this instance knows."""
    return ctx.services.get(Limiter).remaining(key, limit)


def trace_refusal(ctx: Context, policy: Policy, key: str, refusal: Refusal) -> None:
    """Tell in the request trace what a refused caller is not told."""
    ctx.trace(
        {"counter-key": key, "refused by": refusal.which, "remaining": refusal.remaining}, policy.element, "error"
    )


def _window(limit: Limit) -> set[str]:
    """What names the count of a limit's window under its key."""
    return {f"{limit.unit} in {limit.window.seconds} of {limit.shards}"} if limit.window is not None else set()


def _quotas(limit: Limit) -> set[str]:
    """What names the counts of a limit's quotas under its key."""
    return {f"{limit.unit} by {quota.period.name} of {limit.shards}" for quota in limit.quotas}
