"""A service on loopback whose answers a test writes as functions: an OpenID provider, an event hub, a webhook.

with Service() as service:
    service.routes["/hello"] = lambda request: Reply(200, b"hi")
    ...                                     # call service.url + "/hello"
    assert service.requests[-1].header("x-name") == "..."
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    client_certificate: dict[str, Any] | None = None

    def header(self, name: str) -> str | None:
        """The values of a header, joined by commas; None when it was not sent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Reply:
    """How one request is answered; `delay` is in seconds, `hang_up` closes the connection without a word."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang_up: bool = False


Route = Callable[[Received], Reply]


def reply_json(value: Any, status: int = 200) -> Reply:
    """A reply in JSON."""
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json"})


class Service:
    """The server; start it with `with`. A path without a route is answered by `default`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Route] = {}
        self.default: Route = lambda request: Reply(404)
        self.requests: list[Received] = []
        self._arrived = threading.Condition()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                service._answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if tls is not None else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The root, without a slash at the end."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_port}"

    def wait_for_requests(self, count: int, timeout: float = 5.0) -> list[Received]:
        """All requests once there are `count`; TimeoutError when they do not come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived")
        return self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        certificate = getattr(handler.connection, "getpeercert", lambda: None)()
        received = Received(handler.command, path, query, list(handler.headers.items()), body, certificate)
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        reply = self.routes.get(path, self.default)(received)
        time.sleep(reply.delay)
        if reply.hang_up:
            handler.close_connection = True
            return
        try:
            handler.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(reply.body)
        except OSError:
            handler.close_connection = True  # the client did not wait


class Scripted:
    """What stands in for a certain service: runs as long as the `service` that its subclass sets up."""

    service: Service

    def __enter__(self) -> Self:
        self.service.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.__exit__(kind, failure, trace)
