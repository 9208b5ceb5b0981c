"""Who may call: APIM's decision table for subscription keys, row by row (Subscriptions in API Management)."""

import httpx
import pytest

from tests.support.backend import Backend
from tests.support.running import KEY, Running, running

CONFIG = """
backends:
  it: { url: "@backend@/v1" }
named_values:
  chat-key: { env: CHAT_KEY }
  chat-second: { env: CHAT_SECOND }
  team-key: { env: TEAM_KEY }
  anna-key: { env: ANNA_KEY }
  all-key: { env: ALL_KEY }
  hidden-key: { env: HIDDEN_KEY }
  old-key: { env: OLD_KEY }
  off-key: { env: OFF_KEY }
  spaced-key: { env: SPACED_KEY }
products:
  team: { display_name: Team }
  hidden: { state: notPublished }
  open: { subscription_required: false }
  closed-open: { subscription_required: false, state: notPublished }
apis:
  chat: { path: chat, kind: openai, backend: it, products: [team, hidden] }
  renamed:
    path: renamed
    kind: openai
    backend: it
    subscription_key: { header: X-Team-Key, query: team-key }
  opened: { path: opened, kind: openai, backend: it, products: [open] }
  unpublished: { path: unpublished, kind: openai, backend: it, products: [closed-open] }
  free: { path: free, kind: openai, backend: it, subscription_required: false }
  free-opened: { path: free-opened, kind: openai, backend: it, subscription_required: false, products: [open] }
  through: { path: through, kind: openai, backend: it, forward_caller_credentials: true }
  claude: { path: claude, kind: anthropic, backend: it }
  owned: { path: owned, kind: openai, backend: it, policy: owner.xml }
subscriptions:
  chat: { scope: "api:chat", keys: { primary: "{{chat-key}}", secondary: "{{chat-second}}" } }
  anna: { scope: "api:owned", owner: anna, keys: { primary: "{{anna-key}}" } }
  team: { scope: "product:team", keys: { primary: "{{team-key}}" } }
  all: { scope: all-apis, keys: { primary: "{{all-key}}" } }
  spaced: { scope: all-apis, keys: { primary: "{{spaced-key}}" } }
  hidden: { scope: "product:hidden", keys: { primary: "{{hidden-key}}" } }
  old: { scope: all-apis, expires: 2020-01-01T00:00:00Z, keys: { primary: "{{old-key}}" } }
  off: { scope: all-apis, state: suspended, keys: { primary: "{{off-key}}" } }
"""
KEYS = {
    "CHAT_KEY": "chat-primary",
    "CHAT_SECOND": "chat-secondary",
    "TEAM_KEY": "team-primary",
    "ANNA_KEY": "anna-primary",
    "ALL_KEY": "all-primary",
    "HIDDEN_KEY": "hidden-primary",
    "OLD_KEY": "old-primary",
    "OFF_KEY": "off-primary",
    "SPACED_KEY": "two words",
}
OWNER = """<policies><inbound><return-response>
    <set-body>@(context.User == null ? "nobody" : context.User.Id)</set-body></return-response></inbound></policies>"""
MISSING = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
INVALID = "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."


@pytest.fixture(scope="module")
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend):
    values = {"backend": backend.url}
    with running(CONFIG, files={"owner.xml": OWNER}, values=values, environment=KEYS) as gateway:
        yield gateway


def get(
    gateway: Running, path: str, key: str | None = None, header: str = "Ocp-Apim-Subscription-Key"
) -> httpx.Response:
    return httpx.get(f"{gateway.url}{path}", headers={header: key} if key is not None else {})


@pytest.mark.parametrize(
    ("path", "key", "status", "message"),
    [
        # an API in a product that requires a subscription
        ("/chat/models", "chat-primary", 200, ""),
        ("/chat/models", "chat-secondary", 200, ""),
        ("/chat/models", "team-primary", 200, ""),
        ("/chat/models", "all-primary", 200, ""),
        ("/chat/models", KEY, 200, ""),
        ("/chat/models", "hidden-primary", 200, ""),  # unpublished product: existing keys keep working
        ("/chat/models", "nobody's", 401, INVALID),
        ("/chat/models", "old-primary", 401, INVALID),
        ("/chat/models", "off-primary", 401, INVALID),
        ("/chat/models", None, 401, MISSING),
        ("/chat/models", "", 401, MISSING),
        # scopes end where they end
        ("/renamed/models", "chat-primary", 401, INVALID),
        ("/renamed/models", "team-primary", 401, INVALID),
        ("/renamed/models", "all-primary", 200, ""),
        # an open product lets everybody in; a key that does not fit is ignored
        ("/opened/models", None, 200, ""),
        ("/opened/models", "nobody's", 200, ""),
        ("/opened/models", "chat-primary", 200, ""),
        ("/opened/models", "all-primary", 200, ""),
        ("/unpublished/models", None, 401, MISSING),
        # an API that requires no subscription does not look at keys
        ("/free/models", None, 200, ""),
        ("/free/models", "nobody's", 200, ""),
        ("/free-opened/models", "off-primary", 200, ""),
        # an unmatched operation is a 404 before any key is looked at
        ("/chat/nothing", "chat-primary", 404, "Resource not found"),
        ("/nowhere", None, 404, "Resource not found"),
    ],
)
def test_decision_table(gateway: Running, path: str, key: str | None, status: int, message: str) -> None:
    answer = get(gateway, path, key)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["statusCode"] == status
        assert answer.json()["message"] == answer.json()["error"]["message"] == message


