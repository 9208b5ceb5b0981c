"""``AsJwt``, ``AsBasic`` and their kin: extension methods on texts and byte arrays."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from shared.expressions.crypto import cipher
from shared.expressions.dates import EPOCH_TICKS, TICKS_PER_SECOND, UTC_KIND, DateTime
from shared.expressions.errors import ExpressionFailed
from shared.expressions.formats import text
from shared.expressions.json_tokens import write
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray, NetList, Pair
from shared.expressions.nettypes import NetType, returning


class Jwt:
    """A decoded token; its signature has not been checked (that is what ``validate-jwt`` does)."""

    __slots__ = ("claims", "header", "raw")

    def __init__(self, raw: str, header: dict[str, Any], claims: dict[str, Any]) -> None:
        self.raw = raw
        self.header = header
        self.claims = claims

    def __str__(self) -> str:
        return self.raw


def _part(encoded: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def as_jwt(value: Any) -> Jwt | None:
    """The token in a text, with or without ``Bearer``; null when it is none."""
    raw = text(value).strip()
    if raw[:7].lower() == "bearer ":
        raw = raw[7:].strip()
    parts = raw.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = _part(parts[0]), _part(parts[1])
    except (ValueError, binascii.Error, RecursionError):
        return None
    return Jwt(raw, header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def claim_values(value: Any) -> list[str]:
    """A claim's values as texts: an array has several, an object is its JSON."""
    if isinstance(value, list):
        return [one for item in value for one in claim_values(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [write(value)] if isinstance(value, dict) else [text(value)]


class Claims:
    """``jwt.Claims``: each claim with its values."""

    __slots__ = ("claims",)
    is_dictionary: ClassVar[bool] = True  # JSON writes it as an object

    def __init__(self, claims: dict[str, Any]) -> None:
        self.claims = claims

    def item(self, name: Any) -> NetArray:
        if name not in self.claims:
            raise ExpressionFailed(
                "KeyNotFoundException", f"The given key '{text(name)}' was not present in the dictionary."
            )
        return NetArray(claim_values(self.claims[name]))

    def __iter__(self) -> Iterator[Pair]:
        return iter([Pair(name, self.item(name)) for name in self.claims])

    def __bool__(self) -> bool:
        return True


def _claim_or_default(claims: Claims, claimName: str, defaultValue: Any = None) -> Any:
    """All values joined by a comma; with an array as default, .NET's own extension gives the values."""
    value = claims.claims.get(claimName)
    if isinstance(defaultValue, list):
        return defaultValue if value is None else NetArray(claim_values(value))
    return defaultValue if value is None else ",".join(claim_values(value))


def _try_claim(claims: Claims, name: str) -> tuple[bool, Any]:
    return name in claims.claims, NetArray(claim_values(claims.claims.get(name))) if name in claims.claims else None


def _time(name: str) -> Any:
    def read(jwt: Jwt) -> DateTime | None:
        value = jwt.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return DateTime(EPOCH_TICKS + int(value * TICKS_PER_SECOND), UTC_KIND)

    return read


def _claim(name: str) -> Any:
    return lambda jwt: _claim_or_default(Claims(jwt.claims), name)


JWT = NetType(
    "Jwt",
    (Jwt,),
    properties=returning(
        "string",
        Id=_claim("jti"),
        Issuer=_claim("iss"),
        Subject=_claim("sub"),
        Algorithm=lambda jwt: text(jwt.header.get("alg")) or None,
        Type=lambda jwt: text(jwt.header.get("typ")) or None,
        KeyId=lambda jwt: text(jwt.header.get("kid")) or None,
    )
    | returning(
        "IEnumerable", Audiences=lambda jwt: NetList(claim_values(jwt.claims["aud"]) if "aud" in jwt.claims else [])
    )
    | returning(None, ExpirationTime=_time("exp"), IssuedAt=_time("iat"), NotBefore=_time("nbf"))
    | returning("Claims", Claims=lambda jwt: Claims(jwt.claims)),
)
CLAIMS = NetType(
    "Claims",
    (Claims,),
    base=ENUMERABLE,
    index=Claims.item,
    properties=returning("int", Count=lambda claims: len(claims.claims))
    | returning(
        "List", Keys=lambda claims: NetList(claims.claims), Values=lambda claims: NetList(pair.Value for pair in claims)
    ),
    methods=returning(None, GetValueOrDefault=_claim_or_default)
    | returning("bool", ContainsKey=lambda claims, name: name in claims.claims, TryGetValue=_try_claim),
)


class Basic:
    """User name and password of a ``Basic`` Authorization header (RFC 7617)."""

    __slots__ = ("Password", "UserId")

    def __init__(self, user: str, password: str) -> None:
        self.UserId = user
        self.Password = password


def as_basic(value: Any) -> Basic | None:
    scheme, _, encoded = text(value).strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return None
    return Basic(user, password) if colon else None


BASIC = NetType(
    "BasicAuthCredentials",
    (Basic,),
    properties=returning(
        "string", Username=lambda one: one.UserId, UserId=lambda one: one.UserId, Password=lambda one: one.Password
    ),
)


def _tried(read: Any) -> Any:
    def run(maybe: Any) -> tuple[bool, Any]:
        found = read(maybe)
        return found is not None, found

    return run


# Extension methods on string and byte[]; a receiver named `maybe` may be null.
STRING_EXTENSIONS = (
    returning("Jwt", AsJwt=lambda maybe: as_jwt(maybe))
    | returning("BasicAuthCredentials", AsBasic=lambda maybe: as_basic(maybe))
    | returning("bool", TryParseJwt=_tried(as_jwt), TryParseBasic=_tried(as_basic))
)
BYTES_EXTENSIONS = returning(
    "byte[]",
    Encrypt=lambda content, algorithm, key, iv: cipher(content, algorithm, key, iv, encrypt=True),
    Decrypt=lambda content, algorithm, key, iv: cipher(content, algorithm, key, iv, encrypt=False),
)
AUTHORIZATION = NetType(
    "Authorization",
    properties=returning("string", AccessToken=lambda one: one.access_token)
    | returning("Claims", Claims=lambda one: Claims(one.claims)),
)
TOKEN_TYPES = (JWT, CLAIMS, BASIC, AUTHORIZATION)
