"""`python -m shared import` as it is typed: files, secrets, second runs, edits, broken files, a running gateway."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import AzureOpenAI, OpenAI

from shared.management.importers import IMPORTERS
from tests.management.importing import run_import, texts
from tests.management.test_import_openapi import AZURE_OPENAI
from tests.support.arm import ScriptedArm
from tests.support.backend import Backend
from tests.support.processes import ROOT
from tests.support.serve import gateway

HELLO: Any = {"role": "user", "content": "Hello"}
SECRET = "sk-very-secret-0123456789"


def run(folder: Path, *words: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "shared", "import", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def local(url: str, *more: str) -> tuple[str, ...]:
    return ("openai", "--url", f"{url}/v1", "--path", "local", "--display-name", "Local", *more)


def test_imported_apis_are_served_to_the_official_sdks(tmp_path: Path, backend: Backend) -> None:
    backend.key = SECRET
    key = ("--key-env", "BACKEND_KEY", "--product", "all")
    imports = (
        local(backend.url, *key),
        ("azure-openai", "--url", backend.url, "--id", "aoai", *key),
        ("foundry", "--url", backend.url, "--compatibility", "openai-v1", "--id", "hub", *key),
        ("anthropic", "--url", backend.url, "--id", "claude", *key),
    )
    (tmp_path / "inference.json").write_text(json.dumps(AZURE_OPENAI))
    specification = ("openapi", "inference.json", "--service-url", f"{backend.url}/openai", "--id", "spec")
    for words in (*imports, (*specification, *key, "--key-header", "api-key")):
        done = run(tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "export BACKEND_KEY=<key>" in done.stdout
    environment = {"BACKEND_KEY": SECRET, "GATEWAY_ALL_ACCESS_KEY": "sub-key", "GATEWAY_KEY_HASH_SECRET": "for tests"}
    with gateway(tmp_path / "gateway.yaml", env=environment) as running:
        openai = (
            OpenAI(base_url=f"{running.url}/local", api_key="sub-key"),
            AzureOpenAI(azure_endpoint=f"{running.url}/aoai", api_key="sub-key", api_version="2024-10-21"),
            OpenAI(base_url=f"{running.url}/hub/openai/v1", api_key="sub-key"),
            AzureOpenAI(azure_endpoint=f"{running.url}/spec", api_key="sub-key", api_version="2024-10-21"),
        )
        for client in openai:
            with client:
                answer = client.chat.completions.create(model="m", messages=[HELLO])
                assert answer.choices[0].message.content
        with Anthropic(base_url=f"{running.url}/claude", api_key="sub-key") as claude:
            assert claude.messages.create(model="m", max_tokens=9, messages=[HELLO]).content
    assert [request.target.partition("?")[0] for request in backend.requests] == [
        "/v1/chat/completions",
        "/openai/deployments/m/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/m/chat/completions",
        "/v1/messages",
    ]


def test_secret_is_in_no_file_and_no_output(tmp_path: Path) -> None:
    for words in (("--key-value", SECRET), ("--key-value", "-"), ("--key-value", SECRET, "--dry-run")):
        done = run(tmp_path, *local("http://127.0.0.1:9", *words), stdin=SECRET + "\n")
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr + "".join(texts(tmp_path).values())
    assert "Authorization: Bearer {{local-key}}" in texts(tmp_path)["gateway.yaml"]


def test_key_goes_to_local_settings_when_asked(tmp_path: Path) -> None:
    settings = tmp_path / "local.settings.json"
    settings.write_text('{"IsEncrypted": false, "Values": {"OTHER": "stays"}}')
    words = local("http://127.0.0.1:9", "--key-env", "MY_KEY", "--key-value", "-", "--write-local-settings")
    dry = run(tmp_path, *words, "--dry-run", stdin=SECRET)
    assert "stays" not in dry.stdout
    assert "local.settings.json changes too" in dry.stdout
    done = run(tmp_path, *words, stdin=SECRET)
    assert done.returncode == 0, done.stderr
    assert json.loads(settings.read_text())["Values"] == {"OTHER": "stays", "MY_KEY": SECRET}
    assert SECRET not in done.stdout
    assert run(tmp_path, *local("http://127.0.0.1:9", "--write-local-settings")).returncode == 1


def test_dry_run_shows_a_diff_that_patch_applies(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("# ours\napis: {}\n")
    before = texts(tmp_path)
    words = local("http://127.0.0.1:9", "--product", "gold")
    dry = run(tmp_path, *words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert texts(tmp_path) == before
    patched = tmp_path / "patched"
    patched.mkdir()
    (patched / "gateway.yaml").write_text(before["gateway.yaml"])
    subprocess.run(["patch", "-p1", "--silent"], cwd=patched, input=dry.stdout, text=True, check=True)
    assert run(tmp_path, *words).returncode == 0
    after = texts(tmp_path)
    assert {name: text for name, text in after.items() if not name.startswith("patched/")} == texts(patched)


def test_importing_twice_changes_nothing_and_an_option_updates(tmp_path: Path) -> None:
    words = local("http://127.0.0.1:9", "--product", "gold", "--key-env", "K", "--tokens-per-minute")
    assert run(tmp_path, *words, "100").returncode == 0
    first = texts(tmp_path)
    again = run(tmp_path, *words, "100")
    assert texts(tmp_path) == first
    assert re.findall(r"^(?!unchanged)(added|updated)", again.stdout, re.MULTILINE) == []
    assert run(tmp_path, *words, "200", "--description", "Ours").returncode == 0
    second = texts(tmp_path)
    assert 'tokens-per-minute="200"' in second["policies/local.xml"]
    assert second["gateway.yaml"] == first["gateway.yaml"].replace(
        "    policy: policies/local.xml\n", "    policy: policies/local.xml\n    description: Ours\n"
    )


def test_edited_policy_document_is_kept_unless_forced(tmp_path: Path) -> None:
    words = local("http://127.0.0.1:9", "--tokens-per-minute")
    assert run(tmp_path, *words, "100").returncode == 0
    document = tmp_path / "policies" / "local.xml"
    document.write_bytes(document.read_bytes().replace(b"\n", b"\r\n"))  # version control's doing, no edit
    assert run(tmp_path, *words, "200").returncode == 0
    document.write_text(document.read_text().replace("<base />", "<base /><!-- ours -->", 1))
    edited = texts(tmp_path)
    refused = run(tmp_path, *words, "300", "--description", "not written either")
    assert refused.returncode == 1
    assert "local.xml has been edited since it was imported" in refused.stderr
    assert texts(tmp_path) == edited
    assert run(tmp_path, *words, "300", "--force").returncode == 0
    assert 'tokens-per-minute="300"' in document.read_text()


def test_api_with_a_policy_document_of_its_own_keeps_it(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "backends:\n  b: {url: http://b}\n"
        "apis:\n  local: {path: local, kind: openai, backend: b, policy: policies/own.xml}\n"
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "own.xml").write_text("<policies><inbound><base /></inbound></policies>")
    before = texts(tmp_path)
    refused = run(tmp_path, *local("http://127.0.0.1:9"))
    assert refused.returncode == 1
    assert "API local has the policy document policies/own.xml" in refused.stderr
    assert texts(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("apis: [\n", "gateway.yaml:2: not valid YAML"),
        ("apis: " + "[" * 1_000, "gateway.yaml: it is nested too deep"),
        ("- a list\n", "must be a mapping"),
        ("backends: [b]\n", "backends: "),
        ("backends: {b: {url: 'http://b'}}\napis: {other: {path: local, kind: openai, backend: b}}\n", "the same path"),
    ],
)
def test_file_that_would_not_load_is_left_alone(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "gateway.yaml").write_text(text)
    done = run(tmp_path, *local("http://127.0.0.1:9"))
    assert done.returncode == 1
    assert says in done.stderr
    assert texts(tmp_path) == {"gateway.yaml": text}


def test_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, *local("http://127.0.0.1:9"), "--display-name", os.fsdecode(b"Lo\xffcal"))
    assert done.returncode == 1
    assert r"apis.lo-cal.display_name: \udcff is half of a character" in done.stderr
    assert texts(tmp_path) == {}


def test_problems_from_before_do_not_stop_an_import(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        'named_values:\n  where: {env: WHERE}\nbackends:\n  b: {url: "{{where}}/x"}\n'
    )
    done = run(tmp_path, *local("http://127.0.0.1:9"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "local-ai-endpoint" in texts(tmp_path)["gateway.yaml"]


def test_login_is_azure_identitys(tmp_path: Path) -> None:
    with ScriptedArm() as arm:
        arm.add("contoso", deployments={"chat": "gpt-4o"})
        words = ("azure-openai", "--resource", "contoso")
        identity = {"IDENTITY_ENDPOINT": f"{arm.url}/msi/token", "IDENTITY_HEADER": "secret"}
        done = run(tmp_path, *words, AZURE_ARM_URL=arm.url, **identity)
        assert done.returncode == 0, done.stderr
        assert arm.requests[0] == f"TOKEN {arm.url}"
    assert "https://contoso.openai.azure.com/openai" in texts(tmp_path)["gateway.yaml"]


def test_person_types_the_number_of_a_resource(tmp_path: Path) -> None:
    with ScriptedArm() as arm:
        arm.add("north", deployments={"chat": "gpt-4o"})
        arm.add("south", deployments={"chat": "gpt-4o"})
        identity = {"IDENTITY_ENDPOINT": f"{arm.url}/msi/token", "IDENTITY_HEADER": "secret"}
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "shared", "import", "azure-openai"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "AZURE_ARM_URL": arm.url, **identity},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.write(ours, b"7\n2\n")  # there are two only: it asks again
        assert process.wait(60) == 0
        os.close(theirs)
        os.close(ours)
    assert "https://south.openai.azure.com/openai" in texts(tmp_path)["gateway.yaml"]


@pytest.mark.parametrize("source", [importer.name for importer in IMPORTERS])
async def test_every_source_has_help(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        await run_import(tmp_path, source, "--help")
    assert "--dry-run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("backends:\n  one: &one { url: http://one }\n  local-ai-endpoint: *one\n", "one"),
        ("backends:\n  local-ai-endpoint: &local { url: http://l }\n  two: { <<: *local, title: Two }\n", "two"),
    ],
)
def test_an_entry_that_shares_an_anchor_is_not_changed_unasked(tmp_path: Path, text: str, other: str) -> None:
    (tmp_path / "gateway.yaml").write_text(text)
    done = run(tmp_path, *local("http://127.0.0.1:9"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Nothing was changed: backends.{other} would change too: it shares a YAML anchor with what is imported\n"
    )
    assert texts(tmp_path) == {"gateway.yaml": text}


def test_ctrl_c_at_a_question_ends_the_import(tmp_path: Path) -> None:
    terminal, stdin = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "shared", "import", *local("http://127.0.0.1:9", "--key-value", "-")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None and process.stderr.read(12) == b"Access key: "
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert (process.returncode, error.strip()) == (130, b"Nothing was changed.")
    finally:
        process.kill()
        os.close(terminal)
        os.close(stdin)
    assert texts(tmp_path) == {}
