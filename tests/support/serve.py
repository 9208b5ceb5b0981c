"""The gateway as tests run it: as processes of its own, or as an ASGI app on a thread of the test's process.

with gateway(config, env={"STORAGE": azurite.connection_string}) as one: httpx.get(one.url + ...)
with gateways(config, 2) as (one, two): ...        # two instances that share what the config says
with serving(app) as url: ...                      # no process start to wait for
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import ChildProcess, ProcessFailed

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True)
class RunningGateway:
    """A gateway process: its root URL without a slash at the end, and the process (`lines`, `kill`, `pause`)."""

    url: str
    process: ChildProcess


@contextmanager
def gateway(
    config: Path, *options: str, port: int = 0, env: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[RunningGateway]:
    """Run `python -m shared serve` on `config` until the block ends; raises ProcessFailed when it does not come up."""
    command = [python, "-m", "shared", "serve", "--config", str(config), "--port", str(port), *options]
    with ChildProcess(command, env={"PYTHONUNBUFFERED": "1", **(env or {})}) as process:
        yield RunningGateway(process.wait_for_line("listening on ").rstrip("/"), process)


@contextmanager
def gateways(config: Path, count: int, *, env: Mapping[str, str] | None = None) -> Iterator[list[RunningGateway]]:
    """Run `count` gateway processes on one config, as instances of one function app."""
    with ExitStack() as stack:
        yield [stack.enter_context(gateway(config, env=env)) for _ in range(count)]


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI app with uvicorn on a thread; yields its root URL, raises ProcessFailed when it does not start."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="warning",
        access_log=False,
        lifespan="auto",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ProcessFailed("uvicorn did not start")
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
