"""find-and-replace: texts in bodies of requests and responses."""

from tests.support.backend import Backend, Script
from tests.support.policies import document, policies, problems

REPLACE = '<find-and-replace from="note.book" to="läptop" />'


def test_the_requests_body_changes(backend: Backend) -> None:
    with policies(document(REPLACE), backend.url) as gateway:
        gateway.call("POST", content=b"note.book noteXbook NOTE.BOOK note.book")
    assert backend.last.body.decode() == "läptop noteXbook NOTE.BOOK läptop"


def test_the_responses_body_changes_also_when_compressed(backend: Backend) -> None:
    backend.script = Script(body="a note.book", gzip=True)
    with policies(document(outbound=REPLACE), backend.url) as gateway:
        answer = gateway.call()
    assert answer.text == "a läptop"


def test_the_bodys_charset_counts(backend: Backend) -> None:
    headers = {"content-type": "text/plain; charset=ISO-8859-1"}
    with policies(document('<find-and-replace from="ä" to="ö" />'), backend.url) as gateway:
        gateway.call("POST", content="ä\xff".encode("latin-1"), headers=headers)
        assert backend.last.body == "ö\xff".encode("latin-1")
        gateway.call("POST", content="ä".encode() + b"\xff")
        assert backend.last.body == "ö".encode() + b"\xff"


def test_an_empty_text_removes_and_nothing_to_look_for_does_not_load(backend: Backend) -> None:
    with policies(document('<find-and-replace from="b" to="" />'), backend.url) as gateway:
        gateway.call("POST", content=b"abab")
    assert backend.last.body == b"aa"
    assert "attribute to is required" in problems(document('<find-and-replace from="a" />'))[0]
    assert (
        "attribute from: string should have at least 1 character"
        in problems(document('<find-and-replace from="" to="a" />'))[0]
    )


def test_texts_may_be_expressions(backend: Backend) -> None:
    policy = '<find-and-replace from="@(context.Request.Headers["x-from"][0])" to="@(null)" />'
    with policies(document(policy), backend.url) as gateway:
        gateway.call("POST", content=b"abab", headers={"x-from": "a"})
        assert backend.last.body == b"bb"
        assert gateway.call("POST", content=b"abab", headers={"x-from": ""}).status_code == 500


def test_a_body_cannot_grow_beyond_the_limit(backend: Backend) -> None:
    policy = document(f'<find-and-replace from="a" to="{"b" * 100}" />')
    with policies(policy, backend.url, config="limits: {max_request_body: 4096}\n") as gateway:
        assert gateway.call("POST", content=b"a" * 40).status_code != 500
        assert gateway.call("POST", content=b"a" * 41).status_code == 500
    assert len(backend.requests) == 1
