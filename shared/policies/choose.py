"""choose: runs the policies of the first condition that holds."""

from typing import Any, ClassVar

from pydantic import Field

from shared.context import Context
from shared.message import BodyNotBuffered
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.fused import Fusing
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Nested, Policy
from shared.policies.run import Outcome, Statements, Waiting, run, start


class When(Markup):
    """One branch."""

    condition: Expression[bool]
    statements: Nested = Field(alias="(statements)")


class Choose(Policy):
    """`when` branches in order, then `otherwise`.

    https://learn.microsoft.com/azure/api-management/choose-policy
    """

    element: ClassVar[str] = "choose"
    runs_ahead: ClassVar[bool] = True

    branches: tuple[When, ...] = Field(alias="(branches)")
    otherwise: Nested = Field((), alias="(otherwise)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The branches; `otherwise` comes last and once."""
        branches: list[When] = []
        otherwise: Statements = ()
        children = compiler.children(element, "when", "otherwise")
        for index, child in enumerate(children):
            statements = compiler.statements(child)
            if child.name == "when":
                when = compiler.model(child, When, **{"(statements)": statements})
                branches += [when] if when is not None else []
            else:
                otherwise = statements
                compiler.attributes(child)
                if index != len(children) - 1:
                    compiler.problem(child, "otherwise must be the last element of choose")
        if not any(child.name == "when" for child in children):
            compiler.problem(element, "choose needs at least one when")
        compiler.expect_no_text(element)
        return {"branches": tuple(branches), "otherwise": otherwise}

    def __call__(self, ctx: Context) -> Outcome | Waiting:
        """Run the branch whose condition holds."""
        for place, branch in enumerate(self.branches):
            try:
                holds = branch.condition.now(ctx)
            except BodyNotBuffered:
                return self._from(place, ctx)
            if holds:
                return start(branch.statements, ctx)
        return start(self.otherwise, ctx)

    def fuse(self, fusing: Fusing) -> list[str]:
        """The same."""
        begin = fusing.name(start)
        lines = []
        for place, branch in enumerate(self.branches):
            test = fusing.value(branch.condition, first=place == 0)
            lines.append(f"{'elif' if place else 'if'} {test}: chosen = {fusing.name(branch.statements)}")
        lines.append(f"else: chosen = {fusing.name(self.otherwise)}")
        return [*lines, "within = True", f"outcome = {begin}(chosen, ctx)", "within = False"]

    async def _from(self, place: int, ctx: Context) -> Outcome:
        """The same from a branch on, with what its condition needs read first."""
        for branch in self.branches[place:]:
            if await branch.condition(ctx):
                return await run(branch.statements, ctx)
        return await run(self.otherwise, ctx)
