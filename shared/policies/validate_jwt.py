"""validate-jwt: lets a request go on only with an acceptable JSON Web Token."""

import base64
import binascii
from typing import Any, ClassVar

from pydantic import Field, SkipValidation, model_validator

from shared.backends.openid import public_key
from shared.context import Context
from shared.errors import PolicyFailed
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.jwt_checks import Rules, SigningKey, Token
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Section
from shared.policies.token_policy import Texts, TokenPolicy, provider_keys, read_claims, read_texts

CHILDREN = ("openid-config", "issuer-signing-keys", "decryption-keys", "audiences", "issuers", "required-claims")


class Key(Markup):
    """A signing key: base64 text, a declared certificate, or an RSA modulus and exponent."""

    id: str | None = None
    certificate_id: str | None = None
    n: str | None = None
    e: str | None = None
    text: SkipValidation[Expression[str] | None] = Field(None, alias="(text)", repr=False)
    public: Any = Field(None, alias="(public)", repr=False)

    async def read(self, ctx: Context) -> SigningKey:
        """The key for this request. PolicyFailed when an expression gives no base64."""
        if self.public is not None:
            return SigningKey(self.public, self.id)
        assert self.text is not None
        try:
            return SigningKey(symmetric_key(await self.text(ctx)), self.id)
        except ValueError as error:
            raise PolicyFailed(reason="SigningKeyInvalid", detail=str(error)) from error


class OpenIdConfig(Markup):
    """Where a provider tells its keys and its issuer."""

    url: Expression[str]


class ValidateJwt(TokenPolicy):
    """Checks signature, lifetime, audience, issuer and claims of the token in a header, a query parameter or a value.

    Keys come from `openid-config` (several: any of their keys; kept for an hour, see OpenIdProviders) and
    `issuer-signing-keys`. Accepted issuers are the `issuers`, and each provider's own for what its own keys have
    signed: a provider cannot vouch for another one. Algorithms: RS, PS, ES and HS with 256, 384 and 512 bits, each only
    with a key of its kind. `clock-skew` is in seconds. Encrypted tokens are not supported: `decryption-keys` is
    refused at load, a JWE at run time.
    https://learn.microsoft.com/azure/api-management/validate-jwt-policy
    """

    element: ClassVar[str] = "validate-jwt"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    require_expiration_time: Expression[bool] = Field(default_factory=lambda: Expression(True))
    require_scheme: Expression[str] | None = None
    require_signed_tokens: Expression[bool] = Field(default_factory=lambda: Expression(True))
    clock_skew: Expression[int] = Field(default_factory=lambda: Expression(0))
    providers: Texts = Field((), alias="(providers)")
    keys: tuple[Key, ...] = Field((), alias="(keys)")
    issuers: Texts = Field((), alias="(issuers)")

    @model_validator(mode="after")
    def _has_place(self) -> "ValidateJwt":
        if self.header_name is None and self.query_parameter_name is None and self.token_value is None:
            raise ValueError("one of header-name, query-parameter-name, token-value is needed")
        return self

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """Keys, issuers, audiences and claims; a policy without any key could accept nothing."""
        compiler.expect_no_text(element)
        found: dict[str, Any] = {"providers": (), "keys": ()}
        for child in compiler.children(element, *CHILDREN):
            match child.name:
                case "openid-config":
                    check_url(child, compiler)
                    config = compiler.model(child, OpenIdConfig)
                    found["providers"] += (config.url,) if config is not None else ()
                case "issuer-signing-keys":
                    compiler.attributes(child)
                    found["keys"] += tuple(_key(key, compiler) for key in compiler.children(child, "key"))
                case "decryption-keys":
                    compiler.problem(child, "decryption-keys is not supported: encrypted tokens (JWE) cannot be read")
                case "audiences":
                    found["audiences"] = read_texts(child, "audience", compiler)
                case "issuers":
                    found["issuers"] = read_texts(child, "issuer", compiler)
                case _:
                    found["claims"] = read_claims(child, compiler)
        signed = (element.get("require-signed-tokens") or "true").strip().lower() == "true"
        if signed and not any(child.name in ("openid-config", "issuer-signing-keys") for child in element.elements()):
            # APIM saves such a document too.
            message = "without openid-config or issuer-signing-keys no token passes"
            compiler.problem(element, message, severity="warning")
        found["keys"] = tuple(key for key in found["keys"] if key is not None)
        return found

    async def scheme(self, ctx: Context) -> str | None:
        """require-scheme."""
        return await self.require_scheme(ctx) if self.require_scheme is not None else None

    async def check(self, ctx: Context, token: Token) -> None:
        """Check the token with the keys there are."""
        keys = [await key.read(ctx) for key in self.keys]
        keys += await provider_keys(ctx, [await url(ctx) for url in self.providers], token)
        rules = Rules(
            issuers=[await issuer(ctx) for issuer in self.issuers],
            require_expiration=await self.require_expiration_time(ctx),
            require_signature=await self.require_signed_tokens(ctx),
            clock_skew=await self.clock_skew(ctx),
        )
        await self.verify(ctx, token, keys, rules)


def check_url(element: Element, compiler: Compiler) -> None:
    """Note an openid-config whose URL cannot be asked, and one whose keys an eavesdropper could replace."""
    compiler.expect_no_content(element)
    url = compiler.known(element, "url")
    if url is not None and not url.startswith(("https://", "http://")):
        compiler.problem(element, "url must be the http(s) URL of an OpenID configuration", attribute="url")
    elif url is not None and url.startswith("http://"):
        compiler.problem(element, "keys over http can be replaced on the way: use https", severity="warning")


def symmetric_key(text: str) -> bytes:
    """The bytes of a base64 key. ValueError (without the key) when it is none, or too short to be one."""
    compact = "".join((text or "").split()).replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the signing key is not base64") from None
    if len(key) < 16:
        raise ValueError("the signing key has less than 128 bits")
    return key


def _key(element: Element, compiler: Compiler) -> Key | None:
    key = compiler.model(element, Key)
    if key is None:
        return None
    text = compiler.value(element) if element.text().strip() else None
    if sum(one is not None for one in (key.certificate_id, key.n or key.e, text)) != 1:
        compiler.problem(element, "key needs either base64 text, certificate-id, or n and e")
        return None
    public = None
    if key.certificate_id is not None:
        public = _certificate_key(element, compiler)
    elif text is None:
        public = public_key({"kty": "RSA", "n": key.n, "e": key.e})
        if public is None and not any(compiler.named_values.is_open(element.get(name) or "") for name in ("n", "e")):
            compiler.problem(element, "n and e must be an RSA modulus and exponent in base64url")
    elif text.compiled is None and not compiler.named_values.is_open(element.text()):
        try:
            symmetric_key(text.constant or "")
        except ValueError as error:
            compiler.problem(element, str(error))
    if text is None and public is None:
        return None
    return key.model_copy(update={"text": text, "public": public})


def _certificate_key(element: Element, compiler: Compiler) -> Any:
    id = compiler.known(element, "certificate-id")
    if id is None:
        return None
    if id not in compiler.gateway.certificates:
        compiler.problem(element, f"no certificate {id}", attribute="certificate-id")
    certificate = compiler.certificates.get(id)
    return certificate.certificate.public_key() if certificate is not None else None
