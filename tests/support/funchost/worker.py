"""The worker's side: hands the host's messages to the handlers of the package `azure-functions-runtime`.

Run by `host.py` in the Python 3.13 environment, as the platform's own proxy worker does it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import queue
import sys
import threading
from types import SimpleNamespace
from typing import Any

from tests.support.funchost.protocol import SERVICE, UNLIMITED, build_protocol


class _ToHost(logging.Handler):
    """Log records as messages to the host."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("grpc"):
            return  # sending a record would make another
        log = self.worker.protocol.RpcLog(
            level=min(5, record.levelno // 10), message=self.format(record), category=record.name
        )
        self.worker.send(rpc_log=log)


class Worker:
    """One worker process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.protocol = build_protocol()
        self.outbox: queue.Queue[Any] = queue.Queue()
        self.tasks: set[asyncio.Task[None]] = set()

    def send(self, **content: Any) -> None:
        """Queue a message for the host."""
        self.outbox.put_nowait(self.protocol.StreamingMessage(request_id=self.options.request_id, **content))

    async def run(self) -> None:
        """Serve the host until it closes the stream."""
        import azure_functions_runtime as runtime

        self.runtime, self.loop, self.done = runtime, asyncio.get_running_loop(), asyncio.Event()
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger().addHandler(_ToHost(self))
        self.send(start_stream=self.protocol.StartStream(worker_id=self.options.worker_id))
        threading.Thread(target=self._listen, daemon=True).start()
        await self.done.wait()

    def _listen(self) -> None:
        import grpc

        stream = grpc.insecure_channel(f"127.0.0.1:{self.options.port}", options=UNLIMITED).stream_stream(
            f"/{SERVICE}/EventStream",
            request_serializer=self.protocol.StreamingMessage.SerializeToString,
            response_deserializer=self.protocol.StreamingMessage.FromString,
        )
        try:
            for message in stream(iter(self.outbox.get, None)):
                self.loop.call_soon_threadsafe(self._spawn, message)
        except grpc.RpcError as error:
            print(f"the host's stream ended: {error.code()}", flush=True)
        self.loop.call_soon_threadsafe(self.done.set)

    def _spawn(self, message: Any) -> None:
        task = self.loop.create_task(self._handle(message))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _handle(self, message: Any) -> None:
        kind = message.WhichOneof("content")
        properties = {"protos": self.protocol, "host": "127.0.0.1"}
        request = SimpleNamespace(name=kind, request=message, properties=properties)
        match kind:
            case "worker_init_request":
                self.runtime.start_threadpool_executor()
                self.send(worker_init_response=await self.runtime.worker_init_request(request))
            case "functions_metadata_request":
                self.send(function_metadata_response=await self.runtime.functions_metadata_request(request))
            case "function_load_request":
                self.send(function_load_response=await self.runtime.function_load_request(request))
            case "invocation_request":
                self.send(invocation_response=await self.runtime.invocation_request(request))
            case "worker_terminate":
                self.done.set()


def main() -> None:
    """Run until the host says so."""
    parser = argparse.ArgumentParser()
    for flag in ("--port", "--worker-id", "--request-id", "--app"):
        parser.add_argument(flag, required=True)
    options = parser.parse_args()
    sys.path.insert(0, options.app)  # where the host puts the app: first
    os.chdir(options.app)
    import uvloop  # the platform's worker runs on it from 3.13

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(options).run())
        sys.stdout.flush()
        os._exit(0)  # the extension's uvicorn server has no other way to end


if __name__ == "__main__":
    main()
