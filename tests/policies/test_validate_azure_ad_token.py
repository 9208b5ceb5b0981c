"""validate-azure-ad-token: tokens of both Entra endpoints, tenants, applications, against a scripted Entra."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.backend import Backend
from tests.support.openid import OpenIdProvider
from tests.support.policies import Running, document, policies, problems

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
V1 = "https://sts.windows.net/{}/"
V2 = "https://login.microsoftonline.com/{}/v2.0"
CLIENTS = "<client-application-ids><application-id>app-one</application-id></client-application-ids>"
SHOW = """<set-header name="x-reason">
  <value>@(context.LastError.Source + "/" + context.LastError.Reason)</value></set-header>"""


def entra(tenant: str, issuer_tenant: str) -> OpenIdProvider:
    """Entra as far as it matters: discovery of both endpoints for one tenant or a well-known name."""
    return OpenIdProvider(
        {
            f"/{tenant}/v2.0/.well-known/openid-configuration": V2.format(issuer_tenant),
            f"/{tenant}/.well-known/openid-configuration": V1.format(issuer_tenant),
        }
    )


@contextmanager
def checking(
    backend: Backend, provider: OpenIdProvider, tenant: str, children: str = CLIENTS, attributes: str = ""
) -> Iterator[Running]:
    policy = f'<validate-azure-ad-token tenant-id="{tenant}" {attributes}>{children}</validate-azure-ad-token>'
    xml = document(inbound=policy, on_error=SHOW)
    with policies(xml, backend.url, environment={"AZURE_AUTHORITY_HOST": provider.url + "/"}) as gateway:
        yield gateway


def reason(gateway: Running, token: str) -> str:
    answer = gateway.call(headers={"authorization": f"Bearer {token}"})
    return "passed" if answer.status_code == 200 else answer.headers["x-reason"]


def test_tokens_of_both_endpoints_pass(backend: Backend) -> None:
    with entra(TENANT, TENANT) as provider, checking(backend, provider, TENANT) as gateway:
        old = provider.token(iss=V1.format(TENANT), tid=TENANT, appid="app-one", ver="1.0")
        new = provider.token(iss=V2.format(TENANT), tid=TENANT, azp="APP-ONE", ver="2.0")
        assert reason(gateway, old) == reason(gateway, new) == "passed"
        assert gateway.call().json()["message"] == "JWT not present."


def test_another_tenant_client_or_audience_does_not_pass(backend: Backend) -> None:
    audiences = "<audiences><audience>https://host</audience></audiences>"
    backends = "<backend-application-ids><application-id>app-back</application-id></backend-application-ids>"
    with entra(TENANT, TENANT) as provider:
        with checking(backend, provider, TENANT, CLIENTS + backends + audiences) as gateway:

            def one(**claims: Any) -> str:
                given = {"iss": V2.format(TENANT), "tid": TENANT, "azp": "app-one", "aud": "https://host", **claims}
                return reason(gateway, provider.token(**given))

            assert one() == one(aud="app-back") == "passed"
            assert one(iss=V2.format(OTHER), tid=OTHER) == "validate-azure-ad-token/TokenIssuerNotAllowed"
            assert one(azp="app-two") == "validate-azure-ad-token/TokenClaimValueNotAllowed"
            assert one(azp=None) == "validate-azure-ad-token/TokenClaimNotFound"
            assert one(aud="other") == "validate-azure-ad-token/TokenAudienceNotAllowed"
            assert one(exp=None) == "validate-azure-ad-token/JwtInvalid"


@pytest.mark.parametrize("name", ["organizations", "common"])
def test_tokens_of_any_tenant_pass_where_the_author_says_so(backend: Backend, name: str) -> None:
    personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
    with entra(name, "{tenantid}") as provider, checking(backend, provider, name) as gateway:
        for tenant in (TENANT, OTHER):
            token = provider.token(iss=V2.format(tenant), tid=tenant, azp="app-one")
            assert reason(gateway, token) == "passed"
        # The issuer must be that of the token's own tenant.
        mixed = provider.token(iss=V2.format(TENANT), tid=OTHER, azp="app-one")
        assert reason(gateway, mixed) == "validate-azure-ad-token/TokenIssuerNotAllowed"
        outside = provider.token(iss=V2.format(personal), tid=personal, azp="app-one")
        expected = "passed" if name == "common" else "validate-azure-ad-token/TokenIssuerNotAllowed"
        assert reason(gateway, outside) == expected


def test_claims_the_output_variable_and_the_authors_answer(backend: Backend) -> None:
    claims = '<required-claims><claim name="ctry" match="any"><value>US</value></claim></required-claims>'
    attributes = """output-token-variable-name="jwt" failed-validation-httpcode="403"
        failed-validation-error-message="No entry" """
    with entra(TENANT, TENANT) as provider:
        with checking(backend, provider, TENANT, CLIENTS + claims, attributes) as gateway:
            token = provider.token(iss=V2.format(TENANT), azp="app-one", ctry="FR")
            answer = gateway.call(headers={"authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["message"]) == (403, "No entry")


def test_a_tenant_cannot_lead_to_another_authority(backend: Backend) -> None:
    with entra(TENANT, TENANT) as provider:
        with checking(backend, provider, f"https://evil.example/{TENANT}") as gateway:
            assert gateway.call(headers={"authorization": "Bearer x.y.z"}).status_code == 401
            token = provider.token()
            assert gateway.call(headers={"authorization": f"Bearer {token}"}).status_code == 500


def test_what_is_wrong_is_told_at_load() -> None:
    assert "attribute tenant-id is required" in problems(document(inbound="<validate-azure-ad-token />"))[0]
    everything = document(inbound='<validate-azure-ad-token tenant-id="t" />')
    assert problems(everything) == []
    assert "a token for any application is accepted" in problems(everything, warnings=True)[0]
    keys = '<validate-azure-ad-token tenant-id="t"><decryption-keys><key /></decryption-keys></validate-azure-ad-token>'
    assert "JWE" in problems(document(inbound=keys))[0]
