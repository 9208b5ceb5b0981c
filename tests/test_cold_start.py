"""A gateway that needs nothing special starts without the heavy packages and stays small."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAZY = "openai azure numpy tiktoken tree_sitter jwt liquid lxml jsonschema cryptography aiohttp anthropic"
SCRIPT = """
import sys
import httpx
from tests.support.backend import Backend
from tests.support.running import running

CONFIG = '''
backends: { it: { url: "@backend@/v1", credentials: { header: { api-key: "a key" } } } }
apis: { one: { path: one, kind: openai, backend: it } }
'''
with Backend() as backend, running(CONFIG, values={"backend": backend.url}) as gateway:
    answer = httpx.get(f"{gateway.url}/one/models", headers=gateway.key)
    assert answer.status_code == 200, answer.text
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_a_plain_gateway_does_not_import_what_it_does_not_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert set(LAZY.split()) & set(done.stdout.split()) == set()
