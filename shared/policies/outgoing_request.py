"""What send-request and send-one-way-request share: a request built from child elements, sent by the gateway itself."""

from typing import Any, Literal

from pydantic import Field, SkipValidation

from shared.backends.sender import Outgoing, Sender
from shared.context import Context
from shared.errors import GatewayError, PolicyFailed
from shared.message import FORWARDING, GatewayRequest, GatewayResponse, Headers, RawHeaders, Url
from shared.policies.authentication_basic import AuthenticationBasic
from shared.policies.authentication_certificate import AuthenticationCertificate
from shared.policies.authentication_managed_identity import AuthenticationManagedIdentity
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy
from shared.policies.set_body import SetBody
from shared.policies.set_header import SetHeader
from shared.policies.set_method import SetMethod

PARTS: dict[str, type[Policy]] = {
    part.element: part
    for part in (
        SetMethod,
        SetHeader,
        SetBody,
        AuthenticationBasic,
        AuthenticationCertificate,
        AuthenticationManagedIdentity,
    )
}
ONCE = frozenset({"set-url", "set-method", "set-body", "proxy"})
# The body says its length itself, the answer is for the gateway to read, and what the platform adds names its inside.
NOT_COPIED = FORWARDING | {b"content-length", b"expect", b"accept-encoding"}


class Proxy(Markup):
    """An HTTP proxy for this request."""

    url: Expression[str]
    username: Expression[str] | None = None
    password: Expression[str] | None = Field(None, repr=False)

    async def address(self, ctx: Context) -> str:
        """`http://user:password@host:port`."""
        from urllib.parse import quote

        url = await self.url(ctx)
        if self.username is None:
            return url
        password = await self.password(ctx) if self.password is not None else ""
        scheme, _, rest = url.rpartition("://")
        return f"{scheme or 'http'}://{quote(await self.username(ctx), safe='')}:{quote(password, safe='')}@{rest}"


class OutgoingRequest(Policy):
    """A request of the gateway's own. `mode="copy"` begins with the caller's request, less what no backend may see: the
    caller's own credentials go along only where the API forwards them. In outbound and on-error it has no body.

    Without `set-url` a copy goes to the backend chosen so far, without that backend's credentials. Without `set-method`
    a new request is a GET. The children act in their order; redirects are not followed.
    """

    mode: Expression[Literal["new", "copy"]] = Field(default_factory=lambda: Expression("new"))
    timeout: Expression[int] = Field(default_factory=lambda: Expression(60))
    url: SkipValidation[Expression[str] | None] = Field(None, alias="(url)")
    parts: SkipValidation[tuple[Policy, ...]] = Field((), alias="(parts)")
    proxy: SkipValidation[Proxy | None] = Field(None, alias="(proxy)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """URL, proxy, and the policies that make up the request."""
        compiler.expect_no_text(element)
        found: dict[str, Any] = {}
        parts: list[Policy] = []
        seen: set[str] = set()
        for child in compiler.children(element, "set-url", "proxy", *PARTS):
            if child.name in seen & ONCE:
                compiler.problem(child, f"{element.name} takes {child.name} only once")
            seen.add(child.name)
            if child.name == "set-url":
                compiler.attributes(child)
                found["url"] = compiler.value(child)
            elif child.name == "proxy":
                found["proxy"] = compiler.model(child, Proxy)
            elif (part := compiler.part(child, PARTS[child.name])) is not None:
                parts.append(part)
        if "set-url" not in seen and (element.get("mode") or "new").strip() == "new":
            compiler.problem(element, f"{element.name} needs set-url")
        return {**found, "parts": tuple(parts)}

    async def build(self, ctx: Context) -> Outgoing:
        """The request, with every expression evaluated. PolicyFailed when one of them fails or the URL is none."""
        copy = await self.mode(ctx) == "copy"
        message = await self._copied(ctx) if copy else GatewayRequest("GET", Url("http", "", 80, "/"), Headers())
        certificate = None
        for part in self.parts:
            match part:
                case SetMethod() | SetBody():
                    await part.apply(ctx, message)
                case SetHeader() | AuthenticationBasic() | AuthenticationManagedIdentity():
                    await part.apply(ctx, message.headers)
                case AuthenticationCertificate():
                    certificate = await part.choose(ctx)
        return Outgoing(
            message.method,
            await self._address(ctx),
            message.headers.raw,
            message.body or b"",
            timeout=max(0.001, float(await self.timeout(ctx))),
            certificate=certificate,
            proxy=await self.proxy.address(ctx) if self.proxy is not None else None,
        )

    async def _copied(self, ctx: Context) -> GatewayRequest:
        request = ctx.request
        withheld = {id(pair) for pair in ctx.withheld}
        headers: RawHeaders = [
            pair for pair in request.headers.raw if id(pair) not in withheld and pair[0] not in NOT_COPIED
        ]
        body = b"" if ctx.section in ("outbound", "on-error") else await request.read()
        return GatewayRequest(request.method, request.url.copy(), Headers(headers), body=body)

    async def _address(self, ctx: Context) -> str:
        if self.url is not None:
            return (await self.url(ctx) or "").strip()
        assert ctx.backends is not None
        return ctx.backends.url(ctx) + ctx.request.url.path + ctx.request.url.query_string


async def send(policy: OutgoingRequest, ctx: Context, request: Outgoing) -> GatewayResponse:
    """Send a built request. GatewayError with the policy as its source when no answer comes."""
    try:
        return await ctx.services.get(Sender).send(request, ctx)
    except ValueError as error:
        # Not the URL itself: it may carry a key.
        raise PolicyFailed(source=policy.element, reason="UrlInvalid", detail=str(error)) from error
    except GatewayError as error:
        error.source = policy.element
        raise
