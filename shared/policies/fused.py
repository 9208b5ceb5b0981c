"""Policies that wait for nothing as one Python function: what stands between them costs more than most of what they do.

A policy that can says in Python what it does (`Policy.fuse`); its expression is put in as the text it was compiled to.
All others are called, and what they leave to wait for is waited for in `run`. The function does what `run.start` does,
statement by statement, for a request that is neither traced nor waiting for a verdict. As in
`shared.expressions.inline` nothing of a document gets into the text: values have names we count.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from shared.context import Context
from shared.errors import GatewayError
from shared.message import BodyNotBuffered, GatewayResponse
from shared.policies.expression import Expression, evaluation_failed

Going = Coroutine[Any, Any, GatewayResponse | None]
Call = Callable[[Context], GatewayResponse | Going | None]
Leave = Callable[["Fused", Any, int, Context], GatewayResponse | Going | None]

# What a text needs of its evaluation when it is only the context.
_CONTEXT = "frame[1].ctx"


class Fusing:
    """One function in the making: names for values, texts for expressions."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.reads_request = False
        self.source = ""
        self.before: list[str] = []

    def name(self, value: object) -> str:
        """A name for a value."""
        made = f"n{len(self.names)}"
        self.names[made] = value
        return made

    def value(self, expression: Expression[Any], *, first: bool = True) -> str:
        """Text for the value of an expression; of one that is not the `first` of its policy, its call: an error is
        told of one expression, and what was evaluated before is not evaluated again."""
        compiled = expression.compiled
        if compiled is None:
            return self.name(expression.constant)
        if compiled.inline is None or compiled.mentions_response_body or not first:
            return f"{self.name(expression.now)}(ctx)"
        from shared.expressions.run import Run

        self.source = compiled.source
        self.reads_request = self.reads_request or compiled.mentions_request_body
        self.names |= compiled.inline.names
        text = compiled.inline.text.replace(_CONTEXT, "ctx")
        if compiled.inline.effects:
            self.before.append(f"frame = [None, {self.name(Run)}(ctx)]")
            text = f"{self.name(_settled)}({text}, frame)"
        elif "frame" in text:  # for the sizes of texts alone
            self.before.append(f"if frame is None: frame = [None, {self.name(Run)}(ctx)]")
            self.before.append("else: frame[1].size = 0")
        return self._converted(text, expression.convert)

    def _converted(self, text: str, convert: Callable[[Any], Any] | None) -> str:
        if convert is None:
            return text
        from shared.expressions import to_bool, to_text

        call = self.name(convert)
        if convert is to_text:
            return f"(value if type(value := {text}) is str else {call}(value))"
        if convert is to_bool:
            return f"(value if (value := {text}) is True or value is False else {call}(value))"
        return f"{call}({text})"


def _settled(value: Any, frame: list[Any]) -> Any:
    run = frame[1]
    if run.consumed is not None or run.traces is not None:
        run.settle()
    return value


class Fused(tuple[Any, ...]):
    """Statements that know their function. `function` is None until it is `made`, and where it would gain nothing."""

    function: Call | None = None
    made = False

    def make(self, leave: Leave) -> Call | None:
        """Make the function. `leave` goes on with a statement's outcome (None: the statement is still to be called) at
        its place."""
        self.function, self.made = _function(self, leave), True
        return self.function


def _function(statements: Fused, leave: Leave) -> Call | None:
    fusing = Fusing()
    lines: list[str] = []
    sources: list[str] = []
    fused = 0
    leaving = fusing.name(partial(leave, statements))
    for place, statement in enumerate(statements):
        fusing.source, fusing.before = "", []
        said: list[str] | None = statement.fuse(fusing)
        fused += said is not None
        said_or_called = said if said is not None else [f"outcome = {fusing.name(statement)}(ctx)"]
        lines += [f"at = {place}", *fusing.before, *said_or_called]
        sources.append(fusing.source)
        if said is None or any("outcome" in line for line in said):
            lines.append(f"if outcome is not None: return {leaving}(outcome, {place}, ctx)")
            if place + 1 < len(statements):
                lines.append(f"if ctx.unverified: return {leaving}(None, {place + 1}, ctx)")
    if not fused:
        return None
    names = fusing.names
    names |= {
        "BodyNotBuffered": BodyNotBuffered,
        "GatewayError": GatewayError,
        "statements": statements,
        "sources": sources,
        "locate": locate_at,
        "failed": _failed,
    }
    unread = [f"if ctx.request.body is None: return {leaving}(None, 0, ctx)"] if fusing.reads_request else []
    text = [
        "def fused(ctx):",
        *(f"    {line}" for line in (*unread, "frame, within = None, False", "try:")),
        *(f"        {line}" for line in lines),
        "    except BodyNotBuffered:",
        f"        return {leaving}(None, at, ctx)",
        "    except GatewayError as error:",
        "        locate(statements, at, error)",
        "        raise",
        "    except Exception as error:",
        "        if within or not sources[at]: raise",
        "        raise failed(statements, at, sources[at], frame, error) from error",
        "    return None",
    ]
    exec(compile("\n".join(text), "<policies>", "exec"), names)
    made: Call = names["fused"]
    return made


def locate_at(statements: Fused, at: int, error: GatewayError) -> None:
    """Note where an error comes from."""
    from shared.policies.run import locate

    locate(error, statements[at].place)


def _failed(statements: Fused, at: int, source: str, frame: list[Any] | None, error: Exception) -> Exception:
    """The error of a policy whose expression threw."""
    from shared.expressions.errors import ExpressionFailed, as_net_exception

    if frame is not None:
        frame[1].settle()
    failure = error if isinstance(error, ExpressionFailed) else as_net_exception(error)
    failed = evaluation_failed(failure, source)
    locate_at(statements, at, failed)
    return failed
