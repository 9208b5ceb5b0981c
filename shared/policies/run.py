"""Runs policies one after the other, and tells which one failed."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from pydantic import BaseModel

from shared.context import Context
from shared.errors import GatewayError, PolicyFailed
from shared.message import GatewayResponse


class Statement(Protocol):
    """A policy at its place in a document. It goes on with None, stops the pipeline with a response, or raises.

    `runs_ahead` tells that it may run while a check of the request has no verdict yet (`Context.verify`): it lets
    nothing of the request out.
    """

    runs_ahead: ClassVar[bool]

    @property
    def place(self) -> "Place":
        """Where it stands."""
        ...

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
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
    have kept it (`element`), and from its beginning when there is none."""

    __slots__ = ("element",)

    def __init__(self, element: str, response: GatewayResponse) -> None:
        super().__init__(response.status_code, response.headers, response.body, status_reason=response.status_reason)
        self.element = element

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


async def run(statements: Statements, ctx: Context) -> GatewayResponse | None:
    """Run statements in order until one answers. What a statement raises gets the statement's place."""
    statement: Statement | None = None
    try:
        if ctx.trace_entries is not None:
            return await _run_traced(statements, ctx)
        for statement in statements:
            if ctx.unverified and not statement.runs_ahead:
                await ctx.verified()
            response = await statement(ctx)
            if response is not None:
                return response
    except GatewayError as error:
        if statement is not None:
            locate(error, statement.place)
        raise
    return None


async def _run_traced(statements: Statements, ctx: Context) -> GatewayResponse | None:
    for statement in statements:
        place = statement.place
        if ctx.unverified and not statement.runs_ahead:
            await ctx.verified()
        started = ctx.services.monotonic()
        try:
            response = await statement(ctx)
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
