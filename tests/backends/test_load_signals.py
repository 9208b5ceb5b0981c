"""What answers announce: in which headers, in which units, for how long, for which model."""

from datetime import UTC, datetime

import pytest

from shared.backends.load_signals import UNSAID, Announced, Limits, announced, retry_after

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIVE_MINUTES = 300.0


def news(status: int, headers: dict[str, str]) -> Announced | None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return announced(status, raw, NOW, FIVE_MINUTES)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7),
        (429, {"retry-after": "7", "retry-after-ms": "6400"}, 6.4),
        (429, {"x-ms-retry-after-ms": "1500"}, 1.5),
        (503, {"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30),
        (503, {"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        (429, {"retry-after": "86400"}, FIVE_MINUTES),  # Azure OpenAI may say a day
        (429, {}, UNSAID),
        (429, {"retry-after": "soon"}, UNSAID),
        (200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12"}, 12),
        (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"}, 90),
        (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, FIVE_MINUTES),
        (200, {"x-ratelimit-remaining-tokens": "0"}, UNSAID),
        (
            200,
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:20Z",
            },
            20,
        ),
        (200, {"azure-openai-deployment-utilization": "100.4%"}, UNSAID),
    ],
)
def test_it_is_not_to_be_asked_for_so_long(status: int, headers: dict[str, str], seconds: float) -> None:
    found = news(status, headers)
    assert found is not None and found.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"retry-after": "7"}),  # the status of an operation, not a refusal
        (500, {}),
        (200, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-remaining-tokens": "9"}),
        (200, {"x-ratelimit-remaining-tokens": "n/a", "x-ratelimit-reset-tokens": "0"}),
        (200, {"x-ratelimit-remaining-requests": "-1"}),  # Azure: no such limit
        (200, {"azure-openai-deployment-utilization": "99.9%"}),
        (200, {"azure-openai-deployment-utilization": "n/a"}),
    ],
)
def test_it_takes_more(status: int, headers: dict[str, str]) -> None:
    assert news(status, headers) is None


def test_retry_after_knows_no_other_forms() -> None:
    assert retry_after({b"retry-after": b"-3"}, NOW) is None
    assert retry_after({b"retry-after": b"1e9"}, NOW) is None
    assert retry_after({}, NOW) is None


def test_limits_are_of_one_model_and_end() -> None:
    limits = Limits()
    limits.note("gpt-5", 100.0, Announced(10.0, "retry-after"))
    assert (limits.free_at("gpt-5", 105.0), limits.free_at("gpt-5-mini", 105.0)) == (110.0, 105.0)
    assert limits.lasting(105.0) == [("gpt-5", 110.0, "retry-after")]
    assert limits.free_at("gpt-5", 110.0) == 110.0
    assert not limits.until


def test_models_nobody_has_heard_of_do_not_pile_up() -> None:
    limits = Limits()
    for number in range(1000):
        limits.note(f"made-up-{number}", 0.0, Announced(10.0, "429"))
    assert len(limits.lasting(1.0)) <= 64
    limits.note("x" * 1_000_000, 0.0, Announced(10.0, "429"))
    assert limits.free_at("x" * 1_000_000, 1.0) == 10.0
    assert max(map(len, limits.until)) < 1_000
