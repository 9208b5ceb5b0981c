"""TLS contexts for backends, by the options of an APIM backend's `tls` block."""

import os
import ssl
import tempfile
from pathlib import Path

import certifi

from shared.config.backends import Tls
from shared.config.certificates import parse_certificate

_ALPN = ["http/1.1"]


class NameOnlyContext(ssl.SSLContext):
    """A context that trusts any issuer but still wants the certificate to carry the backend's name.

    OpenSSL compares names only as a part of the chain check, so ``check_peer_name`` does it after the handshake.
    """


def client_context(
    *,
    validate_certificate_chain: bool = True,
    validate_certificate_name: bool = True,
    certificate: Path | None = None,
) -> ssl.SSLContext:
    """A context that speaks HTTP/1.1 only.

    The two switches are APIM's ``tls.validateCertificateChain`` and ``tls.validateCertificateName``. Trusted are the
    system's issuers and certifi's; ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` replace both. ``certificate`` is the client's
    own with its key: a PEM file, or a ``.pfx``/``.p12`` file without a password. Reads files: build it when
    configuration is loaded, not per request. Raises ``OSError`` and ``ssl.SSLError`` for files that cannot be used,
    ``ValueError`` for a PFX that is none, has a password or no key.
    """
    if validate_certificate_chain:
        context = ssl.create_default_context()
        if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
            context.load_verify_locations(certifi.where())
        context.check_hostname = validate_certificate_name
    else:
        kind = NameOnlyContext if validate_certificate_name else ssl.SSLContext
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    if certificate is not None:
        _load_certificate(context, certificate)
    return context


def declared_context(declared: Tls, folder: Path | None, certificate: Path | None = None) -> ssl.SSLContext:
    """`client_context` as a backend declares it, with the authorities it trusts besides; they are in `folder`."""
    context = client_context(
        validate_certificate_chain=declared.validate_certificate_chain,
        validate_certificate_name=declared.validate_certificate_name,
        certificate=certificate,
    )
    if declared.ca_file and folder is not None:
        context.load_verify_locations(folder / declared.ca_file)
    return context


def check_peer_name(certificate: bytes | None, host: str) -> None:
    """Compares a DER certificate's subject alternative names with ``host`` as RFC 6125 6.4 has it (a wildcard stands
    for the whole first label). Raises ``ssl.SSLCertVerificationError`` when none fits."""
    import ipaddress

    from cryptography import x509

    if certificate is None:
        raise ssl.SSLCertVerificationError(1, "the backend sent no certificate")
    parsed = x509.load_der_x509_certificate(certificate)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ssl.SSLCertVerificationError(1, "the backend's certificate carries no names") from None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        matched = any(_name_fits(name, host) for name in names.get_values_for_type(x509.DNSName))
    else:
        matched = address in names.get_values_for_type(x509.IPAddress)
    if not matched:
        raise ssl.SSLCertVerificationError(1, f"the backend's certificate is not for {host}")


def _name_fits(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower(), host.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in host and host.split(".", 1)[1] == pattern[2:]
    return pattern == host


def _load_certificate(context: ssl.SSLContext, certificate: Path) -> None:
    if certificate.suffix.lower() not in (".pfx", ".p12"):
        context.load_cert_chain(certificate)
        return
    own = parse_certificate(certificate.read_bytes())
    if not own.has_key:
        raise ValueError(f"{certificate.name} has no private key")
    show_certificate(context, own.pem)


def show_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """Make a context show a client certificate: its key and its chain in one PEM. ``ssl.SSLError`` when it cannot."""
    # The ssl module takes certificates from files only; mkstemp makes one that nobody else may read.
    handle, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        os.unlink(name)
