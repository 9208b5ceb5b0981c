"""The host's side: starts the worker, indexes the app, and serves HTTP with one invocation per request.

async with FunctionHost(app_folder, python=".venv-functions/bin/python") as host:
    ...  # call host.url; host.logs, host.started, host.finished; await host.run_timer("refresh")
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import re
import signal
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import unquote

import aiohttp
import grpc
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.support.funchost.protocol import SERVICE, UNLIMITED, build_protocol
from tests.support.processes import ROOT

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
START_TIMEOUT = 60.0
IDLE_TIMEOUT = 230.0  # seconds without a byte from the worker


class HostError(RuntimeError):
    """The worker did not start, or the app cannot be indexed or loaded; the text has the worker's own words."""


@dataclass(frozen=True)
class Finished:
    """One invocation that is over, as the host would report it."""

    function: str
    invocation: str
    succeeded: bool
    seconds: float


@dataclass(frozen=True)
class HttpFunction:
    """A function with an HTTP trigger."""

    name: str
    id: str
    parameter: str
    methods: frozenset[str]
    template: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route's values when this function answers `method` on `path`, else None."""
        found = _route(self.template).match(path.lstrip("/")) if method in self.methods else None
        return {name: value for name, value in found.groupdict().items() if value} if found else None


class FunctionHost:
    """A function app on the real Python runtime, behind an HTTP front on a free loopback port."""

    def __init__(self, app: Path, *, python: Path, env: dict[str, str] | None = None) -> None:
        """`app`: folder with host.json and function_app.py; `python`: interpreter with the runtime; `env`: settings."""
        self.app = app.resolve()
        self.python = python
        self.env = env or {}
        self.protocol = _protocol()
        self.logs: list[str] = []  # what the worker logged and printed
        self.started = 0
        self.running: set[str] = set()  # invocation ids
        self.quiet = asyncio.Event()  # set while no invocation runs
        self.finished: list[Finished] = []
        self.http: list[HttpFunction] = []
        self.timers: dict[str, tuple[str, str]] = {}  # name -> (function id, parameter)
        self.url = ""
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._id = str(uuid.uuid4())

    # --- start and stop ---

    async def __aenter__(self) -> Self:
        try:
            await self._start_worker()
            await self._index()
            await self._start_front()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.url:
            await self.runner.cleanup()
            await self.client.close()
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.grpc.stop(0.2)

    async def _start_worker(self) -> None:
        self.grpc = grpc.aio.server(options=UNLIMITED)
        stream = grpc.stream_stream_rpc_method_handler(
            self._event_stream,
            request_deserializer=self.protocol.StreamingMessage.FromString,
            response_serializer=self.protocol.StreamingMessage.SerializeToString,
        )
        self.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"EventStream": stream}),))
        port = self.grpc.add_insecure_port("127.0.0.1:0")
        await self.grpc.start()
        settings = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsScriptRoot": str(self.app)}
        arguments = {"--port": port, "--worker-id": self._id, "--request-id": self._id, "--app": self.app}
        self.process = await asyncio.create_subprocess_exec(
            str(self.python),
            "-m",
            f"{__package__}.worker",
            *(str(word) for pair in arguments.items() for word in pair),
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings, **self.env},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._spawn(self._read_output())
        await self._expect("start_stream")
        reply = await self._ask(
            "worker_init_response",
            worker_init_request=self.protocol.WorkerInitRequest(
                host_version="4.1040.0", function_app_directory=str(self.app)
            ),
        )
        self._check(reply.result, "the worker failed to start")
        self.worker_url = reply.capabilities.get("HttpUri", "").rstrip("/")
        if not self.worker_url:
            raise HostError("the app does not use the streaming extension: the worker announced no HTTP endpoint")

    async def _index(self) -> None:
        request = self.protocol.FunctionsMetadataRequest(function_app_directory=str(self.app))
        reply = await self._ask("function_metadata_response", functions_metadata_request=request)
        self._check(reply.result, "the app cannot be indexed")
        settings = json.loads((self.app / "host.json").read_text("utf-8"))
        prefix = settings.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        # The host tries routes in the order of the functions' names.
        for function in sorted(reply.function_metadata_results, key=lambda one: str(one.name).upper()):
            for raw in function.raw_bindings:
                self._add(function, json.loads(raw), prefix)
            copy = self.protocol.RpcFunctionMetadata.FromString(function.SerializeToString())
            copy.ClearField("raw_bindings")  # the host repeats everything but these
            request = self.protocol.FunctionLoadRequest(function_id=function.function_id, metadata=copy)
            loaded = await self._ask(f"load:{function.function_id}", function_load_request=request)
            self._check(loaded.result, f"function {function.name} cannot be loaded")
        if not self.http:
            raise HostError("the app has no HTTP function")

    def _add(self, function: Any, binding: dict[str, Any], prefix: str) -> None:
        match str(binding.get("type", "")).lower():
            case "httptrigger":
                route = (binding.get("route") or function.name).strip("/")
                template = "/".join(part for part in (prefix.strip("/"), route) if part)
                methods = frozenset(method.upper() for method in binding.get("methods") or [])
                self.http.append(HttpFunction(function.name, function.function_id, binding["name"], methods, template))
            case "timertrigger":
                self.timers[function.name] = (function.function_id, binding["name"])

    async def _start_front(self) -> None:
        # One connection per request: the worker may close an idle one at any moment.
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=IDLE_TIMEOUT),
        )
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{tail:.*}", self._front)
        self.runner = web.AppRunner(application, handler_cancellation=True, access_log=None, max_field_size=32768)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    # --- the stream of messages ---

    async def _event_stream(self, _: Any, context: Any) -> None:
        async def read() -> None:
            while (message := await context.read()) is not grpc.aio.EOF:
                self._received(message)
            self._outbox.put_nowait(None)

        reader = self._spawn(read())
        try:
            while (message := await self._outbox.get()) is not None:
                await context.write(message)
        finally:
            reader.cancel()
            self._lost("the worker closed its stream")

    def _received(self, message: Any) -> None:
        kind = message.WhichOneof("content")
        content = getattr(message, kind)
        match kind:
            case "rpc_log":
                self.logs.append(f"{content.category}: {content.message}")
                return
            case "invocation_response":
                key = content.invocation_id
            case "function_load_response":
                key = f"load:{content.function_id}"
            case _:
                key = kind
        future = self._waiting.pop(key, None) or self._future(key)
        if not future.done():
            future.set_result(content)

    def _future(self, key: str) -> asyncio.Future[Any]:
        return self._waiting.setdefault(key, asyncio.get_running_loop().create_future())

    async def _expect(self, key: str) -> Any:
        try:
            return await asyncio.wait_for(self._future(key), START_TIMEOUT)
        except (TimeoutError, ConnectionError) as error:
            raise HostError("\n".join([f"no {key} from the worker: {error}", *self.logs[-30:]])) from error

    async def _ask(self, key: str, **content: Any) -> Any:
        self._future(key)
        self._send(**content)
        return await self._expect(key)

    def _send(self, **content: Any) -> None:
        self._outbox.put_nowait(self.protocol.StreamingMessage(request_id=self._id, **content))

    def _lost(self, why: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError(why))
        self._waiting.clear()

    async def _read_output(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.logs.append(line.decode(errors="replace").rstrip())
        self._lost("the worker ended")

    def _check(self, result: Any, what: str) -> None:
        if result.status != self.protocol.StatusResult.Success:
            raise HostError("\n".join([f"{what}: {_reason(result)}", *self.logs[-30:]]))

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- invocations ---

    async def run_timer(self, name: str) -> Finished:
        """Run a timer function once and return how it ended."""
        function_id, parameter = self.timers[name]
        now = datetime.datetime.now(datetime.UTC).isoformat()
        status = {"Last": now, "LastUpdated": now, "Next": now}
        payload = json.dumps({"Schedule": {"AdjustForDST": True}, "IsPastDue": False, "ScheduleStatus": status})
        data = self.protocol.TypedData(json=payload)
        await self._invoke(name, function_id, parameter, data, str(uuid.uuid4()), None, None)
        return self.finished[-1]

    async def _invoke(
        self,
        name: str,
        function_id: str,
        parameter: str,
        data: Any,
        invocation: str,
        trace: Any,
        forwarded: asyncio.Task[Any] | None,
    ) -> None:
        """Run one invocation to its end: the worker's answer, and for HTTP the last byte of the body."""
        self.started += 1
        begun = time.monotonic()
        self.running.add(invocation)
        self.quiet.clear()
        answer = self._future(invocation)
        binding = self.protocol.ParameterBinding(name=parameter, data=data)
        request = self.protocol.InvocationRequest(
            invocation_id=invocation, function_id=function_id, input_data=[binding], trace_context=trace
        )
        self._send(invocation_request=request)
        succeeded = False
        try:
            response = await answer
            if forwarded is not None:
                await asyncio.wait({forwarded})
            succeeded = response.result.status == self.protocol.StatusResult.Success
            if not succeeded:
                self.logs.append(f"host: {name} failed: {_reason(response.result)}")
        except ConnectionError as error:
            self.logs.append(f"host: {name} failed: {error}")
        finally:
            self.running.remove(invocation)
            if not self.running:
                self.quiet.set()
            self.finished.append(Finished(name, invocation, succeeded, time.monotonic() - begun))

    # --- HTTP ---

    async def _front(self, request: web.Request) -> web.StreamResponse:
        # Decoded, but "%2F" stays: that is how Kestrel hands a path to routing.
        raw_path = request.raw_path.partition("?")[0]
        path = "%2F".join(unquote(part) for part in re.split("%2f", raw_path, flags=re.IGNORECASE))
        for function in self.http:
            if (values := function.match(request.method, path)) is not None:
                return await self._proxy(request, function, values)
        return web.Response(status=404)

    async def _proxy(self, request: web.Request, function: HttpFunction, values: dict[str, str]) -> web.StreamResponse:
        invocation = str(uuid.uuid4())
        parent = request.headers.get("traceparent") or f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
        trace = self.protocol.RpcTraceContext(trace_parent=parent)
        data = self.protocol.TypedData(http=self.protocol.RpcHttp(params=values))
        forwarded = asyncio.ensure_future(self._forward(request, invocation))
        self._spawn(self._invoke(function.name, function.id, function.parameter, data, invocation, trace, forwarded))
        try:
            return await forwarded
        except asyncio.CancelledError:
            forwarded.cancel()
            raise

    async def _forward(self, request: web.Request, invocation: str) -> web.StreamResponse:
        try:
            upstream = await self._call_worker(request, invocation)
        except TimeoutError:
            return web.Response(status=504)
        except aiohttp.ClientError as error:
            self.logs.append(f"host: proxying failed: {error!r}")
            return web.Response(status=502)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        for name, value in upstream.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        try:
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.logs.append(f"host: the response broke off: {error!r}")
            if request.transport is not None:
                request.transport.abort()  # the client must see a truncated body, not a clean end
        finally:
            upstream.close()
        return response

    async def _call_worker(self, request: web.Request, invocation: str) -> aiohttp.ClientResponse:
        """The request as the host's proxy sends it; tried again while the worker's server is not up yet."""
        dropped = HOP_BY_HOP | {"host", "expect"}
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in dropped)
        # Set, not appended, as the host's proxy does it.
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Host"] = request.host
        headers["X-Forwarded-Proto"] = request.scheme
        headers["x-ms-invocation-id"] = invocation
        target = URL(self.worker_url + request.raw_path, encoded=True)
        body = request.content if request.can_read_body else None
        for attempt in range(10):
            try:
                return await self.client.request(
                    request.method, target, headers=headers, data=body, allow_redirects=False
                )
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(min(0.05 * 2**attempt, 0.25))
        raise aiohttp.ClientConnectionError("the worker's HTTP endpoint does not accept connections")


def _reason(result: Any) -> str:
    text = str(result.exception.message or result.result or "no message")
    return "\n".join(filter(None, [text, result.exception.stack_trace]))


@cache
def _protocol() -> SimpleNamespace:
    return build_protocol()


@cache
def _route(template: str) -> re.Pattern[str]:
    """ASP.NET route template -> pattern: `{name}` is a segment, a last `{*name}` the rest."""
    pattern = ""
    for number, segment in enumerate(template.strip("/").split("/")):
        slash = "/" if number else ""
        if rest := re.fullmatch(r"\{\*(\w+)(?::[^}]*)?\}", segment):
            pattern += f"(?:{slash}(?P<{rest[1]}>.*))?"
        elif one := re.fullmatch(r"\{(\w+)\}", segment):
            pattern += f"{slash}(?P<{one[1]}>[^/]+)"
        else:
            pattern += slash + re.escape(segment)
    return re.compile(f"^{pattern}$", re.IGNORECASE | re.DOTALL)
