"""authentication-managed-identity: gets an Entra token of the gateway's identity, for the backend or a variable."""

from typing import ClassVar

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import Headers
from shared.policies.expression import Expression
from shared.policies.policy import Policy
from shared.policies.run import Waiting


class AuthenticationManagedIdentity(Policy):
    """Sets `Authorization: Bearer`, or with `output-token-variable-name` the variable and no header.

    Without `client-id` it is the function app's own identity. Tokens are cached until shortly before they expire. When
    none can be had the call fails with 500; with `ignore-error` it goes on, header and variable untouched. APIM's page
    names inbound only, but documents in use get tokens for a variable in outbound, and APIM takes them.
    https://learn.microsoft.com/azure/api-management/authentication-managed-identity-policy
    """

    element: ClassVar[str] = "authentication-managed-identity"
    runs_ahead: ClassVar[bool] = True

    resource: Expression[str]
    client_id: str | None = None
    output_token_variable_name: str | None = None
    ignore_error: Expression[bool] = Field(default_factory=lambda: Expression(False))

    def __call__(self, ctx: Context) -> Waiting | None:
        """Get the token for the request."""
        try:
            token = ctx.services.tokens.at_hand(self.resource.now(ctx), self.client_id)
        except PolicyFailed:
            return self._fetch(ctx)  # where it is known what to make of it
        if token is None:
            return self._fetch(ctx)
        self._put(ctx, ctx.request.headers, token)
        return None

    async def _fetch(self, ctx: Context) -> None:
        await self.apply(ctx, ctx.request.headers)

    async def apply(self, ctx: Context, headers: Headers) -> None:
        """Get the token and put it into `headers` or the variable. PolicyFailed when there is none."""
        try:
            token = await ctx.services.tokens.token(await self.resource(ctx), self.client_id)
        except PolicyFailed as failure:
            if not await self.ignore_error(ctx):
                raise
            ctx.trace({"message": "no token; ignored", "detail": failure.detail}, self.element, "error")
            return
        self._put(ctx, headers, token)

    def _put(self, ctx: Context, headers: Headers, token: str) -> None:
        if self.output_token_variable_name is not None:
            ctx.variables[self.output_token_variable_name] = token
        else:
            headers.set("authorization", f"Bearer {token}")
