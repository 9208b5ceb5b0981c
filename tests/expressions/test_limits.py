"""A runaway expression ends in an error of its own kind, soon, and C# cannot catch it."""

import time
import tracemalloc

import pytest

from shared.expressions import ExpressionFailed, Limits
from tests.expressions.support import compiled, context

SMALL = Limits(steps=20_000, size=100_000, depth=50, seconds=1.0)
# Where something other than time must be the limit, however slow the machine is.
UNHURRIED = Limits(seconds=60)

RUNAWAYS = [
    "{ while (true) { } return 1; }",
    "{ for (;;) { } }",
    "{ do { } while (true); return 1; }",
    "{ int F(int n) => F(n + 1); return F(0); }",
    "{ Func<int, int> f = null; f = n => f(n + 1); return f(0); }",
    '{ var s = "x"; while (true) s += s; return s; }',
    '{ var s = "x"; for (int i = 0; i < 30; i++) s = $"{s}{s}"; return s; }',
    "new string('x', 2000000000)",
    '"x".PadLeft(2000000000)',
    "new int[2000000000]",
    "new byte[2000000000].Length",
    'string.Concat(Enumerable.Repeat("abcdefgh", 2000000000))',
    "Enumerable.Range(0, 2000000000).ToList()",
    "Enumerable.Range(0, 2000000000).Sum()",
    "Enumerable.Range(0, 2000).SelectMany(x => Enumerable.Range(0, 2000)).Count()",
    "{ var l = new List<int> { 1 }; while (true) l.AddRange(l); return 1; }",
    '{ var b = new StringBuilder("x"); while (true) b.Append(b.ToString()); return 1; }',
    "{ var b = new StringBuilder(); b.Append('x', 2000000000); return 1; }",
    '{ var o = new JObject(); while (true) { try { while (true) o["a"] = 1; } catch { } } return 1; }',
    '{ try { while (true) { } } catch (Exception) { return "caught"; } finally { } return 1; }',
    "{ var l = new List<object>(); l.Add(l); return JsonConvert.SerializeObject(l); }",
    'Regex.IsMatch(new string(\'a\', 40) + "!", "^(a|a|aa)+$")',
    '"aaaaaaaaaa".Replace("a", new string(\'b\', 90000))',
    "string.Join(new string('a', 9000), Enumerable.Repeat(\"b\", 10000))",
    "string.Concat(Enumerable.Repeat(new string('a', 50000), 10000))",
    'string.Format("{0,999999}{0,999999}", 1)',
    'new StringBuilder().AppendFormat("{0,999999}{0,999999}", 1)',
    "Regex.Matches(new string('a', 90000), \"\").Count",
]


@pytest.mark.parametrize(
    "text",
    [
        "string.Join(\"\", Enumerable.Repeat(new string('a', 1000000), 1000000))",
        'string.Format(string.Join("", Enumerable.Repeat("{0,999999}", 100000)), 1)',
    ],
)
def test_what_is_too_large_is_not_made_first(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ExpressionFailed, match="more than"):
            compiled(text, limits=UNHURRIED)(context())
        assert tracemalloc.get_traced_memory()[1] < 4 * Limits().size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", RUNAWAYS)
def test_runaway_ends_as_limit_exceeded(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ExpressionFailed) as caught:
        compiled(text, limits=SMALL)(context())
    assert caught.value.type_name == "PolicyExpressionLimitExceeded"
    assert time.monotonic() - started < 30


def test_json_of_millions_of_values_is_not_read() -> None:
    text = 'JArray.Parse("[" + string.Join("", Enumerable.Repeat("{},{},{},", 500000)) + "0]").Count'
    with pytest.raises(ExpressionFailed, match="too many values"):
        compiled(text, limits=UNHURRIED)(context())


def test_a_few_slow_rounds_end_in_time_as_well() -> None:
    text = (
        '{ var s = "[" + string.Join(",", Enumerable.Range(0, 15000)) + "]";'
        " for (int i = 0; i < 10000; i++) { JArray.Parse(s).DeepClone(); } return 1; }"
    )
    started = time.monotonic()
    with pytest.raises(ExpressionFailed) as caught:
        compiled(text, limits=Limits(seconds=0.3))(context())
    assert caught.value.type_name == "PolicyExpressionLimitExceeded"
    assert time.monotonic() - started < 20


def test_depth_counts_calls_within_each_other() -> None:
    text = "{ int Down(int n) => n == 0 ? 0 : Down(n - 1); return Down(%d); }"
    assert compiled(text % 40, limits=SMALL)(context()) == 0
    with pytest.raises(ExpressionFailed, match="more than 50 calls within each other"):
        compiled(text % 60, limits=SMALL)(context())


def test_the_usual_stays_within_the_limits() -> None:
    text = "{ var n = 0; for (int i = 0; i < 100000; i++) n += i % 7; return n; }"
    assert compiled(text, limits=UNHURRIED)(context()) == sum(i % 7 for i in range(100_000))


def test_a_regex_with_a_timeout_of_its_own_fails_as_dotnet_does() -> None:
    subject = "new string('a', 40) + \"!\""
    text = f'new Regex("^(a|a|aa)+$", RegexOptions.None, TimeSpan.FromMilliseconds(50)).IsMatch({subject})'
    with pytest.raises(ExpressionFailed) as caught:
        compiled(text)(context())
    assert caught.value.type_name == "RegexMatchTimeoutException"


def test_long_chains_are_no_deep_nests() -> None:
    text = " + ".join(['"a"'] * 150 + ["context.Request.Method"])
    assert compiled(text)(context()) == "a" * 150 + "POST"
    long_if = "{ var n = 99; " + " else ".join(f"if (n == {i}) return {i};" for i in range(120)) + " return -1; }"
    assert compiled(long_if)(context()) == 99
