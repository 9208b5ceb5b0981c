"""A gateway made from a YAML text, served on a thread of the test's process.

with running(CONFIG, files={"policies/api.xml": POLICIES}, values={"backend": backend.url}) as gateway:
    httpx.get(gateway.url + "/api/...", headers=gateway.key)

`@backend@` in the texts becomes the value of that name.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from shared.app import App
from shared.settings import from_environment
from shared.telemetry.metrics import MOST_SERIES, Metrics, MetricTotals
from tests.support.serve import serving

KEY = "built-in-all-access-key"
SECRET = "the secret of the tests"


@dataclass(frozen=True)
class Running:
    """A gateway under test: its root URL, its app, the folder its files are in, and a client that never follows
    redirects or proxies."""

    url: str
    app: App
    folder: Path
    client: httpx.Client = field(repr=False)

    @property
    def key(self) -> dict[str, str]:
        """Headers with the built-in all-access key."""
        return {"ocp-apim-subscription-key": KEY}

    def call(self, method: str = "GET", path: str = "/v1/models", **options: Any) -> httpx.Response:
        """Call an operation of the API whose path is `api`."""
        return self.client.request(method, f"/api{path}", **options)


@contextmanager
def running(
    config: str,
    *,
    files: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Serve a configuration until the block ends; `environment` has app settings, and what named values are read
    from."""
    with tempfile.TemporaryDirectory() as name:
        for file, text in {"gateway.yaml": config, **(files or {})}.items():
            write(Path(name, file), text, values or {})
        with serving_folder(Path(name), environment or {}) as gateway:
            yield gateway


@contextmanager
def serving_folder(folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """Serve the gateway.yaml of a folder until the block ends."""
    known = {
        "GATEWAY_CONFIG": str(folder / "gateway.yaml"),
        "GATEWAY_KEY_HASH_SECRET": SECRET,
        "GATEWAY_ALL_ACCESS_KEY": KEY,
    }
    app = App(from_environment({**known, **environment}, base=folder, local=True), local=True)
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield Running(url, app, folder, client)


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
