"""The model or deployment a request names, and the same request with another name (pure)."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import orjson

from shared.errors import Refusal
from shared.message import GatewayRequest

# Azure OpenAI: the deployment is in the path, and the model in the body, if any, is not looked at.
_DEPLOYMENT = re.compile(r"(.*/deployments/)([^/]+)(/.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Renamed:
    """What takes the place of a request's path, and of its body unless None."""

    path: str
    body: bytes | None = None


def model_of(request: GatewayRequest) -> str:
    """The deployment in the path, else `model` of a JSON body that has been read, else ""."""
    found = _DEPLOYMENT.fullmatch(request.url.path)
    if found is not None:
        return unquote(found[2])
    document = _document(request)
    model = document.get("model") if document is not None else None
    return model if isinstance(model, str) else ""


def renamed(request: GatewayRequest, model: str) -> Renamed:
    """The request's path and body with `model` where it names one now; the request itself stays as it is."""
    found = _DEPLOYMENT.fullmatch(request.url.path)
    if found is not None:
        return Renamed(f"{found[1]}{quote(model, safe='')}{found[3] or ''}")
    document = _document(request)
    if document is None or "model" not in document:
        return Renamed(request.url.path)
    return Renamed(request.url.path, orjson.dumps({**document, "model": model}))


def _document(request: GatewayRequest) -> dict[str, Any] | None:
    if not request.body or request.body[:1] not in b"{ \t\r\n":
        return None
    try:
        document = request.json()
    except (ValueError, Refusal):
        return None
    return document if isinstance(document, dict) else None
