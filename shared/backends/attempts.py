"""The attempts one request has made at backends: which, how each went, why it was left."""

import logging
from typing import NamedTuple

from shared.context import Context

log = logging.getLogger("gateway")

SOURCE = "forward-request"


class Attempt(NamedTuple):
    """One attempt at a backend: the pool it was chosen from, the model it was asked for ("" where models decide
    nothing), its status or the reason why there is none, seconds to either, and why it was left ("": it was not)."""

    backend: str
    pool: str
    model: str
    outcome: int | str
    seconds: float
    left: str = ""


class Attempts(list[Attempt]):
    """The attempts of a request in order, kept in `Context.notes`."""

    __slots__ = ()


def attempts_of(ctx: Context) -> Attempts:
    """The request's attempts so far, to be added to."""
    found: Attempts | None = ctx.notes.get(Attempts)
    if found is None:
        found = ctx.notes[Attempts] = Attempts()
    return found


def note(ctx: Context, attempt: Attempt) -> None:
    """Keep an attempt, and tell it to the trace; one that was left also to the log."""
    attempts_of(ctx).append(attempt)
    if ctx.trace_entries is not None:
        told = {"backend": attempt.backend, "pool": attempt.pool, "model": attempt.model, "outcome": attempt.outcome}
        ctx.trace({**told, "seconds": round(attempt.seconds, 6), "left": attempt.left}, SOURCE)
    if attempt.left:
        log.info(
            "request %s: left backend %s of pool %s: %s after %.3f s: %s",
            ctx.request_id,
            attempt.backend,
            attempt.pool,
            attempt.outcome,
            attempt.seconds,
            attempt.left,
        )
