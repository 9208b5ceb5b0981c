"""The hooks azd runs, run for real against commands that play Azure: what they do, print and refuse."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.infra.bicep import read
from tests.infra.templates import INFRA, MAIN, ROOT
from tests.support.azurite import Azurite
from tests.support.backend import Backend
from tests.support.serve import gateway

HOOKS = INFRA / "hooks"

# Plays any command: answers with the first rule that matches its arguments and is not used up, and records the call.
STUB = """#!{python}
import json, os, re, sys
from pathlib import Path
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
home = Path(os.environ["STUBS"])
file = arguments[arguments.index("--file") + 1] if "--file" in arguments else None
call = {{"name": name, "arguments": arguments, "file": file and Path(file).read_text(),
    "mode": file and oct(Path(file).stat().st_mode & 0o777),
    "environment": {{key: value for key, value in os.environ.items() if key.startswith("GATEWAY_")}}}}
with open(home / "calls", "a") as calls:
    calls.write(json.dumps(call) + "\\n")
rules = json.loads((home / "rules.json").read_text())
for rule in rules:
    if rule["name"] == name and rule["times"] != 0 and re.search(rule["match"], " ".join(arguments)):
        rule["times"] -= 1
        (home / "rules.json").write_text(json.dumps(rules))
        sys.stdout.write(rule["out"])
        sys.stderr.write(rule["err"])
        sys.exit(rule["status"])
sys.exit(f"stub: nobody expected {{name}} {{' '.join(arguments)}}")
"""

ENVIRONMENT = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_RESOURCE_GROUP": "rg-test",
    "AZURE_FUNCTION_NAME": "func-test",
    "AZURE_KEY_VAULT_NAME": "kv-test",
    "AZURE_OPENAI_CHAT_DEPLOYMENT": "gpt-test",
    "GATEWAY_ALL_ACCESS_KEY_NAME": "all-access",
    "GATEWAY_KEY_HASH_SECRET_NAME": "key-hash",
    "GATEWAY_TABLES_ENDPOINT": "https://sttest.table.core.windows.net/",
    "GATEWAY_URL": "https://func-test.azurewebsites.net",
    "GATEWAY_TABLES_CONNECTION_STRING": "UseDevelopmentStorage=true",
    "HOOK_ATTEMPTS": "3",
    "HOOK_PAUSE_SECONDS": "0",
}

NOT_FOUND = "ERROR: (SecretNotFound) A secret with (name/id) key-hash was not found in this key vault."
NO_ROLE_YET = 'ERROR: (Forbidden) Caller is not authorized to perform action. Inner error: {"code": "ForbiddenByRbac"}'
NO_ROUTE = "ERROR: (Forbidden) Public network access is disabled and request is not from a trusted service."


def rule(
    name: str, match: str = "", *, out: str = "", err: str = "", status: int = 0, times: int = -1
) -> dict[str, object]:
    return {"name": name, "match": match, "out": out, "err": err, "status": status, "times": times}


@dataclass
class Run:
    status: int
    out: str
    err: str
    calls: list[dict[str, object]]

    def arguments(self, name: str, match: str = "") -> list[str]:
        """The calls of a command, each as one text."""
        texts = [" ".join(map(str, call["arguments"])) for call in self.calls if call["name"] == name]  # type: ignore[call-overload]
        return [text for text in texts if re.search(match, text)]


class Stage:
    """A PATH on which the given commands are played, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "bin").mkdir()

    def run(self, hook: str, *rules: dict[str, object], environment: Mapping[str, str | None] | None = None) -> Run:
        """Run infra/hooks/<hook> as azd does. A variable that is None is not set."""
        # Without a rule for it curl is the real one.
        for name in {"az", "make", "python"} | {str(one["name"]) for one in rules}:
            stub = self.folder / "bin" / name
            stub.write_text(STUB.format(python=sys.executable))
            stub.chmod(0o755)
        (self.folder / "rules.json").write_text(json.dumps([*rules]))
        (self.folder / "calls").write_text("")
        variables = ENVIRONMENT | {"GATEWAY_PYTHON": str(self.folder / "bin" / "python")} | dict(environment or {})
        variables |= {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "STUBS": str(self.folder)}
        variables["TMPDIR"] = str(self.temporary)
        done = subprocess.run(
            ["sh", str(HOOKS / hook)],
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=60,
        )
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return Run(done.returncode, done.stdout, done.stderr, calls)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def hooks() -> list[tuple[str, str]]:
    document = YAML(typ="safe").load((ROOT / "azure.yaml").read_text())
    return [(kind, hook[system]["run"]) for kind, hook in document["hooks"].items() for system in ("posix", "windows")]


