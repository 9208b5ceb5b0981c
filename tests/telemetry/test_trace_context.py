"""Trace context: what the W3C Recommendation takes, and what makes a trace begin anew."""

import pytest

from shared.telemetry.trace_context import Parent, read_traceparent, read_tracestate, write_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = Parent(int(TRACE, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        # Flags may be there that have no meaning yet.
        f"00-{TRACE}-{SPAN}-ff",
        # A later version is read as far as it is known.
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
    ],
)
def test_a_parent_is_taken(value: str) -> None:
    assert read_traceparent(value) == PARENT


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}.-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        # Two headers, joined as HTTP joins them.
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    ],
)
def test_anything_else_is_no_parent(value: str | None) -> None:
    assert read_traceparent(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "foo=1",
        "foo=1,bar=2",
        "foo=1 \t , \t bar=2",
        "foo=1,,bar=2,",
        "fw529a3039@dt=FfAAAAAAIQAAAGYCAAAA",
        "foo@a=1",
        "0tenant@vendor=a b:c/d",
        ",".join(f"k{number}=v" for number in range(32)),
        "z" * 256 + "=" + "v" * 256,
    ],
)
def test_a_list_passes_as_it_came(value: str) -> None:
    assert read_tracestate(value) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        ",",
        "foo",
        "foo=",
        "foo=1=2",
        "foo =1",
        "FOO=1",
        "0foo=1",
        "foo@=1",
        "foo@bar@baz=1",
        "foo=1;bar=2\x7f",
        "foo=é",
        "foo=1,foo=2",
        ",".join(f"k{number}=v" for number in range(33)),
        "z" * 257 + "=1",
        "foo=" + "v" * 257,
        "foo=1," + "," * 20_000,
    ],
)
def test_a_list_that_breaks_a_rule_is_dropped(value: str | None) -> None:
    assert read_tracestate(value) == ""


def test_what_is_written_can_be_read() -> None:
    assert write_traceparent(PARENT.trace_id, PARENT.span_id, sampled=True) == f"00-{TRACE}-{SPAN}-01".encode()
    unsampled = write_traceparent(1, 2, sampled=False)
    assert unsampled.endswith(b"-00") and read_traceparent(unsampled.decode()) == Parent(1, 2)
