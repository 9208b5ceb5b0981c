"""A gateway made from a YAML text, served on a thread of the test's process.

with running(CONFIG, files={"policies/api.xml": POLICIES}, values={"backend": backend.url}) as gateway:
    httpx.get(gateway.url + "/api/...", headers=gateway.key)

`@backend@` in the texts becomes the value of that name.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from shared.app import App
from shared.settings import from_environment
from shared.telemetry.metrics import MOST_SERIES, Metrics, MetricTotals
from tests.support.serve import serving
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")
KEY = "built-in-all-access-key"
SECRET = "the secret of the tests"


class Watched:
    """An app with the number of requests it is at, on the event loop it runs on."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.requests = 0
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on."""
        self.loop = asyncio.get_running_loop()
        counts = scope["type"] == "http"
        self.requests += counts
        try:
            await self.app(scope, receive, send)
        finally:
            self.requests -= counts


@dataclass(frozen=True)
class Running:
    """A gateway under test: its root URL, its app, the folder its files are in, and a client that never follows
    redirects or proxies."""

    url: str
    app: App
    folder: Path
    client: httpx.Client = field(repr=False)
    watched: Watched = field(repr=False)

    @property
    def key(self) -> dict[str, str]:
        """Headers with the built-in all-access key."""
        return {"ocp-apim-subscription-key": KEY}

    def call(self, method: str = "GET", path: str = "/v1/models", **options: Any) -> httpx.Response:
        """Call an operation of the API whose path is `api`."""
        return self.client.request(method, f"/api{path}", **options)

    def settled(self, look: Callable[[], T]) -> T:
        """What `look` tells, on the gateway's own loop, once all requests have come to their end: a caller has the last
        byte before that."""

        async def looking() -> T:
            return look()

        wait_until(lambda: self.watched.requests == 0)
        assert self.watched.loop is not None
        return asyncio.run_coroutine_threadsafe(looking(), self.watched.loop).result(PATIENCE)


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
    watched = Watched(app)
    with serving(watched) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield Running(url, app, folder, client, watched)


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
