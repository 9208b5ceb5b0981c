"""check-header: who passes, and what the others are told."""

import pytest

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems

ATTRIBUTES = 'name="X-Team" failed-check-httpcode="403" failed-check-error-message="Who are you?"'
CHECK = f'<check-header {ATTRIBUTES} ignore-case="{{case}}"><value>Red</value><value>Blue</value></check-header>'


@pytest.mark.parametrize(
    ("ignore_case", "values", "status"),
    [
        ("false", ["Red"], 200),
        ("false", ["blue"], 403),
        ("true", ["blue"], 200),
        ("true", ["Green"], 403),
        ("true", ["Red", "Blue"], 200),
        ("true", ["Red", "Green"], 403),
        ("true", [""], 403),
        ("true", [], 403),
    ],
)
def test_only_the_listed_values_pass(backend: Backend, ignore_case: str, values: list[str], status: int) -> None:
    with policies(document(CHECK.format(case=ignore_case)), backend.url) as gateway:
        answer = gateway.call(headers=[("x-team", value) for value in values])
    assert answer.status_code == status
    assert len(backend.requests) == (1 if status == 200 else 0)
    if status == 403:
        assert answer.json()["message"] == "Who are you?"


def test_without_values_the_header_must_be_there(backend: Backend) -> None:
    with policies(document(f'<check-header {ATTRIBUTES} ignore-case="true" />'), backend.url) as gateway:
        assert gateway.call().status_code == 403
        assert gateway.call(headers={"x-team": ""}).status_code == 403
        assert gateway.call(headers={"x-team": "any"}).status_code == 200


def test_case_counts_when_nothing_is_said_about_it(backend: Backend) -> None:
    with policies(document(f"<check-header {ATTRIBUTES}><value>Red</value></check-header>"), backend.url) as gateway:
        assert gateway.call(headers={"x-team": "red"}).status_code == 403
        assert gateway.call(headers={"x-team": "Red"}).status_code == 200


def test_name_status_and_message_are_required() -> None:
    found = problems(document("<check-header />"))
    assert [problem.rpartition(" attribute ")[2] for problem in found] == [
        "failed-check-error-message is required",
        "failed-check-httpcode is required",
        "name is required",
    ]


def test_attributes_and_values_may_be_expressions() -> None:
    check = (
        '<check-header name="@("X-" + "Team")" failed-check-httpcode="@(418)" ignore-case="@(true)"'
        ' failed-check-error-message="@("No " + context.Request.Method)"><value>@("R" + "ed")</value></check-header>'
    )
    with policies(document(check, "")) as gateway:
        assert gateway.call(headers={"x-team": "red"}).status_code == 200
        refused = gateway.call(headers={"x-team": "blue"})
    assert (refused.status_code, refused.json()["message"]) == (418, "No GET")


@pytest.mark.parametrize(
    ("headers", "reason", "message"),
    [
        ({}, "HeaderNotFound", "Header X-Team was not found in the request. Access denied."),
        ({"x-team": "Pink"}, "HeaderValueNotAllowed", "Header X-Team value of Pink is not allowed. Access denied."),
    ],
)
def test_on_error_is_told_apims_reason_and_message(headers: dict[str, str], reason: str, message: str) -> None:
    told = '@(context.LastError.Reason + "|" + context.LastError.Message)'
    tell = f'<set-header name="x-told"><value>{told}</value></set-header>'
    with policies(document(CHECK.format(case="true"), on_error=tell)) as gateway:
        assert gateway.call(headers=headers).headers["x-told"] == f"{reason}|{message}"


def test_a_credential_is_not_told() -> None:
    told = "@(context.LastError.Message)"
    check = CHECK.format(case="true").replace("X-Team", "Authorization")
    with policies(document(check, on_error=f'<set-header name="x-told"><value>{told}</value></set-header>')) as gateway:
        answer = gateway.call(headers={"authorization": "Basic c2VjcmV0"})
    assert answer.headers["x-told"] == "Header Authorization value of *** is not allowed. Access denied."
