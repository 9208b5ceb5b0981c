"""What the bytes of a body come to in memory: unpacked within a bound, and JSON that would take too much."""

import re
import zlib

from shared.errors import BackendError

# Content codings of RFC 9110 section 8.4.1 as zlib takes them. Bodies in others, and deflate without its zlib header,
# stay as they came.
PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
# What a member of a gzip body begins with; it may have several (RFC 1952 section 2.2). For each the rest is copied.
_GZIP = b"\x1f\x8b"
_MEMBERS = 100
# Smaller JSON takes no more than a few hundred megabytes whatever is in it.
SMALL_JSON = 4_194_304
# UTF-16 and byte order marks included.
_JSON_OPENS = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*[\[{]")


def sprawls(json: bytes | str) -> bool:
    """Whether JSON would take more than a quarter of a gigabyte when parsed, to judge by its punctuation: 30 MB of
    `{},` are a gigabyte of objects, 30 MB of text are 30 MB."""
    if len(json) < SMALL_JSON:
        return False
    if isinstance(json, str):
        containers, items = json.count("{") + json.count("["), json.count(",")
    else:
        containers, items = json.count(b"{") + json.count(b"["), json.count(b",")
    return containers * 200 + items * 60 > 268_435_456


def is_sprawling_json(body: bytes) -> bool:
    """Whether a body `sprawls` and may be JSON at all: a table or a form may have as many commas as it likes."""
    return sprawls(body) and _JSON_OPENS.match(body) is not None


def unpacked(data: bytes, coding: str, max_bytes: int) -> bytes:
    """The content of a body in one of the codings in PACKED. BackendError when it is broken, or has more than
    `max_bytes`: a small body can unpack to gigabytes."""
    parts: list[bytes] = []
    left = max_bytes
    for _ in range(_MEMBERS):
        unpacker = zlib.decompressobj(PACKED[coding])
        try:
            part = unpacker.decompress(data, left + 1)
        except zlib.error as error:
            raise BackendError("The answer cannot be unpacked.", detail=str(error)) from error
        left -= len(part)
        if left < 0:
            raise BackendError(f"The answer is larger than {max_bytes} bytes.", reason="ResponseTooLarge")
        parts.append(part)
        data = unpacker.unused_data
        if not data.startswith(_GZIP):
            return b"".join(parts)
    raise BackendError("The answer cannot be unpacked.", detail=f"it has more than {_MEMBERS} members")
