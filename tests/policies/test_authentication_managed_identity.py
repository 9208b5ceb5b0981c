"""authentication-managed-identity: the header, the variable, and what a missing token does."""

from tests.support.backend import Backend
from tests.support.identity import Identity
from tests.support.policies import document, policies, problems

RESOURCE = "https://cognitiveservices.azure.com"


def test_the_backend_gets_the_gateways_token_not_the_callers(backend: Backend) -> None:
    xml = document(inbound=f'<authentication-managed-identity resource="{RESOURCE}" client-id="user-assigned" />')
    with policies(xml, backend.url) as gateway:
        identity = Identity().serve(gateway.app)
        for _ in range(2):
            assert gateway.call(headers={"authorization": "Bearer the caller's"}).status_code == 200
        assert backend.last.header("authorization") == f"Bearer token-for-{RESOURCE}-by-user-assigned"
        assert identity.asked == [(RESOURCE, "user-assigned")]


def test_the_token_can_go_into_a_variable_instead(backend: Backend) -> None:
    xml = document(
        inbound=f"""<authentication-managed-identity resource="{RESOURCE}" output-token-variable-name="msi" />
        <set-header name="x-token"><value>@("Bearer " + (string)context.Variables["msi"])</value></set-header>"""
    )
    with policies(xml, backend.url) as gateway:
        Identity().serve(gateway.app)
        gateway.call()
        assert backend.last.header("x-token") == f"Bearer token-for-{RESOURCE}-by-app"
        assert backend.last.header("authorization") is None


def test_without_a_token_the_call_fails_unless_that_is_ignored(backend: Backend) -> None:
    show = '<set-header name="x-source"><value>@(context.LastError.Source)</value></set-header>'
    policy = f'<authentication-managed-identity resource="{RESOURCE}" ignore-error="%s" />'
    with policies(document(inbound=policy % "false", on_error=show), backend.url) as gateway:
        Identity().serve(gateway.app).down = True
        answer = gateway.call()
        assert (answer.status_code, answer.headers["x-source"]) == (500, "authentication-managed-identity")
        assert "identity service" not in answer.text
    assert backend.requests == []
    with policies(document(inbound=policy % "true"), backend.url) as gateway:
        Identity().serve(gateway.app).down = True
        assert gateway.call().status_code == 200
        assert backend.last.header("authorization") is None


def test_a_resource_that_cannot_be_computed_is_no_token_either(backend: Backend) -> None:
    resource = "@((string)context.Variables[&quot;nobody set it&quot;])"
    policy = f'<authentication-managed-identity resource="{resource}" ignore-error="%s" />'
    for ignored, status in (("false", 500), ("true", 200)):
        with policies(document(inbound=policy % ignored), backend.url) as gateway:
            Identity().serve(gateway.app)
            assert gateway.call().status_code == status


def test_what_is_wrong_is_told_at_load() -> None:
    assert "attribute resource is required" in problems(document(inbound="<authentication-managed-identity />"))[0]
    computed = f'<authentication-managed-identity resource="{RESOURCE}" client-id="@(context.RequestId.ToString())" />'
    assert "expressions are not allowed" in problems(document(inbound=computed))[0]
