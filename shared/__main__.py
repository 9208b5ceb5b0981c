"""`python -m shared <command>`: serve the gateway locally, check a configuration, import APIs, manage subscriptions."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from shared.settings import SettingsError, config_file, from_environment, is_local

if TYPE_CHECKING:
    import uvicorn

# Commands with a file of their own: imported when asked for, so that serving starts without them.
MANAGEMENT = {
    "backends": "shared.management.commands.backends",
    "cache": "shared.management.commands.cache",
    "debug-token": "shared.management.commands.debug_token",
    "import": "shared.management.commands.import_api",
    "limits": "shared.management.commands.limits",
    "subscriptions": "shared.management.commands.subscriptions",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = command_parser(given).parse_args(given)
    try:
        result: int = parsed.run(parsed)
        return result
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def command_parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command in `given`; of all commands when it names none."""
    parser = argparse.ArgumentParser(
        prog="python -m shared",
        description="Serve the gateway locally, check a configuration, import APIs, manage subscriptions.",
        epilog="`python -m shared <command> --help` tells the rest.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_serve(commands)
    _add_check(commands)
    _add_schema(commands)
    for name, module in MANAGEMENT.items():
        if given[:1] == [name] or not given or given[0] not in {*MANAGEMENT, *commands.choices}:
            import_module(module).add_arguments(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "serve the gateway on this machine"
    parser = commands.add_parser("serve", help=summary, description=f"{summary}, until Ctrl-C")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file (default: GATEWAY_CONFIG or gateway.yaml)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, for this machine)"
    )
    parser.add_argument("--port", type=_port, default=7071, help="port to listen on, 0 for a free one (default: 7071)")
    parser.add_argument(
        "--reload-seconds",
        type=float,
        metavar="SECONDS",
        help="look for changed files this often (default: GATEWAY_RELOAD_SECONDS, or 2)",
    )
    parser.add_argument(
        "--grace-seconds",
        type=int,
        metavar="SECONDS",
        default=30,
        help="how long calls may go on after Ctrl-C, which a second one cuts short (default: 30)",
    )
    parser.set_defaults(run=_serve)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port from 0 to 65535")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    import uvicorn

    from shared.app import App

    environment = dict(os.environ)
    if arguments.reload_seconds is not None:
        environment["GATEWAY_RELOAD_SECONDS"] = str(arguments.reload_seconds)
    environment.setdefault("GATEWAY_RELOAD_SECONDS", "2")
    if arguments.config:
        environment["GATEWAY_CONFIG"] = str(arguments.config.resolve())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    settings = from_environment(environment, base=Path.cwd(), local=is_local(environment))
    config = uvicorn.Config(
        App(settings, local=is_local(environment), own_process=True),
        host=arguments.host,
        port=arguments.port,
        access_log=False,  # it would show keys in query strings
        log_level="warning",
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=arguments.grace_seconds,
    )

    server = _server(config, arguments.grace_seconds)
    server.run()
    return 0 if server.started else 1


def _server(config: "uvicorn.Config", grace: int) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        """Says where it listens once it does, and what it waits for at its end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            for server in self.servers:
                host, port = server.sockets[0].getsockname()[:2]
                print(f"listening on http://{host}:{port}", flush=True)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if calls := len(self.server_state.tasks):
                told = f"{calls} call{'' if calls == 1 else 's'} may go on for {grace} s"
                print(f"ending: {told}; Ctrl-C again cuts short", flush=True)
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Not uvicorn's way of leaving at once, in which the app could not give back what it has of limits.
            if self.should_exit and self.server_state.tasks:
                asyncio.get_running_loop().call_soon_threadsafe(self.cut_short)
            else:
                super().handle_exit(sig, frame)

        def cut_short(self) -> None:
            for task in self.server_state.tasks:
                task.cancel()

    return Server(config)


def _is_news(record: logging.LogRecord) -> bool:
    """Not a traceback per stream that the end of the server cuts short (it counts them in a line), nor the advice to
    install a library where a client offers another protocol, as Java's does with every call."""
    cut_short = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_short and not str(record.msg).startswith(("Unsupported upgrade", "No supported WebSocket"))


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "validate a configuration and print every problem"
    ending = "exit status: 0 it can be served, 1 it cannot"
    parser = commands.add_parser("check", help=summary, description=summary, epilog=ending)
    parser.add_argument(
        "file", nargs="?", type=Path, help="configuration file (default: GATEWAY_CONFIG or gateway.yaml)"
    )
    parser.add_argument(
        "--no-secrets", action="store_true", help="do without named values that only the deployed app has"
    )
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from shared.management.check import check

    file = arguments.file or config_file(os.environ)
    problems = asyncio.run(check(file, os.environ, placeholders=arguments.no_secrets))
    for problem in problems:
        print(problem)
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"{file}: {errors} problem{'' if errors == 1 else 's'}" if errors else f"{file}: valid")
    return 1 if errors else 0


def _add_schema(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "print the JSON Schema of gateway.yaml, with which editors complete it"
    parser = commands.add_parser("schema", help=summary, description=summary)
    parser.set_defaults(run=_schema)


def _schema(_: argparse.Namespace) -> int:
    from shared.config.schema import schema_text

    sys.stdout.write(schema_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
