"""Problems of gateway.yaml: all of them at once, each with its line and path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from shared.config.key_vault import KeyVaultError
from shared.config.loader import load
from shared.config.schema import schema_text
from shared.management.check import check
from tests.support.authority import Authority

ROOT = Path(__file__).parents[2]


async def problems_of(text: str, folder: Path, environment: dict[str, str] | None = None) -> list[str]:
    async def no_vault(identifier: str) -> str:
        raise RuntimeError("no vault here")

    file = folder / "gateway.yaml"
    file.write_text(text)
    loaded = await load(file, environment or {}, no_vault)
    return [str(problem) for problem in sorted(set(loaded.problems))]


async def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """\
named_values:
  key: { env: NOT_SET }
  both: { env: A, plain: b }
  vault: { key_vault: "https://v.vault.azure.net/secrets/x" }
  open: { env: REFERENCE }
backends:
  one:
    url: ftp://example.org
    credential: { header: { api-key: "{{kee}}" } }
    timeouts: { connect: 0 }
apis:
  chat:
    display-name: Chat
    path: /a/../b
    kind: openapi
    operations:
      - { id: x, method: FETCH, url_template: "/a/{b}/{b}" }
  admin: { path: admin/x, kind: openai }
subscriptions:
  s: { scope: everything, keys: { primary: "{{key}}" } }
"""
    environment = {"REFERENCE": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/y)"}
    assert await problems_of(text, tmp_path, environment) == [
        "gateway.yaml:2 named_values.key: environment variable NOT_SET is not set",
        "gateway.yaml:3 named_values.both: exactly one of plain, env, key_vault is needed",
        "gateway.yaml:4 named_values.vault: "
        "Key Vault gave no secret for https://v.vault.azure.net/secrets/x: RuntimeError",
        "gateway.yaml:5 named_values.open: "
        "environment variable REFERENCE is a Key Vault reference that was not resolved",
        "gateway.yaml:8 backends.one.url: must be http(s)://host[:port][/path] without query, fragment or credentials",
        "gateway.yaml:9 backends.one.credential: unknown key credential, did you mean credentials?",
        "gateway.yaml:9 backends.one.credential.header.api-key: named value kee is not declared, did you mean key?",
        "gateway.yaml:10 backends.one.timeouts.connect: input should be greater than 0",
        "gateway.yaml:13 apis.chat.display-name: unknown key display-name, did you mean display_name?",
        "gateway.yaml:14 apis.chat.path: must not have dot segments",
        "gateway.yaml:15 apis.chat.kind: input should be 'azure-openai', 'azure-ai', 'openai-v1', 'openai', "
        "'anthropic', 'passthrough' or 'http'",
        "gateway.yaml:17 apis.chat.operations.0.method: input should be "
        "'GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS' or 'TRACE'",
        "gateway.yaml:17 apis.chat.operations.0.url_template: a parameter name is used twice",
        "gateway.yaml:18 apis.admin.path: the Functions host keeps /admin and /runtime for itself",
        "gateway.yaml:20 subscriptions.s.scope: must be all-apis, api:<id> or product:<id>",
    ]


async def test_why_key_vault_gave_no_secret_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("named_values: { one: { key_vault: https://v.example/secrets/x } }")

    async def forbidden(identifier: str) -> str:
        raise KeyVaultError("status 403")

    loaded = await load(tmp_path / "gateway.yaml", {}, forbidden)
    assert [str(problem) for problem in loaded.problems] == [
        "gateway.yaml:1 named_values.one: Key Vault gave no secret for https://v.example/secrets/x: status 403"
    ]


async def test_references_that_lead_nowhere(tmp_path: Path) -> None:
    text = """\
products:
  open-a: { subscription_required: false, apis: [one, tow] }
  open-b: { subscription_required: false }
apis:
  one: { path: same, kind: openai, backend: nowhere, products: [open-b, opn-a] }
  two: { path: SAME, kind: http }
subscriptions:
  s: { scope: "product:open", keys: { primary: k } }
  t: { scope: "api:one", keys: { primary: "", secondary: k } }
"""
    assert await problems_of(text, tmp_path) == [
        "gateway.yaml:2 products.open-a.apis: no API tow, did you mean two?",
        "gateway.yaml:5 apis.one: at most one open product per API, but it is in open-a, open-b",
        "gateway.yaml:5 apis.one.backend: no backend nowhere",
        "gateway.yaml:5 apis.one.products: no product opn-a, did you mean open-a?",
        "gateway.yaml:6 apis.two: kind http needs operations or openapi",
        "gateway.yaml:6 apis.two.path: API one has the same path",
        "gateway.yaml:8 subscriptions.s.scope: no product open, did you mean open-b?",
        "gateway.yaml:9 subscriptions.t.keys.primary: the key is empty",
        "gateway.yaml:9 subscriptions.t.keys.secondary: subscription s has the same key",
    ]


async def test_a_mistake_in_one_entry_hides_none_in_another(tmp_path: Path) -> None:
    (tmp_path / "nothing-is-set.xml").write_text("<policies><inbound><set-header /></inbound></policies>")
    (tmp_path / "right.xml").write_text(
        '<policies><inbound><set-backend-service backend-id="misspelt" />'
        '<rate-limit calls="{{unclear}}" renewal-period="60" /></inbound></policies>'
    )
    text = """\
named_values:
  unclear: { evn: CALLS }
