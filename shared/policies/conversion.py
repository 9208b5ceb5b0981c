"""Converts bodies: small ones at once, larger ones on a thread, so that other requests go on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar

from shared.body import is_sprawling_json
from shared.errors import BackendError, GatewayError, Refusal
from shared.message import GatewayRequest, GatewayResponse
from shared.policies import xml_body

T = TypeVar("T")

# XML or JSON of this size is turned into the other in 3 ms.
AT_ONCE = 8_192


async def converted(convert: Callable[[bytes], T], body: bytes) -> T:
    """What `convert` makes of a body, or raises. It may run on a thread: it changes nothing that others see."""
    return convert(body) if len(body) <= AT_ONCE else await asyncio.to_thread(convert, body)


async def read_for_objects(message: GatewayRequest | GatewayResponse, kind: Literal["JSON", "XML"]) -> bytes:
    """The whole body, which will be made objects of: Refusal (413) when a request's would take too much memory then,
    BackendError when a response's would."""
    body = await message.read()
    if xml_body.sprawls(body) if kind == "XML" else is_sprawling_json(body):
        raise _too_large(message, "JSON values" if kind == "JSON" else "XML elements")
    return body


def _too_large(message: GatewayRequest | GatewayResponse, parts: str) -> GatewayError:
    if isinstance(message, GatewayRequest):
        return Refusal(f"Request body has too many {parts}.", status=413, reason="RequestTooLarge")
    return BackendError(f"The answer has too many {parts}.", reason="ResponseTooLarge")
