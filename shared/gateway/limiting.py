"""What limit policies need of the process: one limiter on the storage account, learned answer lengths, tokenizers."""

import time

from shared.context import Services
from shared.policies.tokenizers import Tokenizers
from shared.settings import Settings
from shared.stores.account import Account
from shared.stores.clock import StorageClock
from shared.stores.estimates import Estimates
from shared.stores.limiter import OPERATION_DEADLINE, Limiter
from shared.stores.limits_admin import CounterAdmin
from shared.stores.memory import MemoryEntities
from shared.stores.protocols import Entities

TABLE = "limits"


class Limiting:
    """The limiter of a process. Without a storage account its counters are the process's own, kept in memory."""

    def __init__(self, settings: Settings, services: Services, account: Account | None, clock: StorageClock) -> None:
        """Put the limiter among the `services`. `clock` is the one the account's tables keep set."""
        self._account = account
        self._entities: Entities = (
            account.tables.table(TABLE, deadline=OPERATION_DEADLINE)
            if account is not None
            else MemoryEntities(time.time)
        )
        self._clock = clock
        self.limiter = Limiter(self._entities, clock=clock, max_instances=settings.max_instances)
        services.extras[Limiter] = self.limiter
        services.extras[Estimates] = Estimates()
        services.extras[Tokenizers] = Tokenizers()

    def admin(self) -> CounterAdmin:
        """The same counters as an administrator sees them."""
        if self._account is None:
            return CounterAdmin(self._entities, self._clock)
        return self.admin_of(self._account, self._clock)

    @staticmethod
    def admin_of(account: Account, clock: StorageClock) -> CounterAdmin:
        """The counters of an account. Reading them all takes its time: more than a request's limit may wait."""
        return CounterAdmin(account.tables.table(TABLE), clock)

    async def aclose(self) -> None:
        """Give back what is leased and not used."""
        await self.limiter.close()
