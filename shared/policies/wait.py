"""wait: runs its policies at the same time, and goes on when all or one of them are done."""

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Nested, Policy, Section
from shared.policies.run import Statement, run

CHILDREN = ("send-request", "cache-lookup-value", "choose")


class Wait(Policy):
    """`all` goes on when every child has run, `any` when the first has; the others are then cancelled.

    An error of a child cancels the others and is the error of wait. When children answer (a return-response in a
    choose), the answer of the first of them in document order is sent.
    https://learn.microsoft.com/azure/api-management/wait-policy
    """

    element: ClassVar[str] = "wait"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "backend", "outbound"})

    for_: Expression[Literal["all", "any"]] = Field(default_factory=lambda: Expression("all"))
    statements: Nested = Field((), alias="(statements)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The policies to run at the same time: send-request, cache-lookup-value, choose."""
        known = compiler.children(element, *CHILDREN)
        others = {child.name for child in element.elements()} - {child.name for child in known}
        if not known:
            compiler.problem(element, f"wait needs at least one of {', '.join(CHILDREN)}")
        return {"statements": compiler.statements(element, skip=tuple(others))}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Run all at once. What the caller's departure or an error leaves unfinished is cancelled and waited for."""
        for_all = await self.for_(ctx) == "all"
        tasks = [asyncio.create_task(_alone(statement, ctx)) for statement in self.statements]
        try:
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if not for_all:
                    break
            answers = [task.result() for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return next((answer for answer in answers if answer is not None), None)


async def _alone(statement: Statement, ctx: Context) -> GatewayResponse | None:
    return await run((statement,), ctx)
