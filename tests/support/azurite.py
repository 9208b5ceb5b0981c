"""Azurite, the local Azure Storage, as a process the tests can start, stop, kill and freeze.

    with Azurite() as storage:                       # the table service, in memory, on a free port
        TableServiceClient.from_connection_string(storage.connection_string)

Tests of one session may share an instance (fixture `azurite`) and keep apart by `storage.table_name()`.
"""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.support.processes import ROOT, ChildProcess, ProcessFailed, free_port

Service = Literal["blob", "queue", "table"]

# Azurite's published development account, the same on every machine: not a secret.
# https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite:
    """One Azurite instance; its ports stay the same over `stop` and `start`, so that clients find it again."""

    def __init__(
        self,
        *services: Service,
        data: Path | None = None,
        preferred_ports: dict[Service, int] | None = None,
    ) -> None:
        """`services`: which of the three to run (default: table); `data`: folder to keep data in (default: memory)."""
        self.services: tuple[Service, ...] = services or ("table",)
        self.data = data
        wanted = preferred_ports or {}
        self.ports: dict[Service, int] = {service: free_port(wanted.get(service, 0)) for service in self.services}
        self.process: ChildProcess | None = None

    def start(self) -> Self:
        """Run it and wait until every service accepts connections."""
        if not _executable("azurite").exists():
            raise ProcessFailed("Azurite is not installed: run `npm ci`")
        self.process = ChildProcess(self._command())
        try:
            for port in self.ports.values():
                self.process.wait_for_port(port)
        except BaseException:
            self.process.stop()
            raise
        return self

    @property
    def connection_string(self) -> str:
        """A connection string for the services that run."""
        endpoints = "".join(
            f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for service, port in self.ports.items()
        )
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{endpoints}"

    @property
    def running(self) -> ChildProcess:
        """The process; raises ProcessFailed before `start`."""
        if self.process is None:
            raise ProcessFailed("Azurite has not been started")
        return self.process

    def table_name(self, prefix: str = "t") -> str:
        """A table name nobody else uses (letters and digits only, as Table Storage asks)."""
        return f"{prefix}{secrets.token_hex(8)}"

    def stop(self) -> None:
        """End it; data in a folder stays, data in memory is gone."""
        # The table service by itself saves on SIGINT only: after SIGTERM its last seconds are gone.
        self.running.stop(asking=signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would."""
        self.running.kill()

    def pause(self) -> None:
        """Freeze it: connections open but nothing answers, as in a storage outage."""
        self.running.pause()

    def resume(self) -> None:
        """Let it answer again."""
        self.running.resume()

    def _command(self) -> list[str]:
        # The table service alone starts in half the time of all three, so it runs by its own command.
        name = f"azurite-{self.services[0]}" if len(self.services) == 1 else "azurite"
        command = [str(_executable(name)), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        for service, port in self.ports.items():
            # The default of 5 s closes idle connections under the clients' feet; the real service keeps them longer.
            command += [f"--{service}Port", str(port), f"--{service}KeepAliveTimeout", "60"]
        if self.data is None:
            return [*command, "--inMemoryPersistence"]
        self.data.mkdir(parents=True, exist_ok=True)
        return [*command, "--location", str(self.data)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _executable(name: str) -> Path:
    return ROOT / "node_modules" / ".bin" / name
