"""Bodies that are larger inside than they look: unpacked or parsed within bounds, or left alone."""

import zlib
from json import JSONDecodeError

import pytest

from shared.backends.model_name import model_of
from shared.body import unpacked
from shared.errors import BackendError, Refusal
from shared.message import GatewayRequest, GatewayResponse, Headers, Url


async def stream(*parts: bytes):
    for part in parts:
        yield part


def packed(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(9, wbits=window)
    return packer.compress(data) + packer.flush()


async def test_known_codings_are_undone_and_unknown_ones_stay() -> None:
    for coding, window in {"gzip": 31, "X-GZip": 31, "deflate": 15}.items():
        data = packed(b"hello" * 100, window)
        headers = Headers([(b"content-encoding", coding.encode()), (b"content-length", b"1")])
        response = GatewayResponse(200, headers, stream=stream(data[:7], data[7:]))
        assert await response.read() == b"hello" * 100
        assert response.headers.raw == []
    response = GatewayResponse(200, Headers([(b"content-encoding", b"br")]), stream=stream(b"as it came"))
    assert await response.read() == b"as it came" and response.headers.get("content-encoding") == "br"


async def test_all_members_of_a_gzip_body_are_read() -> None:
    data = packed(b"hello ", 31) + packed(b"", 31) + packed(b"world", 31)  # RFC 1952 section 2.2
    headers = Headers([(b"content-encoding", b"gzip")])
    assert await GatewayResponse(200, headers, stream=stream(data)).read() == b"hello world"
    assert unpacked(data + bytes(5), "gzip", 11) == b"hello world"  # padding, as archives have it
    with pytest.raises(BackendError, match="larger than 10 bytes"):
        unpacked(data, "gzip", 10)


async def test_a_small_body_cannot_fill_the_memory() -> None:
    bomb = packed(bytes(50_000_000), 31)
    assert len(bomb) < 100_000
    with pytest.raises(BackendError, match="larger than 1000 bytes"):
        unpacked(bomb, "gzip", 1000)
    broken = GatewayResponse(200, Headers([(b"content-encoding", b"gzip")]), stream=stream(b"no gzip"))
    with pytest.raises(BackendError, match="cannot be unpacked"):
        await broken.read()


def test_json_of_millions_of_values_is_not_parsed() -> None:
    words = GatewayRequest("POST", Url("http", "a", 80, "/"), Headers(), body=b'["%b"]' % (b"some {words}, " * 500_000))
    assert len(words.json()[0]) == 7_000_000
    values = GatewayRequest("POST", Url("http", "a", 80, "/"), Headers(), body=b"[%b0]" % (b"{}," * 2_000_000))
    with pytest.raises(Refusal, match="too many JSON values"):
        values.json()
    assert values.foundry_deployment is None and model_of(values) == ""
    table = GatewayRequest("POST", Url("http", "a", 80, "/"), Headers(), body=b"--x\r\n\r\n" + b"1,2,3\n" * 3_000_000)
    with pytest.raises(JSONDecodeError):
        table.json()
