"""Large bodies: those that are made objects of do not hold up other requests, nor take all memory."""

from asyncio import get_running_loop
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.app import App
from shared.settings import from_environment
from tests.support.backend import Backend, Script
from tests.support.policies import Declared, document, policies

ALWAYS = 'apply="always" consider-accept-header="false"'
TO_JSON = f'<xml-to-json kind="direct" {ALWAYS} />'
TO_XML = f"<json-to-xml {ALWAYS} />"
LIQUID = '<set-body template="liquid">{{ body.r.a | size }}</set-body>'


class Threads(ThreadPoolExecutor):
    """The loop's threads; counts what they are asked to do."""

    asked = 0

    def submit(self, *call: Any, **more: Any) -> Future[Any]:
        """Do something on a thread."""
        self.asked += 1
        return super().submit(*call, **more)


@pytest.mark.parametrize(
    ("policy", "kind", "body"),
    [
        (TO_JSON, "xml", "<r>{}<a/></r>"),
        (TO_XML, "json", '{{"r": {{"b": "{}"}}}}'),
        (LIQUID, "xml", "<r><a/><a>{}</a></r>"),
        (LIQUID, "json", '{{"r": {{"a": "{}"}}}}'),
    ],
)
async def test_only_large_bodies_are_converted_on_a_thread(tmp_path: Path, policy: str, kind: str, body: str) -> None:
    Declared().write(tmp_path, document(f"{policy}<return-response />"), "http://127.0.0.1:9")
    app = App(
        from_environment({"GATEWAY_CONFIG": str(tmp_path / "gateway.yaml")}, base=tmp_path, local=True), local=True
    )
    threads = Threads()
    get_running_loop().set_default_executor(threads)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/api") as client:
        asked = []
        for size in (10, 10, 1_000_000):  # the first waits for the configuration
            threads.asked = 0
            answer = await client.post(
                "/x", content=body.format("x" * size), headers={"content-type": f"application/{kind}"}
            )
            assert answer.status_code == 200
            asked.append(threads.asked)
    await app.aclose()
    assert asked[1:] == [0, 1]


@pytest.mark.parametrize(
    ("policy", "kind", "body", "message"),
    [
        (TO_JSON, "xml", f"<r>{'<a/>' * 4_000_000}</r>", "too many XML elements."),
        (TO_XML, "json", f"[{'{},' * 1_500_000}0]", "too many JSON values."),
        (LIQUID, "json", f"[{'{},' * 1_500_000}0]", "too many JSON values."),
    ],
)
def test_a_body_that_would_take_all_memory_is_refused(
    backend: Backend, policy: str, kind: str, body: str, message: str
) -> None:
    headers = {"content-type": f"application/{kind}"}
    with policies(document(policy), backend.url) as gateway:
        answer = gateway.call("POST", content=body, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (413, f"Request body has {message}")
    backend.script = Script(body=body, headers=headers)
    with policies(document(outbound=policy), backend.url) as gateway:
        answer = gateway.call()
    assert (answer.status_code, answer.json()["message"]) == (502, f"The answer has {message}")
