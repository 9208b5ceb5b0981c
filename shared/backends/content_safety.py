"""Asks Azure AI Content Safety: text, images and attacks on prompts, through one client per backend."""

import asyncio
import base64
import importlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.backends.call_span import begin_call
from shared.backends.load_signals import retry_after
from shared.backends.proxies import proxy_for
from shared.backends.target import Target
from shared.context import Context, TokenSource
from shared.errors import PolicyFailed
from shared.message import DEFAULT_PORTS
from shared.telemetry import genai

if TYPE_CHECKING:
    from azure.ai.contentsafety.aio import ContentSafetyClient
    from azure.core.credentials import AccessToken
    from azure.core.rest import AsyncHttpResponse

# The version APIM's policy calls, and the first general one with text:shieldPrompt.
API_VERSION = "2024-09-01"
CONNECTIONS = 128
RETRIES = 3
FIRST_RETRY = 0.1
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_KEYS = (b"ocp-apim-subscription-key", b"api-key")


class SafetyUnavailable(Exception):
    """No verdict: the service did not answer, not in time, not as it should, or not to this identity. The text is for
    operators."""


class SafetyRefused(Exception):
    """The service has looked at the content and cannot analyse it, such as an image of a format or size it does not
    take."""


class _Passing(Exception):
    """A failure that another attempt may not see. `wait`: seconds the service asks for."""

    def __init__(self, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found: severity by category, and the blocklists that have something of the text."""

    severities: Mapping[str, int]
    blocklists: tuple[str, ...] = ()


class ContentSafety:
    """The service as the process uses it. A client and its connections are made once per backend, on first use, and
    kept over reloads; the SDK is imported then, away from the event loop.

    Calls are repeated on 408, 429, 5xx and broken connections, up to three times and never past `until` (the loop's
    time), a Retry-After honoured. SafetyUnavailable when that does not help.
    """

    def __init__(self, tokens: TokenSource, random: Random) -> None:
        self.tokens = tokens
        self._random = random
        self._clients: dict[tuple[object, ...], ContentSafetyClient] = {}

    async def analyze_text(
        self,
        target: Target,
        text: str,
        *,
        categories: Sequence[str],
        output_type: str,
        blocklists: Sequence[str],
        until: float,
        ctx: Context | None = None,
    ) -> Analysis:
        """Severities of all `categories`, and which `blocklists` match. At most 10,000 characters."""
        body: dict[str, object] = {"text": text, "outputType": output_type}
        if categories:
            body["categories"] = list(categories)
        if blocklists:
            body |= {"blocklistNames": list(blocklists), "haltOnBlocklistHit": False}
        answer = await self._post(target, "text:analyze", body, until, ctx)
        matches = answer.get("blocklistsMatch")
        if blocklists and not isinstance(matches, list):
            raise SafetyUnavailable("text:analyze answered without blocklistsMatch")
        names = tuple(str(match.get("blocklistName")) for match in matches or () if isinstance(match, dict))
        return Analysis(_severities(answer, categories, "text:analyze"), names)

    async def analyze_image(
        self, target: Target, image: str, *, categories: Sequence[str], until: float, ctx: Context | None = None
    ) -> Analysis:
        """Severities (0, 2, 4, 6) of an image in base64. SafetyRefused when it is none the service takes."""
        body: dict[str, object] = {"image": {"content": image}, "outputType": "FourSeverityLevels"}
        if categories:
            body["categories"] = list(categories)
        answer = await self._post(target, "image:analyze", body, until, ctx)
        return Analysis(_severities(answer, categories, "image:analyze"))

    async def shield(
        self,
        target: Target,
        prompt: str | None,
        documents: Sequence[str],
        *,
        until: float,
        ctx: Context | None = None,
    ) -> tuple[bool, bool]:
        """Whether the user's prompt, and whether any of the documents attacks the model. 10,000 characters of prompt,
        five documents of together 10,000 (https://learn.microsoft.com/rest/api/contentsafety/text-operations)."""
        body: dict[str, object] = {"documents": list(documents)}
        if prompt is not None:
            body["userPrompt"] = prompt
        answer = await self._post(target, "text:shieldPrompt", body, until, ctx)
        found = answer.get("documentsAnalysis") or []
        parts = [answer.get("userPromptAnalysis")] if prompt is not None else []
        verdicts = [part.get("attackDetected") if isinstance(part, dict) else None for part in (*parts, *found)]
        if len(verdicts) != len(parts) + len(documents) or not all(isinstance(one, bool) for one in verdicts):
            raise SafetyUnavailable("text:shieldPrompt answered without a verdict on each text")
        return any(verdicts[: len(parts)]), any(verdicts[len(parts) :])

    async def aclose(self) -> None:
        """Close the connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    async def _post(
        self, target: Target, operation: str, body: Mapping[str, object], until: float, ctx: Context | None
    ) -> dict[str, Any]:
        client = await self._client(target)
        content = json.dumps(body).encode()
        time = asyncio.get_running_loop().time
        attempt = 0
        while True:
            try:
                return await _once(client, target, operation, content, ctx)
            except _Passing as failure:
                wait = failure.wait if failure.wait is not None else self._pause(attempt)
                if attempt == RETRIES or time() + wait >= until:
                    raise SafetyUnavailable(f"{operation}: {failure}") from failure
            attempt += 1
            await asyncio.sleep(wait)

    def _pause(self, attempt: int) -> float:
        pause: float = FIRST_RETRY * 2**attempt * self._random.uniform(0.5, 1.5)
        return pause

    async def _client(self, target: Target) -> "ContentSafetyClient":
        key = (target.origin, target.base_path, tuple(target.headers), target.identity, target.tls, target.folder)
        client = self._clients.get(key)
        if client is None:
            await asyncio.to_thread(importlib.import_module, "azure.ai.contentsafety.aio")
            client = self._clients.get(key)
            if client is None:
                try:
                    client = self._clients[key] = _connect(target, self.tokens)
                except ValueError as error:
                    raise SafetyUnavailable(str(error)) from error
        return client


def _connect(target: Target, tokens: TokenSource) -> "ContentSafetyClient":
    import aiohttp
    from azure.ai.contentsafety.aio import ContentSafetyClient
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import (
        AsyncBearerTokenCredentialPolicy,
        AzureKeyCredentialPolicy,
        HeadersPolicy,
        UserAgentPolicy,
    )
    from azure.core.pipeline.transport import AioHttpTransport

    endpoint = f"{target.origin}{target.base_path}".removesuffix("/contentsafety")
    headers = {name.decode(): value.decode("latin-1") for name, value in target.headers}
    key = _key_header(target)
    # Retries are ours, so that they end with the time there is; logging would show what is in the headers.
    pipeline: list[Any] = [UserAgentPolicy(base_user_agent="ai-gateway")]
    credential: Any = _Token(target, tokens)
    if key is not None:
        credential = AzureKeyCredential(headers.pop(key))
        pipeline.append(AzureKeyCredentialPolicy(credential, key))
    elif target.identity is not None:
        pipeline.append(AsyncBearerTokenCredentialPolicy(credential, target.identity.resource))
    pipeline.insert(0, HeadersPolicy(headers))
    tls: Any = target.extensions.get("ssl_context", True)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        # By itself aiohttp would look for one anew on each call, on two other threads.
        proxy=_proxy(target),
    )
    transport = AioHttpTransport(session=session, use_env_settings=False)
    return ContentSafetyClient(endpoint, credential, api_version=API_VERSION, transport=transport, policies=pipeline)


def _proxy(target: Target) -> str | None:
    """The proxy on the way to the service, as a URL; ValueError for one that is no plain HTTP proxy."""
    origin = target.origin
    proxy = proxy_for(origin.scheme, origin.host, origin.port or DEFAULT_PORTS[origin.scheme], os.environ)
    if proxy is None:
        return None
    user = ""
    if proxy.authorization is not None:
        name, _, password = base64.b64decode(proxy.authorization.removeprefix(b"Basic ")).decode().partition(":")
        user = f"{quote(name, safe='')}:{quote(password, safe='')}@"
    return f"http://{user}{proxy.host}:{proxy.port}"


class _Token:
    """The gateway's identity as the SDK asks for it; the tokens are those all backends share, and kept there."""

    def __init__(self, target: Target, tokens: TokenSource) -> None:
        self._identity = target.identity
        self._tokens = tokens

    async def get_token(self, *scopes: str, **options: object) -> "AccessToken":
        """A token for the backend's resource; PolicyFailed when there is none."""
        from azure.core.credentials import AccessToken

        assert self._identity is not None
        # Without a life of its own: the SDK asks each time, and whoever keeps the tokens renews them.
        return AccessToken(await self._tokens.token(self._identity.resource, self._identity.client_id), 0)

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> "_Token":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _once(
    client: "ContentSafetyClient", target: Target, operation: str, content: bytes, ctx: Context | None
) -> dict[str, Any]:
    from azure.core.exceptions import AzureError

    try:
        # The SDK's own text operation reads the answer into a tolerant model; here every answer is checked the same
        # way, and text:shieldPrompt has no operation there. A token goes over plain HTTP to this machine only.
        response = await _send(client, target, operation, content, ctx)
    except PolicyFailed as error:
        raise SafetyUnavailable(f"{operation}: {error.detail or error.message}") from error
    except AzureError as error:
        raise _Passing(f"{type(error).__name__}: {error}"[:300]) from error
    status = response.status_code
    if status != 200:
        detail = f"status {status} {_code(response)}"
        if status in _PASSING:
            raise _Passing(detail, _wait(response.headers))
        if status == 400 and operation == "image:analyze":
            raise SafetyRefused(detail)
        raise SafetyUnavailable(f"{operation}: {detail}")
    try:
        answer = response.json()
    except (ValueError, LookupError) as error:
        raise _Passing("the answer is no JSON") from error
    if not isinstance(answer, dict):
        raise _Passing("the answer is no JSON object")
    return answer


async def _send(
    client: "ContentSafetyClient", target: Target, operation: str, content: bytes, ctx: Context | None
) -> "AsyncHttpResponse":
    from azure.core.rest import HttpRequest

    path = f"{target.base_path.removesuffix('/contentsafety')}/contentsafety/{operation}"
    headers = [(b"content-type", b"application/json")]
    call = begin_call(ctx, headers, "POST", target.origin, target.info.id, {genai.PATH: path})
    request = HttpRequest(
        "POST",
        f"{target.origin}{path}?api-version={API_VERSION}{'&' if target.query else ''}{target.query}",
        headers={name.decode(): value.decode("latin-1") for name, value in headers},
        content=content,
    )
    try:
        response = await client.send_request(request, **_over_plain_http(target))
    except BaseException as error:
        if call is not None:
            call.failed(error)
        raise
    if call is not None:
        call.answered(response.status_code)
    return response


def _key_header(target: Target) -> str | None:
    """The header with a key, if the backend has one; without it the gateway shows its identity."""
    names = {name for name, _ in target.headers}
    return next((name.decode() for name in _KEYS if name in names), None)


def _over_plain_http(target: Target) -> dict[str, Any]:
    local = target.origin.host in ("127.0.0.1", "::1", "localhost")
    return {"enforce_https": False} if local and target.identity is not None and _key_header(target) is None else {}


def _severities(answer: Mapping[str, Any], categories: Sequence[str], operation: str) -> dict[str, int]:
    """All severities; SafetyUnavailable unless there is one for each category asked for."""
    found = answer.get("categoriesAnalysis")
    severities = {
        str(item.get("category")): item["severity"]
        for item in (found if isinstance(found, list) else ())
        if isinstance(item, dict) and isinstance(item.get("severity"), int)
    }
    if missing := [name for name in categories if name not in severities]:
        raise SafetyUnavailable(f"{operation} answered without {', '.join(missing)}")
    return severities


def _code(response: Any) -> str:
    """The service's own code and message of an error, as far as it has one."""
    try:
        error = response.json()["error"]
        return f"{error['code']}: {error['message']}"[:200]
    except (ValueError, LookupError, TypeError):
        return ""


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the service asks to wait, if it does."""
    told = {name.lower().encode(): value.encode("latin-1", "replace") for name, value in headers.items()}
    return retry_after(told, datetime.now(UTC))
