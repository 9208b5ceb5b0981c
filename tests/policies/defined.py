"""An API with an OpenAPI document, and a backend that answers what a test says, for the policies that validate.

with defined(SHOP, inbound='<validate-parameters ... />') as shop:
    shop.answers(200, {"id": 7}, x_count="1")    # what the backend answers from now on
    shop.get("/orders/7?limit=5")                # through the gateway
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.policies import Running, document, policies
from tests.support.service import Reply, Service

SHOW = """<set-header name="x-error">
        <value>@($"{context.LastError.Source} {context.LastError.Reason}")</value></set-header>
    <set-header name="x-message"><value>@(context.LastError.Message)</value></set-header>"""


@dataclass
class Shop:
    """A gateway in front of a backend."""

    gateway: Running
    backend: Service

    @property
    def asked(self) -> int:
        """How often the backend was."""
        return len(self.backend.requests)

    def answers(self, status: int, body: Any = b"", **headers: str) -> None:
        """What the backend answers from now on; a body that is no bytes as JSON."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if not isinstance(body, bytes):
            body, given = json.dumps(body).encode(), {"content-type": "application/json", **given}
        self.backend.default = lambda request: Reply(status, body, given)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """A GET below the API's path."""
        return self.gateway.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """A POST below the API's path."""
        return self.gateway.call("POST", path, **options)


@contextmanager
def defined(definition: str | Mapping[str, Any], **sections: str) -> Iterator[Shop]:
    """Run a gateway whose API has the definition and the policies."""
    text = definition if isinstance(definition, str) else json.dumps(definition)
    sections.setdefault("on_error", SHOW)
    with Service() as backend:
        backend.default = lambda request: Reply(200)
        api = {"openapi": "shop.yaml", "policy": "operation.xml"}
        xml = document(**sections, backend="<forward-request />")
        with policies(xml, backend.url, files={"shop.yaml": text}, api=api) as gateway:
            yield Shop(gateway, backend)


def said(answer: httpx.Response) -> str:
    """The message of an error's body."""
    message: str = answer.json()["message"]
    return message
