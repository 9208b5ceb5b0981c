"""What the gateway answers below its own reserved path: JSON for consoles and scripts."""

import json
import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.gateway.tracing import Tracing
from shared.management.backends import BackendsView
from shared.message import Headers
from shared.stores.protocols import StoreError

log = logging.getLogger("gateway")

MANAGEMENT = "/_management/"


async def manage(request: Request, tracing: Tracing, backends: BackendsView) -> Response:
    """`GET /_management/traces/<id>` with a debug token: a stored request trace. `GET /_management/backends` with one
    that opens all APIs: how the backends fare at this instance."""
    area, _, id = request.scope["path"].removeprefix(MANAGEMENT).partition("/")
    headers = Headers(request.scope["headers"])
    match area, bool(id), request.method:
        case "traces", True, "GET":
            return await _trace(id, headers, tracing)
        case "backends", False, "GET":
            return JSONResponse(backends.shown()) if tracing.may_read(headers, "") else _denied()
    return JSONResponse({"statusCode": 404, "message": "Resource not found"}, 404)


def _denied() -> Response:
    return JSONResponse({"statusCode": 401, "message": "A valid Apim-Debug-Authorization header is required."}, 401)


async def _trace(id: str, headers: Headers, tracing: Tracing) -> Response:
    if not tracing.may_read(headers):
        return _denied()
    try:
        trace = await tracing.store.get(id)
    except StoreError as error:
        log.warning("traces cannot be read: %s", error)
        return JSONResponse({"statusCode": 503, "message": "Traces cannot be read at the moment."}, 503)
    if trace is None or not tracing.may_read(headers, json.loads(trace)["api"] or ""):
        return JSONResponse({"statusCode": 404, "message": "There is no trace of that id."}, 404)
    return Response(trace, media_type="application/json")
