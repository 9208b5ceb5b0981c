"""What the semantic cache needs of the process: one cache on the storage account, embeddings, questions under way."""

from shared.backends.embeddings import Embeddings
from shared.context import Services
from shared.policies.semantic_miss import Coalesced
from shared.stores.account import Account
from shared.stores.clock import StorageClock
from shared.stores.semantic_cache.cache import DEADLINE, SemanticCache
from shared.stores.semantic_cache.log import Log, MemoryLog
from shared.stores.semantic_cache.table_log import TABLE, TableLog

# What no request waits for: reading a namespace for the first time, writing, purging.
PATIENCE = 10.0


class SemanticCaching:
    """The cache of a process. Without a storage account its answers are the process's own, kept in memory."""

    def __init__(self, services: Services, account: Account | None, clock: StorageClock) -> None:
        """Put cache and embeddings among the `services`. Nothing is imported or connected before it is used."""
        log: Log = MemoryLog()
        if account is not None:
            tables = account.tables
            log = TableLog(tables.table(TABLE, deadline=DEADLINE), tables.table(TABLE, deadline=PATIENCE))
        self.cache = SemanticCache(log, clock, services.monotonic, services.random)
        self.embeddings = Embeddings(services.tokens, services.monotonic, services.random)
        services.extras |= {SemanticCache: self.cache, Embeddings: self.embeddings, Coalesced: Coalesced()}

    async def aclose(self) -> None:
        """End what is under way."""
        await self.cache.aclose()
        await self.embeddings.aclose()
