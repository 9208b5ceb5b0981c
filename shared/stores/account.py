"""The storage account the settings name, with the identity that may use it."""

from typing import Any

from shared.settings import Settings
from shared.stores.clock import StorageClock
from shared.stores.tables import Tables


class Account:
    """The tables of one storage account. Nothing is imported or connected before the first operation."""

    def __init__(self, tables: Tables, identity: "LazyIdentity | None") -> None:
        self.tables = tables
        self._identity = identity

    @classmethod
    def of(cls, settings: Settings, clock: StorageClock | None = None) -> "Account | None":
        """The account by connection string, else by endpoint and Entra identity; None when no account is named."""
        if settings.tables_connection_string is not None:
            return cls(Tables(settings.tables_connection_string, clock=clock), None)
        if settings.tables_endpoint is not None:
            identity = LazyIdentity(settings.identity_client_id)
            return cls(Tables(endpoint=settings.tables_endpoint, credential=identity, clock=clock), identity)
        return None

    async def close(self) -> None:
        """Close the connections to storage and to the identity's token endpoint."""
        await self.tables.close()
        if self._identity is not None:
            await self._identity.close()


class LazyIdentity:
    """A token credential that is imported and made when the first token is needed: azure-identity is slow to load."""

    def __init__(self, client_id: str | None) -> None:
        """`client_id`: of a user-assigned identity; None: the app's own, or the developer's login."""
        self._client_id = client_id
        self._credential: Any = None

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for the scopes; raises azure-core's ClientAuthenticationError when there is none to be had."""
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential

            self._credential = DefaultAzureCredential(managed_identity_client_id=self._client_id)
        return await self._credential.get_token(*scopes, **options)

    async def close(self) -> None:
        """Close the connections of the credential, if there was one."""
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()

    async def __aenter__(self) -> "LazyIdentity":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
