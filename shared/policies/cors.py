"""cors: answers browsers' preflight requests, and tells browsers whose pages may read the responses."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from shared.context import Context
from shared.message import DEFAULT_PORTS, GatewayResponse, Headers
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section

ANY = "*"
Names = tuple[Expression[str], ...]

# What browsers send without asking (Fetch standard, CORS-safelisted request-header).
SAFE_HEADERS = frozenset({"accept", "accept-language", "content-language", "content-type", "range"})


class AllowedMethods(Markup):
    """The `allowed-methods` element's attribute and children."""

    preflight_result_max_age: Expression[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: Expression(0))
    methods: tuple[Expression[str], ...] = Field(alias="(methods)")


class Cors(Policy):
    """In the inbound section, once. On a preflight only this policy runs, without a subscription key (see `preflight`).

    A request from a page whose origin is allowed gets the CORS headers on its response, also on an error; those of the
    backend are replaced. From other origins a GET or HEAD is answered with an empty 200 and goes nowhere, unless
    `terminate-unmatched-request` is false (APIM's page gives both as its default; true is what it does). CORS keeps
    pages from reading answers, not callers from calling: other methods go on, without the headers.

    `allow-credentials` with the origin `*` would let any page act for a signed-in user: the header is then not sent,
    and loading warns.
    https://learn.microsoft.com/azure/api-management/cors-policy
    """

    element: ClassVar[str] = "cors"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    once: ClassVar[bool] = True

    allow_credentials: Expression[bool] = Field(default_factory=lambda: Expression(False))
    terminate_unmatched_request: Expression[bool] = Field(default_factory=lambda: Expression(True))
    origins: Names = Field(alias="(origins)")
    methods: AllowedMethods = Field(alias="(methods)")
    allowed_headers: Names = Field((), alias="(allowed headers)")
    exposed_headers: Names = Field((), alias="(exposed headers)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The lists of origins, methods and headers, each at most once."""
        compiler.expect_no_text(element)
        lists: dict[str, Element] = {}
        for child in compiler.children(
            element, "allowed-origins", "allowed-methods", "allowed-headers", "expose-headers"
        ):
            if child.name in lists:
                compiler.problem(child, f"{child.name} is there twice")
            lists[child.name] = child
        origins = _values(lists.get("allowed-origins"), "origin", compiler)
        if "allowed-origins" not in lists:
            compiler.problem(element, "allowed-origins is required")
        _check_origins(lists.get("allowed-origins"), origins, element, compiler)
        return {
            "origins": origins,
            "methods": _methods(lists.get("allowed-methods"), compiler),
            "allowed_headers": _values(lists.get("allowed-headers"), "header", compiler),
            "exposed_headers": _values(lists.get("expose-headers"), "header", compiler),
        }

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Add the headers to the response, or end the request of a page that is not allowed to read it."""
        origin = ctx.request.headers.get("origin")
        if origin is None:
            return None
        if await self._allows(ctx, origin) and await self._allows_method(ctx, ctx.request.method):
            allowed = await self._origin_headers(ctx, origin)
            exposed = ",".join([await name(ctx) for name in self.exposed_headers])
            if exposed:
                allowed.append(("access-control-expose-headers", exposed))
            ctx.on_reply(_adding(allowed))
            return None
        ctx.trace("origin or method is not allowed", self.element)
        if ctx.request.method in ("GET", "HEAD") and await self.terminate_unmatched_request(ctx):
            return GatewayResponse(200)
        return None

    async def preflight(self, ctx: Context, origin: str, method: str) -> GatewayResponse | None:
        """The answer to a preflight for `method` from a page of `origin`; None when another cors policy may answer."""
        requested = _tokens(ctx.request.headers.get("access-control-request-headers"))
        if not await self._allows(ctx, origin):
            return GatewayResponse(200) if await self.terminate_unmatched_request(ctx) else None
        headers = [await name(ctx) for name in self.allowed_headers]
        allowed = {name.lower() for name in headers} | SAFE_HEADERS
        if not await self._allows_method(ctx, method) or not (ANY in headers or allowed.issuperset(requested)):
            return GatewayResponse(200)
        methods = [await name(ctx) for name in self.methods.methods]
        answer = GatewayResponse(200, Headers())
        for name, value in await self._origin_headers(ctx, origin):
            answer.headers.add(name, value)
        answer.headers.add("access-control-allow-methods", method if ANY in methods else ",".join(methods))
        named = sorted(requested) if ANY in headers else headers
        if named:
            answer.headers.add("access-control-allow-headers", ",".join(named))
        max_age = await self.methods.preflight_result_max_age(ctx)
        answer.headers.add("access-control-max-age", str(max_age))
        return answer

    async def _allows(self, ctx: Context, origin: str) -> bool:
        wanted = normal(origin)
        for allowed in self.origins:
            text = await allowed(ctx)
            if text == ANY or normal(text) == wanted:
                return True
        return False

    async def _allows_method(self, ctx: Context, method: str) -> bool:
        for allowed in self.methods.methods:
            if (text := await allowed(ctx)) == ANY or text.upper() == method.upper():
                return True
        return False

    async def _origin_headers(self, ctx: Context, origin: str) -> list[tuple[str, str]]:
        if ANY in [await allowed(ctx) for allowed in self.origins]:
            return [("access-control-allow-origin", ANY)]
        headers = [("access-control-allow-origin", origin), ("vary", "Origin")]
        if await self.allow_credentials(ctx):
            headers.append(("access-control-allow-credentials", "true"))
        return headers


def normal(origin: str) -> str:
    """An origin in one spelling: lower case, without default port, path or slash at the end."""
    try:
        parts = urlsplit(origin.strip().lower())
        port = parts.port
    except ValueError:
        return origin
    if not parts.scheme or not parts.hostname:
        return origin.strip().lower()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return (
        f"{parts.scheme}://{host}"
        if port in (None, DEFAULT_PORTS.get(parts.scheme))
        else f"{parts.scheme}://{host}:{port}"
    )


def _adding(headers: list[tuple[str, str]]) -> Callable[[Context], Awaitable[None]]:
    async def add(ctx: Context) -> None:
        assert ctx.response is not None
        response = ctx.response.headers
        for name in {name for name, _ in response.items() if name.startswith("access-control-")}:
            response.remove(name)
        for name, value in headers:
            if name != "vary":
                response.set(name, value)
            elif "origin" not in _tokens(response.get(name)):
                response.add(name, value)

    return add


def _tokens(value: str | None) -> set[str]:
    return {token.strip().lower() for token in (value or "").split(",") if token.strip()}


def _values(element: Element | None, child: str, compiler: Compiler) -> Names:
    if element is None:
        return ()
    compiler.attributes(element)
    found = compiler.values(element, child)
    if not found:
        compiler.problem(element, f"{element.name} needs at least one {child}")
    return found


def _methods(element: Element | None, compiler: Compiler) -> AllowedMethods:
    default = AllowedMethods.model_validate({"(methods)": (Expression("GET"), Expression("POST"))})
    if element is None:
        return default
    methods = compiler.values(element, "method")
    if not methods:
        compiler.problem(element, "allowed-methods needs at least one method")
    return compiler.model(element, AllowedMethods, **{"(methods)": methods}) or default


def _check_origins(element: Element | None, origins: Names, policy: Element, compiler: Compiler) -> None:
    if element is None:
        return
    literals = [origin.constant for origin in origins if origin.compiled is None and origin.constant is not None]
    for text in literals:
        if text not in (ANY, "null") and (ANY in text or "://" not in text):
            message = f"no page has the origin {text}: it must be * or scheme://host[:port]"
            compiler.problem(element, message, severity="warning")
    if ANY in literals and (policy.get("allow-credentials") or "").strip().lower() == "true":
        compiler.problem(policy, "credentials are not allowed with the origin *", severity="warning")
