"""Puts the app together: settings, services, configuration and the gateway; one `handle` for every server."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from os import stat_result
from pathlib import Path
from secrets import token_hex
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from shared.backends.auth.managed_identity import AzureIdentity, IdentityTokens
from shared.backends.backends import Backends
from shared.backends.health import Fleet
from shared.backends.sharing import Sharing
from shared.backends.transport import Transport
from shared.config.key_vault import KeyVault
from shared.config.loader import Loaded, load
from shared.context import Deployment, Services
from shared.errors import ConfigError, Problem
from shared.gateway.catalog import Catalog, compile_catalog
from shared.gateway.gateway import Gateway, Serving
from shared.gateway.limiting import Limiting
from shared.gateway.outside import Outside
from shared.gateway.semantic_caching import SemanticCaching
from shared.gateway.stored_keys import StoredKeys
from shared.gateway.subscription_keys import SubscriptionKeys, declared_keys
from shared.gateway.tracing import DebugTokens, Tracing
from shared.management.backends import BackendsView
from shared.management.server import MANAGEMENT, manage
from shared.settings import Settings, SettingsError
from shared.stores.account import Account
from shared.stores.breaker_state import TABLE as BREAKERS
from shared.stores.breaker_state import BreakerStore
from shared.stores.clock import StorageClock
from shared.stores.protocols import StoreError
from shared.stores.subscriptions import TABLE as SUBSCRIPTIONS
from shared.stores.subscriptions import KeyDigest, SubscriptionStore
from shared.stores.traces import TABLE as TRACES
from shared.stores.traces import MemoryTraces, TableTraces

log = logging.getLogger("gateway")


class App:
    """The gateway with all it needs. Made once per process; starts with the first request, on that request's loop.

    A configuration that does not load leaves the app answering 503 (and trying again); once one has loaded, a later
    bad one is logged and the last good one stays.
    """

    RETRY_SECONDS = 10.0
    # Secrets may change in Key Vault while no file does; APIM looks as often.
    VAULT_REFRESH_SECONDS = 4 * 3600.0
    # What a load lacked, such as the vault, may be back without a change of a file; doubled with every failure.
    FIRST_RELOAD_SECONDS = 30.0

    def __init__(
        self,
        settings: Settings | SettingsError,
        *,
        local: bool,
        own_process: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """With a SettingsError the app answers 503 to everything, as with a configuration that does not load. In a
        process of its own it may tune the garbage collector. `monotonic` tells the time in seconds."""
        self._own_process = own_process
        self._cannot_run = settings if isinstance(settings, SettingsError) else None
        settings = Settings(Path(), b"") if isinstance(settings, SettingsError) else settings
        self.settings = settings
        self.identity = AzureIdentity(settings.identity_client_id, local=local)
        self.tokens = IdentityTokens(self.identity.fetch)
        self.transport = Transport()
        clock = StorageClock(time.time)
        self.account = Account.of(settings, self.identity.credential, clock)
        self.stored_keys: StoredKeys | None = None
        deployment = Deployment(settings.region, settings.service_name)
        self.services = Services(self.tokens, monotonic=monotonic, deployment=deployment)
        self.outside = Outside(settings, self.services, self.transport, self.account)
        self.limiting = Limiting(settings, self.services, self.account, clock)
        self.semantic_caching = SemanticCaching(self.services, self.account, clock)
        self.fleet = Fleet()
        self.sharing = self._sharing()
        traces = TableTraces(self.account.tables.table(TRACES), self.services.clock) if self.account else MemoryTraces()
        self.tracing = Tracing(DebugTokens(settings.key_hash_secret), traces, open_to_all=local)
        self.gateway = Gateway(self.services, self.tracing, client_ip_header=settings.client_ip_header)
        self.problems: list[str] = []
        self._stamp: object = None
        self._loading: asyncio.Task[None] | None = None
        self._look_again = 0.0
        self._load_due = 0.0
        self._pause = self.FIRST_RELOAD_SECONDS

    async def handle(self, request: Request) -> Response:
        """The answer to any request; never raises but for its own cancellation."""
        if self.services.monotonic() >= self._look_again:
            await self._refresh()
        if request.scope["path"].startswith(MANAGEMENT):
            serving = self.gateway.serving
            declared = serving.catalog.gateway.backends if serving is not None else {}
            return await manage(request, self.tracing, BackendsView(declared, self.fleet, self.services))
        return await self.gateway.handle(request)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The same as an ASGI application, for the local server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            response = await self.handle(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def load(self) -> None:
        """Load the configuration and put it in use. ConfigError with all problems when it is not usable."""
        if self._cannot_run is not None:
            raise ConfigError([Problem("app settings", 0, "", str(self._cannot_run))])
        vault = KeyVault(self.identity.credential)
        try:
            loaded = await load(self.settings.config, self.settings.environment, vault.secret)
        finally:
            await vault.aclose()
        catalog = await asyncio.to_thread(compile_catalog, loaded)
        self._use(loaded, catalog)
        for problem in sorted(set(loaded.problems)):
            log.warning("%s", problem)
        if self._own_process:
            spare_what_stays()

    async def purge(self) -> None:
        """Delete from storage what is too old to be of use. Failures are logged: the next run tries again."""
        if isinstance(self.tracing.store, TableTraces):
            try:
                deleted = await self.tracing.store.purge()
                log.info("purged %d request traces", deleted)
            except StoreError as error:
                log.warning("request traces were not purged: %s", error)
        try:
            log.info("deleted %d counters that count nothing any more", await self.limiting.admin().sweep())
        except StoreError as error:
            log.warning("counters were not swept: %s", error)
        try:
            log.info("deleted %d cached answers that are over", await self.semantic_caching.cache.purge())
        except StoreError as error:
            log.warning("cached answers were not purged: %s", error)

    async def aclose(self) -> None:
        """Close connections and credentials."""
        await self.outside.aclose()
        await self.semantic_caching.aclose()
        if self.sharing is not None:
            await self.sharing.aclose()
        await self.limiting.aclose()
        await self.transport.aclose()
        await self.identity.aclose()
        if self.stored_keys is not None:
            await self.stored_keys.close()
        if self.account is not None:
            await self.account.close()

    def _sharing(self) -> Sharing | None:
        if self.account is None:
            return None
        store = BreakerStore(self.account.tables.table(BREAKERS, deadline=2.0))
        services = self.services
        sharing = Sharing(store, self.fleet, token_hex(4), clock=services.clock, monotonic=services.monotonic)
        self.fleet.on_change.append(sharing.tell)
        return sharing

    def _use(self, loaded: Loaded, catalog: Catalog) -> None:
        digest = KeyDigest(self.settings.key_hash_secret)
        declared = declared_keys(catalog.gateway, digest, self.settings.all_access_key, loaded.problem)
        if self.stored_keys is None and self.account is not None:
            store = SubscriptionStore(self.account.tables.table(SUBSCRIPTIONS, deadline=1.0), digest.check)
            self.stored_keys = StoredKeys(store)
        certificates: dict[str, object] = {id: one.certificate for id, one in loaded.certificates.items()}
        self.services.deployment = replace(self.services.deployment, certificates=certificates)
        keys = SubscriptionKeys(digest, declared, self.stored_keys)
        backends = Backends(catalog.gateway.backends, catalog.targets, self.transport, self.fleet, self.sharing)
        self.gateway.serving = Serving(catalog, backends, keys)

    async def _refresh(self) -> None:
        """Load the configuration when there is none or its files have changed. One request at a time does it; the
        first ones wait for it, later ones go on with what there is."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_if_changed())
            self._loading.add_done_callback(lambda _: setattr(self, "_loading", None))
        if self.gateway.serving is None:
            await asyncio.shield(self._loading)

    async def _load_if_changed(self) -> None:
        now = self.services.monotonic()
        known = False
        try:
            stamp = await asyncio.to_thread(self._stamp_of_files)
            changed = self.gateway.serving is None or stamp != self._stamp
            if changed or now >= self._load_due:
                pause = self.FIRST_RELOAD_SECONDS if changed else self._pause
                self._stamp, self._load_due = stamp, now + pause
                self._pause = min(2 * pause, self.VAULT_REFRESH_SECONDS)
                if await self._load_and_tell():
                    self._load_due, self._pause = now + self.VAULT_REFRESH_SECONDS, self.FIRST_RELOAD_SECONDS
            known = self.gateway.serving is not None
        except Exception:
            log.exception("the configuration cannot be loaded")
        now = self.services.monotonic()
        self._look_again = self._next_look(now) if known else now + self.RETRY_SECONDS

    async def _load_and_tell(self) -> bool:
        """Whether the configuration loads. What is wrong is logged when that changes, and when nothing is any more."""
        try:
            await self.load()
        except ConfigError as error:
            before, self.problems = self.problems, [str(problem) for problem in error.problems]
            if self.gateway.serving is None:
                log.error("no configuration:\n%s", error)
            elif self.problems != before:
                log.error("the last good configuration stays:\n%s", error)
            return False
        if self.problems:
            log.warning("the configuration loads again")
        self.problems = []
        return True

    async def _look_for_changes(self, pause: float) -> None:
        """Look without being asked, so that the first call after a change finds it made, and mistakes are told at once.
        Without a configuration nothing can have changed: each call looks for one."""
        while True:
            await asyncio.sleep(pause)
            if self.gateway.serving is not None and self.services.monotonic() >= self._look_again:
                await self._refresh()

    def _next_look(self, now: float) -> float:
        """When it is worth looking again: files where they may change, secrets where a vault has them."""
        serving = self.gateway.serving
        values = serving.catalog.gateway.named_values.values() if serving is not None else ()
        secrets = self._load_due if any(value.key_vault for value in values) else float("inf")
        return min(now + (self.settings.reload_seconds or float("inf")), secrets)

    def _stamp_of_files(self) -> object:
        """What changes when a file of the configuration does."""
        folder = self.settings.config.parent
        patterns = ("policies/**/*.xml", "apis/**/*", "certificates/**/*", "schemas/**/*")
        files = [self.settings.config, *(file for pattern in patterns for file in sorted(folder.glob(pattern)))]
        return [(str(file), stat.st_mtime_ns, stat.st_size) for file in files if (stat := _stat(file))]

    async def _lifespan(self, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        looking: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._refresh()
                if self._own_process and self.settings.reload_seconds:
                    looking = asyncio.create_task(self._look_for_changes(self.settings.reload_seconds))
                await send({"type": "lifespan.startup.complete"})
            else:
                if looking is not None:
                    looking.cancel()
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _stat(file: Path) -> stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None


def spare_what_stays() -> None:
    """Keep modules and the configuration, which stay, out of the garbage collector's way: looking through them over and
    over took a fifth of the CPU time of a request. What a former configuration left is let go first."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
