"""The storage account the settings name, and who the gateway is to it."""

from collections.abc import Callable
from typing import Any

from shared.settings import Settings
from shared.stores.clock import StorageClock
from shared.stores.protocols import StorageUnavailable
from shared.stores.tables import Tables


class Account:
    """The tables of one storage account. Nothing is imported or connected before the first operation."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @classmethod
    def of(
        cls, settings: Settings, make_credential: Callable[[], Any], clock: StorageClock | None = None
    ) -> "Account | None":
        """The account by connection string, else by endpoint and identity; None when no account is named.

        `make_credential` gives the azure-identity credential (async) when the first token is needed; it stays the
        caller's to close.
        """
        if settings.tables_connection_string is not None:
            return cls(Tables(settings.tables_connection_string, clock=clock))
        if settings.tables_endpoint is not None:
            return cls(
                Tables(endpoint=settings.tables_endpoint, credential=LazyCredential(make_credential), clock=clock)
            )
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self.tables.close()


class LazyCredential:
    """A token credential that is made when the first token is needed: azure-identity is slow to import."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for the scopes; raises StorageUnavailable when there is none to be had."""
        from azure.core.exceptions import ClientAuthenticationError

        try:
            return await self._make().get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            # By itself it would pass for an answer of storage, status and all.
            reason = str(error).partition("\n")[0]
            raise StorageUnavailable(f"no token for {' '.join(scopes)}: {reason}") from error

    async def close(self) -> None:
        """The credential is not ours to close."""

    async def __aenter__(self) -> "LazyCredential":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
