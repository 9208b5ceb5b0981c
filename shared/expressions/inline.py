"""Closures without the calls between them: a construct gives Python text over what its parts give, and the whole is one
function.

A call costs more than most of what an expression does. So an operator or a member access is a template, such as
``({left} or {right})``, its parts are put in, and Python compiles the text when it is first needed. Nothing of a policy
gets into that text: it is made of the templates here and in the constructs, frame positions and names we count;
literals, functions and types are values those names have.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from shared.expressions.errors import null_reference

Frame = list[Any]
Eval = Callable[[Frame], Any]

_numbers = count()
# Python's own compiler takes no deeper nests, and long texts gain nothing.
_DEEPEST = 24
_LONGEST = 4_000
# Characters up to which a text is too small to be counted.
LARGE = 1024


class Inline:
    """A piece of Python text that gives a value from ``frame``, and what its names stand for."""

    __slots__ = ("text", "names", "depth", "effects")

    def __init__(self, text: str, names: dict[str, Any], depth: int = 0, *, effects: bool = False) -> None:
        """`effects` tells that something may be left to settle when it has been evaluated (see ``Run.settle``)."""
        self.text = text
        self.names = names
        self.depth = depth
        self.effects = effects

    def function(self) -> Eval:
        """The text as a function of the frame."""
        made: Eval = eval(compile(f"lambda frame: {self.text}", "<policy expression>", "eval"), self.names)
        return made


def name(value: Any) -> Inline:
    """A value under a name of its own."""
    made = f"v{next(_numbers)}"
    return Inline(made, {made: value})


def call(function: Eval) -> Inline:
    """The call of a closure."""
    made = name(function)
    return Inline(f"{made.text}(frame)", made.names, effects=True)


def inline(template: str, **parts: Any) -> Inline:
    """The template with its parts put in, each exactly as often as it stands there. A part is an `Inline`, or a value
    that gets a name. ``{t}`` and ``{u}`` are names for what the text keeps for itself (``:=``), new in each use."""
    filled = {"t": f"t{next(_numbers)}", "u": f"u{next(_numbers)}"}
    names: dict[str, Any] = {}
    depth, effects = 0, False
    for key, part in parts.items():
        piece = part if isinstance(part, Inline) else name(part)
        if piece.depth >= _DEEPEST or len(piece.text) > _LONGEST:
            piece = call(piece.function())
        filled[key] = piece.text
        names |= piece.names
        depth, effects = max(depth, piece.depth), effects or piece.effects
    return Inline(template.format_map(filled), names, depth + 1, effects=effects)


def null() -> Any:
    """What a member access on null gives."""
    raise null_reference()


def charged(value: Inline) -> Inline:
    """The value; a large text is counted against the evaluation's memory."""
    template = (
        f"({{t}} if type({{t}} := {{value}}) is not str or len({{t}}) <= {LARGE} else {{charge}}(frame[1], {{t}}))"
    )
    return inline(template, value=value, charge=charge)


def charge(run: Any, text: str) -> str:
    """Count a text and give it back."""
    run.charge(len(text))
    return text


def not_null(value: Inline) -> Inline:
    """The value, or the exception C# throws where a member of null is asked for."""
    return inline("({t} if ({t} := {value}) is not None else {null}())", value=value, null=null)
