"""What the gateway answers below its own reserved path: JSON for consoles and scripts."""

import json
import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.gateway.tracing import Tracing
from shared.message import Headers
from shared.stores.protocols import StoreError

log = logging.getLogger("gateway")

MANAGEMENT = "/_management/"


async def manage(request: Request, tracing: Tracing) -> Response:
    """`GET /_management/traces/<id>` with a debug token: a stored request trace."""
    area, _, id = request.scope["path"].removeprefix(MANAGEMENT).partition("/")
    if area != "traces" or not id or request.method != "GET":
        return JSONResponse({"statusCode": 404, "message": "Resource not found"}, 404)
    headers = Headers(request.scope["headers"])
    if not tracing.may_read(headers):
        return JSONResponse({"statusCode": 401, "message": "A valid Apim-Debug-Authorization header is required."}, 401)
    try:
        trace = await tracing.store.get(id)
    except StoreError as error:
        log.warning("traces cannot be read: %s", error)
        return JSONResponse({"statusCode": 503, "message": "Traces cannot be read at the moment."}, 503)
    if trace is None or not tracing.may_read(headers, json.loads(trace)["api"] or ""):
        return JSONResponse({"statusCode": 404, "message": "There is no trace of that id."}, 404)
    return Response(trace, media_type="application/json")