def test_hooks_of_azure_yaml_are_there_and_can_be_run() -> None:
    paths = [ROOT / path for _, path in hooks()]
    assert sorted(paths) == sorted(HOOKS.iterdir())
    for path in paths:
        assert path.is_file()
        if path.suffix == ".sh":
            assert path.stat().st_mode & stat.S_IXUSR, f"{path.name} is not executable"
            assert path.read_text().startswith("#!/bin/sh\n")
            subprocess.run(["sh", "-n", str(path)], check=True)


def test_hooks_read_what_the_deployment_puts_out() -> None:
    of_azd = {"AZURE_SUBSCRIPTION_ID"}
    settable = {"CI", "TF_BUILD", "GITHUB_ACTIONS", "FIRST_SUBSCRIPTION_SCOPE", "GATEWAY_PYTHON"}
    settable |= {"HOOK_ATTEMPTS", "HOOK_PAUSE_SECONDS"}
    own = {"GATEWAY_KEY_HASH_SECRET", "GATEWAY_TABLES_CONNECTION_STRING", "GATEWAY_ALL_ACCESS_KEY"}
    outputs = set(read(MAIN).of("output"))
    for _, path in hooks():
        text = (ROOT / path).read_text()
        found = set(re.findall(r"\b(?:AZURE|GATEWAY|HOOK|FIRST)_[A-Z_]+\b", text))
        assert found - outputs - of_azd - settable - own - {"AZURE_PRINCIPAL_ID"} == set(), path
    # Both systems' hooks speak of the same variables.
    for kind in {kind for kind, _ in hooks()}:
        named = [
            set(re.findall(r"\b(?:AZURE|GATEWAY|HOOK|FIRST)_[A-Z_]+\b", (HOOKS / f"{kind}.{end}").read_text()))
            for end in ("sh", "ps1")
        ]
        assert named[0] - {"AZURE_PRINCIPAL_ID"} == named[1] - {"AZURE_PRINCIPAL_ID"}, kind


def test_secrets_are_made_where_they_are_missing(stage: Stage) -> None:
    run = stage.run(
        "postprovision.sh",
        rule("az", "^keyvault secret show", err=NOT_FOUND, status=3),
        rule("az", "^keyvault secret set"),
        rule("az", "^rest --method post"),
    )
    assert run.status == 0, run.err
    made = [call for call in run.calls if "set" in call["arguments"]]  # type: ignore[operator]
    values = [str(call["file"]) for call in made]
    assert len(set(values)) == 2 and all(re.fullmatch("[0-9a-f]{64}", value) for value in values)
    assert {call["mode"] for call in made} == {"0o600"}
    assert [re.search(r"--name (\S+)", text)[1] for text in run.arguments("az", "secret set")] == [  # type: ignore[index]
        "key-hash",
        "all-access",
    ]
    everything = run.out + run.err + " ".join(run.arguments("az"))
    assert not any(value in everything for value in values), "a secret is shown"
    assert list(stage.temporary.iterdir()) == [], "a secret is left in a file"
    [refresh] = run.arguments("az", "^rest")
    assert "/resourceGroups/rg-test/providers/Microsoft.Web/sites/func-test/config/configreferences/" in refresh


def test_secrets_that_are_there_stay(stage: Stage) -> None:
    run = stage.run("postprovision.sh", rule("az", "^keyvault secret show"))
    assert run.status == 0, run.err
    assert run.arguments("az", "set|rest") == []


def test_only_the_missing_secret_is_made(stage: Stage) -> None:
    run = stage.run(
        "postprovision.sh",
        rule("az", "secret show .*--name key-hash"),
        rule("az", "secret show .*--name all-access", err=NOT_FOUND, status=3),
        rule("az", "^keyvault secret set"),
        rule("az", "^rest", err="not now", status=1),
    )
    assert run.status == 0, run.err
    assert [("--name all-access" in text) for text in run.arguments("az", "secret set")] == [True]
    assert "could not be refreshed" in run.err


def test_a_role_that_is_not_seen_yet_is_waited_for(stage: Stage) -> None:
    run = stage.run(
        "postprovision.sh",
        rule("az", "^keyvault secret show", err=NO_ROLE_YET, status=1, times=2),
        rule("az", "^keyvault secret show", err=NOT_FOUND, status=3),
        rule("az", "^keyvault secret set|^rest"),
    )
    assert run.status == 0, run.err
    assert len(run.arguments("az", "secret show")) == 4 and len(run.arguments("az", "secret set")) == 2


@pytest.mark.parametrize(
    ("error", "told", "asked"),
    [
        (NO_ROLE_YET, "may not read secrets", 3),
        (NO_ROUTE, "ALLOWED_IP_ADDRESS", 1),
        ("ERROR: Please run 'az login' to setup account.", "az login", 1),
        ("", "", 1),
    ],
)
def test_no_secret_is_made_while_it_is_not_known_to_be_missing(stage: Stage, error: str, told: str, asked: int) -> None:
    run = stage.run("postprovision.sh", rule("az", "^keyvault secret show", err=error, status=1))
    assert run.status == 1 and told in run.err
    assert len(run.arguments("az")) == len(run.arguments("az", "secret show")) == asked


