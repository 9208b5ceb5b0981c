"""Official SDKs call the gateway as they would call the provider: only base URL and key differ."""

from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx
import openai
import pytest
from google import genai

from tests.support.backend import Backend, Script
from tests.support.running import KEY, Running, running

CONFIG = """
backends:
  azure: { url: "@backend@/openai", credentials: { header: { api-key: backend-key } } }
  root: { url: "@backend@", credentials: { header: { api-key: backend-key } } }
  v1: { url: "@backend@/v1", credentials: { header: { Authorization: Bearer backend-key } } }
apis:
  azure: { path: team/openai, kind: azure-openai, backend: azure, subscription_key: { header: api-key } }
  v1: { path: llm, kind: openai-v1, backend: root }
  inference: { path: inference, kind: azure-ai, backend: root }
  local: { path: local, kind: openai, backend: v1 }
  claude: { path: claude, kind: anthropic, backend: root }
  gemini: { path: gemini, kind: passthrough, backend: root, subscription_key: { header: x-goog-api-key } }
  limited: { path: limited, kind: passthrough, backend: root, subscription_required: false, policy: limited.xml }
"""
LIMITED = """
<policies><inbound>
  <llm-token-limit counter-key="all" tokens-per-minute="1" estimate-prompt-tokens="true" />
</inbound></policies>
"""
MESSAGES = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def backend():
    with Backend(key="backend-key") as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend):
    with running(CONFIG, files={"limited.xml": LIMITED}, values={"backend": backend.url}) as gateway:
        yield gateway


def clients(gateway: Running) -> list[openai.OpenAI]:
    azure = openai.AzureOpenAI(azure_endpoint=f"{gateway.url}/team", api_key=KEY, api_version="2024-10-21")
    v1 = openai.OpenAI(base_url=f"{gateway.url}/llm/openai/v1", api_key=KEY)
    local = openai.OpenAI(base_url=f"{gateway.url}/local", api_key=KEY)
    return [azure, v1, local]


