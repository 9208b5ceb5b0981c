"""Declared certificates, read: the certificate itself, its private key where there is one, and its thumbprint."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.config.models import Certificate

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate in memory. `pem` has the key (if any), the certificate and its chain, as TLS libraries take them;
    `thumbprint` is the SHA-1 of the DER form in capital hex digits, as Azure shows it."""

    thumbprint: str
    certificate: "x509.Certificate"
    has_key: bool
    pem: bytes = field(repr=False)


def read_certificate(declared: Certificate, folder: Path) -> ClientCertificate:
    """Read a declared certificate; its file is looked up in `folder`. OSError and ValueError (which never quotes the
    data) for one that cannot be used."""
    if declared.file is not None:
        return parse_certificate((folder / declared.file).read_bytes(), declared.password)
    assert declared.value is not None
    if "-----BEGIN" in declared.value:
        return parse_certificate(declared.value.encode(), declared.password)
    try:
        data = base64.b64decode("".join(declared.value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the value is neither PEM nor a PFX in base64") from None
    return parse_certificate(data, declared.password)


def parse_certificate(data: bytes, password: str | None = None) -> ClientCertificate:
    """A certificate from PEM or PFX bytes. ValueError when it is neither, or the password does not fit."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    keys, certificates = _pem_parts(data, password) if b"-----BEGIN" in data else _pfx_parts(data, password)
    if not certificates:
        raise ValueError("there is no certificate in it")
    leaf: x509.Certificate = certificates[0]
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys]
    parts += [certificate.public_bytes(Encoding.PEM) for certificate in certificates]
    # Azure names certificates by this hash; nothing is trusted because of it.
    thumbprint = leaf.fingerprint(SHA1()).hex().upper()
    return ClientCertificate(thumbprint, leaf, bool(keys), b"".join(parts))


def _pem_parts(data: bytes, password: str | None) -> tuple[list[Any], list[Any]]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    secret = password.encode() if password else None
    try:
        keys = [load_pem_private_key(block, secret) for block in _blocks(data, b"PRIVATE KEY")][:1]
        certificates = x509.load_pem_x509_certificates(data)
    except (ValueError, TypeError):  # TypeError: a password is missing, or there where none is needed
        raise ValueError("not valid PEM, or the password does not fit") from None
    return keys, certificates


def _blocks(data: bytes, label: bytes) -> Iterator[bytes]:
    block: list[bytes] | None = None
    for line in data.splitlines():
        if line.startswith(b"-----BEGIN") and label in line:
            block = []
        if block is not None:
            block.append(line)
        if line.startswith(b"-----END") and block is not None:
            yield b"\n".join(block) + b"\n"
            block = None


def _pfx_parts(data: bytes, password: str | None) -> tuple[list[Any], list[Any]]:
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        key, certificate, chain = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
    except (ValueError, TypeError):
        raise ValueError("not a valid PFX, or the password does not fit") from None
    return ([key] if key else []), ([certificate] if certificate else []) + list(chain)
