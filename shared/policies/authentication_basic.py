"""authentication-basic: shows the backend a user name and a password."""

import base64
from typing import ClassVar

from shared.context import Context
from shared.message import GatewayResponse, Headers
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section


class AuthenticationBasic(Policy):
    """Sets `Authorization: Basic`, replacing what is there.

    https://learn.microsoft.com/azure/api-management/authentication-basic-policy
    """

    element: ClassVar[str] = "authentication-basic"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    runs_ahead: ClassVar[bool] = True

    username: Expression[str]
    password: Expression[str]

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Set the header of the request."""
        await self.apply(ctx, ctx.request.headers)
        return None

    async def apply(self, ctx: Context, headers: Headers) -> None:
        """Set the header in `headers`."""
        pair = f"{await self.username(ctx) or ''}:{await self.password(ctx) or ''}"
        headers.set("authorization", "Basic " + base64.b64encode(pair.encode()).decode())
