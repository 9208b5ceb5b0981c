"""A child process with everything it starts: begun in its own session, heard line by line, ended as a whole.

Every process the tests, `make run` and the benchmarks start goes through here, so that nothing outlives its owner.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


class ProcessFailed(RuntimeError):
    """The process ended, or did not say or answer what was expected of it in time; the text has its last lines."""


class ChildProcess:
    """A running command; `lines` has what it printed so far (stdout and stderr together)."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start `command` with `env` on top of this process's own; `on_line` sees each line as it is printed."""
        self.command = list(command)
        self.lines: list[str] = []
        self._on_line = on_line
        self._news = threading.Condition()
        # A session of its own: a Ctrl-C in the terminal reaches its owner alone, which then ends the whole group.
        self._popen = subprocess.Popen(
            self.command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._popen.poll()

    @property
    def last_lines(self) -> list[str]:
        """The newest lines; of a process that has ended, those it ended with."""
        if self.exit_code is not None:
            self._reader.join(timeout=5)
        return self.lines[-20:]

    def wait_for_line(self, starts_with: str, timeout: float = 30.0) -> str:
        """The rest of the first line that starts so; raises ProcessFailed if the process ends or `timeout` passes."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if line.startswith(starts_with):
                        return line[len(starts_with) :].strip()
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise ProcessFailed(self._complaint(f"did not print {starts_with!r}"))
                self._news.wait(min(left, 0.2))

    def wait_for_port(self, port: int, timeout: float = 30.0) -> None:
        """Return when something accepts connections on the loopback port; raises ProcessFailed as above."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.exit_code is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise ProcessFailed(self._complaint(f"did not listen on port {port}"))

    def send_signal(self, number: int) -> None:
        """Send a signal to the process and all it started; nothing happens when they are gone."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def pause(self) -> None:
        """Freeze the whole group: its sockets stay open and answer nothing."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen group go on."""
        self.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the whole group at once, without a chance to tidy up."""
        self.send_signal(signal.SIGKILL)
        self._popen.wait()
        self._reader.join(timeout=5)

    def stop(self, grace: float = 5.0, *, asking: int = signal.SIGTERM) -> int:
        """Ask the group to end by signal `asking`, make it end after `grace` seconds, and return the exit code."""
        if self.exit_code is None:
            self.resume()
            self.send_signal(asking)
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        self.kill()  # also what the leader left behind
        return self._popen.returncode

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
                if self._on_line is not None:
                    self._on_line(line.rstrip("\n"))
        with self._news:
            self._news.notify_all()

    def _complaint(self, what: str) -> str:
        state = "runs" if self.exit_code is None else f"ended with {self.exit_code}"
        return "\n".join([f"{' '.join(self.command)} {what} ({state}); its last lines:", *self.lines[-20:]])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port(preferred: int = 0) -> int:
    """A loopback port nobody listens on: `preferred` when it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
