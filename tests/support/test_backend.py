"""The scripted backend against the official SDKs: if these fail, no other test can be believed."""

import asyncio
import json
import math
import time

import anthropic
import httpx
import openai
import pytest

from tests.support.backend import Backend, Script
from tests.support.dialects import embed

HELLO = [{"role": "user", "content": "Hello there"}]


def openai_client(backend: Backend) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{backend.url}/v1", api_key="k", max_retries=0)


def azure_client(backend: Backend) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(azure_endpoint=backend.url, api_key="k", api_version="2024-10-21", max_retries=0)


def similarity(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_openai_sdk_chats_plain_and_streamed() -> None:
    with Backend(script=Script(text="Hi, you.")) as backend, openai_client(backend) as client:
        plain = client.chat.completions.create(model="gpt-4o", messages=HELLO)
        stream = list(
            client.chat.completions.create(
                model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        )
        silent = list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    assert plain.choices[0].message.content == "Hi, you."
    assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (2, 4)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "Hi, you."
    assert stream[-1].usage.total_tokens == 6
    assert all(chunk.usage is None for chunk in silent)
    assert backend.last.json()["stream"] is True


def test_azure_sdk_speaks_by_deployment() -> None:
    with Backend(key="k") as backend, azure_client(backend) as client:
        answer = client.chat.completions.create(model="my-deployment", messages=HELLO)
        chunks = list(client.chat.completions.create(model="my-deployment", messages=HELLO, stream=True))
    assert backend.last.target.startswith("/openai/deployments/my-deployment/chat/completions?api-version=")
    assert answer.model == "my-deployment"
    assert chunks[0].choices == [] and chunks[1].choices[0].delta.role == "assistant"


def test_responses_stream_is_complete_for_the_sdk() -> None:
    with Backend(script=Script(text="One two")) as backend, openai_client(backend) as client:
        assert client.responses.create(model="gpt-4o", input="Hello").output_text == "One two"
        with client.responses.stream(model="gpt-4o", input="Hello") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text == "One two" and final.usage.output_tokens == 2


def test_anthropic_sdk_gets_messages() -> None:
    with Backend(script=Script(text="One two")) as backend:
        client = anthropic.Anthropic(base_url=backend.url, api_key="k", max_retries=0)
        answer = client.messages.create(model="claude-haiku-5-5", max_tokens=99, messages=HELLO)
        with client.messages.stream(model="claude-haiku-5-5", max_tokens=99, messages=HELLO) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
    assert answer.content[0].text == text == "One two"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (2, 2)
    assert backend.last.header("authorization") == "Bearer k"  # what this SDK makes of `api_key`


def test_embeddings_are_near_for_similar_texts() -> None:
    with Backend() as backend, openai_client(backend) as client:
        texts = ["How do I reset my password?", "How can I reset the password?", "Bake bread at 220 degrees"]
        answer = client.embeddings.create(model="text-embedding-3-small", input=texts)  # the SDK asks for base64
        short = client.embeddings.create(model="e", input="x", dimensions=64, encoding_format="float")
    first, second, other = (item.embedding for item in answer.data)
    assert len(first) == 1536 and len(short.data[0].embedding) == 64
    assert similarity(first, second) > 0.6 > 0.2 > abs(similarity(first, other))
    assert math.isclose(first[0], embed(texts[0])[0], rel_tol=1e-6)


def test_errors_raise_the_sdks_own_classes() -> None:
    with Backend(key="right") as backend, openai_client(backend) as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        backend.key = None
        backend.scripts.append(Script(status=429, headers={"retry-after": "7"}))
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert limited.value.response.headers["retry-after"] == "7"
        prompt = json.dumps({"script": {"status": 503}})
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": prompt}])
        assert "gpt-4o" in {model.id for model in client.models.list()}


async def chunks_of(url: str, script: Script | None = None) -> list[float]:
    """When each chunk of a streamed chat arrived, in seconds after the request."""
    begun, times = time.monotonic(), []
    async with httpx.AsyncClient() as client:
        body = {"model": "m", "messages": HELLO, "stream": True}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_raw():
                times.append(time.monotonic() - begun)
    return times


async def test_drip_stall_cut_and_garbage() -> None:
    with Backend() as backend:
        backend.scripts.append(Script(text="a b c", chunk_every=0.05))
        times = await chunks_of(backend.url)
        assert len(times) >= 5 and times[-1] - times[0] > 0.2
        backend.scripts.append(Script(cut_after=2))
        with pytest.raises(httpx.RemoteProtocolError):
            await chunks_of(backend.url)
        backend.scripts.append(Script(garbage=True))
        with pytest.raises(httpx.RemoteProtocolError):
            await chunks_of(backend.url)
        backend.scripts.append(Script(stall_after=1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(chunks_of(backend.url), 0.3)
        assert await backend.last.left_within(10.0), "the backend must notice that the client left"


async def test_bodies_early_slow_gzipped_and_huge() -> None:
    url, body = "/v1/chat/completions", json.dumps({"messages": HELLO, "pad": "x" * 300_000}).encode()
    with Backend() as backend:
        async with httpx.AsyncClient(base_url=backend.url) as client:
            backend.scripts.append(Script(gzip=True, text="packed"))
            packed = await client.post(url, content=body)
            assert packed.headers["content-encoding"] == "gzip" and "packed" in packed.text
            assert backend.last.body == body
            backend.scripts.append(Script(huge=3_000_000))
            assert len((await client.post(url, content=body)).content) == 3_000_000
            backend.scripts.append(Script(read_every=0.05))
            begun = time.monotonic()
            await client.post(url, content=body)
            assert time.monotonic() - begun > 0.2
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        backend.scripts.append(Script(status=413, answer_early=True))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ncontent-length: 99\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()


@pytest.mark.parametrize("framing", ["content-length: 99", "transfer-encoding: chunked"])
async def test_a_client_that_leaves_during_its_upload_is_noticed(framing: str) -> None:
    with Backend() as backend:
        _, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\n{framing}\r\n\r\n3\r\nabc\r\n".encode())
        await writer.drain()
        await asyncio.to_thread(backend.wait_for_requests)
        assert not backend.last.client_left.is_set()
        writer.close()
        assert await backend.last.left_within(10.0)
