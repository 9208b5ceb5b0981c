"""Official SDKs call the gateway as they would call the provider: only base URL and key differ."""

import anthropic
import openai
import pytest

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
"""
MESSAGES = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def backend():
    with Backend(key="backend-key") as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend):
    with running(CONFIG, values={"backend": backend.url}) as gateway:
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
