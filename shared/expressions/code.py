"""What compiling gives: closures over frames, and the scopes that say where a name lives in them.

A frame is a list: the enclosing frame, the run, then the variables. Lambdas and the rounds of loops that make
lambdas get frames of their own, so a captured variable is the one C# captures.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.expressions.inline import Eval as Eval
from shared.expressions.inline import Frame as Frame
from shared.expressions.inline import Inline, call, name
from shared.expressions.nettypes import NetType, TypeRef

PARENT, RUN, FIRST_SLOT = 0, 1, 2

# What a statement gives when it leaves its loop or switch, or one round of its loop.
BREAK, CONTINUE = "break", "continue"


class Code:
    """A compiled expression: made from a closure or from text, it can be had as either. Its type where known, and its
    value when it is constant. `never_null` tells that its value needs no look before a member is asked for."""

    __slots__ = ("_run", "inline", "type", "constant", "is_constant", "never_null")

    def __init__(
        self,
        run: Eval | Inline,
        type: NetType | None = None,
        constant: Any = None,
        is_constant: bool = False,
        *,
        never_null: bool = False,
    ) -> None:
        if isinstance(run, Inline):
            self._run: Eval | None = None
            self.inline = run
        else:
            self._run = run
            self.inline = call(run)
        self.type = type
        self.constant = constant
        self.is_constant = is_constant
        self.never_null = never_null

    @property
    def run(self) -> Eval:
        """The closure."""
        if self._run is None:
            self._run = self.inline.function()
        return self._run


def constant(value: Any, kind: NetType | None = None) -> Code:
    return Code(name(value), kind, value, True, never_null=value is not None)


@dataclass(eq=False)
class Environment:
    """The layout of one kind of frame."""

    parent: "Environment | None" = None
    size: int = FIRST_SLOT

    def slot(self) -> int:
        self.size += 1
        return self.size - 1

    def frame(self, parent: Frame) -> Frame:
        made: Frame = [None] * self.size
        made[PARENT] = parent
        made[RUN] = parent[RUN]
        return made


@dataclass(eq=False)
class Variable:
    """A local name: where it lives, and the type it was declared with."""

    environment: Environment
    slot: int
    type: NetType | None = None
    reference: TypeRef | None = None
    is_constant: bool = False


@dataclass(eq=False)
class Scope:
    """The names visible at one place, within one kind of frame."""

    environment: Environment
    parent: "Scope | None" = None
    names: dict[str, Variable] = field(default_factory=dict)

    def find(self, name: str) -> Variable | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def declare(self, name: str, kind: NetType | None = None, reference: TypeRef | None = None) -> Variable:
        made = Variable(self.environment, self.environment.slot(), kind, reference)
        self.names[name] = made
        return made

    def visible(self) -> list[str]:
        return [*self.names, *(self.parent.visible() if self.parent else ())]

    def depth_of(self, variable: Variable) -> int:
        """How many frames up the variable lives."""
        depth = 0
        environment: Environment | None = self.environment
        while environment is not variable.environment and environment is not None:
            environment = environment.parent
            depth += 1
        return depth


def reader(slot: int, depth: int) -> Inline:
    """The variable in that place of the frame so many frames up."""
    return Inline(f"frame{f'[{PARENT}]' * depth}[{slot}]", {})


def writer(slot: int, depth: int) -> Callable[[Frame, Any], None]:
    def write(frame: Frame, value: Any) -> None:
        for _ in range(depth):
            frame = frame[PARENT]
        frame[slot] = value

    return write
