"""A scripted Azure Resource Manager: subscriptions, AI resources, deployments and role assignments on a loopback port.

    with ScriptedArm() as arm:
        arm.add("contoso", deployments={"gpt-4o": "gpt-4o"})
        arm.faults[f"/subscriptions"] = Fault(429, headers={"Retry-After": "7"})
        ...                                            # call arm.url with the bearer token arm.token

Lists come in pages of one item. It also hands out managed identity tokens, as App Service does, at `/msi/token`.
(https://learn.microsoft.com/rest/api/resources, .../aiservices/accountmanagement, .../authorization)
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.serve import serving

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
GROUP = "ai"


@dataclass(frozen=True)
class Fault:
    """What is answered instead: an ARM error."""

    status: int
    code: str = "Failed"
    message: str = "It was told to fail."
    headers: dict[str, str] = field(default_factory=dict)


class ScriptedArm:
    """The server; start it with `with`."""

    def __init__(self, token: str = "arm-token") -> None:
        self.token = token
        self.url = ""
        self.subscriptions = {SUBSCRIPTION: "Production"}
        self.resources: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, list[dict[str, Any]]] = {}
        self.assignments: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, Fault] = {}  # by path
        self.requests: list[str] = []
        self.page_host: str | None = None  # host of the next page's link, when it is not this one
        self._open = ExitStack()

    def add(
        self, name: str, *, kind: str = "OpenAI", deployments: dict[str, str], subscription: str = SUBSCRIPTION
    ) -> str:
        """Add an AI resource with its deployments (name to model) and return its ARM id."""
        account = f"providers/Microsoft.CognitiveServices/accounts/{name}"
        id = f"/subscriptions/{subscription}/resourceGroups/{GROUP}/{account}"
        hosts = {
            "OpenAI Language Model Instance API": f"https://{name}.openai.azure.com/",
            "AI Foundry API": f"https://{name}.services.ai.azure.com/",
        }
        foundry = kind == "AIServices"
        self.resources[id] = {
            "id": id,
            "name": name,
            "kind": kind,
            "location": "swedencentral",
            "properties": {
                "endpoint": f"https://{name}.{'cognitiveservices' if foundry else 'openai'}.azure.com/",
                "endpoints": hosts if foundry else dict(list(hosts.items())[:1]),
            },
        }
        self.deployments[id] = [
            {"name": one, "properties": {"model": {"format": "OpenAI", "name": model, "version": "2024-11-20"}}}
            for one, model in deployments.items()
        ]
        return id

    def __enter__(self) -> Self:
        routes = [
            Route("/msi/token", self._identity),
            Route("/{path:path}", self._answer, methods=["GET", "PUT"]),
        ]
        self.url = self._open.enter_context(serving(Starlette(routes=routes)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    async def _identity(self, request: Request) -> JSONResponse:
        resource = request.query_params["resource"]
        self.requests.append(f"TOKEN {resource}")
        token = {"access_token": self.token, "expires_on": "4102444800", "resource": resource, "token_type": "Bearer"}
        return JSONResponse(token)

    async def _answer(self, request: Request) -> JSONResponse:
        path = request.url.path
        self.requests.append(f"{request.method} {path}")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _error(Fault(401, "InvalidAuthenticationToken", "The access token is invalid."))
        if fault := self.faults.get(path):
            return _error(fault)
        if not request.query_params.get("api-version"):
            return _error(Fault(400, "MissingApiVersionParameter", "The api-version query parameter is required."))
        if request.method == "PUT":
            return self._assign(path, await request.json())
        items = self._items(path)
        if items is not None:
            return self._page(request, items)
        if path in self.resources:
            return JSONResponse(self.resources[path])
        return _error(Fault(404, "ResourceNotFound", f"The resource {path} was not found."))

    def _items(self, path: str) -> list[dict[str, Any]] | None:
        if path == "/subscriptions":
            return [
                {"subscriptionId": id, "displayName": name, "state": "Enabled"}
                for id, name in self.subscriptions.items()
            ]
        if path.endswith("/deployments"):
            return self.deployments.get(path.removesuffix("/deployments"))
        if path.endswith("/providers/Microsoft.CognitiveServices/accounts"):
            scope = path.removesuffix("providers/Microsoft.CognitiveServices/accounts")
            return [resource for id, resource in self.resources.items() if id.startswith(scope)]
        return None

    def _page(self, request: Request, items: list[dict[str, Any]]) -> JSONResponse:
        at = int(request.query_params.get("$skiptoken", 0))
        page: dict[str, Any] = {"value": items[at : at + 1]}
        if at + 1 < len(items):
            next_page = request.url.include_query_params(**{"$skiptoken": at + 1})
            page["nextLink"] = str(next_page.replace(netloc=self.page_host) if self.page_host else next_page)
        return JSONResponse(page)

    def _assign(self, path: str, body: dict[str, Any]) -> JSONResponse:
        known = self.assignments.get(path)
        if known is None and body in self.assignments.values():
            return _error(Fault(409, "RoleAssignmentExists", "The role assignment already exists."))
        self.assignments[path] = body
        return JSONResponse({"id": path, **body}, 201 if known is None else 200)


def _error(fault: Fault) -> JSONResponse:
    return JSONResponse({"error": {"code": fault.code, "message": fault.message}}, fault.status, fault.headers)
