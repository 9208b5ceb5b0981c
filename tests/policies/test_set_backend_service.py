"""set-backend-service: which backend is called, and what it is shown."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def choosing(*policies: str) -> str:
    return document("".join(policies))


def test_a_declared_backend_is_called_with_its_credentials(backend: Backend) -> None:
    policy = choosing('<set-backend-service backend-id="second" />')
    second = {"url": f"{backend.url}/second", "credentials": {"header": {"api-key": "of-second"}}}
    with policies(policy, backends={"second": second}) as gateway:
        gateway.call(headers={"api-key": "of-the-caller"})
    assert backend.last.target == "/second/v1/models"
    assert backend.last.header("api-key") == "of-second"


def test_a_url_is_called_without_credentials(backend: Backend) -> None:
    with policies(choosing(f'<set-backend-service base-url="{backend.url}/plain/" />')) as gateway:
        gateway.call(headers={"api-key": "of-the-caller"})
    assert backend.last.target == "/plain/v1/models"
    assert backend.last.header("api-key") is None


def test_after_a_backend_id_only_another_id_counts(backend: Backend) -> None:
    ids = {"second": f"{backend.url}/second", "third": f"{backend.url}/third"}
    policy = choosing(
        '<set-backend-service base-url="http://127.0.0.1:9" />',
        '<set-backend-service backend-id="second" />',
        '<set-backend-service base-url="http://127.0.0.1:9" />',
    )
    with policies(policy, backends=ids) as gateway:
        gateway.call()
    assert backend.last.target == "/second/v1/models"
    policy = policy.replace("</inbound>", '<set-backend-service backend-id="third" /></inbound>')
    with policies(policy, backends=ids) as gateway:
        gateway.call()
    assert backend.last.target == "/third/v1/models"


def test_it_can_sit_in_backend_before_forward_request(backend: Backend) -> None:
    chosen = f'<set-backend-service base-url="{backend.url}/late" /><forward-request />'
    with policies(document(backend=chosen)) as gateway:
        gateway.call()
    assert backend.last.target == "/late/v1/models"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('backend-id="secnd"', "no backend secnd"),
        ("", "exactly one of base-url and backend-id is needed"),
        ('backend-id="main" base-url="http://x"', "exactly one of base-url and backend-id is needed"),
        ('base-url=""', "not an http(s) URL"),
        ('base-url="ftp://x"', "not an http(s) URL: ftp://x"),
        ('base-url="http://user:secret@x"', "not an http(s) URL"),
        ('backend-id="main" sf-partition-key="1"', "sf-partition-key: Service Fabric backends are not supported"),
    ],
)
def test_what_cannot_be_called_does_not_load(attributes: str, message: str) -> None:
    (problem,) = problems(choosing(f"<set-backend-service {attributes} />"))
    assert message in problem
    assert "secret" not in problem


def test_an_expression_chooses_and_an_unknown_id_fails_the_request(backend: Backend) -> None:
    policy = choosing('<set-backend-service backend-id="@(context.Request.Headers["x-backend"][0])" />')
    with policies(policy, backends={"second": f"{backend.url}/second"}) as gateway:
        gateway.call(headers={"x-backend": "second"})
        unknown = gateway.call(headers={"x-backend": "third"})
    assert [request.target for request in backend.requests] == ["/second/v1/models"]
    assert (unknown.status_code, "third" in unknown.text) == (500, False)


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://", "http://user:secret@127.0.0.1", "127.0.0.1"])
def test_an_expression_that_gives_no_url_fails_the_request(url: str) -> None:
    policy = choosing('<set-backend-service base-url="@(context.Request.Headers["x-url"][0])" />')
    with policies(policy) as gateway:
        assert gateway.call(headers={"x-url": url}).status_code == 500


def test_websocket_backend_loads_with_a_warning_and_is_not_called(backend: Backend) -> None:
    choose = choosing(
        '<choose><when condition="@(context.Request.Method == "POST")">'
        '<set-backend-service base-url="wss://realtime.invalid/openai/realtime" /></when></choose>'
    )
    (warning,) = problems(choose, warnings=True)
    assert "warning: WebSocket backends are not supported" in warning
    with policies(choose, backend.url) as gateway:
        assert gateway.call().status_code == 200
        assert gateway.call("POST").status_code == 500


def test_what_only_the_deployed_app_knows_is_not_checked_elsewhere() -> None:
    config = "named_values: {where: {env: NOT_SET}, expression: '@(\"main\")'}\n"
    later = """<set-backend-service backend-id="{{where}}" /><set-backend-service backend-id="{{expression}}" />
      <ip-filter action="{{where}}"><address>{{where}}</address>
      <address-range from="{{where}}" to="{{where}}" /></ip-filter>
      <set-method>{{where}}</set-method><rewrite-uri template="{{where}}" />"""
    assert problems(choosing(later), config=config, placeholders=True) == []
    assert problems(choosing(later), config=config) != []
