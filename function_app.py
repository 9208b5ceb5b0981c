"""The Azure Functions entry: one catch-all HTTP function hands every request to the gateway."""

import functools
import logging
import os
from pathlib import Path

import azure.functions as func
import azurefunctions.extensions.http.fastapi as http
from azurefunctions.extensions.http.fastapi import web
from fastapi import FastAPI

from shared.app import App
from shared.settings import Settings, SettingsError, from_environment, is_local

# The extension's own FastAPI app would answer /docs, /redoc and /openapi.json itself, and the invocation would wait for
# ever; its built-in telemetry would report every call a second time.
web.FastAPI = functools.partial(
    FastAPI,
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    telemetry={"tracing": False, "metrics": False, "logs": False},
)
# Its server's access log has whole URLs in it, keys in query strings too.
logging.getLogger("uvicorn.access").addFilter(lambda record: False)
for name in ("azure", "httpx"):
    logging.getLogger(name).setLevel(logging.WARNING)

local = is_local(os.environ)
try:
    settings: Settings | SettingsError = from_environment(base=Path(__file__).resolve().parent, local=local)
except SettingsError as error:
    settings = error  # a function that does not load would leave the caller with the host's own 404
gateway = App(settings, local=local, own_process=True)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("purge")
@app.timer_trigger(schedule="0 17 * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
async def purge(timer: func.TimerRequest) -> None:
    """Every hour, on one instance: delete from storage what is too old to be of use."""
    await gateway.purge()


# The host tries functions in alphabetical order of their names: a catch-all must come last.
@app.function_name("zz_gateway")
@app.route(route="{*path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def zz_gateway(req: http.Request) -> http.Response:
    """Every request: the gateway has its own keys and its own routes."""
    return await gateway.handle(req)
