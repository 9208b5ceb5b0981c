"""W3C trace context: the two headers that tie the spans of several services to one trace, read and written (pure).

https://www.w3.org/TR/trace-context/ (Recommendation, level 1)
"""

import re
from typing import NamedTuple

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"
HEADERS = frozenset({TRACEPARENT, TRACESTATE})

# Version, trace id, parent id, flags. A higher version may have more behind another dash (section 3.2.4); ff is none.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)
_SAMPLED = 0x01

_MOST_MEMBERS = 32
# Section 3.3.1.3: at least 512 characters must be passed on; what is longer than any list of 32 could be is refused.
_LONGEST_STATE = 16_896
_KEY = r"[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13}"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class Parent(NamedTuple):
    """The caller's span: ids of 128 and 64 bits, never 0. Whether the caller records it decides nothing here."""

    trace_id: int
    span_id: int


def read_traceparent(value: str | None) -> Parent | None:
    """The caller's span; None when there is none or the header is not as it must be: the trace begins here then."""
    found = _TRACEPARENT.fullmatch(value) if value is not None else None
    if found is None:
        return None
    version, trace_id, span_id, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16))
    return parent if parent.trace_id and parent.span_id else None


def read_tracestate(value: str | None) -> str:
    """The list other systems hand down with the trace, as it came (several headers joined by commas); "" when it
    breaks a rule: it is dropped as a whole then (section 3.3.1.4), which leaves the trace itself as it is."""
    if not value or len(value) > _LONGEST_STATE:
        return ""
    members = [member.strip(" \t") for member in value.split(",")]
    keys = set()
    for member in members:
        if not member:  # section 3.3.1.2: empty members are allowed
            continue
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in keys:
            return ""
        keys.add(found[1])
    return value if 0 < len(keys) <= _MOST_MEMBERS else ""


def write_traceparent(trace_id: int, span_id: int, *, sampled: bool) -> bytes:
    """The header's value, version 00. Flags other than `sampled` are not passed on (section 3.2.2.5.2)."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, _SAMPLED if sampled else 0)