def test_a_secret_that_cannot_be_written_ends_the_hook(stage: Stage) -> None:
    run = stage.run(
        "postprovision.sh",
        rule("az", "^keyvault secret show", err=NOT_FOUND, status=3),
        rule("az", "^keyvault secret set", err="ObjectIsDeletedButRecoverable", status=1),
    )
    assert run.status != 0 and "ObjectIsDeletedButRecoverable" in run.err
    assert len(run.arguments("az", "secret set")) == 1 and run.arguments("az", "^rest") == []
    assert list(stage.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("hook", "missing"), [("postprovision.sh", "AZURE_KEY_VAULT_NAME"), ("postdeploy.sh", "GATEWAY_URL")]
)
def test_a_hook_outside_azd_says_what_is_missing(stage: Stage, hook: str, missing: str) -> None:
    run = stage.run(hook, environment={missing: None})
    assert run.status == 1 and missing in run.err and run.calls == []


KEYS = json.dumps({"id": "first", "primary_key": "pk-1", "secondary_key": "sk-2"})
ANSWERS = rule("curl", out='{ "statusCode": 401, "message": "Access denied" } status=401')
HASH = rule("az", "^keyvault secret show .*--name key-hash --query value", out="the-hash-secret\n")


def test_the_first_subscription_is_made_and_its_call_is_shown(stage: Stage) -> None:
    run = stage.run(
        "postdeploy.sh",
        rule("curl", out='{"statusCode": 503} status=503', times=1),
        ANSWERS,
        HASH,
        rule("python", "^-m shared subscriptions create", out=KEYS, err="Keep the keys now"),
        rule("python", "^-c", out="pk-1\n"),
    )
    assert run.status == 0, run.err
    assert len(run.arguments("curl")) == 2
    assert run.arguments("python", "create") == [
        "-m shared subscriptions create first --scope product:unlimited --json"
    ]
    [create] = [call for call in run.calls if "create" in call["arguments"]]  # type: ignore[operator]
    environment = create["environment"]
    assert isinstance(environment, dict)
    assert environment["GATEWAY_KEY_HASH_SECRET"] == "the-hash-secret"
    assert environment["GATEWAY_TABLES_ENDPOINT"] == ENVIRONMENT["GATEWAY_TABLES_ENDPOINT"]
    assert "GATEWAY_TABLES_CONNECTION_STRING" not in environment
    others = [call for call in run.calls if call is not create]
    assert all("GATEWAY_KEY_HASH_SECRET" not in call["environment"] for call in others)  # type: ignore[operator]
    assert "the-hash-secret" not in run.out + run.err + " ".join(run.arguments("python"))
    url = "https://func-test.azurewebsites.net/aoai/openai/deployments/gpt-test/chat/completions?api-version=2024-10-21"
    assert f"curl '{url}'" in run.out and "-H 'api-key: pk-1'" in run.out and "sk-2" not in run.out
    assert list(stage.temporary.iterdir()) == []


