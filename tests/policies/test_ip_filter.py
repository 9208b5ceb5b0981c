"""ip-filter: callers by address, told by the header that the platform in front sets."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems

LIST = """<address>13.66.201.169</address><address-range from="10.0.0.8" to="10.0.0.15" />
<address-range from="2001:db8::1" to="2001:db8::ff" />"""


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("13.66.201.169", True),
        ("10.0.0.7", False),
        ("10.0.0.8", True),
        ("10.0.0.15:4711", True),
        ("10.0.0.16", False),
        ("::ffff:10.0.0.9", True),
        ("[2001:0db8:0:0::a]:443", True),
        ("2001:db8::100", False),
        ("::a00:9", False),  # the number of 10.0.0.9, but no IPv4 address
        ("1.2.3.4, 10.0.0.9", True),  # the last hop is the one the platform saw
        ("10.0.0.9, 1.2.3.4", False),
    ],
)
def test_allow_and_forbid_are_opposites(backend: Backend, address: str, listed: bool) -> None:
    environment = {"GATEWAY_CLIENT_IP_HEADER": "x-forwarded-for"}
    for action, passes in (("allow", listed), ("forbid", not listed)):
        policy = document(f'<ip-filter action="{action}">{LIST}</ip-filter>')
        with policies(policy, backend.url, environment=environment) as gateway:
            answer = gateway.call(headers={"x-forwarded-for": address})
        assert answer.status_code == (200 if passes else 403)
        if not passes:
            assert {"statusCode": 403, "message": "Forbidden"}.items() <= answer.json().items()
    assert len(backend.requests) == 1


def test_a_caller_without_an_address_is_refused_also_by_forbid() -> None:
    environment = {"GATEWAY_CLIENT_IP_HEADER": "x-forwarded-for"}
    with policies(document(f'<ip-filter action="forbid">{LIST}</ip-filter>'), environment=environment) as gateway:
        assert gateway.call(headers={"x-forwarded-for": "unknown"}).status_code == 403


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("<address>10.0.0.0/8</address>", "not an IP address: 10.0.0.0/8; write a CIDR range as address-range"),
        ("<address />", "not an IP address: no text"),
        ('<address-range from="10.0.0.9" to="10.0.0.1" />', "not a range: from 10.0.0.9 to 10.0.0.1"),
        ('<address-range from="10.0.0.9" to="::1" />', "not a range"),
        ('<address-range from="10.0.0.9" />', "attribute to is required"),
        ("", "at least one address or address-range is needed"),
    ],
)
def test_what_is_no_address_does_not_load(inner: str, message: str) -> None:
    (problem,) = problems(document(f'<ip-filter action="allow">{inner}</ip-filter>'))
    assert message in problem


@pytest.mark.parametrize(
    ("action", "address", "reason", "message"),
    [
        ("allow", "9.9.9.9", "CallerIpNotAllowed", "Caller IP address 9.9.9.9 is not allowed. Access denied."),
        ("forbid", "10.0.0.8", "CallerIpBlocked", "Caller IP address is blocked. Access denied."),
        ("allow", "?", "FailedToParseCallerIP", "Failed to establish IP address for the caller. Access denied."),
    ],
)
def test_on_error_is_told_apims_reason_and_message(action: str, address: str, reason: str, message: str) -> None:
    told = '@(context.LastError.Reason + "|" + context.LastError.Message)'
    tell = f'<set-header name="x-told"><value>{told}</value></set-header>'
    environment = {"GATEWAY_CLIENT_IP_HEADER": "x-forwarded-for"}
    policy = document(f'<ip-filter action="{action}">{LIST}</ip-filter>', on_error=tell)
    with policies(policy, environment=environment) as gateway:
        assert gateway.call(headers={"x-forwarded-for": address}).headers["x-told"] == f"{reason}|{message}"


def test_an_address_may_be_an_expression_and_one_that_is_none_lets_nobody_in() -> None:
    policy = document(
        '<ip-filter action="allow"><address>@(context.Request.Headers["x-ip"][0])</address></ip-filter>', ""
    )
    with policies(policy) as gateway:
        assert gateway.call(headers={"x-ip": "127.0.0.1"}).status_code == 200
        assert gateway.call(headers={"x-ip": "127.0.0.2"}).status_code == 403
        assert gateway.call(headers={"x-ip": "anything"}).status_code == 500
