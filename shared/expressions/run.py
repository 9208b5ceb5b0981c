"""One evaluation of an expression: its context, its budget, and the effects it leaves until it has ended."""

import time
from dataclasses import dataclass
from typing import Any

from shared.expressions.errors import LimitExceeded

_STEPS_BETWEEN_CLOCK_READS = 16
_SLOW = 0.005  # seconds between two looks at the clock that make the next one come sooner


@dataclass(frozen=True)
class Limits:
    """What one evaluation may use before it ends in ``PolicyExpressionLimitExceeded``."""

    steps: int = 1_000_000
    """Loop rounds, calls of lambdas and functions, and elements that sequences hand out."""
    size: int = 64 * 1024 * 1024
    """Characters, bytes and elements made in all."""
    depth: int = 100
    """Calls of C# functions within each other."""
    seconds: float = 2.0
    """An evaluation holds up everything else in its worker, so this is little."""


DEFAULT_LIMITS = Limits()


class Run:
    """The state of one evaluation; every closure reaches it through its frame."""

    # On the class, not set one by one for each evaluation: most expressions are over before they need any of these.
    steps = 0
    next_check = 0
    size = 0
    depth = 0
    deadline = 0.0
    checked = 0.0
    interval = 1
    traces: list[tuple[Any, ...]] | None = None
    consumed: list[Any] | None = None
    limits = DEFAULT_LIMITS

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx

    def step(self) -> None:
        """Count one loop round, call or element."""
        self.steps += 1
        if self.steps >= self.next_check:
            self.check()

    def check(self) -> None:
        """Look at the clock; the quicker the last steps were, the more may pass until the next look."""
        if self.steps > self.limits.steps:
            raise LimitExceeded(f"more than {self.limits.steps} steps")
        now = time.monotonic()
        if not self.deadline:
            self.deadline = now + self.limits.seconds
        elif now > self.deadline:
            raise LimitExceeded(f"more than {self.limits.seconds:g} seconds")
        slow = now - self.checked > _SLOW
        self.interval = 1 if slow else min(self.interval * 2, _STEPS_BETWEEN_CLOCK_READS)
        self.checked = now
        self.next_check = min(self.steps + self.interval, self.limits.steps + 1)

    def seconds_left(self) -> float:
        """Time the rest of this evaluation may take, for work that is bounded by time only (a regex)."""
        self.check()
        return max(self.deadline - time.monotonic(), 0.001)

    def charge(self, size: int) -> None:
        """Count memory taken, in characters, bytes or elements; call before making something big."""
        self.size += size
        if self.size > self.limits.size:
            raise LimitExceeded(f"more than {self.limits.size} characters or elements")

    def enter(self) -> None:
        self.step()
        self.depth += 1
        if self.depth > self.limits.depth:
            raise LimitExceeded(f"more than {self.limits.depth} calls within each other")

    def leave(self) -> None:
        self.depth -= 1

    def is_consumed(self, message: Any) -> bool:
        return self.consumed is not None and any(message is one for one in self.consumed)

    def consume(self, message: Any) -> None:
        """Mark a body as read away; told to the message only when the evaluation has ended."""
        self.consumed = [*(self.consumed or ()), message]

    def trace(self, *entry: Any) -> None:
        self.step()
        self.traces = [*(self.traces or ()), entry]

    def settle(self) -> None:
        """Apply what the evaluation left behind: consumed bodies and trace entries, in order."""
        for message in self.consumed or ():
            message.consume()
        for entry in self.traces or ():
            self.ctx.trace(*entry)
        self.consumed = self.traces = None
