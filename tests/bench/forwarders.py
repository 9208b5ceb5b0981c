"""The yardsticks: the least that forwards chat calls, on the gateway's own server, over aiohttp and over default httpx.

    python -m tests.bench.forwarders aiohttp --backend http://127.0.0.1:PORT

No key check, no matching, no errors: what remains is the cost of the client library. Streams are passed on chunk by
chunk, plain answers in one piece, which is the cheapest way for both.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

KEPT = ("content-type", "authorization", "api-key", "x-pace")


def aiohttp_forwarder(backend: str) -> Callable[[Request], Awaitable[Response]]:
    """A handler that forwards through one aiohttp session without limits."""
    import aiohttp

    sessions: list[aiohttp.ClientSession] = []

    async def forward(request: Request) -> Response:
        if not sessions:  # made inside the running loop
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False))
        url = backend + request.url.path
        answer = await sessions[0].request(request.method, url, data=await request.body(), headers=_kept(request))
        kind = answer.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            return Response(await answer.read(), answer.status, {"content-type": kind})

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in answer.content.iter_any():
                yield chunk

        return StreamingResponse(chunks(), answer.status, {"content-type": kind})

    return forward


def httpx_forwarder(backend: str) -> Callable[[Request], Awaitable[Response]]:
    """A handler that forwards through one httpx client with its default transport and no limits."""
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None), timeout=60)

    async def forward(request: Request) -> Response:
        url = backend + request.url.path
        outgoing = client.build_request(request.method, url, content=await request.body(), headers=_kept(request))
        answer = await client.send(outgoing, stream=True)
        kind = answer.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            return Response(await answer.aread(), answer.status_code, {"content-type": kind})

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()

        return StreamingResponse(chunks(), answer.status_code, {"content-type": kind})

    return forward


def _kept(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in KEPT if name in request.headers}


FORWARDERS = {"aiohttp": aiohttp_forwarder, "httpx": httpx_forwarder}


def application(handler: Callable[[Request], Awaitable[Response]]) -> Any:
    """The handler as an ASGI application, without a router."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    return app


def main() -> None:
    """Serve on a free port until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=FORWARDERS)
    parser.add_argument("--backend", required=True)
    options = parser.parse_args()
    app = application(FORWARDERS[options.client](options.backend))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning")
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
