"""The end of a call to a model as several policies share it."""

import pytest

from shared.context import Completion, Context, Services
from shared.llm.usage import Usage
from shared.message import GatewayRequest, Headers, Url
from shared.policies.llm_exchange import LlmExchange
from tests.support.identity import NoTokens


async def test_one_that_fails_at_the_end_keeps_nobody_from_settling(caplog: pytest.LogCaptureFixture) -> None:
    url = Url("https", "gateway.example", 443, "/chat/completions")
    ctx = Context(GatewayRequest("POST", url, Headers(), body=b"{}"), Services(NoTokens()))
    exchange = LlmExchange.of(ctx)
    settled: list[Usage | None] = []

    def fails(usage: Usage | None) -> None:
        raise ZeroDivisionError

    exchange.on_usage(fails)
    exchange.on_usage(settled.append)
    await ctx.before_reply()
    await ctx.complete(Completion(200, "completed", 0, 0.1, None))
    assert settled == [None]
    assert caplog.text.count("telling the usage of a call failed") == 1


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b""])
async def test_what_is_no_object_is_no_call(body: bytes) -> None:
    url = Url("https", "gateway.example", 443, "/chat/completions")
    ctx = Context(GatewayRequest("POST", url, Headers(), body=body), Services(NoTokens()))
    assert await LlmExchange.of(ctx).call() is None
