"""authentication-certificate: shows the backend a client certificate."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, SkipValidation, model_validator

from shared.config.certificates import ClientCertificate, parse_certificate
from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section


class AuthenticationCertificate(Policy):
    """Chooses the certificate for this request's connection to the backend, before the one the backend declares.

    `certificate-id` and `thumbprint` name one of the `certificates` in gateway.yaml; `body` is one itself, a PFX or PEM
    as bytes, or in base64 where an expression gives a string. The backend's other TLS settings stay in force.
    https://learn.microsoft.com/azure/api-management/authentication-certificate-policy
    """

    element: ClassVar[str] = "authentication-certificate"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    thumbprint: Expression[str] | None = None
    certificate_id: Expression[str] | None = None
    body: Expression[Any] | None = None
    password: Expression[str] | None = None
    certificates: SkipValidation[Mapping[str, Any]] = Field(alias="(certificates)", repr=False)

    @model_validator(mode="after")
    def _one(self) -> "AuthenticationCertificate":
        if sum(given is not None for given in (self.thumbprint, self.certificate_id, self.body)) != 1:
            raise ValueError("exactly one of thumbprint, certificate-id, body is needed")
        if self.password is not None and self.body is None:
            raise ValueError("password goes with body only")
        return self

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The declared certificates; a literal id that is not among them is a problem."""
        compiler.expect_no_content(element)
        id = compiler.known(element, "certificate-id")
        if id is not None and id not in compiler.gateway.certificates:
            compiler.problem(element, f"no certificate {id}", attribute="certificate-id")
        return {"certificates": compiler.certificates}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Choose the certificate for the request."""
        ctx.client_certificate = await self.choose(ctx)
        return None

    async def choose(self, ctx: Context) -> ClientCertificate:
        """The certificate. PolicyFailed when there is none of that name, or `body` is none."""
        if self.certificate_id is not None:
            wanted = await self.certificate_id(ctx)
            found: ClientCertificate | None = self.certificates.get(wanted)
        elif self.thumbprint is not None:
            wanted = (await self.thumbprint(ctx) or "").replace(" ", "").upper()
            found = next((one for one in self.certificates.values() if one.thumbprint == wanted), None)
        else:
            return await self._from_body(ctx)
        if found is None:
            raise PolicyFailed(reason="CertificateNotFound", detail=f"no certificate {wanted} is declared")
        return found

    async def _from_body(self, ctx: Context) -> ClientCertificate:
        assert self.body is not None
        data = await self.body(ctx)
        password = await self.password(ctx) if self.password is not None else None
        try:
            return parse_certificate(_bytes(data), password)
        except ValueError as error:
            raise PolicyFailed(reason="CertificateNotUsable", detail=f"body: {error}") from error


def _bytes(data: Any) -> bytes:
    import base64

    if isinstance(data, bytes | bytearray):
        return bytes(data)
    if isinstance(data, str):
        return data.encode() if "-----BEGIN" in data else base64.b64decode("".join(data.split()), validate=True)
    raise ValueError("neither bytes nor text")
