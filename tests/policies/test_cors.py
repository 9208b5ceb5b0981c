"""cors: preflights, headers on responses, and what pages of other origins get."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.backend import Backend, Script
from tests.support.policies import Running, document, policies, problems

ORIGIN = "https://app.contoso.com"
CORS = f"""<cors allow-credentials="true">
  <allowed-origins><origin>{ORIGIN}/</origin><origin>http://localhost:8080</origin></allowed-origins>
  <allowed-methods preflight-result-max-age="300"><method>GET</method><method>PUT</method></allowed-methods>
  <allowed-headers><header>x-one</header><header>Authorization</header></allowed-headers>
  <expose-headers><header>x-request-id</header><header>x-two</header></expose-headers>
</cors>"""
STAR = """<cors>
  <allowed-origins><origin>*</origin></allowed-origins>
  <allowed-methods><method>*</method></allowed-methods>
  <allowed-headers><header>*</header></allowed-headers>
</cors>"""


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {name[15:]: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def ask(gateway: Running, method: str, origin: str = ORIGIN, headers: str = "", path: str = "/x") -> httpx.Response:
    sent = {"origin": origin, "access-control-request-method": method}
    if headers:
        sent["access-control-request-headers"] = headers
    return gateway.call("OPTIONS", path, headers=sent)


@pytest.fixture
def gateway(backend: Backend) -> Iterator[Running]:
    """A gateway whose inbound section has a refusal behind cors: on a preflight it must not run."""
    backend.script = Script(body="ok", headers={"access-control-allow-origin": "*", "vary": "accept"})
    refuse = (
        '<check-header name="x-one" failed-check-httpcode="403" failed-check-error-message="no" ignore-case="true" />'
    )
    with policies(document(CORS + refuse), backend.url) as running:
        yield running


def test_a_preflight_is_answered_and_nothing_else_runs(gateway: Running, backend: Backend) -> None:
    answer = ask(gateway, "PUT", headers="X-One, content-type")
    assert (answer.status_code, answer.content, backend.requests) == (200, b"", [])
    assert cors_headers(answer) == {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        "allow-methods": "GET,PUT",
        "allow-headers": "x-one,Authorization",
        "max-age": "300",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "origin", "headers"),
    [
        ("PUT", "https://evil.example", ""),
        ("PUT", "http://app.contoso.com", ""),
        ("PUT", "https://app.contoso.com.evil.example", ""),
        ("PUT", "https://app.contoso.com:444", ""),
        ("PUT", "null", ""),
        ("POST", ORIGIN, ""),
        ("PUT", ORIGIN, "x-other"),
    ],
)
def test_a_preflight_that_does_not_match_gets_an_empty_200(
    gateway: Running, method: str, origin: str, headers: str
) -> None:
    answer = ask(gateway, method, origin, headers)
    assert (answer.status_code, answer.content, cors_headers(answer)) == (200, b"", {})


def test_other_options_requests_and_methods_without_operation_are_not_found(gateway: Running) -> None:
    assert gateway.call("OPTIONS").status_code == 404
    assert ask(gateway, "DELETE").status_code == 404


def test_an_allowed_page_may_read_the_answer(gateway: Running) -> None:
    answer = gateway.call(headers={"origin": ORIGIN.upper(), "x-one": "1"})
    assert answer.text == "ok"
    assert cors_headers(answer) == {
        "allow-origin": ORIGIN.upper(),
        "allow-credentials": "true",
        "expose-headers": "x-request-id,x-two",
    }
    assert answer.headers.get_list("vary") == ["accept", "Origin"]


def test_an_allowed_page_may_read_an_error_too(gateway: Running) -> None:
    answer = gateway.call(headers={"origin": ORIGIN})
    assert (answer.status_code, cors_headers(answer)["allow-origin"]) == (403, ORIGIN)


def test_a_simple_request_of_another_page_goes_nowhere(gateway: Running, backend: Backend) -> None:
    answer = gateway.call(headers={"origin": "https://evil.example", "x-one": "1"})
    assert (answer.status_code, answer.content, cors_headers(answer)) == (200, b"", {})
    assert backend.requests == []
    assert gateway.call("POST", headers={"origin": "https://evil.example", "x-one": "1"}).text == "ok"


def test_without_terminating_the_request_goes_on(backend: Backend) -> None:
    backend.script = Script(body="ok")
    policy = CORS.replace("<cors ", '<cors terminate-unmatched-request="false" ')
    with policies(document(policy), backend.url) as gateway:
        answer = gateway.call(headers={"origin": "https://evil.example"})
    assert (answer.text, cors_headers(answer)) == ("ok", {})


def test_any_origin_never_comes_with_credentials(backend: Backend) -> None:
    backend.script = Script(body="ok")
    star = STAR.replace("<cors>", '<cors allow-credentials="true">')
    with policies(document(star), backend.url) as gateway:
        preflight = ask(gateway, "POST", "https://any.example", "x-a, x-b")
        answer = gateway.call(headers={"origin": "https://any.example"})
    assert cors_headers(preflight) == {
        "allow-origin": "*",
        "allow-methods": "POST",
        "allow-headers": "x-a,x-b",
        "max-age": "0",
    }
    assert cors_headers(answer) == {"allow-origin": "*"}
    assert problems(document(star)) == []
    assert problems(document(star), warnings=True) == [
        "operation.xml:1 inbound/cors: warning: credentials are not allowed with the origin *"
    ]


def test_an_unmatched_preflight_looks_at_the_next_cors_policy_in_scope(backend: Backend) -> None:
    files = {"global.xml": document(STAR, "<forward-request />")}
    for terminate, allowed in (("false", {"allow-origin": "*"}), ("true", {})):
        first = CORS.replace("<cors ", f'<cors terminate-unmatched-request="{terminate}" ')
        with policies(document(f"{first}<base />"), backend.url, config="policy: global.xml\n", files=files) as gateway:
            found = cors_headers(ask(gateway, "PUT", "https://other.example"))
        assert {name: found[name] for name in allowed} == allowed
        assert bool(found) == bool(allowed)


def test_an_options_operation_of_the_api_is_not_touched(backend: Backend) -> None:
    backend.script = Script(body="own")
    own = "- {id: options, method: OPTIONS, url_template: /own}"
    with policies(document(CORS), backend.url, operations=own) as gateway:
        assert ask(gateway, "PUT", path="/own").text == "own"
    assert backend.last.method == "OPTIONS"


def test_a_preflight_needs_no_key_and_a_request_does(backend: Backend) -> None:
    with policies(document(CORS), backend.url, api={"subscription_required": True}) as gateway:
        assert cors_headers(ask(gateway, "PUT"))["allow-origin"] == ORIGIN
        assert gateway.call(headers={"origin": ORIGIN}).status_code == 401
    assert backend.requests == []


def test_a_products_cors_counts_when_the_key_is_in_the_query(backend: Backend) -> None:
    config = """
    products:
      team: {apis: [chat], policy: product.xml}
    named_values: {team-key: a-key-of-thirty-two-characters-ok}
    subscriptions:
      one: {scope: "product:team", keys: {primary: "{{team-key}}"}}
    """
    files = {"product.xml": document(CORS)}
    with policies(
        document("<base />"), backend.url, config=config, files=files, api={"subscription_required": True}
    ) as gateway:
        path = "/x?subscription-key=a-key-of-thirty-two-characters-ok"
        assert cors_headers(ask(gateway, "PUT", path=path))["allow-origin"] == ORIGIN
        assert ask(gateway, "PUT").status_code == 404


@pytest.mark.parametrize(
    ("xml", "messages"),
    [
        (f"{CORS}{STAR}", ["inbound/cors: cors can be used only once in inbound"]),
        ("<cors />", ["inbound/cors: allowed-origins is required"]),
        ("<cors><allowed-origins /></cors>", ["allowed-origins: allowed-origins needs at least one origin"]),
        (STAR.replace("<method>*</method>", ""), ["allowed-methods needs at least one method"]),
        (STAR.replace("allowed-headers", "allow-headers"), ["unknown element allow-headers in cors, did you mean"]),
        (
            STAR.replace("<allowed-methods", '<allowed-methods preflight-result-max-age="-1"'),
            ["preflight-result-max-age"],
        ),
    ],
)
def test_a_wrong_document_does_not_load(xml: str, messages: list[str]) -> None:
    found = problems(document(xml))
    assert len(found) == len(messages)
    assert all(message in problem for message, problem in zip(messages, found, strict=True))


def test_origins_methods_and_attributes_may_be_expressions(backend: Backend) -> None:
    policy = (
        '<cors allow-credentials="@(true)" terminate-unmatched-request="@(false)"><allowed-origins>'
        '<origin>@("https://" + context.Request.Headers["x-host"][0])</origin></allowed-origins>'
        '<allowed-methods preflight-result-max-age="@(7)"><method>@("P" + "UT")</method></allowed-methods></cors>'
    )
    with policies(document(policy), backend.url) as gateway:
        sent = {"origin": ORIGIN, "access-control-request-method": "PUT", "x-host": "app.contoso.com"}
        assert cors_headers(gateway.call("OPTIONS", "/x", headers=sent)) == {
            "allow-origin": ORIGIN,
            "allow-credentials": "true",
            "allow-methods": "PUT",
            "max-age": "7",
        }
        assert cors_headers(gateway.call("OPTIONS", "/x", headers={**sent, "x-host": "else.where"})) == {}
