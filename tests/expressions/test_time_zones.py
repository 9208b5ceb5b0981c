"""TimeZoneInfo gives what .NET gives, by Windows and by IANA names, around the changes of the clocks."""

from typing import Any

import pytest

from shared.expressions import ExpressionFailed
from tests.expressions.support import Fails, evaluate

BERLIN = 'TimeZoneInfo.FindSystemTimeZoneById("W. Europe Standard Time")'

CASES: list[tuple[str, Any]] = [
    (f"TimeZoneInfo.ConvertTimeFromUtc(new DateTime(2025, 7, 1, 12, 0, 0), {BERLIN})", "07/01/2025 14:00:00"),
    (f"TimeZoneInfo.ConvertTimeFromUtc(new DateTime(2025, 1, 1, 12, 0, 0), {BERLIN})", "01/01/2025 13:00:00"),
    (f"TimeZoneInfo.ConvertTimeToUtc(new DateTime(2025, 7, 1, 14, 0, 0), {BERLIN})", "07/01/2025 12:00:00"),
    (f"TimeZoneInfo.ConvertTimeToUtc(new DateTime(2025, 7, 1, 14, 0, 0), {BERLIN}).Kind", "Utc"),
    # 02:30 is there twice: standard time is meant.
    (f"TimeZoneInfo.ConvertTimeToUtc(new DateTime(2025, 10, 26, 2, 30, 0), {BERLIN})", "10/26/2025 01:30:00"),
    (f"TimeZoneInfo.ConvertTimeToUtc(new DateTime(2025, 3, 30, 2, 30, 0), {BERLIN})", Fails("ArgumentException")),
    (f"TimeZoneInfo.ConvertTimeToUtc(DateTime.UtcNow, {BERLIN})", Fails("ArgumentException")),
    (
        'TimeZoneInfo.ConvertTimeBySystemTimeZoneId(DateTime.UtcNow, "Tokyo Standard Time")',
        "03/04/2025 14:06:07",
    ),
    (
        'TimeZoneInfo.ConvertTimeBySystemTimeZoneId(new DateTime(2025, 7, 1, 9, 0, 0), "America/New_York", "UTC")',
        "07/01/2025 13:00:00",
    ),
    (f"TimeZoneInfo.ConvertTime(DateTimeOffset.UtcNow, {BERLIN})", "03/04/2025 06:06:07 +01:00"),
    (f"{BERLIN}.BaseUtcOffset", "01:00:00"),
    (f"{BERLIN}.GetUtcOffset(new DateTime(2025, 7, 1))", "02:00:00"),
    (f"{BERLIN}.IsDaylightSavingTime(new DateTime(2025, 7, 1))", "True"),
    (f"{BERLIN}.Id", "W. Europe Standard Time"),
    ("TimeZoneInfo.ConvertTimeFromUtc(DateTime.UtcNow, TimeZoneInfo.Utc).Kind", "Utc"),
    ('TimeZoneInfo.FindSystemTimeZoneById("Moon Standard Time")', Fails("TimeZoneNotFoundException")),
    ('TimeZoneInfo.FindSystemTimeZoneById("../../etc/passwd")', Fails("TimeZoneNotFoundException")),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_value_is_the_one_dotnet_gives(text: str, expected: Any) -> None:
    if isinstance(expected, Fails):
        with pytest.raises(ExpressionFailed, match=expected.type_name):
            evaluate(text)
    else:
        assert evaluate(f"({text}).ToString()") == expected
