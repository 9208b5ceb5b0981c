"""The Content Safety client: what it sends, where its credentials go, and what it takes for an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared.backends.content_safety import ContentSafety, SafetyRefused, SafetyUnavailable
from shared.backends.target import Target, compile_backend
from shared.config.backends import Backend
from tests.support.content_safety import ContentSafetyService, Fault
from tests.support.dialects import PIXEL

BY_KEY: dict[str, Any] = {"header": {"Ocp-Apim-Subscription-Key": "k", "x-team": "blue"}, "query": {"extra": "1 2"}}
BY_IDENTITY: dict[str, Any] = {"managed_identity": {"resource": "https://cognitiveservices.azure.com"}}


class Tokens:
    def at_hand(self, resource: str, client_id: str | None = None) -> str | None:
        return None

    async def token(self, resource: str, client_id: str | None = None) -> str:
        return f"token for {resource}"


def target(url: str, credentials: dict[str, Any] = BY_KEY) -> Target:
    return compile_backend("safety", Backend.model_validate({"url": url, "credentials": credentials}), Path())


@asynccontextmanager
async def client() -> AsyncIterator[ContentSafety]:
    safety = ContentSafety(Tokens(), Random(1))
    try:
        yield safety
    finally:
        await safety.aclose()


async def severities(safety: ContentSafety, at: Target, text: str, seconds: float = 5.0) -> dict[str, int]:
    found = await safety.analyze_text(
        at,
        text,
        categories=["Hate", "Violence"],
        output_type="EightSeverityLevels",
        blocklists=["fruit"],
        until=asyncio.get_running_loop().time() + seconds,
    )
    return dict(found.severities)


async def test_one_client_and_its_connections_serve_all_calls_to_a_backend() -> None:
    with ContentSafetyService(key="k") as service:
        async with client() as safety:
            for _ in range(5):
                # A reload makes the target anew.
                assert await severities(safety, target(service.url), "hate=3") == {"Hate": 3, "Violence": 0}
            assert service.connections == 1
        call = service.calls[0]
        assert (call.headers["x-team"], call.body["blocklistNames"]) == ("blue", ["fruit"])


async def test_an_endpoint_may_name_the_path_and_a_query() -> None:
    with ContentSafetyService(key="k") as service:
        async with client() as safety:
            assert await severities(safety, target(f"{service.url}/contentsafety"), "violence=7")


async def test_documents_and_prompts_are_told_apart() -> None:
    until = asyncio.get_running_loop().time() + 20
    with ContentSafetyService(key="k") as service:
        async with client() as safety:
            at = target(service.url)
            assert await safety.shield(at, "jailbreak", ["calm"], until=until) == (True, False)
            assert await safety.shield(at, None, ["calm", "developer mode"], until=until) == (False, True)
            service.fault = Fault(body=b'{"userPromptAnalysis": {"attackDetected": false}, "documentsAnalysis": []}')
            with pytest.raises(SafetyUnavailable, match="each text"):
                await safety.shield(at, "calm", ["calm"], until=until)


async def test_images_it_does_not_take_are_told_from_outages() -> None:
    until = asyncio.get_running_loop().time() + 20
    with ContentSafetyService(key="k") as service:
        async with client() as safety:
            found = await safety.analyze_image(target(service.url), PIXEL, categories=["Hate"], until=until)
            assert found.severities == {"Hate": 0}
            with pytest.raises(SafetyRefused, match="InvalidImageFormat"):
                await safety.analyze_image(target(service.url), "aGVsbG8=", categories=["Hate"], until=until)


async def test_a_missing_blocklist_is_no_verdict_and_said_to_operators() -> None:
    with ContentSafetyService(key="k") as service:
        service.blocklists.clear()
        async with client() as safety:
            with pytest.raises(SafetyUnavailable, match="Blocklist 'fruit' is not found"):
                await severities(safety, target(service.url), "Hi")
    assert len(service.calls) == 1, "asking again would not help"


@pytest.mark.parametrize("wait", ["60", "Fri, 31 Dec 2199 23:59:59 GMT"])
async def test_a_wait_longer_than_there_is_time_is_not_begun(wait: str) -> None:
    with ContentSafetyService(key="k") as service:
        service.fault = Fault(status=429, headers={"retry-after": wait})
        async with client() as safety:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(SafetyUnavailable, match="429"):
                await severities(safety, target(service.url), "Hi")
            assert asyncio.get_running_loop().time() - begun < 10
    assert len(service.calls) == 1


async def test_a_proxy_is_used_and_a_token_never_leaves_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    answer = b'{"blocklistsMatch": [], "categoriesAnalysis": [%s]}' % b",".join(
        b'{"category": "%s", "severity": 0}' % name for name in (b"Hate", b"Violence")
    )

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server, client() as safety:
        port = server.sockets[0].getsockname()[1]
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{port}")
        assert await severities(safety, target("http://safety.example"), "Hi")
        assert heads[0].startswith(
            b"POST http://safety.example/contentsafety/text:analyze?api-version=2024-09-01&extra=1%202"
        )
        assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in heads[0]
        with pytest.raises(SafetyUnavailable):
            await severities(safety, target("http://safety.example", BY_IDENTITY), "Hi", seconds=0.2)
        assert len(heads) == 1
