"""TLS contexts that show a client certificate a policy chose, made once per certificate and backend settings."""

import asyncio
import ssl
from collections import OrderedDict
from pathlib import Path

from shared.backends.tls import declared_context, show_certificate
from shared.config.backends import Tls
from shared.config.certificates import ClientCertificate
from shared.errors import PolicyFailed

# Each context holds the trusted issuers, about a megabyte; certificates in policy bodies could be many.
KEPT = 64


class ClientTls:
    """Gives the context for a certificate and a backend's own TLS settings. Connections are pooled by context, so the
    same one is given every time."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[tuple[str, Tls, Path | None], asyncio.Future[ssl.SSLContext]] = OrderedDict()

    async def context(
        self, certificate: ClientCertificate, tls: Tls | None = None, folder: Path | None = None
    ) -> ssl.SSLContext:
        """The context; PolicyFailed when the certificate has no key or the library refuses it."""
        if not certificate.has_key:
            raise PolicyFailed(
                source="authentication-certificate",
                reason="CertificateWithoutKey",
                detail=f"certificate {certificate.thumbprint} has no private key",
            )
        tls = tls or Tls()
        key = (certificate.thumbprint, tls, folder)
        made = self._contexts.get(key)
        if made is None:
            made = asyncio.get_running_loop().run_in_executor(None, _make, certificate, tls, folder)
            self._contexts[key] = made
            if len(self._contexts) > KEPT:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        try:
            return await asyncio.shield(made)
        except (OSError, ValueError) as error:
            self._contexts.pop(key, None)
            raise PolicyFailed(
                source="authentication-certificate",
                reason="CertificateNotUsable",
                detail=f"certificate {certificate.thumbprint}: {error}",
            ) from error


def _make(certificate: ClientCertificate, tls: Tls, folder: Path | None) -> ssl.SSLContext:
    context = declared_context(tls, folder)
    show_certificate(context, certificate.pem)
    return context
