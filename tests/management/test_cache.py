"""The cache command: thresholds calibrated on a file of pairs, and what is in the table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.management.cache import Pair, calibration, loosest, read_pairs
from tests.policies.semantic import cached, document, lookup
from tests.support.azurite import Azurite
from tests.support.backend import Backend, Script
from tests.support.processes import ROOT

PAIRS = """question,paraphrase,same
How do I reset my password on the site?,How do I reset my password on the web site?,1
How do I reset my password on the site?,What is the capital of France?,0
"What is new in version 3 of it, for all users?","What is new in version 4 of it, for all users?",0
"""


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shared", "cache", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_pairs_are_read_with_and_without_names_and_what_is_wrong_is_told() -> None:
    assert read_pairs(PAIRS)[2] == Pair(
        "What is new in version 3 of it, for all users?", "What is new in version 4 of it, for all users?", False
    )
    assert len(read_pairs("a,b,true\n\nc,d,No\n")) == 2
    with pytest.raises(ValueError, match="line 2"):
        read_pairs("a,b,1\nc,d,perhaps\n")
    with pytest.raises(ValueError, match="line 1"):
        read_pairs("a,b\n")
    with pytest.raises(ValueError, match="no pairs"):
        read_pairs("one,other,same\n")


def test_precision_and_recall_by_threshold() -> None:
    pairs = [Pair("a", "b", True), Pair("c", "d", True), Pair("e", "f", False), Pair("in 1", "in 2", False)]
    lines = {line.threshold: line for line in calibration(pairs, [0.97, 0.90, 0.93, 0.98])}
    tight, loose = lines[0.03], lines[0.1]
    assert (tight.guarded.precision, tight.guarded.recall, tight.guarded.false_hits) == (1.0, 0.5, 0.0)
    assert (tight.unguarded.precision, tight.unguarded.recall, tight.unguarded.false_hits) == (0.5, 0.5, 0.5)
    assert loose.guarded.recall == 1.0 and loose.guarded.precision == pytest.approx(2 / 3)
    assert lines[0.01].guarded.precision is None
    assert loosest(list(lines.values()), 0.99) == 0.06


def test_calibrate_prints_the_table_of_ones_own_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(PAIRS)
    with Backend(key="emb-key") as backend:
        config = f'backends: {{ e: {{ url: "{backend.url}/v1/embeddings", credentials: {{ header: {{ Authorization: "Bearer emb-key" }} }} }} }}'  # noqa: E501
        (tmp_path / "gateway.yaml").write_text(config)
        done = run("calibrate", "pairs.csv", "--backend", "e", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "3 pairs, 1 with the same answer" in done.stdout
        (line,) = [line.split() for line in done.stdout.splitlines() if line.startswith("0.2 ")]
        assert line[1:] == ["100.0%", "100.0%", "0.0%", "50.0%", "100.0%", "50.0%"]
        lines = json.loads(run("calibrate", "pairs.csv", "--backend", "e", "--json", folder=tmp_path).stdout)
        assert [one["threshold"] for one in lines][:2] == [0.01, 0.02]
        wrong = run("calibrate", "pairs.csv", "--backend", "none", folder=tmp_path)
        assert wrong.returncode == 2 and "has no single backend none" in wrong.stderr
        backend.script = Script(status=401)
        refused = run("calibrate", "pairs.csv", "--backend", "e", folder=tmp_path)
        assert refused.returncode == 3 and "no embeddings: status 401" in refused.stderr
        assert "emb-key" not in refused.stderr


def test_stats_show_and_purge(tmp_path: Path) -> None:
    with Azurite() as storage:
        store = '<llm-semantic-cache-store duration="600" />'
        with cached(document(lookup(), store), tables=storage.connection_string) as gateway:
            gateway.says("the answer")
            for number, path in enumerate(("/llm", "/other")):
                gateway.chat("What is it?", path=path)
                gateway.kept(number + 1)
        settings = {"GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string}
        told = json.loads(run("stats", "--json", folder=tmp_path, **settings).stdout)
        assert {name: one["entries"] for name, one in told["apis"].items()} == {"llm": 1, "other": 1}
        assert "llm" in run("stats", folder=tmp_path, **settings).stdout
        answers = []
        for partition in told["namespaces"]:
            (entry,) = json.loads(run("show", partition, "--json", folder=tmp_path, **settings).stdout)
            answers.append(run("show", partition, entry["id"], folder=tmp_path, **settings).stdout)
        assert all("the answer" in answer for answer in answers) and len(answers) == 2
        assert run("purge", folder=tmp_path, **settings).stdout == "deleted 0 entries\n"
        assert run("purge", "--api", "llm", folder=tmp_path, **settings).stdout == "deleted 1 entries\n"
        assert run("purge", "--all", "--json", folder=tmp_path, **settings).stdout == '{"deleted": 1}\n'
        assert run("stats", folder=tmp_path, **settings).stdout == "the cache is empty\n"
        assert run("stats", folder=tmp_path).returncode == 3
        key = "GATEWAY_TABLES_CONNECTION_STRING"
        denied = run("stats", folder=tmp_path, **{key: settings[key].replace("AccountKey=Eby8", "AccountKey=AAAA")})
        assert denied.returncode == 3 and denied.stderr.startswith("cache stats: storage refuses access: 403")
