"""Tokens from anywhere: whatever the text, the answer is a token or a reason, and no claim passes unsigned."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policies.jwt_checks import RequiredClaim, Rules, SigningKey, TokenRejected, check, claim_values, read_token

SECRET = b"0123456789abcdef0123456789abcdef"
KEY = SigningKey(SECRET)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
claims = st.dictionaries(st.sampled_from(["exp", "nbf", "aud", "iss", "tid", "scp", "other"]), anything)


def encoded(value: Any) -> str:
    return (
        base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode())
        .rstrip(b"=")
        .decode()
    )


def signed(header: Any, body: Any, secret: bytes = SECRET) -> str:
    text = f"{encoded(header)}.{encoded(body)}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


@given(st.text() | st.lists(st.binary().map(encoded), min_size=2, max_size=4).map(".".join))
def test_any_text_is_a_token_or_is_rejected(text: str) -> None:
    try:
        token = read_token(text)
    except TokenRejected:
        return
    with pytest.raises(TokenRejected):
        check(token, [KEY], Rules(), 0)


@given(anything, claims)
def test_any_header_and_claims_pass_or_are_rejected(header: Any, body: dict[str, Any]) -> None:
    wanted = (RequiredClaim("scp", ("read",), "any", " "), RequiredClaim("other"))
    rules = Rules(audiences=["api"], issuers=["https://issuer"], claims=wanted, clock_skew=5)
    try:
        check(read_token(signed(header, body)), [KEY, SigningKey(SECRET, "1", ("x/{tenantid}",))], rules, 1000)
    except TokenRejected as rejected:
        assert str(rejected)


@given(claims, st.binary(min_size=16))
def test_nothing_passes_that_another_secret_has_signed(body: dict[str, Any], secret: bytes) -> None:
    token = read_token(signed({"alg": "HS256"}, body, secret + b"other"))
    with pytest.raises(TokenRejected) as rejected:
        check(token, [KEY], Rules(require_expiration=False), 0)
    assert rejected.value.reason == "TokenSignatureInvalid"


@pytest.mark.parametrize(
    ("now", "claims", "skew", "reason"),
    [
        (100, {"exp": 101}, 0, None),
        (100, {"exp": 100}, 0, "TokenExpired"),
        (100, {"exp": 96}, 5, None),
        (100, {"exp": 95}, 5, "TokenExpired"),
        (100, {"exp": 200, "nbf": 100}, 0, None),
        (100, {"exp": 200, "nbf": 101}, 0, "JwtInvalid"),
        (100, {"exp": 200, "nbf": 105}, 5, None),
        (100, {"exp": "200"}, 0, "JwtInvalid"),
        (100, {"exp": True}, 0, "JwtInvalid"),
        (100, {"exp": float("inf")}, 0, "JwtInvalid"),
        (100, {}, 0, "JwtInvalid"),
    ],
)
def test_lifetimes(now: float, claims: dict[str, Any], skew: float, reason: str | None) -> None:
    token = read_token(signed({"alg": "HS256"}, claims))
    if reason is None:
        check(token, [KEY], Rules(clock_skew=skew), now)
        return
    with pytest.raises(TokenRejected) as rejected:
        check(token, [KEY], Rules(clock_skew=skew), now)
    assert rejected.value.reason == reason


def test_a_header_that_must_be_understood_is_not_ignored() -> None:
    with pytest.raises(TokenRejected):
        read_token(signed({"alg": "HS256", "crit": ["b64"], "b64": False}, {"exp": 9e9}))


def test_values_of_a_claim() -> None:
    assert claim_values("a b", " ") == ["a", "b"]
    assert claim_values(["a b", "c"], " ") == ["a", "b", "c"]
    assert claim_values(["x", 1, True, None, {"a": 1}]) == ["x", "1", "true", "null", '{"a": 1}']
