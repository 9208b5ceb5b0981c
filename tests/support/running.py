"""A gateway made from a YAML text, served on a thread of the test's process.

with running(CONFIG, files={"policies/api.xml": POLICIES}, values={"backend": backend.url}) as gateway:
    httpx.get(gateway.url + "/api/...", headers=gateway.key)

`@backend@` in the texts becomes the value of that name.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.app import App
from shared.settings import Settings, telemetry_settings
from shared.telemetry.metrics import MOST_SERIES, Metrics, MetricTotals
from tests.support.serve import serving

KEY = "built-in-all-access-key"


@dataclass(frozen=True)
class Running:
    """A gateway under test: its root URL, its app, and the folder its files are in."""

    url: str
    app: App
    folder: Path

    @property
    def key(self) -> dict[str, str]:
        """Headers with the built-in all-access key."""
        return {"ocp-apim-subscription-key": KEY}


@contextmanager
def running(
    config: str,
    *,
    files: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    tables_connection_string: str | None = None,
    reload_seconds: float = 0,
    client_ip_header: str | None = None,
) -> Iterator[Running]:
    """Serve a configuration until the block ends."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {"gateway.yaml": config, **(files or {})}.items():
            write(folder / file, text, values or {})
        settings = Settings(
            config=folder / "gateway.yaml",
            key_hash_secret=b"the secret of the tests",
            all_access_key=KEY,
            tables_connection_string=tables_connection_string,
            reload_seconds=reload_seconds,
            client_ip_header=client_ip_header,
            telemetry=telemetry_settings(environment or {}),
            environment=dict(environment or {}),
        )
        app = App(settings, local=True)
        with serving(app) as url:
            yield Running(url, app, folder)


def counting(app: App) -> MetricTotals:
    """Have an app without telemetry count from now on what policies emit; the totals are the test's to take."""
    totals: MetricTotals = app.services.extras[Metrics]
    totals.most = MOST_SERIES
    return totals


def write(file: Path, text: str, values: Mapping[str, str]) -> None:
    """Write a file with its `@name@` marks replaced."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
