"""The request's way, on one screen: receive, match, authorize, run the policies, reply."""

import asyncio
import logging
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from shared.context import BackendCaller, Completion, Context, Services
from shared.errors import ClientGone, GatewayError, OperationNotFound, Unavailable
from shared.gateway import preflight
from shared.gateway.authorize import KeyRing, authorize
from shared.gateway.catalog import Catalog
from shared.gateway.pipeline import answer_error, run_pipeline
from shared.gateway.receive import receive, receive_body
from shared.gateway.reply import Reply
from shared.gateway.request_span import begin_span, end_span, observe_model
from shared.gateway.tracing import Tracing
from shared.message import GatewayRequest, GatewayResponse, Headers, Url
from shared.policies.run import Statements

log = logging.getLogger("gateway")

# APIM's own health path, answered without a key.
HEALTH = "/status-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is in use: a compiled configuration, its backends, its keys. Swapped whole; a request keeps what it began
    with.
    """

    catalog: Catalog
    backends: BackendCaller
    keys: KeyRing


class Gateway:
    """Answers requests from what is in use. `handle` never raises but for its own cancellation."""

    def __init__(self, services: Services, tracing: Tracing, *, client_ip_header: str | None = None) -> None:
        self.serving: Serving | None = None
        self.tracing = tracing
        self._services = services
        self._client_ip_header = client_ip_header

    async def handle(self, request: Request) -> Response:
        """The answer to any request."""
        if request.scope["path"] == HEALTH:
            return Response(status_code=200)
        serving = self.serving
        try:
            if serving is None:
                raise Unavailable("The gateway has no valid configuration.", headers=[("retry-after", "10")])
            limit = serving.catalog.gateway.limits.max_request_body
            ctx = receive(request, self._services, limit=limit, client_ip_header=self._client_ip_header)
        except Exception as error:
            return await self._refuse_unread(request, error)
        self._begin_span(ctx)
        try:
            return Reply(ctx, await self._response(ctx, request, serving), request.method)
        except ClientGone:
            return await self._abandon(ctx)
        except asyncio.CancelledError:
            if ctx.watch is None or not ctx.watch.gone:
                raise
            return await self._abandon(ctx)

    async def _response(self, ctx: Context, request: Request, serving: Serving) -> GatewayResponse:
        """The answer, or that to an error. The caller may leave while either is made."""
        received = False
        try:
            await receive_body(ctx, request.receive, request.scope["headers"])
            received = True
            return await self._answer(ctx, serving)
        except ClientGone:
            raise
        except GatewayError as error:
            error.section = "inbound"  # as in APIM's own example of LastError, a missing key
            return await answer_error(ctx, error, _on_error(ctx, serving.catalog) if received else ())
        except Exception:
            log.exception("request %s: the gateway broke", ctx.request_id)
            return await answer_error(ctx, GatewayError(), ())

    async def _answer(self, ctx: Context, serving: Serving) -> GatewayResponse:
        request, catalog = ctx.request, serving.catalog
        ctx.backends = serving.backends
        found = catalog.routes.match(request.url.path)
        if found is None:
            raise OperationNotFound
        route, path = found
        ctx.api, ctx.kind = route.api, route.kind
        request.url.path = path
        matched = route.operations.match(request.method, path, request.url.query_text)
        if matched is None:
            if preflight.asks(ctx):
                return await preflight.preflight(ctx, catalog, route, serving.keys)
            raise OperationNotFound
        ctx.operation, request.matched_parameters = matched
        self.tracing.begin(ctx, route.api.id)
        self.tracing.keep(ctx, catalog.named_values)
        await authorize(ctx, route.access, serving.keys)
        observe_model(ctx)
        if route.llm_logging is not None:
            route.llm_logging.begin(ctx)
        product = ctx.product.id if ctx.product is not None else ""
        return await run_pipeline(ctx, catalog.documents.sections(route.api.id, ctx.operation.id, product))

    async def _abandon(self, ctx: Context) -> Response:
        """End an exchange whose caller has left before the answer: nobody reads the status, logs do (499, as nginx)."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            task.uncancel()
        if ctx.watch is not None:
            ctx.watch.stop()
        if ctx.response is not None:
            await ctx.response.aclose()
        elapsed = ctx.services.monotonic() - ctx.started
        completion = Completion(499, "client-gone", 0, elapsed, None)
        await ctx.complete(completion)
        end_span(ctx, completion)
        return Response(status_code=499)

    async def _refuse_unread(self, request: Request, error: Exception) -> Response:
        """The answer to a request of which there is no Context: nothing is configured, or no API can have its path."""
        headers = Headers(request.scope["headers"])
        url = Url(request.scope.get("scheme", "http"), "", 0, quote(request.scope["path"]))
        ctx = Context(GatewayRequest(request.method, url, headers), self._services)
        self._begin_span(ctx)
        if not isinstance(error, GatewayError):
            log.error("request %s: the gateway broke", ctx.request_id, exc_info=error)
            error = GatewayError()
        return Reply(ctx, await answer_error(ctx, error, ()), request.method)

    def _begin_span(self, ctx: Context) -> None:
        if self._services.telemetry is not None:
            begin_span(ctx, self._services.telemetry)


def _on_error(ctx: Context, catalog: Catalog) -> Statements:
    """The on-error policies for what went wrong before any policy ran, of the scopes that are known by then."""
    api = ctx.api.id if ctx.api is not None else ""
    operation = ctx.operation.id if ctx.operation is not None else ""
    return catalog.documents.sections(api, operation, ctx.product.id if ctx.product is not None else "").on_error
