"""validate-azure-ad-token: lets a request go on only with an acceptable token of Microsoft Entra ID."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from shared.context import Context
from shared.errors import PolicyFailed
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.jwt_checks import Rules, SigningKey, Token, TokenRejected
from shared.policies.nodes import Element
from shared.policies.policy import Section
from shared.policies.token_policy import Texts, TokenPolicy, provider_keys, read_claims, read_texts

CHILDREN = ("client-application-ids", "backend-application-ids", "audiences", "required-claims", "decryption-keys")

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
# The tenant of personal Microsoft accounts: part of `common`, not of `organizations`.
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
# A tenant-id may be a URL, but only Entra itself vouches for a tenant.
ENTRA_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.microsoft.com",
        "login.windows.net",
        "sts.windows.net",
    }
)


@dataclass(frozen=True, slots=True)
class EntraAuthority:
    """Where Entra answers: the public cloud, a national one, or a stand-in; without a slash at the end."""

    url: str = "https://login.microsoftonline.com"


class ValidateAzureAdToken(TokenPolicy):
    """Checks a token that Entra has issued for `tenant-id`: an id, a domain, a URL, `organizations` or `common`.

    Tokens of both endpoints are accepted: issuers `https://sts.windows.net/<tenant>/` (v1) and
    `https://login.microsoftonline.com/<tenant>/v2.0` (v2); for `organizations` and `common` the tenant is the token's
    own `tid`. The caller's application is `appid` (v1) or `azp` (v2). `backend-application-ids` are audiences too.
    Keys are found and kept as by validate-jwt; the authority is that of the app setting AZURE_AUTHORITY_HOST.
    Encrypted tokens are not supported: `decryption-keys` is refused at load, a JWE at run time.
    https://learn.microsoft.com/azure/api-management/validate-azure-ad-token-policy
    """

    element: ClassVar[str] = "validate-azure-ad-token"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    tenant_id: Expression[str]
    clients: Texts = Field((), alias="(clients)")
    backends: Texts = Field((), alias="(backends)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """Applications, audiences and claims."""
        compiler.expect_no_text(element)
        found: dict[str, Any] = {}
        for child in compiler.children(element, *CHILDREN):
            match child.name:
                case "client-application-ids":
                    found["clients"] = read_texts(child, "application-id", compiler)
                case "backend-application-ids":
                    found["backends"] = read_texts(child, "application-id", compiler)
                case "audiences":
                    found["audiences"] = read_texts(child, "audience", compiler)
                case "required-claims":
                    found["claims"] = read_claims(child, compiler)
                case _:
                    compiler.problem(child, "decryption-keys is not supported: encrypted tokens (JWE) cannot be read")
        if not found.keys() & {"clients", "backends", "audiences"}:
            message = "without client-application-ids and audiences a token for any application is accepted"
            compiler.problem(element, message, severity="warning")
        return found

    async def check(self, ctx: Context, token: Token) -> None:
        """Check the token with the tenant's keys."""
        authority, tenant = await self._tenant(ctx)
        base = f"{authority}/{tenant}"
        urls = [f"{base}{version}/.well-known/openid-configuration" for version in ("/v2.0", "")]
        found = await provider_keys(ctx, urls, token)
        # Both endpoints sign with the same keys, so a key stands for the issuers of both.
        issuers = tuple({issuer for key in found for issuer in key.issuers or ()})
        keys = [SigningKey(key.key, key.kid, issuers) for key in found]
        audiences = [await backend(ctx) for backend in self.backends]
        await self.verify(ctx, token, keys, Rules(audiences=audiences))
        if tenant == "organizations" and token.claims.get("tid") == PERSONAL:
            raise TokenRejected("TokenIssuerNotAllowed", "Personal accounts are not allowed. Access denied.")
        await self._check_client(ctx, token)

    async def _check_client(self, ctx: Context, token: Token) -> None:
        allowed = {(await client(ctx)).lower() for client in self.clients}
        if not allowed:
            return
        client = token.claims.get("azp") or token.claims.get("appid")
        if client is None:
            message = "JWT token is missing the following claims: azp, appid. Access denied."
            raise TokenRejected("TokenClaimNotFound", message)
        if str(client).lower() not in allowed:
            message = (
                f"Claim {'azp' if 'azp' in token.claims else 'appid'} value of {client} is not allowed. Access denied."
            )
            raise TokenRejected("TokenClaimValueNotAllowed", message)

    async def _tenant(self, ctx: Context) -> tuple[str, str]:
        """(authority, tenant). PolicyFailed for what cannot be a tenant."""
        given = (await self.tenant_id(ctx) or "").strip().rstrip("/")
        authority = ctx.services.get(EntraAuthority).url
        if given.startswith("https://"):
            parts = urlsplit(given)
            path = parts.path.strip("/").split("/")
            # https://<authority>/<tenant>, or the tenant's own domain as a URL
            given = path[0] or parts.netloc
            if path[0] and parts.netloc.lower() in ENTRA_HOSTS:
                authority = f"https://{parts.netloc.lower()}"
            elif path[0] and f"https://{parts.netloc}" != authority:
                raise PolicyFailed(reason="TenantInvalid", detail=f"{parts.netloc} is not an authority of Entra")
        if not TENANT.fullmatch(given) or given in (".", ".."):
            raise PolicyFailed(reason="TenantInvalid", detail=f"not a tenant: {given!r:.80}")
        return authority, given.lower()