def test_the_call_that_is_shown_is_one_a_shell_understands(stage: Stage) -> None:
    run = stage.run(
        "postdeploy.sh", ANSWERS, HASH, rule("python", "create", out=KEYS), rule("python", "^-c", out="pk-1\n")
    )
    shown = run.out[run.out.index("\ncurl ") :]
    (stage.folder / "rules.json").write_text(json.dumps([rule("curl", out="called")]))
    (stage.folder / "calls").write_text("")
    subprocess.run(
        ["sh", "-c", shown],
        env={"PATH": f"{stage.folder / 'bin'}:/usr/bin:/bin", "STUBS": str(stage.folder)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    [call] = [json.loads(line) for line in (stage.folder / "calls").read_text().splitlines()]
    url, headers, body = call["arguments"][0], call["arguments"][1:5], call["arguments"][6]
    assert url.startswith("https://func-test.azurewebsites.net/aoai/")
    assert headers == ["-H", "api-key: pk-1", "-H", "content-type: application/json"]
    assert json.loads(body) == {"messages": [{"role": "user", "content": "Hello"}]}


def test_a_second_deployment_keeps_the_subscription(stage: Stage) -> None:
    run = stage.run(
        "postdeploy.sh",
        ANSWERS,
        HASH,
        rule("python", "create", err="subscriptions create: there is a subscription first", status=1),
        rule("python", "show first", out="id first"),
    )
    assert run.status == 0, run.err
    assert "rotate first primary" in run.out and "api-key: <key of subscription first>" in run.out


def test_a_refused_subscription_is_an_error(stage: Stage) -> None:
    run = stage.run(
        "postdeploy.sh",
        ANSWERS,
        HASH,
        rule("python", "create", err="subscriptions create: no product unlimited", status=1),
        rule("python", "show first", err="no such subscription", status=1),
    )
    assert run.status == 1 and "no product unlimited" in run.err and "curl" not in run.out


def test_storage_that_refuses_is_asked_again_and_then_explained(stage: Stage) -> None:
    refusal = "subscriptions create: storage refuses access"
    run = stage.run(
        "postdeploy.sh",
        ANSWERS,
        HASH,
        rule("python", "create", err=refusal, status=3, times=2),
        rule("python", "create", out=KEYS),
        rule("python", "^-c", out="pk-1\n"),
    )
    assert run.status == 0 and len(run.arguments("python", "create")) == 3
    run = stage.run("postdeploy.sh", ANSWERS, HASH, rule("python", "create", err=refusal, status=3))
    assert run.status == 1 and refusal in run.err and "ALLOWED_IP_ADDRESS" in run.err


@pytest.mark.parametrize("variable", ["CI", "TF_BUILD", "GITHUB_ACTIONS"])
def test_no_key_is_made_in_a_pipeline(stage: Stage, variable: str) -> None:
    run = stage.run("postdeploy.sh", ANSWERS, environment={variable: "true"})
    assert run.status == 0 and {call["name"] for call in run.calls} == {"curl"}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ('{"statusCode": 503, "message": "no configuration"} status=503', "status=503"),
        (" status=404", "status=404"),  # the host's own: the function did not load
        (" status=000", "status=000"),
        ('{"statusCode": 401} status=500', "status=500"),
    ],
)
def test_a_gateway_that_does_not_answer_is_an_error(stage: Stage, answer: str, status: str) -> None:
    run = stage.run("postdeploy.sh", rule("curl", out=answer))
    assert run.status == 1 and status in run.err and len(run.arguments("curl")) == 3
    assert {call["name"] for call in run.calls} == {"curl"}


def test_a_gateway_without_the_example_api_answers_too(stage: Stage) -> None:
    own = rule("curl", out='{ "statusCode": 404, "message": "Resource not found" } status=404')
    assert stage.run("postdeploy.sh", own, environment={"CI": "true"}).status == 0


def test_roles_elsewhere_are_taken_back(stage: Stage) -> None:
    elsewhere = {"GATEWAY_ROLES_ELSEWHERE": "/one /two", "GATEWAY_IDENTITY_PRINCIPAL_ID": "11-22"}
    run = stage.run(
        "predown.sh",
        rule("az", "role assignment list --scope /one", out="/one/role/a\n"),
        rule("az", "role assignment list --scope /two"),
        rule("az", "role assignment delete"),
        environment=elsewhere,
    )
    assert run.status == 0, run.err
    assert all("[?principalId=='11-22'].id" in text for text in run.arguments("az", "list"))
    assert run.arguments("az", "delete") == ["role assignment delete --ids /one/role/a --output none"]
    run = stage.run("predown.sh", rule("az", "list", err="no", status=1), environment=elsewhere)
    assert run.status != 0
    assert stage.run("predown.sh").calls == []


def test_what_the_hook_shows_works_on_a_real_gateway(stage: Stage) -> None:
    """Two deployments of this repository's gateway.yaml: only Key Vault is played."""
    with Azurite() as storage, Backend(key="model-key") as backend:
        # Table Storage takes the login there; the emulator its connection string.
        python = stage.folder / "python-for-emulator"
        python.write_text(
            "#!/bin/sh\nunset GATEWAY_TABLES_ENDPOINT\n"
            f"GATEWAY_TABLES_CONNECTION_STRING='{storage.connection_string}' exec {sys.executable} \"$@\"\n"
        )
        python.chmod(0o755)
        settings = {
            "AZURE_OPENAI_ENDPOINT": backend.url,
            "AZURE_OPENAI_API_KEY": "model-key",
            "GATEWAY_KEY_HASH_SECRET": "the-hash-secret",
            "GATEWAY_TABLES_CONNECTION_STRING": storage.connection_string,
        }
        with gateway(ROOT / "gateway.yaml", env=settings) as running:
            environment = {"GATEWAY_URL": running.url, "GATEWAY_PYTHON": str(python)}
            first = stage.run("postdeploy.sh", HASH, environment=environment)
            assert first.status == 0, first.err
            second = stage.run("postdeploy.sh", HASH, environment=environment)
            assert second.status == 0 and "is there already" in second.out, second.err
            shown = first.out[first.out.index("\ncurl ") :]
            answer = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, timeout=60)
    assert json.loads(answer.stdout)["choices"][0]["message"]["role"] == "assistant", answer.stdout
