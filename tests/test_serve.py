"""`python -m shared serve`: what its operator reads when clients and signals do what they do."""

import signal
from pathlib import Path

import httpx

from tests.support.backend import Backend, Script
from tests.support.serve import gateway
from tests.support.waiting import wait_until

CONFIG = """
backends: {{ it: {{ url: "{url}/v1" }} }}
apis: {{ one: {{ path: one, kind: openai, backend: it, subscription_required: false }} }}
"""
STREAM = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


def test_streams_that_are_cut_at_the_end_and_offers_to_upgrade_leave_no_riddles(tmp_path: Path) -> None:
    with Backend() as backend:
        (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=backend.url))
        with gateway(tmp_path / "gateway.yaml", "--grace-seconds", "1") as running:
            upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAARAAAAA"}
            assert httpx.get(f"{running.url}/one/models", headers=upgrade).status_code == 200
            backend.script = Script(stall_after=1)
            with httpx.stream("POST", f"{running.url}/one/chat/completions", json=STREAM) as answer:
                assert answer.status_code == 200
                running.process.stop(grace=20, asking=signal.SIGINT)
            said = "\n".join(running.process.lines)
    assert "graceful shutdown exceeded" in said
    assert "Traceback" not in said and "pip install" not in said


def test_calls_go_on_after_ctrl_c_until_a_second_one(tmp_path: Path) -> None:
    with Backend(script=Script(stall_after=1)) as stalling, Backend(script=Script(chunk_every=0.2)) as dripping:
        for name, backend in (("stalling", stalling), ("dripping", dripping)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "gateway.yaml").write_text(CONFIG.format(url=backend.url))
        with gateway(tmp_path / "dripping" / "gateway.yaml", "--grace-seconds", "600") as running:
            with httpx.stream("POST", f"{running.url}/one/chat/completions", json=STREAM, timeout=60) as answer:
                running.process.send_signal(signal.SIGINT)
                assert (
                    running.process.wait_for_line("ending: ") == "1 call may go on for 600 s; Ctrl-C again cuts short"
                )
                assert answer.read().endswith(b"data: [DONE]\n\n")
            wait_until(lambda: running.process.exit_code is not None)
        with gateway(tmp_path / "stalling" / "gateway.yaml", "--grace-seconds", "600") as running:
            with httpx.stream("POST", f"{running.url}/one/chat/completions", json=STREAM, timeout=60):
                running.process.send_signal(signal.SIGINT)
                running.process.wait_for_line("ending: ")
                running.process.send_signal(signal.SIGINT)
                wait_until(lambda: running.process.exit_code is not None)
            said = "\n".join(running.process.lines)
    assert "Traceback" not in said


def test_changes_are_in_use_before_the_first_call_that_needs_them(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    with Backend() as backend:
        file.write_text(CONFIG.format(url=backend.url))
        with gateway(file, "--reload-seconds", "0.1") as running:
            file.write_text("apis: 1")
            wait_until(lambda: "the last good configuration stays" in "\n".join(running.process.lines))
            file.write_text(CONFIG.format(url=backend.url).replace("path: one", "path: two"))
            wait_until(lambda: "the configuration loads again" in "\n".join(running.process.lines))
            assert httpx.get(f"{running.url}/two/models").status_code == 200
