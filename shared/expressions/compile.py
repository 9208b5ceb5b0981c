"""``compile_expression``: the text of ``@(...)`` or ``@{...}`` to something that can be evaluated again and again."""

from collections.abc import Callable
from typing import Any

from shared.expressions.code import FIRST_SLOT, Eval, Frame
from shared.expressions.errors import ExpressionErrors, ExpressionFailed, Problem, as_net_exception
from shared.expressions.inline import Inline
from shared.expressions.run import DEFAULT_LIMITS, Limits, Run
from shared.expressions.snapshot import Snapshot
from shared.message import BodyNotBuffered


class Compiled:
    """A policy expression, checked and compiled. Calling it with a context gives its value.

    Values are Python's where they match C#: ``str``, ``int`` (C# int), ``float`` (double), ``bool``, ``None``,
    ``bytearray`` (byte[]), ``Decimal``, ``uuid.UUID``; other kinds are the classes of this room.
    Raises ``ExpressionFailed`` with the .NET exception's type name, and ``BodyNotBuffered`` when a body must be
    read first; nothing has happened then and the same call can be made again.
    """

    __slots__ = (
        "_blank",
        "_evaluate",
        "_value",
        "inline",
        "limits",
        "mentions_request_body",
        "mentions_response_body",
        "source",
    )

    def __init__(
        self, source: str, evaluate: Eval, size: int, mentions: set[str], limits: Limits, inline: Inline | None = None
    ) -> None:
        """``inline``: the whole as text, where it needs no more than the context and a run of its own."""
        self.source = source
        self.inline = inline
        self.limits = limits
        self.mentions_request_body = "IRequest" in mentions
        self.mentions_response_body = "IResponse" in mentions
        self._evaluate = evaluate
        self._blank = [None] * max(size - FIRST_SLOT, 0)
        self._value = self.evaluator()

    def __call__(self, ctx: Any) -> Any:
        return self._value(ctx)

    def evaluator(
        self,
        convert: Callable[[Any], Any] | None = None,
        explain: Callable[[ExpressionFailed], Exception] | None = None,
        tell: Callable[[Any, Any], None] | None = None,
    ) -> Callable[[Any], Any]:
        """A function of the context, for who evaluates often. ``convert`` is applied to the value, ``explain`` makes
        another exception of a failure (of ``convert`` too), ``tell`` gets context and value of a request that is
        traced."""
        evaluate, blank, limits, snapshot = self._evaluate, self._blank, self.limits, self._snapshot
        mentions_bodies = self.mentions_request_body or self.mentions_response_body

        def value(ctx: Any) -> Any:
            run = Run(ctx)
            if limits is not DEFAULT_LIMITS:
                run.limits = limits
            before = snapshot(ctx) if mentions_bodies else None
            try:
                made = evaluate([None, run, *blank] if blank else [None, run])
            except BodyNotBuffered:
                if before is not None:
                    before.restore()
                raise
            except ExpressionFailed as failure:
                run.settle()
                if explain is None:
                    raise
                raise explain(failure) from failure
            except Exception as error:
                run.settle()
                failed = as_net_exception(error)
                raise (failed if explain is None else explain(failed)) from error
            if run.consumed is not None or run.traces is not None:
                run.settle()
            if tell is not None and ctx.trace_entries is not None:
                tell(ctx, made)
            if convert is None:
                return made
            try:
                return convert(made)
            except ExpressionFailed as failure:
                if explain is None:
                    raise
                raise explain(failure) from failure

        return value

    def _snapshot(self, ctx: Any) -> Snapshot | None:
        """What variables hold, when this evaluation may have to be undone for want of a body."""
        unread = (self.mentions_request_body and getattr(ctx.request, "body", b"") is None) or (
            self.mentions_response_body and ctx.response is not None and getattr(ctx.response, "body", b"") is None
        )
        return Snapshot(ctx.variables) if unread else None

    def __repr__(self) -> str:
        return f"Compiled({self.source!r})"


def compile_expression(
    source: str, *, block: bool, file: str, line: int, column: int = 1, limits: Limits = DEFAULT_LIMITS
) -> Compiled:
    """Check and compile the text inside ``@( ... )`` (``block=False``) or ``@{ ... }`` (``block=True``).

    ``file``, ``line`` and ``column`` say where the text begins. Raises ``ExpressionErrors`` with all problems.
    The language is the C# of API Management's policy expressions:
    https://learn.microsoft.com/azure/api-management/api-management-policy-expressions
    """
    from shared.expressions.compiler import Compiler
    from shared.expressions.endings import can_end
    from shared.expressions.statements import block_of
    from shared.expressions.syntax import Source

    parsed = Source(source, block=block, file=file, line=line, column=column)
    compiler = Compiler(parsed)
    text: Inline | None = None
    try:
        if block:
            statement = block_of(compiler, [one for one in parsed.root.named_children if one.type != "comment"])
            if can_end(compiler, parsed.root):
                compiler.fail(parsed.root, "not all code paths return a value")
            evaluate = _returned(statement)
        else:
            code = compiler.expression(parsed.root)
            evaluate, text = code.run, code.inline
    except RecursionError:
        problem = Problem(line, column, "the expression is nested too deeply")
        raise ExpressionErrors(file, [problem]) from None
    if compiler.problems:
        raise ExpressionErrors(file, sorted(compiler.problems))
    size = compiler.scope.environment.size
    alone = size == FIRST_SLOT and limits is DEFAULT_LIMITS
    return Compiled(source, evaluate, size, compiler.mentions, limits, text if alone else None)


def _returned(statement: Any) -> Eval:
    def run(frame: Frame) -> Any:
        signal = statement(frame)
        return signal[0] if type(signal) is tuple else None

    return run
