"""The gateway's storage account, opened for one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.backends.auth.managed_identity import AzureIdentity
from shared.management.commands.command import NO_STORAGE, CommandFailed
from shared.settings import Settings, is_local
from shared.stores.account import Account
from shared.stores.clock import StorageClock


@asynccontextmanager
async def storage_account(settings: Settings, clock: StorageClock | None = None) -> AsyncIterator[Account]:
    """The account the settings name, closed at the end. CommandFailed when they name none."""
    identity = AzureIdentity(settings.identity_client_id, local=is_local(settings.environment))
    account = Account.of(settings, identity.credential, clock)
    if account is None:
        raise CommandFailed(
            NO_STORAGE,
            "no storage is set up: set GATEWAY_TABLES_CONNECTION_STRING or GATEWAY_TABLES_ENDPOINT to the gateway's",
        )
    try:
        yield account
    finally:
        await account.close()
        await identity.aclose()