def test_refusal_is_apims_to_the_letter(gateway: Running) -> None:
    answer = get(gateway, "/renamed/models")
    assert answer.text.startswith('{"statusCode": 401, "message": "Access denied due to missing subscription key. ')
    assert answer.headers["content-type"] == "application/json"
    assert (
        answer.headers["www-authenticate"]
        == 'AzureApiManagementKey realm="https://127.0.0.1/renamed",name="X-Team-Key",type="header"'
    )


@pytest.mark.parametrize("scheme", ["Bearer chat-primary", "bearer chat-primary"])
def test_key_is_found_wherever_an_sdk_puts_it_and_goes_no_further(
    gateway: Running, backend: Backend, scheme: str
) -> None:
    for header, value in {
        "Ocp-Apim-Subscription-Key": "chat-primary",
        "api-key": "chat-primary",
        "x-api-key": "chat-primary",
        "Authorization": scheme,
    }.items():
        assert get(gateway, "/chat/models", value, header).status_code == 200
        assert "chat-primary" not in str(backend.last)
    url = f"{gateway.url}/chat/models?a=1&subscription-key=chat-primary&subscription-key=again&b=2"
    assert httpx.get(url).status_code == 200
    assert backend.last.target == "/v1/models?a=1&b=2"


def test_configured_names_work_and_go_no_further(gateway: Running, backend: Backend) -> None:
    assert get(gateway, "/renamed/models", "all-primary", "x-team-key").status_code == 200
    assert backend.last.header("x-team-key") is None
    assert httpx.get(f"{gateway.url}/renamed/models?TEAM-KEY=all-primary").status_code == 200
    assert backend.last.target == "/v1/models"
    assert httpx.get(f"{gateway.url}/renamed/models?team%2Dke%79=all-primary").status_code == 200
    assert httpx.get(f"{gateway.url}/chat/models?subscription-ke%79=chat-primary&a=1").status_code == 200
    assert backend.last.target == "/v1/models?a=1"
    # The header decides where both are given.
    answer = httpx.get(f"{gateway.url}/renamed/models?team-key=all-primary", headers={"x-team-key": "wrong"})
    assert answer.status_code == 401


def test_callers_credentials_stay_here_unless_the_api_lets_them_through(gateway: Running, backend: Backend) -> None:
    token = {"Authorization": "Bearer a.user.token", "api-key": "all-primary"}
    assert httpx.get(f"{gateway.url}/free/models", headers=token).status_code == 200
    assert backend.last.header("authorization") is None and backend.last.header("api-key") is None
    assert httpx.get(f"{gateway.url}/through/models", headers=token).status_code == 200
    assert backend.last.header("authorization") == "Bearer a.user.token"
    assert backend.last.header("api-key") is None  # it was the subscription key
    for header, value in {"api-key": "two words", "Authorization": "Bearer two words"}.items():
        assert get(gateway, "/through/models", value, header).status_code == 200
        assert backend.last.header(header) is None


def test_a_token_beside_a_key_does_not_rescue_a_wrong_key(gateway: Running) -> None:
    headers = {"Ocp-Apim-Subscription-Key": "wrong", "Authorization": "Bearer chat-primary"}
    assert httpx.get(f"{gateway.url}/chat/models", headers=headers).status_code == 401


def test_anthropic_callers_get_their_own_error_shape(gateway: Running) -> None:
    body = httpx.post(f"{gateway.url}/claude/v1/messages", json={}).json()
    assert body["type"] == "error" and body["error"] == {"type": "authentication_error", "message": MISSING}
    assert body["statusCode"] == 401


def test_health_path_answers_without_a_key(gateway: Running) -> None:
    assert httpx.get(f"{gateway.url}/status-0123456789abcdef").status_code == 200


@pytest.mark.parametrize(("key", "user"), [("anna-primary", "anna"), ("all-primary", "nobody")])
def test_the_user_is_the_owner_of_the_subscription(gateway: Running, key: str, user: str) -> None:
    assert get(gateway, "/owned/models", key).text == user
