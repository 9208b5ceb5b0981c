"""What makes a JSON Web Token acceptable: signature, lifetime, audience, issuer, claims (RFC 7519; pure)."""

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

MAX_TOKEN = 65_536


class TokenRejected(Exception):
    """The token is not acceptable; `reason` and the text are what APIM puts into `context.LastError`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart, nothing of it checked."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """`alg`; "none" for an unsigned token."""
        algorithm = self.header.get("alg")
        return algorithm if isinstance(algorithm, str) else ""

    @property
    def kid(self) -> str | None:
        """The id of the key that is said to have signed it."""
        kid = self.header.get("kid") or self.header.get("x5t")
        return kid if isinstance(kid, str) else None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key tokens are checked with: `key` is bytes (HMAC) or a public key. `issuers` are those it may sign for, None:
    whichever the policy accepts."""

    key: Any = field(repr=False)
    kid: str | None = None
    issuers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RequiredClaim:
    """A claim a token must have. `values` empty: any value; else `all` or `any` of them."""

    name: str
    values: tuple[str, ...] = ()
    match: Literal["all", "any"] = "all"
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a policy asks of a token. `issuers` and `audiences` empty: any; `clock_skew` is in seconds."""

    audiences: Collection[str] = ()
    issuers: Collection[str] = ()
    claims: Sequence[RequiredClaim] = ()
    require_expiration: bool = True
    require_signature: bool = True
    clock_skew: float = 0.0


def read_token(text: str) -> Token:
    """Take a token apart. TokenRejected when it is no signed or unsigned JWT."""
    parts = text.split(".")
    if len(parts) == 5:
        raise TokenRejected("JwtInvalid", "Encrypted tokens (JWE) are not supported. Access denied.")
    if len(parts) != 3 or len(text) > MAX_TOKEN or not text.isascii():
        raise TokenRejected("JwtInvalid", "The token is not a JWT. Access denied.")
    try:
        header, claims = (json.loads(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
    except (ValueError, RecursionError):
        raise TokenRejected("JwtInvalid", "The token is not a JWT. Access denied.") from None
    # RFC 7515 section 4.1.11: a header that must be understood and is not makes the token invalid.
    if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
        raise TokenRejected("JwtInvalid", "The token is not a JWT. Access denied.")
    return Token(text, header, claims, text.rpartition(".")[0].encode(), signature)


def check(token: Token, keys: Sequence[SigningKey], rules: Rules, now: float) -> None:
    """Check a token at the time `now` (epoch seconds). TokenRejected with the first thing that is wrong."""
    signers = _signers(token, keys, rules)
    _check_lifetime(token.claims, rules, now)
    _check_audience(token.claims, rules.audiences)
    _check_issuer(token.claims, signers, rules.issuers)
    check_claims(token.claims, rules.claims)


def check_claims(claims: dict[str, Any], required: Sequence[RequiredClaim]) -> None:
    """Check the claims a policy asks for."""
    missing = [claim.name for claim in required if claims.get(claim.name) is None]
    if missing:
        names = ", ".join(missing)
        raise TokenRejected("TokenClaimNotFound", f"JWT token is missing the following claims: {names}. Access denied.")
    for claim in required:
        held = set(claim_values(claims[claim.name], claim.separator))
        found = [value in held for value in claim.values]
        if found and not (all(found) if claim.match == "all" else any(found)):
            shown = ", ".join(sorted(held))[:200]
            message = f"Claim {claim.name} value of {shown} is not allowed. Access denied."
            raise TokenRejected("TokenClaimValueNotAllowed", message)


def claim_values(value: Any, separator: str = "") -> list[str]:
    """The values of a claim as text: items of an array, parts of a string between `separator`s."""
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    texts = [one if isinstance(one, str) else json.dumps(one) for one in values]
    return [part for text in texts for part in text.split(separator)] if separator else texts


def _signers(token: Token, keys: Sequence[SigningKey], rules: Rules) -> list[SigningKey]:
    """The keys that have signed the token; none for one that is unsigned and may be."""
    if token.algorithm.lower() == "none":
        if rules.require_signature or token.signature:
            raise TokenRejected("TokenSignatureInvalid", "The token is not signed. Access denied.")
        return []
    named = [key for key in keys if key.kid is not None and key.kid == token.kid]
    candidates = named or [key for key in keys if key.kid is None or token.kid is None]
    if not candidates:
        raise TokenRejected("TokenSignatureKeyNotFound", "No signing key has the id the token names. Access denied.")
    signers = [key for key in candidates if _signed_by(token, key.key)]
    if not signers:
        raise TokenRejected("TokenSignatureInvalid", "The signature of the token is not valid. Access denied.")
    return signers


def _signed_by(token: Token, key: Any) -> bool:
    if token.algorithm not in _algorithms(key):  # an HMAC made with a public key as its secret must never pass
        return False
    return bool(_known_algorithms()[token.algorithm].verify(token.signed, key, token.signature))


@cache
def _known_algorithms() -> dict[str, Any]:
    from jwt.algorithms import get_default_algorithms

    return dict(get_default_algorithms())


def _algorithms(key: Any) -> tuple[str, ...]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    match key:
        case bytes():
            return ("HS256", "HS384", "HS512")
        case RSAPublicKey():
            return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
        case EllipticCurvePublicKey():
            # RFC 7518 section 3.4: each algorithm has its curve.
            by_curve = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
            return by_curve.get(key.curve.name, ())
        case _:
            return ()


def _check_lifetime(claims: dict[str, Any], rules: Rules, now: float) -> None:
    expires, starts = _time(claims, "exp"), _time(claims, "nbf")
    if expires is None and rules.require_expiration:
        raise TokenRejected("JwtInvalid", "The token has no expiration time. Access denied.")
    if expires is not None and now >= expires + rules.clock_skew:
        raise TokenRejected("TokenExpired", "The token has expired. Access denied.")
    if starts is not None and now < starts - rules.clock_skew:
        raise TokenRejected("JwtInvalid", "The token is not valid yet. Access denied.")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise TokenRejected("JwtInvalid", f"Claim {name} is not a time. Access denied.")
    return float(value)


def _check_audience(claims: dict[str, Any], audiences: Collection[str]) -> None:
    held = claims.get("aud")
    if audiences and not any(one in audiences for one in (held if isinstance(held, list) else [held])):
        raise TokenRejected("TokenAudienceNotAllowed", "The token is for another audience. Access denied.")


def _check_issuer(claims: dict[str, Any], signers: Sequence[SigningKey], issuers: Collection[str]) -> None:
    """The issuer must be one the policy lists or one its signing key belongs to: a provider vouches only for itself."""
    own = [key.issuers for key in signers if key.issuers is not None]
    if not issuers and len(own) < len(signers):
        return
    if not issuers and not signers:
        return
    issuer = claims.get("iss")
    accepted = {*issuers, *(_of_tenant(one, claims) for group in own for one in group)}
    if not isinstance(issuer, str) or issuer not in accepted:
        raise TokenRejected("TokenIssuerNotAllowed", "The token is from another issuer. Access denied.")


def _of_tenant(issuer: str, claims: dict[str, Any]) -> str:
    """Entra's metadata for many tenants has `{tenantid}` where a token has its own tenant."""
    tenant = claims.get("tid")
    if "{tenantid}" not in issuer:
        return issuer
    return issuer.replace("{tenantid}", tenant) if isinstance(tenant, str) and tenant else ""


def _decode(part: str) -> bytes:
    if "=" in part or "+" in part or "/" in part:
        raise ValueError("not base64url")
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
