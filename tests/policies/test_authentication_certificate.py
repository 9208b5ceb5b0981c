"""authentication-certificate: a backend that wants a client certificate gets the one a policy names."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.support.authority import Authority, Issued
from tests.support.policies import Running, document, policies, problems
from tests.support.service import Reply, Service

CONFIG = """
certificates:
  client: {{ value: "{{{{pfx}}}}", password: "{{{{password}}}}" }}
named_values:
  pfx: {{ env: PFX }}
  password: {{ env: PASSWORD }}
"""
PASSWORD = "the pfx's password"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def client(authority: Authority) -> Issued:
    return authority.issue("client.example")


@contextmanager
def calling(xml: str, authority: Authority, client: Issued, folder: Path) -> Iterator[tuple[Running, Service]]:
    """A gateway in front of a service that lets in only clients of the authority, and says who they are."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.issue("127.0.0.1").pem(folder / "server.pem"))
    ca = authority.pem(folder / "ca.pem")
    server.load_verify_locations(ca)
    server.verify_mode = ssl.CERT_OPTIONAL
    with Service(tls=server) as service:
        service.default = lambda request: Reply(200, _subject(request.client_certificate))
        backend = f'{service.url}\n    tls: {{ ca_file: "{ca}" }}'
        environment = {"PFX": pfx(client), "PASSWORD": PASSWORD}
        with policies(xml, backend, config=CONFIG.format(), environment=environment) as gateway:
            yield gateway, service


def pfx(client: Issued) -> str:
    encryption = BestAvailableEncryption(PASSWORD.encode())
    data = pkcs12.serialize_key_and_certificates(b"it", client.key, client.certificate, None, encryption)
    return base64.b64encode(data).decode()


def _subject(certificate: object) -> bytes:
    names = dict(pair[0] for pair in certificate["subject"]) if isinstance(certificate, dict) and certificate else {}
    return names.get("commonName", "nobody").encode()


def test_the_backend_sees_the_certificate_named_by_id_or_thumbprint(
    authority: Authority, client: Issued, tmp_path: Path
) -> None:
    thumbprint = client.certificate.fingerprint(SHA1()).hex()
    for name in ('certificate-id="client"', f'thumbprint="{thumbprint}"'):
        xml = document(inbound=f"<authentication-certificate {name} />")
        with calling(xml, authority, client, tmp_path) as (gateway, service):
            assert [gateway.call().text for _ in range(2)] == ["client.example"] * 2


def test_only_the_request_that_asks_for_it_shows_it(authority: Authority, client: Issued, tmp_path: Path) -> None:
    xml = document(
        inbound="""<choose><when condition='@(context.Request.Headers.ContainsKey("x-secret"))'>
            <authentication-certificate certificate-id="client" />
        </when></choose>"""
    )
    with calling(xml, authority, client, tmp_path) as (gateway, service):
        texts = [gateway.call(headers=headers).text for headers in ({"x-secret": "1"}, {}, {"x-secret": "1"})]
        assert texts == ["client.example", "nobody", "client.example"]


def test_a_body_and_a_password_are_a_certificate_too(authority: Authority, client: Issued, tmp_path: Path) -> None:
    body = """body='@(Convert.FromBase64String(context.Request.Headers.GetValueOrDefault("x-pfx", "")))'"""
    xml = document(inbound=f'<authentication-certificate {body} password="{PASSWORD}" />'.replace("'s", "&apos;s"))
    with calling(xml, authority, client, tmp_path) as (gateway, service):
        assert gateway.call(headers={"x-pfx": pfx(client)}).text == "client.example"
        assert gateway.call(headers={"x-pfx": "AAAA"}).status_code == 500


def test_deployment_certificates_are_there_for_expressions(
    authority: Authority, client: Issued, tmp_path: Path
) -> None:
    value = '@(context.Deployment.Certificates["client"].Thumbprint)'
    xml = document(outbound=f"<set-header name='x-thumbprint'><value>{value}</value></set-header>")
    with calling(xml, authority, client, tmp_path) as (gateway, service):
        assert gateway.call().headers["x-thumbprint"] == client.certificate.fingerprint(SHA1()).hex().upper()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("", "exactly one of thumbprint, certificate-id, body is needed"),
        ('certificate-id="none"', "no certificate none"),
        ('certificate-id="client" thumbprint="A"', "exactly one of"),
        ('thumbprint="A" password="x"', "password goes with body only"),
    ],
)
def test_what_is_wrong_is_told_at_load(attributes: str, message: str, client: Issued, tmp_path: Path) -> None:
    pem = client.pem(tmp_path / "client.pem").read_text()
    config = "certificates: { client: { file: client.pem } }"
    xml = document(inbound=f"<authentication-certificate {attributes} />")
    found = problems(xml, config=config, files={"client.pem": pem})
    assert len(found) == 1 and message in found[0]


def test_a_certificate_that_cannot_be_read_is_told_without_its_content(client: Issued) -> None:
    config = f'certificates: {{ client: {{ value: "{pfx(client)}", password: wrong }} }}'
    found = problems(document(), config=config)
    assert "certificates.client: not a valid PFX, or the password does not fit" in found[0]
    assert "wrong" not in found[0]
    assert len(found) == 1
