"""A gateway made of a policy document and little else, running on a socket, for the tests of policies.

with policies('<policies>...</policies>', backend.url) as gateway:
    answer = gateway.call("POST", "/chat", json={...})
problems('<policies>...</policies>')       # what is wrong with a document, as the check command prints it
"""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.config.loader import load
from shared.errors import ConfigError
from shared.gateway.catalog import compile_catalog
from tests.support.running import Running, serving_folder

CONFIG = """
backends:
  main:
    url: {backend}
{backends}
apis:
  chat:
    display_name: Chat
    path: api
    kind: http
    backend: main
{api}
    operations:
      - {{id: get, method: GET, url_template: "/*", policy: operation.xml}}
      - {{id: post, method: POST, url_template: "/*", policy: operation.xml}}
      - {{id: put, method: PUT, url_template: "/*", policy: operation.xml}}
      - {{id: item, method: GET, url_template: "/items/{{id}}", policy: operation.xml}}
      - {{id: found, method: GET, url_template: "/found?q={{term}}", policy: operation.xml}}
{operations}
"""


def document(inbound: str = "", backend: str = "<base />", outbound: str = "", on_error: str = "") -> str:
    """A policy document out of the contents of its sections."""
    sections = {"inbound": inbound, "backend": backend, "outbound": outbound, "on-error": on_error}
    return "<policies>" + "".join(f"<{name}>{text}</{name}>" for name, text in sections.items()) + "</policies>"


@dataclass
class Declared:
    """What a test declares beside its document: more YAML at the end (`config`), files by name, backends by id (a URL,
    or a whole declaration), fields of the API, and more operations."""

    config: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    backends: Mapping[str, Any] = field(default_factory=dict)
    api: Mapping[str, Any] = field(default_factory=dict)
    operations: str = ""

    def write(self, folder: Path, xml: str, backend: str) -> Path:
        """Write a configuration whose operations have the document `xml`, and return its file."""
        (folder / "operation.xml").write_text(xml, encoding="utf-8")
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        declared = {id: {"url": one} if isinstance(one, str) else one for id, one in self.backends.items()}
        api = {"subscription_required": False, **self.api}
        text = CONFIG.format(
            backend=backend,
            backends="\n".join(f"  {id}: {json.dumps(one)}" for id, one in declared.items()),
            api="\n".join(f"    {name}: {json.dumps(value)}" for name, value in api.items()),
            operations=textwrap.indent(self.operations, "      "),
        )
        file = folder / "gateway.yaml"
        file.write_text(text + textwrap.dedent(self.config), encoding="utf-8")
        return file


@contextmanager
def policies(
    xml: str,
    backend: str = "http://127.0.0.1:9",
    *,
    environment: Mapping[str, str] | None = None,
    **declared: Any,
) -> Iterator[Running]:
    """Run a gateway until the block ends; `declared` as in Declared. Its configuration must have no problems."""
    with TemporaryDirectory() as name:
        Declared(**declared).write(Path(name), xml, backend)
        with serving_folder(Path(name), environment or {}) as gateway:
            assert gateway.app.problems == []
            yield gateway


def problems(xml: str, *, warnings: bool = False, placeholders: bool = False, **declared: Any) -> list[str]:
    """What is wrong with a document, one `file:line path: message` each; `declared` as in Declared. With `placeholders`
    named values of the environment are not known."""
    with TemporaryDirectory() as name:
        file = Declared(**declared).write(Path(name), xml, "http://127.0.0.1:9")
        loaded = asyncio.run(load(file, {}, placeholders=placeholders))
        try:
            compile_catalog(loaded)
        except ConfigError:
            pass
        found = sorted(set(loaded.problems))
        return [str(problem) for problem in found if warnings or problem.severity == "error"]
