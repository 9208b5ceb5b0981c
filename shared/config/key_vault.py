"""Secrets from Azure Key Vault, read over its REST API with the gateway's identity."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

API_VERSION = "7.4"
SCOPE = "https://vault.azure.net/.default"


class KeyVaultError(Exception):
    """Key Vault gave no secret; the text tells why, never a value."""


class KeyVault:
    """Reads secrets. `credential` makes an azure-identity credential (async) when the first one is needed."""

    def __init__(self, credential: Callable[[], Any], *, scope: str = SCOPE) -> None:
        self._credential = credential
        self._scope = scope
        self._client: Any = None

    async def secret(self, identifier: str) -> str:
        """The value of `https://<vault>/secrets/<name>[/<version>]`, the newest version when none is given.
        KeyVaultError when there is none or it may not be read."""
        import httpx

        parts = urlsplit(identifier)
        if parts.scheme != "https" or not parts.path.startswith("/secrets/"):
            raise KeyVaultError("not a secret identifier (https://<vault>.vault.azure.net/secrets/<name>)")
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=10)
        token = await self._credential().get_token(self._scope)
        response = await self._client.get(
            identifier, params={"api-version": API_VERSION}, headers={"Authorization": f"Bearer {token.token}"}
        )
        if response.status_code != 200:
            raise KeyVaultError(f"status {response.status_code}")
        return str(response.json()["value"])

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()
