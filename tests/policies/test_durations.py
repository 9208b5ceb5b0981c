"""Durations in refusals read as API Management's."""

from shared.policies.durations import as_clock, in_words, whole_seconds


def test_words() -> None:
    assert in_words(21 * 60 + 33) == "21 minutes and 33 seconds"
    assert in_words(23 * 3600) == "23 hours"
    assert in_words(3601) == "1 hour"
    assert in_words(3660) == "1 hour and 1 minute"
    assert in_words(0.2) == "1 second"
    assert in_words(9 * 86_400 + 5) == "1 week and 2 days"


def test_clock() -> None:
    assert as_clock(59.2) == "00:01:00"
    assert as_clock(3723) == "01:02:03"
    assert as_clock(2 * 86_400 + 3 * 3600 + 4 * 60 + 5) == "2.03:04:05"


def test_seconds_are_rounded_up() -> None:
    assert [whole_seconds(value) for value in (0, 0.1, 1.0, 1.01)] == [1, 1, 1, 2]
