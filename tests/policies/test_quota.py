"""Calls and bandwidth of a subscription per period, counted from its start."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from shared.stores.periods import Fixed
from tests.policies.limited import limited
from tests.support.backend import Backend, Script
from tests.support.policies import document, problems


def test_a_subscription_has_so_many_calls(backend: Backend) -> None:
    with limited(backend, product='<quota calls="2" renewal-period="604800" />') as call:
        assert [call("/chat/models"), call("/other/models"), call("/chat/models")] == [200, 200, 403]
        wait = int(call.answer.headers["retry-after"])
        assert 0 < wait <= 604_800
        message = call.answer.json()["message"]
        found = re.fullmatch(
            r"Out of call volume quota\. Quota will be replenished in (?:(\d)\.)?(\d\d):(\d\d):(\d\d)\.", message
        )
        assert found is not None, message
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        assert timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds() == wait


def test_a_quota_without_end_has_nothing_to_wait_for(backend: Backend) -> None:
    with limited(backend, product='<quota calls="1" renewal-period="0" />') as call:
        assert [call("/chat/models"), call("/chat/models")] == [200, 403]
        assert call.answer.json()["message"] == "Out of call volume quota."
        assert "retry-after" not in call.answer.headers


def test_bandwidth_is_what_requests_and_responses_weigh(backend: Backend) -> None:
    backend.script = Script(body="x" * 4096)
    with limited(backend, product='<quota bandwidth="10" renewal-period="3600" />') as call:
        assert [call("/chat/models") for _ in range(4)] == [200, 200, 200, 403]
        assert call.answer.json()["message"].startswith("Out of bandwidth quota. Quota will be replenished in ")


def test_apis_and_operations_have_quotas_of_their_own(backend: Backend) -> None:
    chat = '<api id="chat" calls="2"><operation id="get-model" calls="1" /></api>'
    parts = f'<quota calls="9" renewal-period="3600">{chat}</quota>'
    with limited(backend, product=parts) as call:
        assert [call("/chat/models/gpt-4o") for _ in range(2)] == [200, 403]
        assert [call("/chat/models") for _ in range(2)] == [200, 403]
        assert call("/other/models") == 200


@pytest.mark.parametrize("after", [0, 1, 86_399, 86_400, 1_000_000])
def test_periods_begin_with_the_subscription(after: int) -> None:
    begun = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    period = Fixed(86_400, int(begun.timestamp()))
    now = begun + timedelta(seconds=after)
    assert period.start(now.timestamp()) == (begun + timedelta(days=after // 86_400)).timestamp()


def test_it_stands_at_product_scope_only() -> None:
    assert any("operation scope" in one for one in problems(document(inbound='<quota calls="1" renewal-period="9" />')))
    files = {"p.xml": document(inbound='<base /><quota renewal-period="9" />')}
    found = problems(document(inbound="<base />"), config="products: {gold: {policy: p.xml}}", files=files)
    assert any("calls, bandwidth or both must be there" in one for one in found)
