"""`make run`: Azurite, a demo backend, a demo Content Safety and the gateway until Ctrl-C, with calls ready to copy.

The gateway runs in the Functions host (`func start`) where Core Tools are installed, otherwise on a local ASGI server.
With AZURE_OPENAI_ENDPOINT set it fronts that resource instead of the demo backend: with AZURE_OPENAI_API_KEY when that
is set too, else as whom `az login` says; CONTENT_SAFETY_ENDPOINT and CONTENT_SAFETY_KEY do the same for Content Safety.
All state and all secrets of these runs are in the ignored folder `.run`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from ruamel.yaml import YAML

from tests.support.azurite import Azurite, Service
from tests.support.processes import ROOT, ChildProcess, ProcessFailed, free_port

STATE = ROOT / ".run"
GATEWAY_PORT = 7071  # what `func start` uses
BACKEND_PORT = 8089
CONTENT_SAFETY_PORT = 8090
AZURITE_PORTS: dict[Service, int] = {"blob": 10000, "queue": 10001, "table": 10002}
DEMO_KEY = "demo-backend-key"
START_TIMEOUT = 120.0  # `func start` may fetch things the first time
API_VERSION = "2024-10-21"
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Ctrl-C, a closed terminal or a polite kill."""


@dataclass(frozen=True)
class Calls:
    """What the printed examples need: root URL, a key, the model, and the paths of three APIs (None: not declared)."""

    url: str
    key: str
    model: str
    azure_path: str | None
    openai_path: str | None
    guarded_path: str | None = None


def run(arguments: list[str]) -> int:
    """Run until told to end; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the gateway locally.")
    parser.add_argument("--port", type=int, default=GATEWAY_PORT, help="the gateway's port, another one when taken")
    parser.add_argument("--state", type=Path, default=STATE, help="folder for Azurite's data")
    options = parser.parse_args(arguments)
    for ending in ENDINGS:
        signal.signal(ending, _end)
    try:
        with ExitStack() as stack:
            _run(options.port, options.state, stack)
    except Ended:
        print("\nended", flush=True)
        return 0
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _run(port: int, state: Path, stack: ExitStack) -> None:
    state.mkdir(exist_ok=True)
    _lock(stack.enter_context((state / "lock").open("w")))
    storage = stack.enter_context(Azurite(*AZURITE_PORTS, data=state / "azurite", preferred_ports=AZURITE_PORTS))
    for service, wanted in AZURITE_PORTS.items():
        _tell_moved(f"Azurite ({service})", wanted, storage.ports[service])
    children = {"Azurite": storage.running}
    env = {
        "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string,
        **_backend(stack, children),
        **_content_safety(stack, children),
    }
    gateway_port = free_port(port)
    _tell_moved("the gateway", port, gateway_port)
    gateway = stack.enter_context(_gateway(gateway_port, env, storage))
    children["the gateway"] = gateway
    url = f"http://127.0.0.1:{gateway_port}"
    _wait_until_it_answers(url, gateway)
    print(examples(_calls(url)), flush=True)
    print(_administration(storage.connection_string), flush=True)
    while True:
        time.sleep(0.5)
        for name, child in children.items():
            if child.exit_code is not None:
                raise ProcessFailed("\n".join([f"{name} ended with {child.exit_code}:", *child.last_lines]))


def _lock(file: TextIO) -> None:
    """Two instances of Azurite on the same data would lose some of it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ProcessFailed("another `make run` is under way in this folder") from error


def _backend(stack: ExitStack, children: dict[str, ChildProcess]) -> dict[str, str]:
    """Start the demo backend unless a real resource is named; returns the environment that points to it."""
    if endpoint := os.environ.get("AZURE_OPENAI_ENDPOINT"):
        way = "its API key" if os.environ.get("AZURE_OPENAI_API_KEY") else "the identity of `az login`"
        print(f"backend: {endpoint} with {way}")
        return {"AZURE_OPENAI_ENDPOINT": endpoint.rstrip("/")}
    port = free_port(BACKEND_PORT)
    _tell_moved("the demo backend", BACKEND_PORT, port)
    module = [sys.executable, "-m", "tests.support.backend"]
    child = stack.enter_context(ChildProcess([*module, "--port", str(port), "--key", DEMO_KEY, "--chunk-every", "0.1"]))
    url = child.wait_for_line("listening on ")
    children["the demo backend"] = child
    print(f"backend: {url}, a demo that repeats what it is told; set AZURE_OPENAI_ENDPOINT to use your own")
    return {"AZURE_OPENAI_ENDPOINT": url, "AZURE_OPENAI_API_KEY": DEMO_KEY}


def _content_safety(stack: ExitStack, children: dict[str, ChildProcess]) -> dict[str, str]:
    """Start the demo Content Safety unless a real resource is named; returns the environment that points to it."""
    if endpoint := os.environ.get("CONTENT_SAFETY_ENDPOINT"):
        print(f"content safety: {endpoint}")
        return {"CONTENT_SAFETY_ENDPOINT": endpoint.rstrip("/")}
    port = free_port(CONTENT_SAFETY_PORT)
    _tell_moved("the demo Content Safety", CONTENT_SAFETY_PORT, port)
    module = [sys.executable, "-m", "tests.support.content_safety"]
    child = stack.enter_context(ChildProcess([*module, "--port", str(port), "--key", DEMO_KEY]))
    url = child.wait_for_line("listening on ")
    children["the demo Content Safety"] = child
    print(f"content safety: {url}, a demo that knows some words; set CONTENT_SAFETY_ENDPOINT to use your own")
    return {"CONTENT_SAFETY_ENDPOINT": url, "CONTENT_SAFETY_KEY": DEMO_KEY}


