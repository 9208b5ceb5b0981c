"""send-request: what it sends, what it keeps of the answer, and what becomes of a call without one."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.backend import Backend, Script
from tests.support.identity import Identity
from tests.support.policies import document, policies, problems
from tests.support.service import Reply, Service, reply_json


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        service.default = lambda request: reply_json({"active": True, "name": "Grün"})
        yield service


def sending(service: Service, children: str = "", attributes: str = "", after: str = "", url: str = "/check") -> str:
    return f"""<send-request response-variable-name="answer" {attributes}>
        <set-url>{service.url}{url}</set-url>{children}</send-request>{after}"""


def returning(expression: str) -> str:
    return f"<return-response><set-body>@({expression})</set-body></return-response>"


ANSWER = '((IResponse)context.Variables["answer"])'


def test_an_answer_decides_what_happens_next(backend: Backend, service: Service) -> None:
    children = """<set-method>POST</set-method>
        <set-header name="x-caller" exists-action="override"><value>@(context.Request.Method)</value></set-header>
        <set-body>@("token=" + context.Request.Headers.GetValueOrDefault("x-token", ""))</set-body>"""
    after = f"""<choose><when condition='@((bool){ANSWER}.Body.As&lt;JObject&gt;()["active"] == false)'>
        <return-response><set-status code="401" /></return-response></when></choose>"""
    with policies(document(inbound=sending(service, children, after=after)), backend.url) as gateway:
        assert gateway.call(headers={"x-token": "abc"}).status_code == 200
        sent = service.requests[-1]
        assert (sent.method, sent.path, sent.body, sent.header("x-caller")) == ("POST", "/check", b"token=abc", "GET")
        service.default = lambda request: reply_json({"active": False})
        assert gateway.call().status_code == 401
    assert len(backend.requests) == 1


def test_expressions_see_status_headers_and_body(service: Service) -> None:
    service.default = lambda request: Reply(418, "Grün".encode(), {"x-kind": "teapot"})
    text = (
        f'{ANSWER}.StatusCode + " " + {ANSWER}.Headers.GetValueOrDefault("x-kind") + " " + {ANSWER}.Body.As<string>()'
    )
    with policies(document(inbound=sending(service, after=returning(text)))) as gateway:
        assert gateway.call().text == "418 teapot Grün"
    assert service.requests[0].method == "GET"


def test_a_copy_takes_the_request_along_but_not_the_callers_credentials(backend: Backend, service: Service) -> None:
    xml = document(
        inbound='<set-header name="authorization"><value>Bearer ours</value></set-header>'
        + sending(service, attributes='mode="copy"')
    )
    plain = document(inbound=sending(service, attributes='mode="copy"'))
    headers = {"api-key": "secret", "authorization": "Bearer theirs", "x-kept": "yes", "x-forwarded-for": "1.2.3.4"}
    with policies(plain, backend.url) as gateway:
        gateway.call("POST", "/things", json={"a": 1}, headers=headers)
        sent = service.requests[-1]
        assert (sent.method, sent.json(), sent.header("x-kept")) == ("POST", {"a": 1}, "yes")
        assert [sent.header(name) for name in ("api-key", "authorization", "x-forwarded-for")] == [None] * 3
    with policies(xml, backend.url) as gateway:
        gateway.call("POST", "/things", json={"a": 1}, headers=headers)
        assert service.requests[-1].header("authorization") == "Bearer ours"
    assert backend.last.json() == {"a": 1}


def test_a_copy_in_outbound_has_no_body_and_without_a_url_goes_to_the_backend(service: Service) -> None:
    xml = document(outbound='<send-request mode="copy"><set-method>PUT</set-method></send-request>')
    with policies(xml, f"{service.url}/base") as gateway:
        assert gateway.call("POST", "/things?a=b", content=b"body").status_code == 200
    first, second = service.requests
    assert (first.method, first.path, first.query, first.body) == ("POST", "/base/things", "a=b", b"body")
    assert (second.method, second.path, second.query, second.body) == ("PUT", "/base/things", "a=b", b"")


def test_it_can_show_an_identity_or_a_password(service: Service) -> None:
    xml = document(
        inbound=sending(service, '<authentication-managed-identity resource="https://graph.microsoft.com" />')
        + sending(service, '<authentication-basic username="a" password="b" />')
        + returning('"done"')
    )
    with policies(xml) as gateway:
        Identity().serve(gateway.app)
        gateway.call()
    shown = [request.header("authorization") for request in service.requests]
    assert shown == ["Bearer token-for-https://graph.microsoft.com-by-app", "Basic YTpi"]


def test_no_answer_is_an_error_or_null() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/?key=secret"
        call = (
            '<send-request response-variable-name="answer" ignore-error="%s"><set-url>'
            + url
            + "</set-url></send-request>"
        )
        show = """<set-header name="x-error"><value>@(context.LastError.Source + "/" + context.LastError.Reason)</value>
            </set-header>"""
        with policies(document(inbound=call % "false", on_error=show)) as gateway:
            answer = gateway.call()
            assert (answer.status_code, answer.headers["x-error"]) == (502, "send-request/BackendConnectionFailure")
            assert "secret" not in answer.text
        is_null = returning('(context.Variables["answer"] == null).ToString()')
        with policies(document(inbound=call % "true" + is_null)) as gateway:
            assert gateway.call().text == "True"


def test_the_timeout_is_for_the_whole_answer(service: Service) -> None:
    service.default = lambda request: Reply(200, b"late", delay=3)
    with policies(document(inbound=sending(service, attributes='timeout="1"'))) as gateway:
        started = time.monotonic()
        assert gateway.call().status_code == 504
        assert time.monotonic() - started < 2.5


def test_an_answer_that_drips_does_not_outlive_the_timeout(backend: Backend) -> None:
    backend.script = Script(chunk_every=0.4)
    url = f"<set-url>{backend.url}/v1/models</set-url>"
    with policies(document(inbound=f'<send-request timeout="1">{url}</send-request>')) as gateway:
        assert gateway.call().status_code == 504


def test_it_goes_through_a_proxy(service: Service) -> None:
    proxy = '<proxy url="@proxy@" username="me" password="{{password}}" />'
    with Service() as through:
        through.default = lambda request: Reply(200, b"by proxy")
        through.routes[f"{service.url}/check"] = through.default
        xml = document(
            inbound=sending(
                service, proxy.replace("@proxy@", through.url), after=returning(f"{ANSWER}.Body.As<string>()")
            )
        )
        with policies(xml, config="named_values: { password: 'p:w' }") as gateway:
            assert gateway.call().text == "by proxy"
        assert through.requests[0].header("proxy-authorization") == "Basic bWU6cDp3"
        assert service.requests == []


def test_a_url_that_is_none_fails_without_being_told(caplog: pytest.LogCaptureFixture) -> None:
    show = (
        '<set-header name="x-reason"><value>@(context.LastError.Source + context.LastError.Reason)</value></set-header>'
    )
    for url in ("ftp://host/?key=secret", "http://[host/?key=secret", "http://user:secret@host/", "/secret", ""):
        xml = document(inbound=f'<send-request><set-url>@("{url}")</set-url></send-request>', on_error=show)
        with policies(xml) as gateway:
            answer = gateway.call()
            assert (answer.status_code, answer.headers["x-reason"]) == (500, "send-requestUrlInvalid")
        assert "secret" not in answer.text + caplog.text


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("<send-request response-variable-name='a' />", "send-request needs set-url"),
        ("<send-one-way-request mode='new' />", "send-one-way-request needs set-url"),
        ("<send-request mode='clone'><set-url>http://a</set-url></send-request>", "attribute mode"),
        ("<send-request><set-url>http://a</set-url><set-url>http://b</set-url></send-request>", "set-url only once"),
        ("<send-request><set-url>http://a</set-url><choose /></send-request>", "unknown element choose"),
        ("<send-request><set-url>http://a</set-url><set-header /></send-request>", "attribute name is required"),
        (
            "<send-one-way-request ignore-error='true'><set-url>http://a</set-url></send-one-way-request>",
            "ignore-error",
        ),
    ],
)
def test_what_is_wrong_is_told_at_load(policy: str, message: str) -> None:
    found = problems(document(outbound=policy))
    assert len(found) == 1 and message in found[0]


def test_it_stands_in_every_section(service: Service) -> None:
    call = sending(service)
    assert problems(document(call, call + "<forward-request />", call, call)) == []
