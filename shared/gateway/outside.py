"""The services policies use of the outside world, made once per process and put where policies find them."""

import asyncio

from shared.backends.background import Background
from shared.backends.client_tls import ClientTls
from shared.backends.content_safety import ContentSafety
from shared.backends.event_hubs import EventHubs
from shared.backends.openid import OpenIdProviders
from shared.backends.sender import Sender
from shared.backends.transport import Transport
from shared.context import Services
from shared.policies.validate_azure_ad_token import EntraAuthority
from shared.settings import Settings
from shared.stores.account import Account
from shared.stores.cache import TABLE, Caches, MemoryCache, TableCache
from shared.stores.clean_texts import CleanTexts
from shared.telemetry.metrics import Metrics, MetricTotals
from shared.telemetry.reporter import Reporter


class Outside:
    """Makes the services and ends them: what is under way gets a few seconds to come to its end."""

    def __init__(self, settings: Settings, services: Services, transport: Transport, account: Account | None) -> None:
        """Fills `services.extras` and `services.telemetry`. Nothing is connected before it is used."""
        environment = settings.environment
        tls = ClientTls()
        self.sender = Sender(transport, tls)
        self.background = Background()
        self.event_hubs = EventHubs(self.sender, services.tokens)
        self.content_safety = ContentSafety(services.tokens, services.random)
        self.table = TableCache(account.tables.table(TABLE, deadline=1.0), services.clock) if account else None
        authority = environment.get("AZURE_AUTHORITY_HOST") or EntraAuthority().url
        self.telemetry = Reporter(settings.telemetry, random=services.random) if settings.telemetry else None
        services.telemetry = self.telemetry
        services.extras |= {
            Background: self.background,
            Caches: Caches(MemoryCache(services.monotonic), self.table),
            ClientTls: tls,
            CleanTexts: CleanTexts(services.monotonic),
            ContentSafety: self.content_safety,
            EntraAuthority: EntraAuthority(authority.rstrip("/") if "://" in authority else f"https://{authority}"),
            EventHubs: self.event_hubs,
            Metrics: self.telemetry.metrics if self.telemetry else MetricTotals(most_series=0),
            OpenIdProviders: OpenIdProviders(self.sender, services.monotonic),
            Sender: self.sender,
        }

    async def aclose(self) -> None:
        """Let background work and queued messages out, then close."""
        await self.background.aclose()
        await self.event_hubs.aclose()
        await self.content_safety.aclose()
        if self.table is not None:
            await self.table.aclose()
        await self.sender.aclose()
        if self.telemetry is not None:
            await asyncio.to_thread(self.telemetry.close)
