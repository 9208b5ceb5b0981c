"""set-variable: keeps a value in `context.Variables` for the rest of the request."""

from typing import Any, ClassVar

from shared.context import Context
from shared.policies.expression import Expression
from shared.policies.fused import Fusing
from shared.policies.policy import Policy


class SetVariable(Policy):
    """A literal is kept as a string, an expression's result with the type it has.

    https://learn.microsoft.com/azure/api-management/set-variable-policy
    """

    element: ClassVar[str] = "set-variable"
    runs_ahead: ClassVar[bool] = True

    name: str
    value: Expression[Any]

    def __call__(self, ctx: Context) -> None:
        """Set the variable."""
        ctx.variables[self.name] = value = self.value.now(ctx)
        if ctx.trace_entries is not None:
            ctx.trace({"name": self.name, "value": value}, self.element)

    def fuse(self, fusing: Fusing) -> list[str]:
        """The same."""
        return [f"ctx.variables[{fusing.name(self.name)}] = {fusing.value(self.value)}"]
