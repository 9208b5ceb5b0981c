"""What `make run` starts and prints: calls that work as they stand, and nothing left behind after Ctrl-C."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ChildProcess

FUNC = """#!/bin/sh
[ "$1 $2" = "start --port" ] && [ -n "$AzureWebJobsStorage" ] && echo "Functions host, so to speak" || exit 2
exec "$VIRTUAL_ENV/bin/python" -m shared serve --port "$3"
"""


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, table.splitlines())}
    found, newest = set[int](), {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest}
        found |= newest
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("core_tools", [False, True])
def test_printed_calls_work_and_nothing_stays(tmp_path: Path, core_tools: bool) -> None:
    path = str(tmp_path) if core_tools else ""
    (tmp_path / "func").write_text(FUNC)
    (tmp_path / "func").chmod(stat.S_IRWXU)
    env = {
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{path}:{os.environ['PATH']}",
        "AZURE_OPENAI_ENDPOINT": "",
        "CONTENT_SAFETY_ENDPOINT": "",
    }
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "tests.support.local_run", "--port", str(port), "--state", str(tmp_path / "s")]
        with ChildProcess(command, env=env) as process:
            create = process.wait_for_line(".venv/bin/python", timeout=60)
            printed = "\n".join(process.lines)
            assert f"port {port} is taken: the gateway uses" in printed
            assert ("Functions host, so to speak" in printed) is core_tools

            plain, streamed, unsafe = re.findall(r"^curl .*?\n.*?\n  -d .*?$", printed, re.MULTILINE)
            assert "You said: Hello" in called(plain)["choices"][0]["message"]["content"]
            assert len(subprocess.run(streamed, shell=True, capture_output=True, text=True).stdout.split("data: ")) > 10
            refused = called(unsafe)["error"]
            assert refused["code"] == "content_filter"
            assert refused["innererror"]["content_filter_result"]["violence"]["filtered"]
            (tmp_path / "snippet.py").write_text(
                printed[printed.index("from openai") : printed.index("Its subscriptions")]
            )
            answers = subprocess.run([sys.executable, tmp_path / "snippet.py"], capture_output=True, text=True)
            assert answers.stdout.count("You said: Hello") == 2, answers.stderr

            storage = re.findall(r"^export (\S+)='(.*)'$", printed, re.MULTILINE)
            created = subprocess.check_output(
                f"{sys.executable} {create} --json",
                shell=True,
                text=True,
                env={**os.environ, **dict(storage)},
                cwd=Path(__file__).parents[1],
            )
            key = json.loads(created)["primary_key"]
            assert called(plain.replace(re.findall(r"api-key: (\w+)", plain)[0], key))["choices"]

            children = descendants(process.pid)
            assert len(children) >= 3
            os.kill(process.pid, signal.SIGINT)
            assert process.stop(grace=10) == 0, process.lines[-5:]
            assert process.lines[-1] == "ended"
            assert [pid for pid in children if alive(pid)] == []


def called(curl: str) -> Any:
    """The JSON a printed curl line answers."""
    return json.loads(subprocess.run(f"{curl} --silent", shell=True, capture_output=True, check=True).stdout)


def test_a_dead_child_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "func").write_text("#!/bin/sh\necho 'no worker for this'\nexit 3\n")
    (tmp_path / "func").chmod(stat.S_IRWXU)
    env = {"PYTHONUNBUFFERED": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "tests.support.local_run", "--state", str(tmp_path / "state")]
    run = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "no worker for this" in run.stderr
