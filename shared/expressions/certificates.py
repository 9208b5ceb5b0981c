"""X509Certificate2: client certificates and those of ``context.Deployment.Certificates``."""

import hashlib
from typing import Any

from shared.expressions.crypto import Rsa
from shared.expressions.dates import DateTime
from shared.expressions.errors import ExpressionFailed
from shared.expressions.nettypes import NetType, returning
from shared.expressions.run import Run

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "S",
    "emailAddress": "E",
    "domainComponent": "DC",
}


class Certificate:
    """A certificate and, where the gateway has it, its private key."""

    __slots__ = ("key", "parsed")

    def __init__(self, parsed: Any, key: Any = None) -> None:
        self.parsed = parsed
        self.key = key

    def der(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        return bytes(self.parsed.public_bytes(Encoding.DER))

    def __str__(self) -> str:
        return f"[Subject]\n  {name_text(self.parsed.subject)}\n"


def certificate(source: Any, password: Any = None) -> Certificate:
    """A certificate from DER, PEM or PFX bytes, base64 text, or an object of ``cryptography``."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import pkcs12

    from shared.expressions.convert_types import from_base64

    if isinstance(source, Certificate):
        return source
    if isinstance(source, x509.Certificate):
        return Certificate(source)
    inner = getattr(source, "certificate", None)  # a declared certificate together with its key
    if isinstance(inner, x509.Certificate):
        return Certificate(inner, getattr(source, "key", None))
    if isinstance(source, str):
        source = source.encode() if "-----BEGIN" in source else bytes(from_base64(source))
    data = bytes(source)
    try:
        if data.startswith(b"-----BEGIN"):
            return Certificate(x509.load_pem_x509_certificate(data))
        return Certificate(x509.load_der_x509_certificate(data))
    except ValueError:
        pass
    try:
        key, parsed, _ = pkcs12.load_key_and_certificates(data, str(password).encode() if password else None)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ExpressionFailed("CryptographicException", "Cannot find the requested object.")
    return Certificate(parsed, key)


def name_text(name: Any) -> str:
    """A distinguished name as .NET writes it: most specific part first, short attribute names."""
    parts = [f"{_SHORT.get(one.oid._name, one.oid.dotted_string)}={one.value}" for one in name]
    return ", ".join(reversed(parts))


def _thumbprint(one: Certificate) -> str:
    return hashlib.sha1(one.der(), usedforsecurity=False).hexdigest().upper()


def _common_name(one: Certificate, *_kind: Any) -> str:
    return next((str(part.value) for part in one.parsed.subject if part.oid._name == "commonName"), "")


def _verify(run: Run, one: Certificate) -> bool:
    """Within its time of validity: the chain is checked where the connection ends, before the gateway."""
    now = run.ctx.services.clock()
    return bool(one.parsed.not_valid_before_utc <= now <= one.parsed.not_valid_after_utc)


CERTIFICATE = NetType(
    "X509Certificate2",
    (Certificate,),
    full_name="System.Security.Cryptography.X509Certificates.X509Certificate2",
    aliases=("X509Certificate",),
    construct=lambda types, source, password=None, *flags: certificate(source, password),
    properties=returning(
        "string",
        Thumbprint=_thumbprint,
        Subject=lambda one: name_text(one.parsed.subject),
        Issuer=lambda one: name_text(one.parsed.issuer),
        SerialNumber=lambda one: f"{one.parsed.serial_number:X}".zfill(2),
        FriendlyName=lambda one: "",
    )
    | returning(
        "string",
        SubjectName=lambda one: name_text(one.parsed.subject),
        IssuerName=lambda one: name_text(one.parsed.issuer),
    )
    | returning(
        "DateTime",
        NotBefore=lambda one: DateTime.of(one.parsed.not_valid_before_utc),
        NotAfter=lambda one: DateTime.of(one.parsed.not_valid_after_utc),
    )
    | returning("bool", HasPrivateKey=lambda one: one.key is not None)
    | returning("byte[]", RawData=lambda one: bytearray(one.der()))
    | returning("int", Version=lambda one: one.parsed.version.value + 1),
    methods=returning("bool", Verify=_verify, VerifyNoRevocation=_verify)
    | returning("string", GetNameInfo=_common_name, GetCertHashString=_thumbprint, ToString=lambda one, *rest: str(one))
    | returning("byte[]", GetCertHash=lambda one: bytearray.fromhex(_thumbprint(one)))
    | returning(
        "byte[]", GetRawCertData=lambda one: bytearray(one.der()), Export=lambda one, *rest: bytearray(one.der())
    )
    | returning("string", GetSerialNumberString=lambda one: f"{one.parsed.serial_number:X}")
    | returning("RSA", GetRSAPrivateKey=lambda one: Rsa(private=one.key) if one.key else None)
    | returning("RSA", GetRSAPublicKey=lambda one: Rsa(public=one.parsed.public_key())),
)
CERTIFICATE_TYPES = (CERTIFICATE,)
