"""What llm-content-safety adds: latency of passing checks, and the first chunk of held-back streams by window size.

Content Safety answers after 20 ms, the backend at once; calls go one after the other over one connection, with and
without the policy in turns, so that a slow minute of the machine hits both. Nothing is remembered but where it says so.

    python -m tests.bench.safety [--rounds 60] [--delay 20]
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.support.processes import ChildProcess
from tests.support.serve import gateway

PACE = 5  # milliseconds between chunks
WINDOWS = (50, 100, 200, 1000)

POLICY = """<policies><inbound><base /><llm-content-safety backend-id="safety" {attributes}>
<categories><category name="Hate" threshold="4" /><category name="Violence" threshold="4" /></categories>
</llm-content-safety></inbound><backend><base /></backend><outbound><base /></outbound></policies>"""
CONFIG = """\
backends:
  mock: {{ url: "{backend}/v1" }}
  safety: {{ url: "{safety}", credentials: {{ header: {{ Ocp-Apim-Subscription-Key: key }} }} }}
apis:
"""
API = "  {id}: {{ path: {id}, kind: openai, backend: mock, subscription_required: false{policy} }}\n"
POLICIES = {
    "off": None,
    "check": 'remember-clean="0"',
    "shield": 'remember-clean="0" shield-prompt="true"',
    "remember": "",
    **{f"window-{size}": f'remember-clean="0" enforce-on-completions="true" window-size="{size}"' for size in WINDOWS},
}


def config(folder: Path, backend: str, safety: str) -> Path:
    """Write a configuration with one API per policy; returns its file."""
    text = CONFIG.format(backend=backend, safety=safety)
    for name, attributes in POLICIES.items():
        policy = ""
        if attributes is not None:
            (folder / f"{name}.xml").write_text(POLICY.format(attributes=attributes))
            policy = f", policy: {name}.xml"
        text += API.format(id=name, policy=policy)
    (folder / "gateway.yaml").write_text(text)
    return folder / "gateway.yaml"


class Client:
    """One connection to the gateway."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))

    def call(self, api: str, messages: list[dict[str, str]], *, stream: bool = False) -> tuple[float, float]:
        """Milliseconds to the first chunk of text and to the end. RuntimeError unless the answer is 200."""
        options = {"stream": True} if stream else {}
        body = json.dumps({"model": "m", **options, "messages": messages}, separators=(",", ":"))
        headers = {"content-type": "application/json", "x-pace": str(PACE)}
        begun = time.perf_counter()
        self._connection.request("POST", f"/{api}/chat/completions", body, headers)
        answer = self._connection.getresponse()
        first = answer.read1(1)
        first_at = time.perf_counter()
        rest = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{api}: {answer.status} {(first + rest)[:300]!r}")
        return 1000 * (first_at - begun), 1000 * (time.perf_counter() - begun)


def said(text: str) -> list[dict[str, str]]:
    """One user's message."""
    return [{"role": "user", "content": text}]


def latencies(client: Client, rounds: int) -> str:
    """The table of added latencies."""
    words = "word " * 20_000
    history = [{"role": "user", "content": f"question number {number}"} for number in range(200)]
    cases = {
        "one message": ("check", said("What is the weather like?")),
        "one message, shielded": ("shield", said("What is the weather like?")),
        "100,000 characters": ("check", said(words)),
        "100,000 characters, shielded": ("shield", said(words)),
        "200 messages": ("check", history),
        "200 messages, 199 of them remembered": ("remember", history),
    }
    lines = ["| passing check | without | with | added |", "|---|---:|---:|---:|"]
    for name, (api, messages) in cases.items():
        times: dict[str, list[float]] = {"off": [], api: []}
        for number in range(rounds + 5):
            for one in times:
                new = f"{messages[-1]['content']} {time.perf_counter_ns()}"
                took = client.call(one, [*messages[:-1], {"role": "user", "content": new}])[1]
                if number >= 5:
                    times[one].append(took)
        without, with_ = (median(values) for values in times.values())
        lines.append(f"| {name} | {without:.1f} ms | {with_:.1f} ms | {with_ - without:.1f} ms |")
    return "\n".join(lines)


def first_chunks(client: Client, rounds: int) -> str:
    """The table of first chunks."""
    lines = ["| stream of 330 characters in 250 ms | first chunk | end |", "|---|---:|---:|"]
    for name in ("off", *(f"window-{size}" for size in WINDOWS)):
        times = [client.call(name, said("Hi"), stream=True) for _ in range(max(5, rounds // 4))]
        first, end = median(one[0] for one in times), median(one[1] for one in times)
        lines.append(f"| {name.replace('-', ' ')} | {first:.0f} ms | {end:.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    """Run and print both tables."""
    parser = argparse.ArgumentParser(description="Measure what llm-content-safety adds.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds Content Safety takes")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = stack.enter_context(ChildProcess([sys.executable, "-m", "tests.bench.mock_backend"]))
        command = [sys.executable, "-m", "tests.support.content_safety", "--delay", str(options.delay / 1000)]
        safety = stack.enter_context(ChildProcess(command))
        file = config(folder, backend.wait_for_line("listening on "), safety.wait_for_line("listening on "))
        running = stack.enter_context(gateway(file, env={"GATEWAY_KEY_HASH_SECRET": "bench"}))
        client = Client(running.url)
        print(f"{latencies(client, options.rounds)}\n\n{first_chunks(client, options.rounds)}")


if __name__ == "__main__":
    main()
