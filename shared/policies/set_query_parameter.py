"""set-query-parameter: adds, replaces or removes a query parameter of the request."""

from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, model_validator

from shared.context import Context
from shared.message import GatewayResponse, decode_query, without_query_parameters
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.set_header import ExistsAction


def change(query: str, name: str, action: ExistsAction, values: list[str]) -> str:
    """The query (without `?`) after an exists-action; what it does not touch stays encoded as it was. Names are the
    same whatever their case, as in `context.Request.Url.Query`."""
    wanted = name.lower()
    if action == "skip":
        names = (decode_query(pair.partition("=")[0]).lower() for pair in query.split("&") if pair)
        if wanted in names:
            return query
    if action in ("override", "delete"):
        query = without_query_parameters(query, frozenset({wanted}))
    if action == "delete":
        return query
    added = [f"{quote(name, safe='')}={quote(value, safe='')}" for value in values]
    return "&".join([query, *added] if query else added)


class SetQueryParameter(Policy):
    """`override` replaces all parameters of the name, `skip` leaves them, `append` adds, `delete` removes.

    https://learn.microsoft.com/azure/api-management/set-query-parameter-policy
    """

    element: ClassVar[str] = "set-query-parameter"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "backend"})

    name: Expression[str]
    exists_action: Expression[ExistsAction] = Field(default_factory=lambda: Expression("override"))
    values: tuple[Expression[str], ...] = Field((), alias="(values)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `value` children."""
        compiler.expect_no_text(element)
        return {"values": compiler.values(element, "value")}

    @model_validator(mode="after")
    def _has_value(self) -> "SetQueryParameter":
        if not self.values and self.exists_action.compiled is None and self.exists_action.constant != "delete":
            raise ValueError(f"a value is needed to {self.exists_action.constant}")
        return self

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Change the query."""
        url = ctx.request.url
        name, action = await self.name(ctx), await self.exists_action(ctx)
        values = [await value(ctx) or "" for value in self.values] if action != "delete" else []
        url.query_text = change(url.query_text, name, action, values)
        if ctx.tracing:
            ctx.trace({"name": name, "exists-action": action}, self.element)
        return None
