"""The model a request names, in its path or body, and the request with another name."""

import json

import pytest

from shared.backends.model_name import model_of, renamed
from shared.message import GatewayRequest, Headers, Url


def request(path: str = "/chat/completions", body: bytes = b"") -> GatewayRequest:
    return GatewayRequest("POST", Url("https", "gateway", 443, path), Headers(), body=body)


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/deployments/gpt-5/chat/completions", b'{"model": "other"}', "gpt-5"),
        ("/openai/deployments/gpt%205/chat/completions", b"", "gpt 5"),
        ("/deployments/gpt-5", b"", "gpt-5"),
        ("/OpenAI/Deployments/GPT-5/Chat/Completions", b"", "GPT-5"),
        ("/chat/completions", b' {"model": "gpt-5"}', "gpt-5"),
        ("/chat/completions", b'{"model": 5}', ""),
        ("/chat/completions", b'["model"]', ""),
        ("/chat/completions", b"{model", ""),
        ("/chat/completions", b"", ""),
    ],
)
def test_where_the_name_is(path: str, body: bytes, model: str) -> None:
    assert model_of(request(path, body)) == model


def test_a_deployment_is_renamed_in_the_path_alone() -> None:
    found = renamed(request("/deployments/gpt-5/chat/completions", b'{"model": "gpt-5"}'), "my gpt/5")
    assert (found.path, found.body) == ("/deployments/my%20gpt%2F5/chat/completions", None)


def test_a_model_is_renamed_in_the_body_and_the_rest_survives() -> None:
    sent = request(body='{"model": "a", "messages": [{"content": "grüße"}], "unknown": {"x": 1.0}}'.encode())
    found = renamed(sent, "b")
    assert found.path == "/chat/completions" and found.body is not None
    assert json.loads(found.body) == {**json.loads(sent.body or b""), "model": "b"}
    assert json.loads(sent.body or b"")["model"] == "a"


def test_what_names_no_model_is_not_touched() -> None:
    assert renamed(request("/models", b"not json"), "b").body is None
    assert renamed(request("/models", b'{"input": 1}'), "b").body is None
