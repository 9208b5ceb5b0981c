"""set-method: the backend gets another method."""

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def test_the_backend_gets_the_method(backend: Backend) -> None:
    with policies(document("<set-method>\n  PATCH\n</set-method>"), backend.url) as gateway:
        gateway.call("POST", json={})
    assert backend.last.method == "PATCH"


def test_a_literal_must_be_a_method() -> None:
    assert problems(document("<set-method>GET it</set-method>")) == [
        "operation.xml:1 inbound/set-method: not a method: GET it"
    ]
    assert problems(document("<set-method />"))[0].endswith("not a method: no text")


def test_it_is_refused_once_the_request_has_gone() -> None:
    (problem,) = problems(document(outbound="<set-method>GET</set-method>"))
    assert "not allowed in outbound (only in inbound, on-error)" in problem
