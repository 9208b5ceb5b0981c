"""Calls of a subscription are counted in a sliding window, with own limits for APIs and operations."""

from tests.policies.limited import limited
from tests.support.backend import Backend
from tests.support.policies import document, problems
from tests.support.running import KEY


def test_a_subscription_has_so_many_calls(backend: Backend) -> None:
    names = (
        'remaining-calls-header-name="left" total-calls-header-name="total" retry-after-header-name="x-wait" '
        'remaining-calls-variable-name="v" retry-after-variable-name="w"'
    )
    with limited(backend, api=f'<rate-limit calls="2" renewal-period="30" {names} />') as call:
        assert call("/chat/models") == 200
        assert (call.answer.headers["left"], call.answer.headers["total"]) == ("1", "2")
        assert [call("/chat/models"), call("/chat/models")] == [200, 429]
        wait = call.answer.headers["x-wait"]
        assert 25 <= int(wait) <= 31
        assert call.answer.json()["statusCode"] == 429
        assert call.answer.json()["message"] == f"Rate limit is exceeded. Try again in {wait} seconds."
        assert (call.answer.headers["left"], call.answer.headers["total"]) == ("0", "2")
        assert call("/chat/models", KEY) == 200  # another subscription
        assert call("/other/models") == 200


def test_without_a_subscription_nothing_is_counted(backend: Backend) -> None:
    with limited(backend, api='<rate-limit calls="1" renewal-period="30" />') as call:
        assert [call("/open/models", None) for _ in range(3)] == [200] * 3


def test_apis_and_operations_have_limits_of_their_own(backend: Backend) -> None:
    parts = (
        '<rate-limit calls="5" renewal-period="60"><api id="chat" calls="3" renewal-period="60">'
        '<operation id="get-model" calls="1" renewal-period="60" /></api>'
        '<api name="Other API" calls="1" renewal-period="60" /></rate-limit>'
    )
    with limited(backend, product=parts) as call:
        assert [call("/chat/models/gpt-4o") for _ in range(3)] == [200, 429, 429]
        # What the operation refused was counted neither for the API nor for the product.
        assert [call("/chat/models") for _ in range(3)] == [200, 200, 429]
        assert [call("/other/models") for _ in range(2)] == [200, 429]
        assert call.answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_it_stands_once_and_not_for_all_apis() -> None:
    rule = '<rate-limit calls="1" renewal-period="10" />'
    assert any("only once" in problem for problem in problems(document(rule + rule)))
    files = {"global.xml": document(rule)}
    found = problems(document("<base />"), config="policy: global.xml", files=files)
    assert any("global scope" in problem for problem in found)
    assert any("300" in problem for problem in problems(document('<rate-limit calls="1" renewal-period="301" />')))
    child = '<rate-limit calls="1" renewal-period="10"><api calls="1" renewal-period="1" /></rate-limit>'
    assert any("id or name is required" in problem for problem in problems(document(child)))
