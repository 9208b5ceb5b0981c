"""authentication-basic: the header it sets."""

import base64

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


def test_user_and_password_replace_the_callers_authorization(backend: Backend) -> None:
    policy = """<authentication-basic username="{{user}}" password='@("gr" + "ün")' />"""
    config = "named_values: { user: Aladdin }"
    with policies(document(inbound=policy), backend.url, config=config) as gateway:
        gateway.call(headers={"authorization": "Bearer x"})
    expected = base64.b64encode("Aladdin:grün".encode()).decode()
    assert backend.last.header("authorization") == f"Basic {expected}"


def test_what_is_wrong_is_told_at_load() -> None:
    assert "attribute password is required" in problems(document(inbound='<authentication-basic username="a" />'))[0]