def test_chat_streams_embeddings_responses_models(gateway: Running, backend: Backend) -> None:
    for client in clients(gateway):
        with client:
            chat = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[arg-type]
            said = chat.choices[0].message.content
            assert said and "Hello there" in said and chat.usage and chat.usage.total_tokens > 0
            parts = client.chat.completions.create(
                model="gpt-4o",
                messages=MESSAGES,  # type: ignore[arg-type]
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = list(parts)
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == said
            assert chunks[-1].usage and chunks[-1].usage.total_tokens == chat.usage.total_tokens
            vectors = client.embeddings.create(model="text-embedding-3-small", input=["a cat", "a cat!", "zebra"]).data
            assert len(vectors) == 3 and len(vectors[0].embedding) == 1536
            response = client.responses.create(model="gpt-4o", input="Hello there")
            assert "Hello there" in response.output_text
            with client.responses.stream(model="gpt-4o", input="Hello there") as stream:
                assert stream.get_final_response().output_text == response.output_text
            assert [model.id for model in client.models.list()]
    seen = {request.header("api-key") or request.header("authorization") for request in backend.requests}
    assert seen == {"backend-key", "Bearer backend-key"}


async def test_async_client(gateway: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/local", api_key=KEY) as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)  # type: ignore[call-overload]
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert "Hello there" in text


def test_anthropic(gateway: Running) -> None:
    with anthropic.Anthropic(base_url=f"{gateway.url}/claude", api_key=KEY) as client:
        message = client.messages.create(model="claude", max_tokens=50, messages=MESSAGES)  # type: ignore[arg-type]
        assert "Hello there" in message.content[0].text and message.usage.output_tokens > 0
        with client.messages.stream(model="claude", max_tokens=50, messages=MESSAGES) as stream:  # type: ignore[arg-type]
            assert stream.get_final_text() == message.content[0].text


def gemini(gateway: Running, path: str = "gemini", key: str = KEY) -> genai.Client:
    options = genai.types.HttpOptions(base_url=f"{gateway.url}/{path}", api_version="v1beta")
    return genai.Client(api_key=key, http_options=options)


def test_gemini(gateway: Running, backend: Backend) -> None:
    with gemini(gateway) as client:
        asked = {"model": "gemini-2.5-flash", "contents": "Hello there"}
        answer = client.models.generate_content(**asked)
        assert answer.text and "Hello there" in answer.text
        assert "".join(one.text or "" for one in client.models.generate_content_stream(**asked)) == answer.text


def test_azure_ai_inference_shape(gateway: Running) -> None:
    client = openai.OpenAI(
        base_url=f"{gateway.url}/inference/models", api_key=KEY, default_query={"api-version": "2024-05-01-preview"}
    )
    with client:
        chat = client.chat.completions.create(model="mistral", messages=MESSAGES)  # type: ignore[arg-type]
        assert chat.choices[0].message.content


def test_gateways_and_backends_errors_raise_the_sdks_classes(gateway: Running, backend: Backend) -> None:
    refused = openai.OpenAI(base_url=f"{gateway.url}/local", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="invalid subscription key") as raised:
        refused.models.list()
    assert raised.value.code == "invalid_api_key" and raised.value.request_id
    with pytest.raises(openai.NotFoundError, match="Resource not found"):
        openai.AzureOpenAI(azure_endpoint=f"{gateway.url}/no", api_key=KEY, api_version="1").models.list()
    backend.scripts.append(Script(status=429, headers={"retry-after": "1"}))
    limited = openai.OpenAI(base_url=f"{gateway.url}/local", api_key=KEY, max_retries=0)
    with pytest.raises(openai.RateLimitError):
        limited.models.list()
    backend.scripts.append(Script(status=429, headers={"retry-after": "0.1"}))
    assert openai.OpenAI(base_url=f"{gateway.url}/local", api_key=KEY, max_retries=1).models.list().data
    with pytest.raises(anthropic.AuthenticationError, match="invalid subscription key"):
        anthropic.Anthropic(base_url=f"{gateway.url}/claude", api_key="wrong").models.list()


def test_googles_sdk_raises_what_the_gateway_refuses_and_what_breaks_off(gateway: Running, backend: Backend) -> None:
    asked = {"model": "gemini-2.5-flash", "contents": "Hello there"}

    def refused(path: str, key: str) -> tuple[int, str | None, str | None]:
        with gemini(gateway, path, key) as client, pytest.raises(genai.errors.ClientError) as raised:
            client.models.generate_content(**asked)
        return raised.value.code, raised.value.status, raised.value.message

    code, status, message = refused("gemini", "wrong")
    assert (code, status) == (401, "UNAUTHENTICATED") and "invalid subscription key" in (message or "")
    assert refused("nowhere", KEY)[:2] == (404, "NOT_FOUND")
    code, status, message = refused("limited", KEY)
    assert (code, status) == (429, "RESOURCE_EXHAUSTED") and "Token limit" in (message or "")
    backend.scripts.append(Script(cut_after=2))
    with gemini(gateway) as client, pytest.raises(genai.errors.ServerError) as raised:
        list(client.models.generate_content_stream(**asked))
    assert (raised.value.code, raised.value.status) == (502, "UNAVAILABLE")
    # Without its header, by the path; API Management's fields stay.
    path = "limited/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
    answer = httpx.post(f"{gateway.url}/{path}", json=body).json()
    assert (answer["statusCode"], answer["message"]) == (429, message)
    assert answer["error"] == {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}


def test_a_silent_stream_is_kept_alive_with_what_the_sdk_skips(gateway: Running, backend: Backend) -> None:
    asked = {"stream": True, "messages": MESSAGES, "contents": []}

    def first_bytes(path: str, key: str) -> bytes:
        url = f"{gateway.url}/{path}"
        with httpx.stream("POST", url, json=asked, headers={key: KEY}, timeout=25) as answer:
            return next(answer.iter_raw())

    backend.scripts += [Script(stall_after=0)] * 2
    calls = [
        ("gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "x-goog-api-key"),
        ("local/chat/completions", "api-key"),
    ]
    with ThreadPoolExecutor() as threads:
        assert list(threads.map(lambda call: first_bytes(*call), calls)) == [b"\n", b": ping\n\n"]
    backend.scripts.append(Script(body='\ndata: {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}\n\n'))
    with gemini(gateway) as client:
        [only] = client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello there")
    assert only.text == "Hi"
