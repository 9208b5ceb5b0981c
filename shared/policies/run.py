"""Runs policies one after the other, and tells which one failed."""

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from shared.context import Context
from shared.errors import GatewayError, PolicyFailed
from shared.message import BodyNotBuffered, GatewayResponse
from shared.policies.fused import Fused

# What a policy comes to: None goes on, a response stops the pipeline.
Outcome = GatewayResponse | None
Waiting = Coroutine[Any, Any, Outcome]


class Statement(Protocol):
    """A policy at its place in a document. It goes on with None, stops the pipeline with a response, or raises.

    One that has nothing to wait for does so when it is called; one that has gives the coroutine that does. The former
    may raise BodyNotBuffered before it has done anything: the body is read then and the policy called again.

    `locates` tells that its coroutine notes its own place on errors, so that nobody has to stand around it.

    `runs_ahead` tells that it may run while a check of the request has no verdict yet (`Context.verify`): it lets
    nothing of the request out.
    """

    locates: ClassVar[bool]
    runs_ahead: ClassVar[bool]

    @property
    def place(self) -> "Place":
        """Where it stands."""
        ...

    def __call__(self, ctx: Context) -> Outcome | Waiting:
        """Do what the policy does."""
        ...


class Place:
    """Where a policy stands: what `context.LastError` tells of it (Scope, Section, Path, PolicyId) and its element."""

    __slots__ = ("element", "scope", "section", "path", "policy_id", "file", "line")

    def __init__(
        self,
        element: str,
        scope: str = "",
        section: str = "",
        path: str = "",
        policy_id: str = "",
        file: str = "",
        line: int = 0,
    ) -> None:
        self.element = element
        self.scope = scope
        self.section = section
        self.path = path
        self.policy_id = policy_id
        self.file = file
        self.line = line


Statements = Sequence[Statement]


class Shortcut(GatewayResponse):
    """An answer that takes the backend's place, such as a cached one: outbound goes on after the policy that would
    have kept it (`element`), and from its beginning when there is none. `how` names what was found: exact, semantic,
    response."""

    __slots__ = ("element", "how")

    def __init__(self, element: str, response: GatewayResponse, how: str) -> None:
        super().__init__(response.status_code, response.headers, response.body, status_reason=response.status_reason)
        self.element = element
        self.how = how

    def rest(self, outbound: Statements) -> Statements:
        """What is left to run of outbound."""
        for index, statement in enumerate(outbound):
            if _holds(statement, self.element):
                return outbound[index + 1 :]
        return outbound


def _holds(part: object, element: str) -> bool:
    """Whether a policy is the one named, or has it somewhere inside."""
    if isinstance(part, tuple | list):
        return any(_holds(one, element) for one in part)
    if getattr(getattr(part, "place", None), "element", None) == element:
        return True
    # Policies and their parts are models: what is nested in them are tuples and models among their fields.
    fields = vars(part).values() if isinstance(part, BaseModel) else ()
    return any(_holds(field, element) for field in fields if isinstance(field, tuple | list | BaseModel))


async def run(statements: Statements, ctx: Context) -> Outcome:
    """Run statements in order until one answers. What a statement raises gets the statement's place."""
    begun = start(statements, ctx)
    return begun if begun is None or isinstance(begun, GatewayResponse) else await begun


def start(statements: Statements, ctx: Context) -> Outcome | Waiting:
    """The same, as far as there is nothing to wait for; then the coroutine that does the rest. Most documents wait for
    nothing but the backend, and a coroutine for each policy costs as much as what it does."""
    if ctx.trace_entries is not None:
        return _run_traced(statements, ctx)
    if isinstance(statements, Fused) and not ctx.unverified:
        fused = statements.function if statements.made else statements.make(_leave)
        if fused is not None:
            return fused(ctx)
    return _start(statements, iter(statements), ctx)


def _start(statements: Statements, rest: Iterator[Statement], ctx: Context) -> Outcome | Waiting:
    for statement in rest:
        if ctx.unverified and not statement.runs_ahead:
            return _go_on(_verified(statement, ctx), statement, rest, ctx)
        try:
            outcome = statement(ctx)
        except BodyNotBuffered as unread:
            return _go_on(_read(unread, statement, ctx), statement, rest, ctx)
        except GatewayError as error:
            locate(error, statement.place)
            raise
        if outcome is not None:
            return _with(outcome, statement, statements, rest, ctx)
    return None


def _leave(statements: Statements, outcome: Outcome | Waiting, place: int, ctx: Context) -> Outcome | Waiting:
    """Go on where a fused function left off: with a statement's outcome, or (None) with the statement itself."""
    if outcome is None:
        return _start(statements, iter(statements[place:]), ctx)
    return _with(outcome, statements[place], statements, iter(statements[place + 1 :]), ctx)


def _with(
    outcome: GatewayResponse | Waiting,
    statement: Statement,
    statements: Statements,
    rest: Iterator[Statement],
    ctx: Context,
) -> GatewayResponse | Waiting:
    """A response ends the run. What is to be waited for does so too where nothing follows and it locates its errors."""
    if isinstance(outcome, GatewayResponse) or (statement.locates and statement is statements[-1]):
        return outcome
    return _go_on(outcome, statement, rest, ctx)


async def _go_on(begun: Waiting, statement: Statement, rest: Iterator[Statement], ctx: Context) -> Outcome:
    """The rest of a run: the statement that has begun, and those behind it."""
    try:
        answer = await begun
        if answer is not None:
            return answer
        for statement in rest:
            if ctx.unverified and not statement.runs_ahead:
                await ctx.verified()
            try:
                outcome = statement(ctx)
            except BodyNotBuffered as unread:
                outcome = _read(unread, statement, ctx)
            if outcome is not None:
                answer = outcome if isinstance(outcome, GatewayResponse) else await outcome
                if answer is not None:
                    return answer
    except GatewayError as error:
        locate(error, statement.place)
        raise
    return None


async def _verified(statement: Statement, ctx: Context) -> Outcome:
    await ctx.verified()
    return await _one(statement, ctx)


async def _one(statement: Statement, ctx: Context) -> Outcome:
    try:
        outcome = statement(ctx)
    except BodyNotBuffered as unread:
        outcome = _read(unread, statement, ctx)
    return outcome if outcome is None or isinstance(outcome, GatewayResponse) else await outcome


async def _read(unread: BodyNotBuffered, statement: Statement, ctx: Context) -> Outcome:
    await unread.message.read()
    return await _one(statement, ctx)


async def _run_traced(statements: Statements, ctx: Context) -> Outcome:
    for statement in statements:
        place = statement.place
        if ctx.unverified and not statement.runs_ahead:
            await ctx.verified()
        started = ctx.services.monotonic()
        try:
            response = await _one(statement, ctx)
        except GatewayError as error:
            locate(error, place)
            ctx.trace({"message": error.message, "reason": error.reason}, place.element, "error")
            raise
        finally:
            took = ctx.services.monotonic() - started
            ctx.trace({"scope": place.scope, "path": place.path, "seconds": round(took, 6)}, place.element)
        if response is not None:
            return response
    return None


def locate(error: GatewayError, place: Place) -> None:
    """Note where an error comes from, unless something deeper has done so."""
    if not error.path:
        error.scope, error.section, error.path = place.scope, place.section, place.path
        error.policy_id = place.policy_id
        if isinstance(error, PolicyFailed) and error.source == PolicyFailed.source:
            error.source = place.element
