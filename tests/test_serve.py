"""`python -m shared serve`: what its operator reads when clients and signals do what they do."""

import signal
from pathlib import Path

import httpx

from tests.support.backend import Backend, Script
from tests.support.serve import gateway

CONFIG = """
backends: {{ it: {{ url: "{url}/v1" }} }}
apis: {{ one: {{ path: one, kind: openai, backend: it, subscription_required: false }} }}
"""
STREAM = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


def test_streams_that_are_cut_at_the_end_and_offers_to_upgrade_leave_no_riddles(tmp_path: Path) -> None:
    with Backend() as backend:
        (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=backend.url))
        with gateway(tmp_path / "gateway.yaml") as running:
            upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAARAAAAA"}
            assert httpx.get(f"{running.url}/one/models", headers=upgrade).status_code == 200
            backend.script = Script(stall_after=1)
            with httpx.stream("POST", f"{running.url}/one/chat/completions", json=STREAM) as answer:
                assert answer.status_code == 200
                running.process.stop(grace=20, asking=signal.SIGINT)
            said = "\n".join(running.process.lines)
    assert "graceful shutdown exceeded" in said
    assert "Traceback" not in said and "pip install" not in said
