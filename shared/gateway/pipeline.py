"""Runs a request through the sections as APIM does: inbound, backend, outbound; on-error when one of them fails."""

import logging

from shared.backends.not_asked import NotAsked
from shared.context import Context
from shared.errors import ClientGone, GatewayError
from shared.gateway.error_body import error_response
from shared.message import GatewayResponse
from shared.policies.run import Shortcut, Statements, run, start
from shared.policies.sections import Sections

log = logging.getLogger("gateway")


async def run_pipeline(ctx: Context, sections: Sections) -> GatewayResponse:
    """The answer to a request. An error in a section becomes the answer of the on-error section.

    Until a backend has answered the response is an empty 200, as in APIM: documents in use ask for its StatusCode
    before they forward, and without a forward-request it is what is sent.
    """
    ctx.response = GatewayResponse(200, status_reason="OK")
    try:
        for name, statements in (
            ("inbound", sections.inbound),
            ("backend", sections.backend),
            ("outbound", sections.outbound),
        ):
            ctx.section = name
            ended = start(statements, ctx)
            if ended is not None and not isinstance(ended, GatewayResponse):
                ended = await ended
            if name == "backend" and isinstance(ctx.response, NotAsked) and ended is None:
                raise ctx.response.error
            if ended is not None:
                await replace_response(ctx, ended)
                if isinstance(ended, Shortcut):
                    ctx.notes[Shortcut] = ended.how
                    await _finish(ctx, ended.rest(sections.outbound))
                break
        if ctx.unverified:
            await ctx.verified()
        if ctx.response is None:  # a retry that went on from a failed forward-request without another one
            ctx.response = GatewayResponse(200, status_reason="OK")
        await ctx.before_reply()
        return ctx.response
    except ClientGone:
        raise
    except GatewayError as error:
        return await answer_error(ctx, error, sections.on_error)
    except Exception as error:
        log.exception("request %s: a policy broke", ctx.request_id)
        return await answer_error(ctx, GatewayError(detail=type(error).__name__), sections.on_error)


async def _finish(ctx: Context, outbound: Statements) -> None:
    """What is left of outbound, for an answer that did not come from the backend."""
    ctx.section = "outbound"
    ended = await run(outbound, ctx)
    if ended is not None:
        await replace_response(ctx, ended)


async def answer_error(ctx: Context, error: GatewayError, on_error: Statements) -> GatewayResponse:
    """The answer to an error: APIM's default body, changed by the on-error section if there is one."""
    if error.detail:
        log.warning("request %s: %s: %s", ctx.request_id, error.reason, error.detail)
    error.section = error.section or ctx.section
    ctx.last_error = error
    ctx.abandon_checks()
    ctx.trace({"message": error.message, "reason": error.reason, "detail": error.detail}, error.source, "error")
    await replace_response(ctx, error_response(ctx, error))
    ctx.section = "on-error"
    try:
        ended = await run(on_error, ctx)
        if ended is not None:
            await replace_response(ctx, ended)
        await ctx.before_reply()
    except GatewayError as second:
        log.warning("request %s: on-error failed: %s: %s", ctx.request_id, second.reason, second.detail)
        await replace_response(ctx, error_response(ctx, second))
    except ClientGone:
        raise
    except Exception:
        log.exception("request %s: on-error broke", ctx.request_id)
        await replace_response(ctx, error_response(ctx, GatewayError()))
    assert ctx.response is not None
    return ctx.response


async def replace_response(ctx: Context, response: GatewayResponse) -> None:
    """Make `response` the answer, and let go of the backend connection that the one before may hold."""
    if ctx.response is not None and ctx.response is not response:
        await ctx.response.aclose()
    ctx.response = response