backends:
  misspelt: { ulr: https://example.org }
  far: { url: "https://example.org:99999" }
  pool: { pool: { services: [{ id: misspelt }, { id: missing }] } }
products:
  open: { subscription_required: false, apis: [chat, tools, chta], nmae: Open }
apis:
  chat: { path: chat, kind: openia, backend: misspelt, policy: right.xml }
  tools: { path: "to ols", kind: http, operations: [{ id: x }], backend: fra, policy: nothing-is-set.xml }
subscriptions:
  one: { scope: "product:open", keys: {} }
  two: { scope: "api:tols", keys: { primary: k } }
"""
    (tmp_path / "gateway.yaml").write_text(text)
    assert [str(problem) for problem in await check(tmp_path / "gateway.yaml", {}, placeholders=True)] == [
        "gateway.yaml:2 named_values.unclear.evn: unknown key evn, did you mean env?",
        "gateway.yaml:4 backends.misspelt.ulr: unknown key ulr, did you mean url?",
        "gateway.yaml:5 backends.far: not an http(s) URL: https://example.org:99999",
        "gateway.yaml:6 backends.pool.pool.services.1.id: no backend missing",
        "gateway.yaml:8 products.open.apis: no API chta, did you mean chat?",
        "gateway.yaml:8 products.open.nmae: unknown key nmae",
        "gateway.yaml:10 apis.chat.kind: input should be 'azure-openai', 'azure-ai', 'openai-v1', 'openai', "
        "'anthropic', 'passthrough' or 'http'",
        "gateway.yaml:11 apis.tools.backend: no backend fra, did you mean far?",
        "gateway.yaml:11 apis.tools.operations.0: method is required",
        "gateway.yaml:11 apis.tools.operations.0: url_template is required",
        "gateway.yaml:11 apis.tools.path: must be plain path segments without query or encoding",
        "gateway.yaml:13 subscriptions.one.keys: primary is required",
        "gateway.yaml:14 subscriptions.two.scope: no api tols, did you mean tools?",
        "nothing-is-set.xml:1 inbound/set-header: attribute name is required",
    ]


@pytest.mark.parametrize("placeholders", [False, True])
async def test_a_check_does_not_judge_what_only_key_vault_knows(tmp_path: Path, placeholders: bool) -> None:
    Authority().issue("client.example").pfx(tmp_path / "client.pfx", "secret")
    (tmp_path / "limit.xml").write_text(
        '<policies><inbound><rate-limit calls="{{vault}}" renewal-period="60" /></inbound></policies>'
    )
    (tmp_path / "gateway.yaml").write_text("""\
named_values:
  vault: { key_vault: "https://v.vault.azure.net/secrets/x" }
backends: { it: { url: "{{vault}}" } }
apis: { one: { path: one, kind: openai, backend: it, policy: limit.xml } }
certificates:
  text: { value: "{{vault}}" }
  file: { file: client.pfx, password: "{{vault}}" }
  missing: { file: no.pfx, password: "{{vault}}" }
  wrong: { file: client.pfx, password: guessed }
""")
    assert [str(problem) for problem in await check(tmp_path / "gateway.yaml", {}, placeholders=placeholders)] == [
        f"gateway.yaml:8 certificates.missing: [Errno 2] No such file or directory: '{tmp_path / 'no.pfx'}'",
        "gateway.yaml:9 certificates.wrong: not a valid PFX, or the password does not fit",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "gateway.yaml:1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("prices: [{ valid_from: 2026-13-01 }]", "gateway.yaml: not valid YAML: month must be in 1..12"),
        ("apis: " + "[" * 1_000, "gateway.yaml: it is nested too deep"),
        (
            "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(2_000)),
            "gateway.yaml: it is nested",
        ),
        ("apis: {}\napis: {}", 'gateway.yaml:2: not valid YAML: found duplicate key "apis" with value "{}" (original'),
        ("- a", "gateway.yaml: must be a mapping with apis, backends, products, ..."),
        ("", "gateway.yaml: must be a mapping with apis, backends, products, ..."),
    ],
)
async def test_files_that_are_no_configuration(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = await problems_of(text, tmp_path)
    assert found.startswith(problem)


def test_check_command_says_what_is_wrong_and_exits_non_zero(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("apis: { one: { path: a, kind: openai, backend: x, policy: no.xml } }")
    done = subprocess.run(
        [sys.executable, "-m", "shared", "check", str(tmp_path / "gateway.yaml")],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "gateway.yaml:1 apis.one.backend: no backend x" in done.stdout
    assert "gateway.yaml:1 apis.one.policy: no.xml cannot be read: No such file or directory" in done.stdout


def test_check_command_takes_the_file_the_gateway_takes(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("apis: { one: { path: a, kind: openai, backend: x } }")
    environment = {**os.environ, "GATEWAY_CONFIG": str(tmp_path / "other.yaml")}
    done = subprocess.run(
        [sys.executable, "-m", "shared", "check", "--no-secrets"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "other.yaml:1 apis.one.backend: no backend x" in done.stdout


def test_committed_schema_is_the_models_own_and_takes_the_example() -> None:
    committed = (ROOT / "gateway.schema.json").read_text()
    assert committed == schema_text(), "run `make schema`"
    jsonschema.validate(YAML(typ="safe").load(ROOT / "gateway.yaml"), json.loads(committed))
