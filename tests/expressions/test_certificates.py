"""Certificates and keys: what expressions read of them, and signatures made with them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.expressions.support import NOW, context, evaluate


@pytest.fixture(scope="module")
def declared() -> Any:
    """A self-signed certificate with its key, valid around the test clock's now."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"), x509.NameAttribute(NameOID.COMMON_NAME, "cn")]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0xABC)
        .not_valid_before(NOW.replace(microsecond=0) - timedelta(days=1))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return SimpleNamespace(certificate=made, key=key)


def test_a_client_certificate_shows_its_names_and_dates(declared: Any) -> None:
    ctx = context()
    ctx.request.certificate = declared.certificate
    assert evaluate("context.Request.Certificate.Subject", ctx) == "CN=cn, O=Org"
    assert evaluate("context.Request.Certificate.SerialNumber", ctx) == "ABC"
    assert evaluate("context.Request.Certificate.NotAfter.Year", ctx) == 2030
    thumbprint = declared.certificate.fingerprint(hashes.SHA1()).hex().upper()
    assert evaluate("context.Request.Certificate.Thumbprint", ctx) == thumbprint
    assert evaluate("context.Request.Certificate.VerifyNoRevocation()", ctx) is True


def test_a_declared_certificate_signs_and_verifies(declared: Any) -> None:
    ctx = context()
    ctx.deployment.certificates = {"signing": declared}
    text = (
        '{ var cert = context.Deployment.Certificates["signing"]; var data = Encoding.UTF8.GetBytes("x");'
        " var signed = cert.GetRSAPrivateKey().SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);"
        " var key = cert.GetRSAPublicKey();"
        " return key.VerifyData(data, signed, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1); }"
    )
    assert evaluate(text, ctx) is True


def test_a_pem_certificate_can_be_made_from_its_text(declared: Any) -> None:
    pem = declared.certificate.public_bytes(serialization.Encoding.DER)
    ctx = context(variables={"der": bytearray(pem)})
    text = 'new X509Certificate2((byte[])context.Variables["der"]).Issuer'
    assert evaluate(text, ctx) == "CN=cn, O=Org"
