"""What validate-jwt and validate-azure-ad-token share: finding the token, its claims, refusing it, keeping it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from shared.backends.openid import OpenIdProviders, Provider
from shared.context import Context
from shared.errors import Refusal, Unavailable
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.jwt_checks import RequiredClaim, Rules, SigningKey, Token, TokenRejected, check, read_token
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy

Texts = tuple[Expression[str], ...]


class Claim(Markup):
    """A required claim."""

    name: Expression[str]
    match: Expression[Literal["all", "any"]] = Field(default_factory=lambda: Expression("all"))
    separator: Expression[str] = Field(default_factory=lambda: Expression(""))
    values: Texts = Field((), alias="(values)")

    async def read(self, ctx: Context) -> RequiredClaim:
        """The claim for this request."""
        values = tuple([await value(ctx) for value in self.values])
        return RequiredClaim(await self.name(ctx), values, await self.match(ctx), await self.separator(ctx))


class TokenPolicy(Policy):
    """A policy that lets a request go on only with an acceptable token.

    A refusal has APIM's message for what is wrong, or `failed-validation-error-message`; the reason of each is in
    `context.LastError.Reason`. When an identity provider cannot be asked and no keys are kept of it, the answer is 503:
    the token is neither good nor bad.
    """

    header_name: Expression[str] | None = None
    query_parameter_name: Expression[str] | None = None
    token_value: Expression[str] | None = None
    failed_validation_httpcode: Expression[int] = Field(default_factory=lambda: Expression(401))
    failed_validation_error_message: Expression[str] | None = None
    output_token_variable_name: str | None = None
    audiences: Texts = Field((), alias="(audiences)")
    claims: tuple[Claim, ...] = Field((), alias="(claims)")

    @model_validator(mode="after")
    def _one_place(self) -> "TokenPolicy":
        if sum(one is not None for one in (self.header_name, self.query_parameter_name, self.token_value)) > 1:
            raise ValueError("only one of header-name, query-parameter-name, token-value can be given")
        return self

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Check the token, and keep it in the output variable."""
        try:
            token = read_token(await self._find(ctx))
            await self.check(ctx, token)
        except TokenRejected as rejected:
            raise await self._refusal(ctx, rejected) from rejected
        except Unavailable as unavailable:
            unavailable.source = self.element
            raise
        if self.output_token_variable_name is not None:
            ctx.variables[self.output_token_variable_name] = as_jwt(token)
        return None

    async def check(self, ctx: Context, token: Token) -> None:
        """Check the token; TokenRejected when it is not acceptable."""
        raise NotImplementedError

    async def scheme(self, ctx: Context) -> str | None:
        """The scheme the Authorization header must have; None: bearer or none at all."""
        return None

    async def _find(self, ctx: Context) -> str:
        if self.token_value is not None:
            found = await self.token_value(ctx)
        elif self.query_parameter_name is not None:
            found = (ctx.request.url.query().get(await self.query_parameter_name(ctx)) or [""])[0]
        else:
            name = (await self.header_name(ctx) if self.header_name is not None else "") or "Authorization"
            values = ctx.request.headers.get_all(name)
            if len(values) > 1:  # which of them a backend would read is anybody's guess
                raise TokenRejected("JwtInvalid", "There is more than one token. Access denied.")
            found = without_scheme(values[0] if values else "", await self._wanted_scheme(ctx, name))
        if not (found := (found or "").strip()):
            raise TokenRejected("TokenNotPresent", "JWT not present.")
        return found

    async def _wanted_scheme(self, ctx: Context, header: str) -> str | None:
        # "When using a custom header, the configured required scheme will be ignored."
        return await self.scheme(ctx) if header.lower() == "authorization" else None

    async def _refusal(self, ctx: Context, rejected: TokenRejected) -> Refusal:
        configured = self.failed_validation_error_message
        headers = [("www-authenticate", "Bearer")] if await self.failed_validation_httpcode(ctx) == 401 else []
        return Refusal(
            str(rejected),
            status=await self.failed_validation_httpcode(ctx),
            source=self.element,
            reason=rejected.reason,
            headers=headers,
            answer=await configured(ctx) if configured is not None else None,
        )

    async def verify(self, ctx: Context, token: Token, keys: Sequence[SigningKey], rules: Rules) -> None:
        """Check a token by `rules`, to which the policy's own audiences and claims are added."""
        audiences = [*rules.audiences, *[await audience(ctx) for audience in self.audiences]]
        claims = [*rules.claims, *[await claim.read(ctx) for claim in self.claims]]
        rules = replace(rules, audiences=audiences, claims=claims)
        check(token, keys, rules, ctx.services.clock().timestamp())


async def provider_keys(ctx: Context, urls: Sequence[str], token: Token) -> list[SigningKey]:
    """The keys of OpenID providers, each good for its own provider's issuer. Providers that do not answer count only
    when no other one has keys."""
    providers = ctx.services.get(OpenIdProviders)
    known: list[Provider] = []
    unavailable: Unavailable | None = None
    # Only when no provider has the key are they asked for newer ones.
    for kid in (None, token.kid):
        known, unavailable = [], None
        for url in urls:
            try:
                known.append(await providers.provider(url, kid))
            except Unavailable as error:
                unavailable = error
        if token.kid is None or any(provider.has(token.kid) for provider in known):
            break
    else:
        if unavailable is not None:
            raise unavailable
    if unavailable is not None and not known:
        raise unavailable
    return [SigningKey(key, kid, (provider.issuer,)) for provider in known for kid, key in provider.keys]


def without_scheme(value: str, wanted: str | None) -> str:
    """The token in a header's value. Nothing when the scheme is not the wanted one."""
    scheme, _, token = value.partition(" ")
    if wanted:
        return token if scheme.lower() == wanted.lower() else ""
    return token if scheme.lower() == "bearer" else value


def as_jwt(token: Token) -> Any:
    """The token as expressions see it, of type Jwt."""
    from shared.expressions.tokens import Jwt

    return Jwt(token.text, token.header, token.claims)


def read_texts(element: Element, name: str, compiler: Compiler) -> Texts:
    """The values of an element's children of one name, such as audiences/audience."""
    compiler.attributes(element)
    compiler.expect_no_text(element)
    values = compiler.values(element, name)
    if not values:
        compiler.problem(element, f"{element.name} needs at least one {name}")
    return values


def read_claims(element: Element, compiler: Compiler) -> tuple[Claim, ...]:
    """The claims of required-claims."""
    compiler.attributes(element)
    compiler.expect_no_text(element)
    claims = []
    for child in compiler.children(element, "claim"):
        compiler.expect_no_text(child)
        values = compiler.values(child, "value")
        claim = compiler.model(child, Claim, **{"(values)": values})
        claims += [claim] if claim is not None else []
    return tuple(claims)
