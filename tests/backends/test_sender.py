"""Requests of the gateway's own: bounded answers, unpacked bodies, client certificates."""

import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from shared.backends.client_tls import ClientTls
from shared.backends.sender import Outgoing, Sender
from shared.backends.transport import Transport
from shared.config.certificates import parse_certificate
from shared.errors import BackendError, PolicyFailed
from tests.support.authority import Authority
from tests.support.service import Reply, Service


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    transport = Transport(environ={})
    try:
        yield Sender(transport, ClientTls())
    finally:
        await transport.aclose()


async def test_an_answer_is_read_whole_and_unpacked_but_never_without_bound() -> None:
    with Service() as service:
        service.default = lambda request: Reply(202, gzip.compress(b"a" * 5000), {"content-encoding": "gzip"})
        service.routes["/large"] = lambda request: Reply(200, b"x" * 300_000)
        async with sender() as one:
            answer = await one.send(Outgoing("POST", f"{service.url}/p%20q?a=%2F", [(b"x-a", b"1")], b"body"))
            assert (answer.status_code, answer.body, answer.status_reason) == (202, b"a" * 5000, "Accepted")
            sent = service.requests[0]
            assert (sent.path, sent.query, sent.body, sent.header("x-a")) == ("/p%20q", "a=%2F", b"body", "1")
            with pytest.raises(BackendError, match="larger than 1000 bytes"):
                await one.send(Outgoing("GET", f"{service.url}/large", max_bytes=1000))
            with pytest.raises(BackendError, match="larger than 4999 bytes"):  # some 30 bytes on the wire
                await one.send(Outgoing("GET", service.url, max_bytes=4999))
            service.default = lambda request: Reply(200, b"not gzip", {"content-encoding": "gzip"})
            with pytest.raises(BackendError, match="cannot be unpacked"):
                await one.send(Outgoing("GET", service.url))
            service.default = lambda request: Reply(200, b"brotli", {"content-encoding": "br"})
            answer = await one.send(Outgoing("GET", service.url))
            assert (answer.body, answer.headers.get("content-encoding")) == (b"brotli", "br")


async def test_a_client_certificate_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.issue("127.0.0.1").pem(tmp_path / "server.pem"))
    server.load_verify_locations(authority.pem(tmp_path / "ca.pem"))
    server.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    client = authority.issue("client.example")
    certificate = parse_certificate(client.pem(tmp_path / "client.pem").read_bytes())
    with Service(tls=server) as service:
        service.default = lambda request: Reply(200)
        async with sender() as one:
            for _ in range(2):
                answer = await one.send(Outgoing("GET", service.url, certificate=certificate))
                assert answer.status_code == 200
            with pytest.raises(BackendError):
                await one.send(Outgoing("GET", service.url))
            public = parse_certificate(client.certificate.public_bytes(Encoding.PEM))
            with pytest.raises(PolicyFailed) as refused:
                await one.send(Outgoing("GET", service.url, certificate=public))
            assert refused.value.reason == "CertificateWithoutKey"
