"""Keys of OpenID providers: how long they are kept, when they are asked for again, and what a fault of theirs does."""

import asyncio

import pytest

from shared.backends.client_tls import ClientTls
from shared.backends.openid import OpenIdProviders
from shared.backends.sender import Sender
from shared.backends.transport import Transport
from shared.errors import Unavailable
from tests.support.openid import OpenIdProvider
from tests.support.service import reply_json


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """Providers as the gateway has them, on a clock of the test's."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = Transport(environ={})
        self.providers = OpenIdProviders(Sender(self.transport, ClientTls()), self.clock)

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.aclose()


async def test_keys_are_kept_for_an_hour() -> None:
    with OpenIdProvider() as provider:
        async with Asking() as asking:
            for later, fetches in ((0, 1), (3599, 1), (3601, 2)):
                asking.clock.now = 1000.0 + later
                found = await asking.providers.provider(provider.config, "first")
                assert found.issuer == provider.issuer and found.has("first")
                assert provider.fetches == fetches


async def test_an_unknown_key_is_asked_for_once_in_five_minutes() -> None:
    with OpenIdProvider() as provider:
        async with Asking() as asking:
            await asking.providers.provider(provider.config, "first")
            provider.rotate("second")
            asking.clock.now += 299
            assert not (await asking.providers.provider(provider.config, "second")).has("second")
            asking.clock.now += 2
            assert (await asking.providers.provider(provider.config, "second")).has("second")
            for kid in ("third", "fourth"):
                await asking.providers.provider(provider.config, kid)
            assert provider.fetches == 2


async def test_many_requests_fetch_once() -> None:
    with OpenIdProvider() as provider:
        provider.delay = 0.2
        async with Asking() as asking:
            many = [asking.providers.provider(provider.config, "first") for _ in range(20)]
            first = asyncio.create_task(many[0])
            rest = [asyncio.create_task(one) for one in many[1:]]
            await asyncio.sleep(0.05)
            first.cancel()  # whoever began the fetch may leave
            assert all(found.has("first") for found in await asyncio.gather(*rest))
            assert provider.fetches == 1


async def test_old_keys_serve_for_a_day_while_the_provider_is_down() -> None:
    with OpenIdProvider() as provider:
        async with Asking() as asking:
            await asking.providers.provider(provider.config, "first")
            provider.down = True
            asking.clock.now += 7200
            for _ in range(3):
                assert (await asking.providers.provider(provider.config, "first")).has("first")
            asked = len(provider.service.requests)
            assert asked == 3  # discovery and keys, then one try that failed
            asking.clock.now += 86400
            with pytest.raises(Unavailable):
                await asking.providers.provider(provider.config, "first")


async def test_a_provider_without_keys_is_tried_again_soon() -> None:
    with OpenIdProvider() as provider:
        provider.down = True
        async with Asking() as asking:
            for _ in range(2):
                with pytest.raises(Unavailable) as refused:
                    await asking.providers.provider(provider.config)
            assert "status 500" in refused.value.detail
            assert len(provider.service.requests) == 1
            provider.down = False
            asking.clock.now += 11
            assert (await asking.providers.provider(provider.config)).has("first")


@pytest.mark.parametrize("document", [[], {}, {"issuer": "x"}, {"issuer": "x", "jwks_uri": "ftp://x/keys"}])
async def test_a_document_that_is_none_gives_no_keys(document: object) -> None:
    with OpenIdProvider() as provider:
        provider.service.routes["/.well-known/openid-configuration"] = lambda request: reply_json(document)
        async with Asking() as asking:
            with pytest.raises(Unavailable):
                await asking.providers.provider(provider.config)
