"""App settings that cannot be used: told by name, so that the app answers 503 instead of not loading at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import SettingsError, from_environment

ROOT = Path(__file__).parents[1]
SECRET = {"GATEWAY_KEY_HASH_SECRET": "0" * 64}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GATEWAY_RELOAD_SECONDS", "soon", "is soon, not a number from 0 to 86400"),
        ("GATEWAY_RELOAD_SECONDS", "-1", "is -1, not a number from 0 to 86400"),
        ("GATEWAY_RELOAD_SECONDS", "nan", "is nan, not a number from 0 to 86400"),
        ("GATEWAY_MAX_INSTANCES", "0", "is 0, not a number from 1 to 10000"),
        ("GATEWAY_MAX_INSTANCES", "many", "is many, not a number from 1 to 10000"),
        ("GATEWAY_TABLES_ENDPOINT", "contoso", "is contoso, not https://<account>.table.core.windows.net"),
        ("GATEWAY_TABLES_CONNECTION_STRING", "hunter2", "is no storage account's connection string"),
        ("GATEWAY_TABLES_CONNECTION_STRING", "@Microsoft.KeyVault(SecretUri=https://v)", "is not resolved"),
    ],
)
def test_a_value_that_cannot_be_used_is_told(name: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as told:
        from_environment({**SECRET, name: value}, base=ROOT, local=False)
    assert name in str(told.value) and str(told.value).endswith(problem)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "UseDevelopmentStorage=true",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;EndpointSuffix=core.windows.net",
        "TableEndpoint=https://a.table.core.windows.net;SharedAccessSignature=sv=x",
    ],
)
def test_connection_strings_of_every_form_are_taken(text: str) -> None:
    settings = from_environment({**SECRET, "GATEWAY_TABLES_CONNECTION_STRING": text}, base=ROOT, local=False)
    assert settings.tables_connection_string == text


@pytest.mark.parametrize(
    ("arguments", "setting", "problem"),
    [
        (["serve", "--port", "0"], {"GATEWAY_MAX_INSTANCES": "x"}, "error: app setting GATEWAY_MAX_INSTANCES is x"),
        (["serve", "--port", "99999"], {}, "99999 is not a port from 0 to 65535"),
        (["serve", "--port", "0", "--reload-seconds", "-1"], {"GATEWAY_RELOAD_SECONDS": "5"}, "RELOAD_SECONDS is -1"),
    ],
)
def test_serve_says_what_it_cannot_do(
    tmp_path: Path, arguments: list[str], setting: dict[str, str], problem: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **setting}
    done = subprocess.run(
        [sys.executable, "-m", "shared", *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2 and problem in done.stderr and "Traceback" not in done.stderr
