"""validate-jwt: which tokens pass, what callers and on-error learn of the others, and how keys are found."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from shared.management.check import check
from tests.support.authority import Authority
from tests.support.backend import Backend
from tests.support.openid import OpenIdProvider, rsa_key
from tests.support.policies import Declared, Running, document, policies, problems

SECRET = b"0123456789abcdef0123456789abcdef"
KEYS = f"<issuer-signing-keys><key>{base64.b64encode(SECRET).decode()}</key></issuer-signing-keys>"
SHOW_REASON = """<set-header name="x-reason">
  <value>@(context.LastError.Source + "/" + context.LastError.Reason)</value></set-header>"""


def validating(children: str = KEYS, attributes: str = 'header-name="Authorization"', after: str = "") -> str:
    policy = f"<validate-jwt {attributes}>{children}</validate-jwt>{after}"
    return document(inbound=policy, on_error=SHOW_REASON)


def hs256(**claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 60, **claims}, SECRET, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refused(gateway: Running, token: str) -> tuple[int, str, str]:
    answer = gateway.call(headers=bearer(token))
    return answer.status_code, answer.headers.get("x-reason", ""), answer.json().get("message", "")


def test_a_token_of_the_provider_passes_and_expressions_see_it(backend: Backend) -> None:
    after = """<set-header name="x-user"><value>@(((Jwt)context.Variables["jwt"]).Subject)</value></set-header>
        <set-header name="x-role">
          <value>@(((Jwt)context.Variables["jwt"]).Claims["roles"].Contains("admin").ToString())</value>
        </set-header>"""
    with OpenIdProvider() as provider:
        xml = validating(
            f'<openid-config url="{provider.config}" /><audiences><audience>api</audience></audiences>',
            'header-name="Authorization" require-scheme="Bearer" output-token-variable-name="jwt"',
            after,
        )
        with policies(xml, backend.url) as gateway:
            for _ in range(2):
                answer = gateway.call(headers=bearer(provider.token(roles=["reader", "admin"])))
                assert answer.status_code == 200
        assert (backend.last.header("x-user"), backend.last.header("x-role")) == ("someone", "True")
        assert backend.last.header("authorization") is None  # the caller's token ends at the gateway
        assert provider.fetches == 1


def test_each_refusal_has_its_status_reason_and_message(backend: Backend) -> None:
    with OpenIdProvider() as provider:
        xml = validating(
            f"""<openid-config url="{provider.config}" />
            <audiences><audience>api</audience></audiences>
            <required-claims>
              <claim name="scp" match="any" separator=" "><value>read</value></claim>
            </required-claims>"""
        )
        other = rsa_key()
        kid = next(iter(provider.keys))
        forged = jwt.encode({"exp": 9e9}, other, algorithm="RS256", headers={"kid": kid})
        stranger = jwt.encode({"exp": 9e9}, other, algorithm="RS256", headers={"kid": "nobody"})
        public = provider.keys[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head, body = (_part(one) for one in ({"alg": "HS256", "kid": kid}, {"exp": 9e9, "aud": "api", "scp": "read"}))
        confused = f"{head}.{body}." + _encoded(hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest())
        unsigned = f"{_part({'alg': 'none'})}.{body}."
        with policies(xml, backend.url) as gateway:
            answer = gateway.call()
            assert answer.status_code == 401
            assert answer.headers["x-reason"] == "validate-jwt/TokenNotPresent"
            assert answer.json()["message"] == "JWT not present."
            cases = {
                "TokenSignatureInvalid": (forged, "signature"),
                "TokenSignatureKeyNotFound": (stranger, "signing key"),
                "TokenExpired": (provider.token(exp=int(time.time()) - 5, scp="read"), "expired"),
                "TokenAudienceNotAllowed": (provider.token(aud="other", scp="read"), "audience"),
                "TokenIssuerNotAllowed": (provider.token(iss="https://other", scp="read"), "issuer"),
                "TokenClaimNotFound": (provider.token(), "missing the following claims: scp"),
                "TokenClaimValueNotAllowed": (provider.token(scp="write"), "Claim scp value of write is not allowed"),
                "JwtInvalid": ("not.a.token", "not a JWT"),
            }
            for reason, (token, text) in cases.items():
                status, shown, message = refused(gateway, token)
                assert (status, shown) == (401, f"validate-jwt/{reason}")
                assert text in message and message.endswith("Access denied.")
            for token in (confused, unsigned):
                assert refused(gateway, token)[1] == "validate-jwt/TokenSignatureInvalid"
            assert refused(gateway, provider.token(exp=None, scp="read"))[1] == "validate-jwt/JwtInvalid"
            assert refused(gateway, provider.token(nbf=int(time.time()) + 60, scp="read"))[1].endswith("JwtInvalid")
            assert refused(gateway, "a.b.c.d.e")[2].startswith("Encrypted tokens")
            assert gateway.call(headers=bearer(provider.token(scp="write read"))).status_code == 200
        assert len(backend.requests) == 1


def test_status_and_message_are_the_authors(backend: Backend) -> None:
    attributes = """header-name="x-token" failed-validation-httpcode="403"
        failed-validation-error-message="Go @away" """
    with policies(validating(attributes=attributes), backend.url) as gateway:
        answer = gateway.call(headers={"x-token": "nonsense"})
        assert (answer.status_code, answer.json()["message"]) == (403, "Go @away")
        assert gateway.call(headers={"x-token": hs256()}).status_code == 200
        twice = httpx.get(f"{gateway.url}/api/v1/models", headers=[("x-token", hs256()), ("x-token", hs256())])
        assert twice.status_code == 403


def test_the_token_may_be_in_the_query_or_an_expression(backend: Backend) -> None:
    with policies(validating(attributes='query-parameter-name="token"'), backend.url) as gateway:
        assert gateway.call(path=f"/v1/models?token={hs256()}").status_code == 200
        assert gateway.call(path="/v1/models?token=").status_code == 401
    computed = """token-value='@(context.Request.Headers.GetValueOrDefault("x-raw", ""))'"""
    with policies(validating(attributes=computed), backend.url) as gateway:
        assert gateway.call(headers={"x-raw": hs256()}).status_code == 200
        assert gateway.call(headers={"x-raw": hs256()[:-3] + "abc"}).status_code == 401


def test_the_scheme_counts_when_it_is_required(backend: Backend) -> None:
    with policies(validating(attributes='header-name="Authorization" require-scheme="DPoP"'), backend.url) as gateway:
        assert gateway.call(headers={"authorization": f"DPoP {hs256()}"}).status_code == 200
        assert gateway.call(headers=bearer(hs256())).json()["message"] == "JWT not present."


def test_keys_of_every_kind(backend: Backend) -> None:
    key = rsa_key()
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    issued = Authority().issue("signer")
    certificate = issued.certificate.public_bytes(Encoding.PEM).decode()
    keys = f"""<issuer-signing-keys>
        <key id="by-number" n="{jwk["n"]}" e="{jwk["e"]}" />
        <key certificate-id="signer" />
        <key>{{{{secret}}}}</key>
      </issuer-signing-keys>"""
    config = f"""
        named_values: {{ secret: {{ plain: {base64.b64encode(SECRET).decode()} }} }}
        certificates: {{ signer: {{ file: signer.pem }} }}
        """
    claims = {"exp": int(time.time()) + 60}
    tokens = [
        jwt.encode(claims, key, algorithm="RS512", headers={"kid": "by-number"}),
        jwt.encode(claims, key, algorithm="PS256", headers={"kid": "by-number"}),
        jwt.encode(claims, issued.key, algorithm="ES256"),
        hs256(),
    ]
    with policies(validating(keys), backend.url, config=config, files={"signer.pem": certificate}) as gateway:
        for token in tokens:
            assert gateway.call(headers=bearer(token)).status_code == 200
        assert gateway.call(headers=bearer(jwt.encode(claims, rsa_key(), algorithm="RS256"))).status_code == 401


def test_claims_match_all_or_any(backend: Backend) -> None:
    claims = """<required-claims>
        <claim name="groups" match="all"><value>a</value><value>b</value></claim>
        <claim name="level" match="any"><value>1</value><value>2</value></claim>
        <claim name="present" />
      </required-claims>"""
    with policies(validating(KEYS + claims), backend.url) as gateway:

        def status(**given: Any) -> int:
            return gateway.call(headers=bearer(hs256(**given))).status_code

        assert status(groups=["b", "a", "c"], level=2, present=False) == 200
        assert status(groups=["a"], level=2, present=False) == 401
        assert status(groups=["a", "b"], level=3, present=False) == 401
        assert status(groups=["a", "b"], level=1) == 401


def test_clock_skew_and_missing_expiration_are_the_authors_choice(backend: Backend) -> None:
    late = hs256(exp=int(time.time()) - 20)
    attributes = 'header-name="Authorization" clock-skew="60" require-expiration-time="false"'
    with policies(validating(attributes=attributes), backend.url) as gateway:
        assert gateway.call(headers=bearer(late)).status_code == 200
        assert gateway.call(headers=bearer(jwt.encode({"a": 1}, SECRET, algorithm="HS256"))).status_code == 200
        assert gateway.call(headers=bearer(hs256(exp=int(time.time()) - 90))).status_code == 401


def test_an_unsigned_token_passes_only_where_the_author_says_so(backend: Backend) -> None:
    unsigned = f"{_part({'alg': 'none'})}.{_part({'exp': 9e9})}."
    attributes = 'header-name="Authorization" require-signed-tokens="false"'
    with policies(validating(attributes=attributes), backend.url) as gateway:
        assert gateway.call(headers=bearer(unsigned)).status_code == 200
        assert gateway.call(headers=bearer(unsigned + "AAAA")).status_code == 401
        assert gateway.call(headers=bearer(hs256()[:-4] + "AAAA")).status_code == 401


def test_a_provider_vouches_only_for_itself(backend: Backend) -> None:
    with OpenIdProvider() as one, OpenIdProvider({"/config": ""}) as two:
        two.rotate("second")
        both = f'<openid-config url="{one.config}" /><openid-config url="{two.config}" />'
        with policies(validating(both), backend.url) as gateway:
            assert gateway.call(headers=bearer(one.token())).status_code == 200
            assert gateway.call(headers=bearer(two.token())).status_code == 200
            assert refused(gateway, two.token(iss=one.issuer))[1] == "validate-jwt/TokenIssuerNotAllowed"
        listed = both + "<issuers><issuer>https://third</issuer></issuers>"
        with policies(validating(listed), backend.url) as gateway:
            assert gateway.call(headers=bearer(two.token(iss="https://third"))).status_code == 200


def test_without_keys_the_gateway_cannot_decide(backend: Backend) -> None:
    with OpenIdProvider() as provider:
        provider.down = True
        with policies(validating(f'<openid-config url="{provider.config}" />'), backend.url) as gateway:
            answer = gateway.call(headers=bearer(provider.token()))
            assert answer.status_code == 503
            assert answer.headers["x-reason"] == "validate-jwt/OpenIdConfigurationUnavailable"
            assert answer.headers["retry-after"] == "10"
    assert backend.requests == []


def test_without_any_keys_it_loads_with_a_warning_and_no_token_passes(backend: Backend) -> None:
    (warning,) = problems(validating(children=""), warnings=True)
    assert "warning: without openid-config or issuer-signing-keys no token passes" in warning
    with policies(validating(children=""), backend.url) as gateway:
        assert refused(gateway, hs256())[:2] == (401, "validate-jwt/TokenSignatureKeyNotFound")
    assert backend.requests == []


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (f"<validate-jwt>{KEYS}</validate-jwt>", "one of header-name, query-parameter-name, token-value is needed"),
        (f"<validate-jwt header-name='A' token-value='B'>{KEYS}</validate-jwt>", "only one of header-name"),
        (f"<validate-jwt header-name='A'>{KEYS}<decryption-keys><key>x</key></decryption-keys></validate-jwt>", "JWE"),
        (
            "<validate-jwt header-name='A'><issuer-signing-keys><key>?</key></issuer-signing-keys></validate-jwt>",
            "base64",
        ),
        (
            "<validate-jwt header-name='A'><issuer-signing-keys><key>YWJj</key></issuer-signing-keys></validate-jwt>",
            "128",
        ),
        (
            "<validate-jwt header-name='A'><issuer-signing-keys><key certificate-id='x'/></issuer-signing-keys>"
            "</validate-jwt>",
            "no certificate x",
        ),
        (f"<validate-jwt header-name='A'>{KEYS}<audiences></audiences></validate-jwt>", "at least one audience"),
        (f"<validate-jwt header-name='A' clock-skw='1'>{KEYS}</validate-jwt>", "did you mean clock-skew?"),
    ],
)
def test_mistakes_are_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml))
    assert len(found) == 1 and message in found[0]


def test_the_url_of_a_provider_may_be_computed(backend: Backend) -> None:
    with OpenIdProvider() as provider:
        url = f"""url='@($"{provider.url}/.well-known/{{context.Variables["name"]}}")'"""
        xml = '<set-variable name="name" value="openid-configuration" />'
        xml += f'<validate-jwt header-name="Authorization"><openid-config {url} /></validate-jwt>'
        with policies(document(inbound=xml), backend.url) as gateway:
            assert gateway.call(headers=bearer(provider.token())).status_code == 200
            assert gateway.call(headers=bearer(provider.token(iss="https://other"))).status_code == 401


def test_values_known_only_where_the_gateway_runs_are_not_judged_elsewhere(tmp_path: Path) -> None:
    xml = """<validate-jwt header-name="Authorization"><openid-config url="{{later}}" /><issuer-signing-keys>
        <key>{{later}}</key><key n="{{later}}" e="{{later}}" /><key certificate-id="{{later}}" />
        </issuer-signing-keys></validate-jwt>
        <authentication-certificate certificate-id="{{later}}" />
        <log-to-eventhub logger-id="{{later}}">a</log-to-eventhub>"""
    config = """named_values: { later: { env: NOT_HERE } }
certificates: { mine: { value: "{{later}}" } }"""
    file = Declared(config=config).write(tmp_path, document(inbound=xml), "http://127.0.0.1:9")
    assert asyncio.run(check(file, {}, placeholders=True)) == []


def test_it_stands_in_inbound_only() -> None:
    xml = f"<validate-jwt header-name='A'>{KEYS}</validate-jwt>"
    assert "not allowed in outbound (only in inbound)" in problems(document(outbound=xml))[0]


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