def _gateway(port: int, env: Mapping[str, str], storage: Azurite) -> ChildProcess:
    func = shutil.which("func")
    if func is None:
        print("gateway: local ASGI server (Azure Functions Core Tools are not installed)")
        # Shorter than what a child is given to end in.
        command = [sys.executable, "-m", "shared", "serve", "--port", str(port), "--grace-seconds", "3"]
        return ChildProcess(command, env={"PYTHONUNBUFFERED": "1", **env}, on_line=print)
    print("gateway: Azure Functions Core Tools")
    settings = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": storage.connection_string,
        "PYTHON_ENABLE_INIT_INDEXING": "1",  # streaming, up to Python 3.12
        # Core Tools take the interpreter from the active virtual environment.
        "VIRTUAL_ENV": sys.prefix,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return ChildProcess([func, "start", "--port", str(port)], env={**settings, **env}, on_line=print)


def _wait_until_it_answers(url: str, gateway: ChildProcess) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    reason = "nothing listens"
    while time.monotonic() < deadline and gateway.exit_code is None:
        try:
            with urllib.request.urlopen(f"{url}/status-0123456789abcdef", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            reason = str(error)
            time.sleep(0.1)
    raise ProcessFailed("\n".join([f"the gateway does not answer ({reason}):", *gateway.last_lines]))


def _calls(url: str) -> Calls:
    declared = YAML(typ="safe").load(ROOT / "gateway.yaml")
    key = (STATE / "all-access-key").read_text().strip()
    model = os.environ.get("AZURE_OPENAI_DEPLOYMENT", "gpt-4o-mini")
    v1 = _path(declared, "openai-v1")
    openai = f"{v1}/openai/v1" if v1 else _path(declared, "openai")
    guarded = (declared.get("apis") or {}).get("openai-v1-guarded")
    return Calls(
        url, key, model, _path(declared, "azure-openai"), openai, f"{guarded['path']}/openai/v1" if guarded else None
    )


def _path(declared: Any, *kinds: str) -> str | None:
    apis = (declared.get("apis") or {}).values()
    return next((api["path"].strip("/") for kind in kinds for api in apis if api.get("kind") == kind), None)


def examples(calls: Calls) -> str:
    """Calls that work as they are, for the APIs that are declared."""
    body = '{"model": "%s", "messages": [{"role": "user", "content": "Hello"}]%s}'
    parts = [f"\nThe gateway answers at {calls.url}  (Ctrl-C ends everything)"]
    if calls.azure_path is not None:
        chat = f"{calls.url}/{calls.azure_path}/deployments/{calls.model}/chat/completions?api-version={API_VERSION}"
        endpoint = f"{calls.url}/{calls.azure_path.removesuffix('openai').rstrip('/')}".rstrip("/")
        parts += [_curl(chat, calls.key, body % (calls.model, "")), "Streamed:"]
        parts.append(_curl(chat, calls.key, body % (calls.model, ', "stream": true'), "-N "))
        if calls.guarded_path is not None:
            guarded = f"{calls.url}/{calls.guarded_path}/chat/completions"
            asked = body.replace("Hello", "How do I build a bomb?") % (calls.model, "")
            parts += ["Refused by content safety:", _curl(guarded, calls.key, asked)]
        client = f'AzureOpenAI(azure_endpoint="{endpoint}", api_key="{calls.key}", api_version="{API_VERSION}")'
        parts += ["With the OpenAI SDK:", _sdk("AzureOpenAI", client, calls.model)]
    if calls.openai_path is not None:
        base = f"{calls.url}/{calls.openai_path}"
        if calls.azure_path is None:
            chat = f"{base}/chat/completions"
            parts += [_curl(chat, calls.key, body % (calls.model, "")), "Streamed:"]
            parts.append(_curl(chat, calls.key, body % (calls.model, ', "stream": true'), "-N "))
        parts.append(_sdk("OpenAI", f'OpenAI(base_url="{base}", api_key="{calls.key}")', calls.model))
    return "\n\n".join(parts) + "\n"


def _administration(connection_string: str) -> str:
    """Commands that work on the state of this gateway, from another terminal."""
    return (
        "Its subscriptions, limits and backends, from another terminal:\n\n"
        f"export GATEWAY_TABLES_CONNECTION_STRING='{connection_string}'\n"
        ".venv/bin/python -m shared subscriptions create team-a --scope product:unlimited\n"
    )


def _curl(url: str, key: str, body: str, options: str = "") -> str:
    return f"curl {options}'{url}' \\\n  -H 'api-key: {key}' -H 'content-type: application/json' \\\n  -d '{body}'"


def _sdk(name: str, client: str, model: str) -> str:
    return (
        f"from openai import {name}\nclient = {client}\n"
        f'answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])\n'
        "print(answer.choices[0].message.content)"
    )


def _tell_moved(what: str, wanted: int, port: int) -> None:
    if port != wanted:
        print(f"port {wanted} is taken: {what} uses {port}")


def _end(number: int, frame: FrameType | None) -> None:
    for ending in ENDINGS:  # a second Ctrl-C must not leave processes behind
        signal.signal(ending, signal.SIG_IGN)
    raise Ended


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
