"""Azure Resource Manager: AI resources and their deployments are listed, roles are assigned."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from shared.management.importers.importer import ImportFailed, RoleAssignment, TokenSource

if TYPE_CHECKING:
    from aiohttp import ClientSession

PUBLIC_CLOUD = "https://management.azure.com"
SUBSCRIPTIONS_VERSION = "2022-12-01"
COGNITIVE_SERVICES_VERSION = "2025-06-01"
ROLE_ASSIGNMENTS_VERSION = "2022-04-01"
KINDS = ("OpenAI", "AIServices")
TIMEOUT = 30.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class AzureSubscription:
    """An Azure subscription the login can see."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model deployment of an AI resource."""

    name: str
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class AiResource:
    """A Microsoft.CognitiveServices account of kind OpenAI or AIServices. `endpoints` are all its URLs by purpose."""

    id: str
    name: str
    kind: str
    location: str
    endpoint: str
    endpoints: Mapping[str, str] = field(default_factory=dict)

    def url(self, host: str) -> str | None:
        """The root URL on the host family (`openai.` or `services.ai.`), None when it has none there."""
        urls = (self.endpoint, *self.endpoints.values())
        return next((url.rstrip("/") for url in urls if f".{host}azure." in (urlsplit(url).hostname or "")), None)


class Arm:
    """The few ARM calls the import needs (https://learn.microsoft.com/rest/api/resources). Use it with `async with`.

    Every method raises ImportFailed with one line that says what Azure answered and what to do.
    """

    def __init__(self, url: str, token: TokenSource) -> None:
        """`url` is the cloud's ARM endpoint; `token` gives a token for a scope."""
        address = urlsplit(url)
        if address.scheme != "https" and address.hostname not in LOOPBACK:
            raise ImportFailed("--arm-url must start with https://: a token is sent there")
        self._url = url.rstrip("/")
        self._token = token
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        from aiohttp import ClientSession, ClientTimeout

        self._session = ClientSession(timeout=ClientTimeout(total=TIMEOUT), trust_env=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def subscriptions(self) -> list[AzureSubscription]:
        """The enabled subscriptions of the login."""
        found = self._list("/subscriptions", SUBSCRIPTIONS_VERSION)
        return [
            AzureSubscription(item["subscriptionId"], item.get("displayName") or item["subscriptionId"])
            async for item in found
            if item.get("state", "Enabled") == "Enabled"
        ]

    async def resources(self, subscription: str) -> list[AiResource]:
        """The AI resources of a subscription (its id)."""
        path = f"/subscriptions/{subscription}/providers/Microsoft.CognitiveServices/accounts"
        found = self._list(path, COGNITIVE_SERVICES_VERSION)
        return [_resource(item) async for item in found if item.get("kind") in KINDS]

    async def resource(self, id: str) -> AiResource:
        """The AI resource with that ARM id."""
        item = await self._get(self._address(id, COGNITIVE_SERVICES_VERSION))
        if item.get("kind") not in KINDS:
            raise ImportFailed(f"{id} is of kind {item.get('kind')}; {' or '.join(KINDS)} is needed")
        return _resource(item)

    async def deployments(self, resource: AiResource) -> list[Deployment]:
        """The model deployments of a resource."""
        found = self._list(f"{resource.id}/deployments", COGNITIVE_SERVICES_VERSION)
        return [_deployment(item) async for item in found]

    async def assign(self, role: RoleAssignment, principal_id: str) -> bool:
        """Give a principal a role; returns whether it was new.

        The assignment's name follows from scope, role and principal, so that doing it again changes nothing.
        """
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{role.scope}|{role.role}|{principal_id}".lower())
        subscription = "/".join(role.scope.split("/")[:3])
        body = {
            "properties": {
                "roleDefinitionId": f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role.role}",
                "principalId": principal_id,
                "principalType": "ServicePrincipal",
            }
        }
        path = f"{role.scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        answer = await self._send("PUT", self._address(path, ROLE_ASSIGNMENTS_VERSION), body)
        if answer.status == 409 and answer.error.get("code") == "RoleAssignmentExists":
            return False
        if answer.status >= 400:
            raise answer.failure(f"the role {role.role_name} could not be assigned")
        return answer.status == 201

    async def _list(self, path: str, version: str) -> AsyncIterator[dict[str, Any]]:
        address: str | None = self._address(path, version)
        while address:
            page = await self._get(address)
            for item in page.get("value") or ():
                yield item
            address = page.get("nextLink") or None
            if address and urlsplit(address)[:2] != urlsplit(self._url)[:2]:
                raise ImportFailed("Azure named a next page on another host; it was not followed")

    def _address(self, path: str, version: str) -> str:
        return f"{self._url}{path}?api-version={version}"

    async def _get(self, address: str) -> dict[str, Any]:
        answer = await self._send("GET", address, None)
        if answer.status >= 400:
            raise answer.failure(f"{urlsplit(address).path} could not be read")
        return answer.body

    async def _send(self, method: str, address: str, body: Any) -> "_Answer":
        from aiohttp import ClientError

        assert self._session is not None
        headers = {"Authorization": f"Bearer {await self._token(f'{self._url}/.default')}"}
        try:
            async with self._session.request(
                method, address, json=body, headers=headers, allow_redirects=False
            ) as reply:
                return _Answer(reply.status, reply.headers.get("Retry-After"), _json(await reply.read()))
        except (ClientError, TimeoutError) as error:
            raise ImportFailed(f"Azure ({self._url}) cannot be reached: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str | None
    body: dict[str, Any]

    @property
    def error(self) -> Mapping[str, Any]:
        """ARM's error object, empty when there is none."""
        error = self.body.get("error")
        return error if isinstance(error, dict) else {}

    def failure(self, what: str) -> ImportFailed:
        """The error as one line."""
        said = " ".join(str(self.error.get("message") or "").split())
        match self.status:
            case 401:
                advice = "Azure did not accept the login (401); sign in again, for example with: az login"
            case 403:
                advice = "the login lacks the permission (403)"
            case 404:
                advice = "not found (404)"
            case 429:
                wait = f" in {self.retry_after} seconds" if self.retry_after else " later"
                advice = f"Azure is throttling (429); try again{wait}"
            case status:
                advice = f"Azure answered {status} {self.error.get('code', '')}".rstrip()
        return ImportFailed(f"{what}: {advice}{f': {said}' if said else ''}")


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}  # an error page of something in between; its status says enough
    return document if isinstance(document, dict) else {}


def _resource(item: dict[str, Any]) -> AiResource:
    properties = item.get("properties") or {}
    return AiResource(
        id=item["id"],
        name=item["name"],
        kind=item["kind"],
        location=item.get("location", ""),
        endpoint=properties.get("endpoint") or "",
        endpoints=properties.get("endpoints") or {},
    )


def _deployment(item: dict[str, Any]) -> Deployment:
    model = (item.get("properties") or {}).get("model") or {}
    return Deployment(item["name"], model.get("name") or "", str(model.get("version") or ""))
