"""Answers browsers' CORS preflight requests: for the operation they ask about, with its cors policies and no key."""

from shared.context import Context
from shared.errors import AccessDenied, OperationNotFound
from shared.gateway.authorize import KeyRing, authorize
from shared.gateway.catalog import Catalog, Route
from shared.message import GatewayResponse
from shared.policies.cors import Cors


def asks(ctx: Context) -> bool:
    """Whether a request is a preflight (Fetch standard, CORS-preflight request)."""
    headers = ctx.request.headers
    return ctx.request.method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


async def preflight(ctx: Context, catalog: Catalog, route: Route, keys: KeyRing) -> GatewayResponse:
    """The answer of the first cors policy in the inbound section that has one, else an empty 200.

    OperationNotFound when the method asked about has no operation, or no cors policy is in scope: preflights are then
    nothing the gateway knows. A product's policies count when the product is open or the key is in the query: browsers
    send no headers of the page's own with a preflight.
    """
    request = ctx.request
    method = request.headers.get("access-control-request-method") or ""
    matched = route.operations.match(method, request.url.path, request.url.query_text)
    if matched is None:
        raise OperationNotFound
    ctx.operation, request.matched_parameters = matched
    try:
        await authorize(ctx, route.access, keys)
    except AccessDenied:
        ctx.product = route.access.open_product
    product = ctx.product.id if ctx.product is not None else ""
    inbound = catalog.documents.sections(route.api.id, ctx.operation.id, product).inbound
    policies = [statement for statement in inbound if isinstance(statement, Cors)]
    if not policies:
        raise OperationNotFound
    ctx.section = "inbound"
    origin = request.headers.get("origin") or ""
    for policy in policies:
        answer = await policy.preflight(ctx, origin, method)
        if answer is not None:
            return answer
    return GatewayResponse(200)
