"""Declared certificates: the formats they come in, and what is said of those that cannot be used."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from shared.config.certificates import parse_certificate, read_certificate
from shared.config.models import Certificate
from tests.support.authority import Authority, Issued


@pytest.fixture(scope="module")
def issued() -> Issued:
    return Authority().issue("client.example")


def test_every_format_gives_the_same_certificate(issued: Issued, tmp_path: Path) -> None:
    encryption = BestAvailableEncryption(b"secret")
    encrypted = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    certificate = issued.certificate.public_bytes(Encoding.PEM)
    issued.pem(tmp_path / "plain.pem")
    pfx = issued.pfx(tmp_path / "it.pfx", "secret").read_bytes()
    found = [
        read_certificate(Certificate(file="plain.pem"), tmp_path),
        read_certificate(Certificate(file="it.pfx", password="secret"), tmp_path),
        read_certificate(Certificate(value=base64.encodebytes(pfx).decode(), password="secret"), tmp_path),
        read_certificate(Certificate(value=(certificate + encrypted).decode(), password="secret"), tmp_path),
    ]
    thumbprint = issued.certificate.fingerprint(SHA1()).hex().upper()
    assert {(one.thumbprint, one.has_key) for one in found} == {(thumbprint, True)}
    assert len({one.pem for one in found}) == 1
    assert "secret" not in repr(found) and "PRIVATE KEY" not in repr(found)


def test_a_certificate_may_come_without_its_key(issued: Issued) -> None:
    found = parse_certificate(issued.certificate.public_bytes(Encoding.PEM))
    assert not found.has_key and found.pem.startswith(b"-----BEGIN CERTIFICATE")


@pytest.mark.parametrize(
    ("data", "password", "message"),
    [
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "not valid PEM"),
        (b"-----BEGIN NOTHING-----\n-----END NOTHING-----\n", None, "not valid PEM"),
        (b"\x30\x03\x02\x01\x00", None, "not a valid PFX"),
    ],
)
def test_what_is_none_is_refused(data: bytes, password: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_certificate(data, password)


def test_a_password_that_does_not_fit_is_told_without_it(issued: Issued, tmp_path: Path) -> None:
    data = issued.pfx(tmp_path / "it.pfx", "secret").read_bytes()
    for password in ("hunter2", None):
        with pytest.raises(ValueError, match="the password does not fit") as refused:
            parse_certificate(data, password)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="neither PEM nor a PFX in base64"):
        read_certificate(Certificate(value="what is this?"), tmp_path)
